"""The trials that the plug-in knows of."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from affidavit.integrations.harbor.environment import Environment


@dataclass
class Watched:
    """A trial that Harbor has announced to the plug-in.

    Attributes:
        job_dir: the job's folder.
        name: the trial's, in Harbor.
        key: task and agent, for the journal.
        agent: the agent's name, for the evidence.
        most: how often the job lets this agent try this task.
        problem: why it can't run; None if it can.
        environment: the agent's, once it has started.
    """

    job_dir: Path
    name: str
    key: str
    agent: str
    most: int
    problem: str | None = None
    environment: "Environment | None" = None


trials: dict[UUID, Watched] = {}
"""The trials of this process by id; the plug-in adds and removes them."""
