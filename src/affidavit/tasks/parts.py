"""The parts of a :class:`~affidavit.tasks.Task`: fields of ``task.toml`` grouped by what they describe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from affidavit.tasks.graders import GraderSpec
from affidavit.tasks.harbor import Artifact
from affidavit.tasks.health import HealthCheck
from affidavit.tasks.rootfs import Rootfs, TaskUser

Profile = Literal["strict", "container"]
"""What the task's sandboxes are like inside: ``[affidavit].profile``."""


@dataclass(frozen=True)
class AskedOfImage:
    """What task.toml says of things that an image, or that there is one, may settle; None where it says nothing.

    Attributes:
        user, verifier_user: looked up in the image's accounts; None also if there is no image to look them up in.
        workdir: working directory.
        profile: ``[affidavit].profile``.
    """

    user: str | None = None
    verifier_user: str | None = None
    workdir: str | None = None
    profile: Profile | None = None


@dataclass(frozen=True)
class TaskEnvironment:
    """The inside of the task's sandboxes.

    Attributes:
        rootfs: where the root file system comes from.
        workdir: working directory of the agent and the verifier.
        user: who the agent runs as.
        env: environment variables of the agent and the verifier, on top of the image's own.
        overlay: environment/root/, laid over the root file system; None where there is none.
        profile: what they are like inside. Where task.toml does not say: ``container`` on an image, else ``strict``.
        entrypoint: the image's; empty for others.
        asked: what task.toml says of what the image may settle.
        health_checks: must have succeeded, in this order, before the agent begins.
        image_user: who they run as; None: the agent's user.
        compose: the file that says which services run beside the agent; None: none do.
    """

    rootfs: Rootfs
    workdir: str
    user: TaskUser
    env: dict[str, str]
    overlay: Path | None = None
    profile: Profile = "strict"
    entrypoint: tuple[str, ...] = ()
    asked: AskedOfImage = AskedOfImage()
    health_checks: tuple[HealthCheck, ...] = ()
    image_user: TaskUser | None = None
    compose: Path | None = None


@dataclass(frozen=True)
class TaskLimits:
    """What the task's sandboxes may use.

    Attributes:
        agent_timeout_s, verifier_timeout_s, build_timeout_s: seconds.
        cpus: cores' worth of time; None for no limit.
        memory_mb, storage_mb: MiB.
    """

    agent_timeout_s: float
    verifier_timeout_s: float
    build_timeout_s: float
    cpus: float | None
    memory_mb: int
    storage_mb: int


@dataclass(frozen=True)
class TaskNetwork:
    """What the agent can reach.

    Attributes:
        mode: ``allowlist``: `allowed_hosts`, by name; ``none``: no host.
        allowed_hosts: as task.toml spells them; read only if there is a network.
    """

    mode: str
    allowed_hosts: tuple[str, ...]


@dataclass(frozen=True)
class PublishedContract:
    """A contract in a registry: ``ID@VERSION``, and a folder or ``git+URL``; `allowed`: the user has named that."""

    reference: str
    registry: str
    allowed: bool = False


@dataclass(frozen=True)
class DeclaredContract:
    """Where the task's contract is; at most one of the two is set.

    Attributes:
        path: contract.yaml, contract.json or behavioral_contract.json.
        published: the published contract that task.toml names.
    """

    path: Path | None = None
    published: PublishedContract | None = None


@dataclass(frozen=True)
class TaskTests:
    """The hidden tests and how they run.

    Attributes:
        folder: tests/, with test.sh in it.
        user: who tests/test.sh runs as.
        env: environment variables beside those of the task's environment.
        writable: whether the verifier may write in /tests, to a copy that is thrown away.
        in_image: the verifier's image has a ``/tests`` of its own, under the task's.
        artifacts: the agent's files that a verifier with a root file system of its own gets.
        service_files: files of the task's services that graders look at.
    """

    folder: Path
    user: TaskUser
    env: dict[str, str]
    writable: bool = False
    in_image: bool = False
    artifacts: tuple[Artifact, ...] = ()
    service_files: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class TaskSolution:
    """The task's own solution.

    Attributes:
        folder: solution/; need not exist.
        env: environment variables beside those of the task's environment.
    """

    folder: Path
    env: dict[str, str]


@dataclass(frozen=True)
class Scoring:
    """How a trial is scored.

    Attributes:
        graders: what makes the score, at least one.
        passing_score: the least score that counts as solved.
        control: whether the grading is repeated with tests that must fail.
    """

    graders: tuple[GraderSpec, ...]
    passing_score: float = 1.0
    control: bool = True
