"""The root file systems and the contract of a task."""

from dataclasses import astuple, dataclass
from pathlib import Path

from affidavit.contracts import Contract, ContractSource
from affidavit.evaluation.service_plan import ServicePlan
from affidavit.evaluation.task_images import most_bytes
from affidavit.sandbox import RootFilesystem, User, host_rootfs, lay_over, oci_rootfs, tarball_rootfs
from affidavit.tasks import Rootfs, Task


@dataclass(frozen=True)
class TaskBase:
    """The root file systems and the contract that all trials of a task share.

    Attributes:
        rootfs: root file system of the agent's sandbox.
        contract: that the agent runs under.
        grading: root file system of the verifier; None: the same as the agent's.
        services: that run beside its agents; None: none do, or they were not asked for.
    """

    rootfs: RootFilesystem
    contract: Contract
    grading: RootFilesystem | None = None
    services: ServicePlan | None = None


def prepare(task: Task, state: Path, contracts: ContractSource | None = None) -> TaskBase:
    """Make the root file systems of a task and find its contract.

    Args:
        task: the task.
        state: the state folder.
        contracts: source of the contract.

    Raises:
        ContractError: the contract can't be used.
        SandboxError: a root file system can't be made.
    """
    grading = None if task.grading is None else root_filesystem(task.grading, state)
    return TaskBase(root_filesystem(task, state), (contracts or ContractSource()).contract_for(task), grading)


def root_filesystem(task: Task, state: Path) -> RootFilesystem:
    """Make the root file system of a task.

    Args:
        task: with its image, if it has one.
        state: the state folder.

    Raises:
        SandboxError: it can't be made.
    """
    user = User(*astuple(task.environment.user))
    match task.environment.rootfs:
        case Rootfs("tarball", Path() as source):
            rootfs = tarball_rootfs(state, source, user, task.limits.storage_mb << 20)
        case Rootfs("oci", Path() as source):
            rootfs = oci_rootfs(state, source, user, most_bytes(task), manifest=task.environment.rootfs.manifest)
        case _:
            rootfs = host_rootfs(state, user)
    if task.environment.overlay is not None:
        rootfs = lay_over(rootfs, task.environment.overlay, state)
    return rootfs
