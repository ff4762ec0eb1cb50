"""What a change of a contract is called."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a change does to what is admitted."""

    LOOSENING = "loosening"
    TIGHTENING = "tightening"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class ContractChange:
    """One change.

    Attributes:
        place: where, as in ``files.write``.
        kind: what it does.
        detail: a few words; for a list, a path that shows it.
    """

    place: str
    kind: Kind
    detail: str


def listed(words: Iterable[str]) -> str:
    """The first five of some words, sorted."""
    shown = sorted(words)
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more if shown else "nothing"


def reactions(place: str, old: Iterable[str], new: Iterable[str]) -> ContractChange:
    """What it means that other actions follow."""
    before, after = set(old), set(new)
    shown = f"{listed(before)} → {listed(after)}"
    if before - after - {"flag"}:
        return ContractChange(place, Kind.LOOSENING, shown)
    kind = Kind.TIGHTENING if after - before - {"flag"} else Kind.NEUTRAL
    return ContractChange(place, kind, shown)
