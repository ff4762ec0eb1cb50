"""Something wrong with a task, and the part that is at fault."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What is broken: the task (instruction, start state, solution), what grades it, its contract, or this machine."""

    TASK = "task"
    GRADER = "grader"
    CONTRACT = "contract"
    MACHINE = "machine"


@dataclass(frozen=True)
class TaskFinding:
    """One thing that is wrong.

    Attributes:
        check: which check found it.
        part: what is broken.
        message: what was seen.
        fix: what to do.
    """

    check: str
    part: Part
    message: str
    fix: str

    def to_json(self) -> dict[str, Any]:
        return {"check": self.check, "part": str(self.part), "message": self.message, "fix": self.fix}
