"""Built-in packs: what ``extends`` and ``affidavit:NAME`` in a list stand for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from affidavit.contracts.yaml import read_yaml


@dataclass(frozen=True)
class Pack:
    """A built-in pack.

    Attributes:
        name: ``affidavit:…``.
        version: semantic version of its content.
        digest: SHA-256 of its file.
        read, write: what a contract that extends it may do beside what its own lists say.
        patterns: the list that its name stands for inside another list; a contract that extends it may write none of
            them.
    """

    name: str
    version: str
    digest: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


def _load() -> dict[str, Pack]:
    packs = {}
    for file in sorted(files("affidavit.contracts").joinpath("packs").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".yaml"):
            continue
        data = file.read_bytes()
        content, _ = read_yaml(data, file.name)
        pack = Pack(
            name=content["id"],
            version=content["version"],
            digest="sha256:" + hashlib.sha256(data).hexdigest(),
            read=tuple(content.get("read", ())),
            write=tuple(content.get("write", ())),
            patterns=tuple(content.get("patterns", ())),
        )
        packs[pack.name] = pack
    return packs


PACKS: Mapping[str, Pack] = MappingProxyType(_load())
"""The built-in packs by name."""

PATTERN_LISTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: pack.patterns for name, pack in PACKS.items() if pack.patterns}
)
"""What ``affidavit:NAME`` stands for inside a list of patterns."""
