"""Violations and attempts."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["low", "medium", "high", "critical"]
Action = Literal["flag", "halt", "audit"]


@dataclass(frozen=True)
class Violation:
    """A broken rule.

    Attributes:
        rule: its place in the contract (``files.write``, ``operations.system``), or ``record.path_race``.
        severity: how grave.
        action: ``halt`` or ``flag``; ``audit`` under a contract in audit mode.
        message: one sentence for a person, naming process and path.
        events: sequence numbers of the events that prove it, the first 20 at most; empty where no event does.
        stage: ``agent`` (the record), ``diff`` (what was found changed), ``grader``.
        count: of events that prove it, the ones in `events` included.
    """

    rule: str
    severity: Severity
    action: Action
    message: str
    events: tuple[int, ...]
    stage: Literal["agent", "grader", "diff"]
    count: int
