"""What signatures and proofs rest on: keys, trust, canonical JSON, DSSE envelopes, Merkle trees; it knows nothing of
what is signed. Contracts and bundles of evidence both use it."""

from affidavit.signing.canonical import canonical_json, strict_canonical_json, strict_json
from affidavit.signing.changing import TrustChange, changed_trust, new_trust
from affidavit.signing.envelope import Envelope, read_envelope, sign
from affidavit.signing.errors import EvidenceError
from affidavit.signing.files import locked_folder, read_bounded, sync_folder, write_whole
from affidavit.signing.keys import (
    PRIVATE_FILE,
    PublicKey,
    SigningKey,
    keys_dir,
    load_key,
    load_or_make_key,
    load_public_key,
    new_key,
)
from affidavit.signing.merkle import (
    GrowingTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_consistency,
    verify_inclusion,
)
from affidavit.signing.times import now, point_in_time
from affidavit.signing.trust import Examination, Signed, State, Trust, TrustDocument, read_trust

__all__ = [
    "PRIVATE_FILE",
    "Envelope",
    "EvidenceError",
    "Examination",
    "GrowingTree",
    "PublicKey",
    "Signed",
    "SigningKey",
    "State",
    "Trust",
    "TrustChange",
    "TrustDocument",
    "canonical_json",
    "changed_trust",
    "consistency_proof",
    "inclusion_proof",
    "keys_dir",
    "leaf_hash",
    "load_key",
    "load_or_make_key",
    "load_public_key",
    "locked_folder",
    "merkle_root",
    "new_key",
    "new_trust",
    "now",
    "point_in_time",
    "read_bounded",
    "read_envelope",
    "read_trust",
    "sign",
    "strict_canonical_json",
    "strict_json",
    "sync_folder",
    "verify_consistency",
    "verify_inclusion",
    "write_whole",
]
