"""Semantic versions: their order, and what a step from one to the next means.

https://semver.org/spec/v2.0.0.html; here a major version may loosen what a contract promises, a minor one may tighten
it, a patch changes nothing that is judged. That holds for 0.x too.
"""

from enum import IntEnum
from typing import Any


class Step(IntEnum):
    """How far one version is from another; the larger ones allow what the smaller ones do."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3

    def __str__(self) -> str:
        return self.name.lower()


def precedence(version: str) -> tuple[Any, ...]:
    """What versions sort by; the same for two that only differ in their build."""
    core, _, pre = version.partition("+")[0].partition("-")
    # Numbers come before words, and any pre-release before the release.
    identifiers = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in pre.split(".") if pre)
    return (*_core(core), not pre, identifiers)


def is_release(version: str) -> bool:
    """Whether it is no pre-release."""
    return "-" not in version.partition("+")[0]


def step(old: str, new: str) -> Step | None:
    """How far `new` is above `old`; None where it is below."""
    if precedence(new) < precedence(old):
        return None
    before, after = _core_of(old), _core_of(new)
    for place, size in enumerate((Step.MAJOR, Step.MINOR, Step.PATCH)):
        if after[place] != before[place]:
            return size
    # From a pre-release to the next or to the release: what it is a pre-release of is not promised yet.
    return Step.NONE if precedence(old) == precedence(new) else Step.MAJOR


def least_version(old: str, size: Step) -> str:
    """The least version that is `size` above `old`."""
    major, minor, patch = _core_of(old)
    match size:
        case Step.MAJOR:
            return f"{major + 1}.0.0"
        case Step.MINOR:
            return f"{major}.{minor + 1}.0"
        case Step.PATCH:
            return f"{major}.{minor}.{patch + 1}"
        case _:
            return old


def _core_of(version: str) -> tuple[int, ...]:
    return _core(version.partition("+")[0].partition("-")[0])


def _core(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
