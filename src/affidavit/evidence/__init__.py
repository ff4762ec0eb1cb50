"""Signed evidence of a trial: keys, Merkle trees, the statement, the bundle and its verification.

A bundle is a folder that needs nothing but a public key to be checked; ``docs/bundle.md`` describes it.
"""

from affidavit.evidence.bundle import BundleReader, BundleWriter
from affidavit.evidence.model_facts import (
    MODEL_FACTS,
    MODEL_LOG,
    TRAJECTORY,
    log_facts,
    model_fault,
    model_rows,
    read_model_facts,
    read_model_log,
    recorded_answers,
    stranded,
)
from affidavit.evidence.private import beside, locate
from affidavit.evidence.statement import ContractFacts, TaskFacts, TraceFacts, TrialFacts
from affidavit.evidence.verification import Check, Recompute, Verification, verify_bundle
from affidavit.signing import (
    PRIVATE_FILE,
    EvidenceError,
    PublicKey,
    SigningKey,
    canonical_json,
    consistency_proof,
    inclusion_proof,
    keys_dir,
    leaf_hash,
    load_key,
    load_or_make_key,
    load_public_key,
    merkle_root,
    new_key,
    strict_canonical_json,
    strict_json,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "MODEL_FACTS",
    "MODEL_LOG",
    "PRIVATE_FILE",
    "TRAJECTORY",
    "BundleReader",
    "BundleWriter",
    "Check",
    "ContractFacts",
    "EvidenceError",
    "PublicKey",
    "Recompute",
    "SigningKey",
    "TaskFacts",
    "TraceFacts",
    "TrialFacts",
    "Verification",
    "beside",
    "canonical_json",
    "consistency_proof",
    "inclusion_proof",
    "keys_dir",
    "leaf_hash",
    "load_key",
    "load_or_make_key",
    "load_public_key",
    "locate",
    "log_facts",
    "merkle_root",
    "model_fault",
    "model_rows",
    "new_key",
    "read_model_facts",
    "read_model_log",
    "recorded_answers",
    "stranded",
    "strict_canonical_json",
    "strict_json",
    "verify_bundle",
    "verify_consistency",
    "verify_inclusion",
]
