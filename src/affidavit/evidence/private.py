"""The part of a bundle that is not for publishing: what graders printed, and what tests expected.

It lies beside the bundle, in ``private``, and the statement names its files by a keyed digest: a plain one of a short
answer could be found by trying. Whoever has only the bundle learns that there is such a part, and how large it is.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from affidavit.evidence.statement import TrialFacts
from affidavit.signing import EvidenceError

FOLDER = "private"
KEY_FILE = "key"
_KEY_BYTES = 32
_KEY = re.compile(rb"[0-9a-f]{64}\n")
_OPEN = frozenset(("summary.json", "exit.json"))
_BLOCK = 1 << 20


@dataclass(frozen=True)
class PrivateFile:
    """A file of the private part: its keyed digest (HMAC with SHA-256, RFC 2104) in hex, and its size in bytes."""

    hmac_sha256: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """As it stands in the statement."""
        return {"hmac_sha256": self.hmac_sha256, "size": self.size}


def beside(bundle: Path) -> Path:
    """Where the private part of a bundle lies."""
    return bundle.parent / FOLDER


def locate(bundle: Path, name: str) -> Path:
    """Where a file of a bundle lies: in it, or in its private part."""
    inside = bundle / name
    return inside if inside.exists() else beside(bundle) / name


def is_private(name: str) -> bool:
    """Whether a file of a trial is not for publishing: what was graded how, and what the sandboxes that graded it did.
    What is said there of how complete their records are is for everybody."""
    part, _, file = name.partition("/")
    return name == "grade.json" or (bool(file) and part not in ("agent", "files") and file not in _OPEN)


def new_key() -> bytes:
    """A key for the digests of one bundle."""
    return secrets.token_bytes(_KEY_BYTES)


def key_line(key: bytes) -> bytes:
    """What stands in KEY_FILE."""
    return key.hex().encode() + b"\n"


def read_key(line: bytes) -> bytes:
    """What `key_line` wrote.

    Raises:
        EvidenceError: it is something else.
    """
    if not _KEY.fullmatch(line):
        raise EvidenceError(f"{FOLDER}/{KEY_FILE}: is not a key")
    return bytes.fromhex(line.decode())


def digest(key: bytes, name: str, file: BinaryIO) -> PrivateFile:
    """The keyed digest of a file's name and content."""
    made, size = hmac.new(key, name.encode() + b"\0", "sha256"), 0
    while block := file.read(_BLOCK):
        made.update(block)
        size += len(block)
    return PrivateFile(made.hexdigest(), size)


def private_files(facts: TrialFacts) -> dict[str, PrivateFile]:
    """What a statement says of the private part; nothing where there is none, as in bundles of version 0.1.

    Args:
        facts: of the statement.

    Raises:
        EvidenceError: it says what can't be.
    """
    value = (facts.model_extra or {}).get(FOLDER, {})
    found = {}
    for name, file in value.items() if isinstance(value, dict) else ():
        match file:
            case {"hmac_sha256": str(made), "size": int(size)} if is_private(name) and len(file) == 2:
                found[name] = PrivateFile(made, size)
    if not isinstance(value, dict) or len(found) != len(value):
        raise EvidenceError("names a private part that can't be")
    return found
