"""Signed evidence of a trial: keys, Merkle trees, the statement, the bundle and its verification.

A bundle is a folder that needs nothing but a public key to be checked; ``docs/bundle.md`` describes it.
"""

from affidavit.evidence.bundle import BundleReader, BundleWriter
from affidavit.evidence.private import beside, locate
from affidavit.evidence.statement import ContractFacts, TaskFacts, TraceFacts, TrialFacts
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
    "PRIVATE_FILE",
    "BundleReader",
    "BundleWriter",
    "ContractFacts",
    "EvidenceError",
    "PublicKey",
    "SigningKey",
    "TaskFacts",
    "TraceFacts",
    "TrialFacts",
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
    "merkle_root",
    "new_key",
    "strict_canonical_json",
    "strict_json",
    "verify_consistency",
    "verify_inclusion",
]
