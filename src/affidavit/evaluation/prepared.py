"""What the sandboxes of a trial are made from: its task with root file systems, and its contract."""

from collections.abc import Callable
from dataclasses import dataclass

from affidavit.contracts import Contract, SandboxSettings
from affidavit.evaluation.service_plan import ServicePlan
from affidavit.sandbox import RootFilesystem
from affidavit.tasks import Task


@dataclass(frozen=True)
class PreparedTask:
    """A task with its root file systems.

    Attributes:
        task: whose agent works, and whose graders are asked.
        rootfs: as the agent finds it; in a step, without what the agent left in the steps before.
        tests_rootfs: as the tests find it; the same where they have none of their own.
        solved_before: in a step, gives the root file system as the task's own solutions of the steps before leave it;
            None: there are none.
        services: that run beside its agent; None: none do.
    """

    task: Task
    rootfs: RootFilesystem
    tests_rootfs: RootFilesystem
    solved_before: Callable[[], RootFilesystem] | None = None
    services: ServicePlan | None = None

    @property
    def reference(self) -> RootFilesystem:
        """The root file system as the task's own solution finds it; nothing of the agent's is in it."""
        return self.rootfs if self.solved_before is None else self.solved_before()

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
