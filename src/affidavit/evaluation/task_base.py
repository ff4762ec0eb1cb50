"""The root file systems and the contract that a task's trials rest on."""

from dataclasses import dataclass
from pathlib import Path

from affidavit.contracts import Contract, ContractSource
from affidavit.evaluation.task_images import most_bytes
from affidavit.sandbox import RootFilesystem, User, host_rootfs, lay_over, oci_rootfs, tarball_rootfs
from affidavit.tasks import Rootfs, Task


@dataclass(frozen=True)
class TaskBase:
    """What the trials of a task rest on.

    Attributes:
        rootfs: as the agent finds it.
        contract: that it runs under.
        grading: the root file system of a verifier that has one of its own.
    """

    rootfs: RootFilesystem
    contract: Contract
    grading: RootFilesystem | None = None


def prepare(task: Task, state: Path, contracts: ContractSource | None = None) -> TaskBase:
    """The root file system and the contract of a task.

    Args:
        task: the task.
        state: the state folder.
        contracts: where its contract comes from.

    Raises:
        ContractError, SandboxError: one of them can't be used.
    """
    grading = None if task.grading is None else root_filesystem(task.grading, state)
    return TaskBase(root_filesystem(task, state), (contracts or ContractSource()).contract_for(task), grading)


def root_filesystem(task: Task, state: Path) -> RootFilesystem:
    """The root file system of a task, as its agent finds it.

    Args:
        task: with its image, where it has one.
        state: the state folder.

    Raises:
        SandboxError: it can't be used.
    """
    user = User(task.user.uid, task.user.gid, task.user.name, task.user.home)
    match task.rootfs:
        case Rootfs("tarball", Path() as source):
            rootfs = tarball_rootfs(state, source, user, task.storage_mb << 20)
        case Rootfs("oci", Path() as source):
            rootfs = oci_rootfs(state, source, user, most_bytes(task), manifest=task.rootfs.manifest)
        case _:
            rootfs = host_rootfs(state, user)
    if task.environment_root is not None:
        rootfs = lay_over(rootfs, task.environment_root, state)
    return rootfs
