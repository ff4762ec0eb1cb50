"""What the sandboxes of a trial are made from: its task with root file systems, and its contract."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

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
        graded_layers: what is carried over to grading from the steps before, topmost first; empty for a first one.
        reference_layers: makes layers of what the task's own solutions of those steps leave, topmost first.
    """

    task: Task
    rootfs: RootFilesystem
    tests_rootfs: RootFilesystem
    graded_layers: tuple[Path, ...] = ()
    reference_layers: Callable[[], tuple[Path, ...]] = tuple

    @property
    def graded(self) -> RootFilesystem:
        """The root file system as grading finds it, without what this agent's work adds."""
        return replace(self.rootfs, layers=(*self.graded_layers, *self.rootfs.layers))

    @property
    def reference(self) -> RootFilesystem:
        """The root file system as the task's own solution finds it; nothing of the agent's is in it."""
        return replace(self.rootfs, layers=(*self.reference_layers(), *self.rootfs.layers))

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
