"""Which lists of a contract hold for a process: those of the scopes that it is in, else the contract's own.

Where several scopes write the same list, all of them must allow; what is denied adds up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from affidavit.contracts import Contract, PathMatcher, Scope, matcher, same_programs
from affidavit.policy.lineage import Images, Lineage

Sets = npt.NDArray[np.int64]
"""For each row the scopes that its process is in, bit by bit."""


@dataclass(frozen=True)
class Lists:
    """What holds for some processes.

    Attributes:
        read: lists all of which must match what is read; None: anything may be.
        write, exec, endpoints: likewise for what is written, executed and reached.
        deny: patterns that may not be touched.
        rules: for ``files.read`` and so on, the name of the rule that is broken.
    """

    read: tuple[tuple[str, ...], ...] | None
    write: tuple[tuple[str, ...], ...]
    exec: tuple[tuple[str, ...], ...] | None
    endpoints: tuple[tuple[str, ...], ...]
    deny: tuple[str, ...]
    rules: dict[str, str]


def lists_of(contract: Contract, scopes: int) -> Lists:
    """What holds for a process in some scopes.

    Args:
        scopes: bit by bit, in the contract's order.
    """
    document = contract.document
    inside = [scope for place, scope in enumerate(document.scopes) if scopes >> place & 1]
    rules: dict[str, str] = {}

    def written(rule: str, lists: Iterable[tuple[Scope, Any]]) -> tuple[tuple[str, ...], ...]:
        found = [(scope, patterns) for scope, patterns in lists if patterns is not None]
        rules[rule] = f"scopes.{found[0][0].id}.{rule}" if found else rule
        return tuple(patterns for _, patterns in found)

    read = written("files.read", [(scope, scope.files.read) for scope in inside])
    write = written("files.write", [(scope, scope.files.write) for scope in inside])
    run = written("processes.exec", [(scope, scope.processes.exec) for scope in inside])
    reach = written("network.endpoints", [(scope, scope.network.endpoints) for scope in inside])
    own_read, own_run = contract.read, document.processes.exec
    denying = next((scope for scope in inside if scope.files.deny), None)
    rules["files.deny"] = "files.deny" if denying is None else f"scopes.{denying.id}.files.deny"
    return Lists(
        read=tuple(map(contract.with_read_of_packs, read)) or (None if own_read is None else (own_read,)),
        write=tuple(map(contract.with_write_of_packs, write)) or (contract.write,),
        exec=run or (None if own_run is None else (own_run,)),
        endpoints=reach or (document.network.endpoints,),
        deny=contract.deny + tuple(pattern for scope in inside for pattern in scope.files.deny),
        rules=rules,
    )


class Scoping:
    """Follows which scopes processes are in.

    Args:
        contract: has the scopes.
    """

    def __init__(self, contract: Contract) -> None:
        self._scopes = contract.document.scopes
        self._matchers = [matcher(same_programs(scope.for_)) for scope in self._scopes]
        self._known: dict[str, int] = {}
        # Scopes that are about one program only end where it starts another.
        self._lasting = sum(1 << place for place, scope in enumerate(self._scopes) if scope.children)

    def entered(self, exe: str, before: int) -> int:
        """The scopes that a process is in once it has started a program.

        Args:
            exe: the program.
            before: the scopes that it was in.
        """
        if exe not in self._known:
            if len(self._known) > 1 << 16:
                self._known.clear()
            self._known[exe] = sum(1 << place for place, of in enumerate(self._matchers) if of.matches(exe))
        return before & self._lasting | self._known[exe]

    @staticmethod
    def sets(lineage: Lineage, images: Images) -> Sets | None:
        """For each row the scopes that its process is in; None where none is in any."""
        used, codes = np.unique(images, return_inverse=True)
        scopes = np.array([lineage.images[number].scopes for number in used.tolist()], np.int64)
        return scopes[codes] if scopes.any() else None


class AllOf:
    """Lists of patterns, all of which must match."""

    def __init__(self, lists: Iterable[tuple[str, ...]], prepare: Callable[..., tuple[str, ...]] = tuple) -> None:
        self._matchers: list[PathMatcher] = [matcher(prepare(patterns)) for patterns in lists]

    def mask(self, paths: pa.Array) -> npt.NDArray[np.bool_]:
        """Which names all lists match."""
        return np.asarray(np.logical_and.reduce([one.mask(paths) for one in self._matchers]), np.bool_)

    def each(self, path: str) -> list[bool]:
        """Which lists match a name."""
        return [one.matches(path) for one in self._matchers]

    def excepted(self, paths: pa.Array) -> npt.NDArray[np.bool_]:
        """Which names an exception of some list names."""
        return np.asarray(np.logical_or.reduce([one.excepted(paths) for one in self._matchers]), np.bool_)
