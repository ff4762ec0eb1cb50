"""Whether the hidden tests of a task run in another sandbox than the solution."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).parent / "inside" / "affidavit-launch"
"""Stands for a program of the solution's where the tests are; built from launch/launch.c."""

SCRIPT = "test.sh"
"""What stands in `Separation.words` for tests that have no names."""


@dataclass(frozen=True)
class Separation:
    """What was found out about a task.

    Attributes:
        separate: tests and solution run in two sandboxes.
        why: a sentence on why, or why not.
        words: the tests that the task's own solution passes only because they take something on its word, such as
            whether two of its objects are equal; SCRIPT where tests have no names. A control guards those.
        ways: how else the task's own solution has a say in them, as by changing its arguments (``inside/README.md``):
            the agent's may do so as well, and any other way is its word. None where that was not found out.
    """

    separate: bool
    why: str
    words: tuple[str, ...] = ()
    ways: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``verifier`` of ``grade.json``."""
        return {
            "separate": self.separate,
            "why": self.why,
            "words": list(self.words),
            "ways": None if self.ways is None else list(self.ways),
        }

    @classmethod
    def from_json(cls, value: object) -> "Separation":
        """What `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        match value:
            case {"separate": bool(separate), "why": str(why), "words": list(words), **more} if _texts(words):
                ways = more.get("ways")
                if ways is None:
                    return cls(separate, why, tuple(words))
                if isinstance(ways, list) and _texts(ways):
                    return cls(separate, why, tuple(words), tuple(ways))
        raise ValueError("says of the separation of tests and solution what can't be")


def _texts(items: Sequence[object]) -> bool:
    return all(isinstance(item, str) for item in items)
