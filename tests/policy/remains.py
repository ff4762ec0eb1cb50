"""What an agent left and how it ended, as the engine is told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    path: str
    kind: str = "added"
    type: str = "file"
    mode: int = 0o644
    target: str | None = None


@dataclass(frozen=True)
class Ended:
    timed_out: bool = False
    oom: bool = False
