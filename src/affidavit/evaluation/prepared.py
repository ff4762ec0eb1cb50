"""What the sandboxes of a trial are made from: its task with root file systems, and its contract."""

from dataclasses import dataclass

from affidavit.contracts import Contract, SandboxSettings
from affidavit.sandbox import RootFilesystem
from affidavit.tasks import Task


@dataclass(frozen=True)
class PreparedTask:
    """A task with its root file systems.

    Attributes:
        task: whose agent works, and whose graders are asked.
        rootfs: as the agent finds it.
        tests_rootfs: as the tests find it; the same where they have none of their own.
    """

    task: Task
    rootfs: RootFilesystem
    tests_rootfs: RootFilesystem

    @property
    def as_tested(self) -> Task:
        """The task as its tests see it."""
        return self.task.grading or self.task


@dataclass(frozen=True)
class TrialContract:
    """The contract of a trial.

    Attributes:
        signed: as its file or its registry has it.
        enforced: the same as it is enforced.
        settings: what the agent's sandbox enforces of it.
    """

    signed: Contract
    enforced: Contract
    settings: SandboxSettings
