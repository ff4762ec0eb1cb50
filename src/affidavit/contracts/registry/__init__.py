"""The registry of contracts: every published version, in an append-only log that anyone can check."""

from affidavit.contracts.registry.errors import RegistryError
from affidavit.contracts.registry.log import ContractEntry, Entry, TreeHead, TrustEntry
from affidavit.contracts.registry.publication import Publication
from affidavit.contracts.registry.publishing import Published, publish_contract, publish_trust
from affidavit.contracts.registry.view import View, open_store, parse_reference, published_contract, registry_view

__all__ = [
    "ContractEntry",
    "Entry",
    "Publication",
    "Published",
    "RegistryError",
    "TreeHead",
    "TrustEntry",
    "View",
    "open_store",
    "parse_reference",
    "publish_contract",
    "publish_trust",
    "published_contract",
    "registry_view",
]
