"""What a user has seen of each registry: the last tree head, so that one that goes back or forks is caught.

Kept beside the keys, as ssh keeps the hosts that it knows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affidavit.contracts.registry.errors import RegistryError
from affidavit.signing import (
    EvidenceError,
    canonical_json,
    consistency_proof,
    keys_dir,
    now,
    read_bounded,
    strict_json,
    verify_consistency,
    write_whole,
)


@dataclass(frozen=True)
class Seen:
    """A head that was seen: entries, root, and when."""

    size: int
    root: bytes
    when: str


def memory_path(location: str) -> Path:
    """The file that remembers a registry."""
    return keys_dir() / "registries" / f"{hashlib.sha256(location.encode()).hexdigest()[:32]}.json"


def remembered(location: str) -> Seen | None:
    """What was last seen of a registry; None where it was never seen.

    Raises:
        RegistryError: the file is damaged.
    """
    path = memory_path(location)
    if not path.exists():
        return None
    try:
        match strict_json(read_bounded(path, 64 << 10)):
            case {"location": str(), "size": int(size), "root": str(root), "seen": str(when)}:
                return Seen(size, bytes.fromhex(root.removeprefix("sha256:")), when)
    except (EvidenceError, ValueError) as error:
        raise RegistryError(f"{path}: can't be read: {error}") from error
    raise RegistryError(f"{path}: does not say what was seen of {location}")


def check_and_remember(location: str, size: int, root: bytes, leaves: Sequence[bytes]) -> None:
    """Compare a registry with what was last seen of it, and remember it as it is now.

    Args:
        location: where it is.
        size, root: of its head, which is checked.
        leaves: the hashes of its entries.

    Raises:
        RegistryError: it has gone back or tells another history; or that can't be remembered.
    """
    before = remembered(location)
    path = memory_path(location)
    if before is not None:
        seen = f"it had {before.size} entries on {before.when} (remembered in {path})"
        if size < before.size:
            raise RegistryError(f"{location}: the registry was rolled back: {seen} and has {size} now")
        proof = consistency_proof(leaves, before.size)
        if not verify_consistency(before.root, before.size, root, size, proof):
            raise RegistryError(f"{location}: the registry was forked: {seen}, and not all of them are the same now")
        if size == before.size:
            return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        value = {"location": location, "size": size, "root": f"sha256:{root.hex()}", "seen": now()}
        write_whole(path, canonical_json(value))
    except (OSError, EvidenceError) as error:
        raise RegistryError(f"{path}: what was seen of the registry can't be remembered: {error}") from error
