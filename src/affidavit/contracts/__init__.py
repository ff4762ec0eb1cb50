"""Contracts: what an agent may do, how it is written, and what follows for its sandbox.

A list that is not written restricts nothing where it allows reading or executing, and allows nothing where it allows
writing or the network. A pack that a contract extends adds to the lists that are written.
"""

from affidavit.contracts.changes import ContractChange, Kind
from affidavit.contracts.contract import (
    ATTEMPT_SECTIONS,
    Contract,
    canonical_bytes,
    contract_of,
    load_contract,
    matcher,
    parse_contract,
    read_mapping,
    validated,
)
from affidavit.contracts.default import contract_for, default_contract, default_for, shadowing
from affidavit.contracts.diff import ContractDiff, diff_contracts
from affidavit.contracts.document import ContractDocument, Scope
from affidavit.contracts.endpoints import Endpoint, EndpointError
from affidavit.contracts.enforcement import COMBINATIONS, Treatment, constructs, treatment, treatments
from affidavit.contracts.errors import ContractError
from affidavit.contracts.fields import Action, Attempts, Mode, Section, Version, check_endpoint, check_id
from affidavit.contracts.implied import folders_above, same_programs
from affidavit.contracts.name_patterns import name_matches
from affidavit.contracts.operations import OPERATIONS, Detection, Detector, Operation, Watch
from affidavit.contracts.packs import PACKS, Pack
from affidavit.contracts.patterns import PathMatcher, PatternError, escape, expand_braces
from affidavit.contracts.registry import (
    ContractEntry,
    Entry,
    Publication,
    Published,
    RegistryError,
    View,
    open_store,
    parse_reference,
    publish_contract,
    publish_trust,
    published_contract,
    registry_view,
)
from affidavit.contracts.rules import Rule, Selector, compile_rule_nodes
from affidavit.contracts.schema import SCHEMA_ID, json_schema, schema_text
from affidavit.contracts.settings import SandboxSettings, compile_settings
from affidavit.contracts.signature import PAYLOAD_TYPE, load_signature, read_signature, sign_contract, signature_path
from affidavit.contracts.signature_status import Audit, Standing, audit, standing, standing_in
from affidavit.contracts.sources import ContractSource
from affidavit.contracts.suggestions import did_you_mean
from affidavit.contracts.versions import Step
from affidavit.contracts.yaml import MAX_BYTES, Positions, read_yaml

__all__ = [
    "ATTEMPT_SECTIONS",
    "COMBINATIONS",
    "MAX_BYTES",
    "OPERATIONS",
    "PACKS",
    "PAYLOAD_TYPE",
    "SCHEMA_ID",
    "Action",
    "Attempts",
    "Audit",
    "Contract",
    "ContractChange",
    "ContractDiff",
    "ContractDocument",
    "ContractEntry",
    "ContractError",
    "ContractSource",
    "Detection",
    "Detector",
    "Endpoint",
    "EndpointError",
    "Entry",
    "Kind",
    "Mode",
    "Operation",
    "Pack",
    "PathMatcher",
    "PatternError",
    "Positions",
    "Publication",
    "Published",
    "RegistryError",
    "Rule",
    "SandboxSettings",
    "Scope",
    "Section",
    "Selector",
    "Standing",
    "Step",
    "Treatment",
    "Version",
    "View",
    "Watch",
    "audit",
    "canonical_bytes",
    "check_endpoint",
    "check_id",
    "compile_rule_nodes",
    "compile_settings",
    "constructs",
    "contract_for",
    "contract_of",
    "default_contract",
    "default_for",
    "did_you_mean",
    "diff_contracts",
    "escape",
    "expand_braces",
    "folders_above",
    "json_schema",
    "load_contract",
    "load_signature",
    "matcher",
    "name_matches",
    "open_store",
    "parse_contract",
    "parse_reference",
    "publish_contract",
    "publish_trust",
    "published_contract",
    "read_mapping",
    "read_signature",
    "read_yaml",
    "registry_view",
    "same_programs",
    "schema_text",
    "shadowing",
    "sign_contract",
    "signature_path",
    "standing",
    "standing_in",
    "treatment",
    "treatments",
    "validated",
]
