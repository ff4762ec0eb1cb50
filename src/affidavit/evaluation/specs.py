"""The sandboxes of a task: its agent's and its verifier's."""

import os
import posixpath
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from affidavit.agents import AGENT_FOLDER, MCP_FILE, MCP_VARIABLE, mcp_config
from affidavit.contracts import SandboxSettings
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.health import HELD
from affidavit.evaluation.verifier_web import WEB_FOLDER, WebAccess
from affidavit.grading import HARNESS, TESTS, VERIFIER_LOGS
from affidavit.sandbox import EarlierChanges, Limits, Mount, RootFilesystem, SandboxSpec, User
from affidavit.tasks import Task

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of those that a container gives to root, what a verifier may need to run the solution as somebody else and to hand it
# files. None of them reaches beyond the sandbox's own files and processes; no set-id bit is honoured there.
_ROOT_MAY = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID")
_SOLUTION_SPARE_MS = 30_000
# execve(2) takes 128 KiB a string.
_MOST_IN_ENVIRONMENT = 100_000


def agent_spec(
    task: Task,
    rootfs: RootFilesystem,
    settings: SandboxSettings,
    agent: Agent,
    place: Path,
    name: str,
    network: str = "",
    network_owner: str = "",
    model: Mapping[str, str] | None = None,
    top: Sequence[Path] = (),
    earlier: EarlierChanges | None = None,
    *,
    held: bool = False,
) -> SandboxSpec:
    """The sandbox that the agent works in.

    Args:
        task, rootfs, settings, agent: what decides.
        place: a private folder for what is mounted into it.
        name: the sandbox's.
        network, network_owner: see SandboxSpec.
        model: variables that tell the agent where its model is.
        top: layers over all others, topmost first.
        earlier: see SandboxSpec.
        held: it begins at a word of a `HeldStart`.

    Raises:
        OSError: the solution can't be read.
    """
    instruction = place / "instruction.md"
    instruction.write_text(task.instruction, "utf-8")
    instruction.chmod(0o644)
    mounts = [Mount(instruction, "/instruction.md")]
    env = {**_env(task, rootfs), **(model or {}), **agent.environment}
    if len(task.instruction.encode()) <= _MOST_IN_ENVIRONMENT:
        env["AFFIDAVIT_INSTRUCTION"] = task.instruction
    if task.mcp_servers:
        # Where every contract lets an agent read.
        told, target = place / MCP_FILE, f"{AGENT_FOLDER}/{MCP_FILE}"
        told.write_text(mcp_config(agent.mcp or "claude", task.mcp_servers), "utf-8")
        told.chmod(0o644)
        mounts.append(Mount(told, target))
        env[MCP_VARIABLE] = target
    if agent.sees_solution:
        solution = place / "solution"
        copy_readable(task.solution.folder, solution)
        mounts.append(Mount(solution, "/solution"))
        env |= task.solution.env
    installed = (agent.installed.layer,) if agent.installed and agent.installed.layer else ()
    return SandboxSpec(
        name=name,
        rootfs=(*top, *installed, *rootfs.layers),
        host_usr=rootfs.host_usr,
        argv=_beside_entrypoint(task, (*(HELD if held else ()), "/bin/sh", "-c", agent.command)),
        env=env,
        cwd=task.environment.workdir,
        user=rootfs.user,
        writable=settings.writable,
        mounts=mounts,
        limits=_limits(task, settings, task.limits.agent_timeout_s, settings.wall_ms),
        deny_syscalls=settings.deny_syscalls,
        network=network,
        network_owner=network_owner,
        profile=task.environment.profile,
        earlier=earlier,
    )


@dataclass(frozen=True)
class Verifier:
    """What runs in a grading sandbox.

    Attributes:
        tests: a copy of the task's tests; where the verifier may write in it, the only thing in its folder.
        argv: the command.
        harness: the folder that appears at HARNESS; None where there is none.
        env: beside the task's.
        solution: what runs in the solution's own sandbox; None where the tests run beside the solution.
        web: its way to what was kept of the web; None where it has none.
        imports: what of the machine's Python it begins with, `SandboxSpec.imports`.
    """

    tests: Path
    argv: tuple[str, ...]
    harness: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    solution: "SolutionHost | None" = None
    web: WebAccess | None = None
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class SolutionHost:
    """What runs in a sandbox that holds the solution and none of its tests.

    Attributes:
        argv: the command.
        harness: the folder that appears at HARNESS.
        env: beside the task's.
        imports: what of the machine's Python it begins with, `SandboxSpec.imports`.
    """

    argv: tuple[str, ...]
    harness: Path
    env: Mapping[str, str]
    imports: tuple[str, ...] = ()


def solution_spec(
    task: Task, rootfs: RootFilesystem, settings: SandboxSettings, host: SolutionHost, name: str
) -> SandboxSpec:
    """The sandbox that holds the solution while its tests run in another one.

    Args:
        task, settings: what decides.
        rootfs: with the layer of the agent's changes on top.
        host: what runs in it.
        name: the sandbox's.
    """
    rootfs = _as_verifier(task, rootfs)
    spec = _grading_spec(task, rootfs, settings, name, host.argv, host.env)
    # The tests' sandbox is what ends it.
    limits = replace(spec.limits, wall_ms=spec.limits.wall_ms + _SOLUTION_SPARE_MS)
    writable = outermost(_writable(task, rootfs, settings))
    return replace(spec, writable=writable, mounts=[Mount(host.harness, HARNESS)], limits=limits, imports=host.imports)


def verifier_spec(
    task: Task, rootfs: RootFilesystem, settings: SandboxSettings, verifier: Verifier, name: str
) -> SandboxSpec:
    """The sandbox that grades: the hidden tests at /tests, read-only, over the changes that the agent was allowed, or
    with an empty working directory where these are in another sandbox.

    Args:
        task, settings: what decides.
        rootfs: with the layer of those changes on top; without where the solution has a sandbox of its own.
        verifier: what runs in it.
        name: the sandbox's.
    """
    as_layer = task.tests.writable or task.tests.in_image
    mounts = [] if as_layer else [Mount(verifier.tests, TESTS)]
    if verifier.harness is not None:
        mounts.append(Mount(verifier.harness, HARNESS))
    rootfs = _as_verifier(task, rootfs)
    writable = _writable(task, rootfs, settings)
    if as_layer:
        # So that what is written counts for the sandbox's disk and the copy itself stays, and so that what is there in
        # the image stays to be seen.
        rootfs = replace(rootfs, layers=(verifier.tests.parent, *rootfs.layers))
    if task.tests.writable:
        writable.append(TESTS)
        for path in (verifier.tests, *verifier.tests.rglob("*")):
            os.chown(path, rootfs.user.uid, rootfs.user.gid, follow_symlinks=False)
    writable, scratch = [*outermost(writable)], [VERIFIER_LOGS]
    if verifier.solution is not None:
        scratch.append(task.environment.workdir)
        writable = [folder for folder in writable if folder != task.environment.workdir]
    spec = _grading_spec(task, rootfs, settings, name, verifier.argv, verifier.env)
    if verifier.web is not None:
        mounts.append(Mount(verifier.web.folder, WEB_FOLDER))
        spec = replace(spec, network=verifier.web.network, env={**spec.env, **verifier.web.env})
    return replace(spec, writable=writable, mounts=mounts, scratch=scratch, imports=verifier.imports)


def _as_verifier(task: Task, rootfs: RootFilesystem) -> RootFilesystem:
    if task.tests.user == task.environment.user:
        return rootfs
    return replace(rootfs, user=User(*astuple(task.tests.user)))


def _writable(task: Task, rootfs: RootFilesystem, settings: SandboxSettings) -> list[str]:
    return [task.environment.workdir, "/tmp", rootfs.user.home, *settings.writable]


def _grading_spec(
    task: Task,
    rootfs: RootFilesystem,
    settings: SandboxSettings,
    name: str,
    argv: tuple[str, ...],
    env: Mapping[str, str],
) -> SandboxSpec:
    """What every sandbox of a grading has; `env`: beside the task's."""
    return SandboxSpec(
        name=name,
        rootfs=rootfs.layers,
        host_usr=rootfs.host_usr,
        argv=_beside_entrypoint(task, argv),
        env={**_env(task, rootfs), **task.tests.env, **env},
        cwd=task.environment.workdir,
        user=rootfs.user,
        capabilities=_ROOT_MAY if rootfs.user.uid == 0 else (),
        limits=_limits(task, settings, task.limits.verifier_timeout_s, None),
        profile=task.environment.profile,
    )


def _beside_entrypoint(task: Task, argv: Sequence[str]) -> tuple[str, ...]:
    """A command that runs beside the image's entrypoint, as those of ``docker exec`` do beside a container's first
    process; what that writes to its standard streams is nobody's."""
    if not task.environment.entrypoint:
        return tuple(argv)
    entrypoint = shlex.join([*task.environment.entrypoint, "/bin/sh", "-c", "while :; do sleep 3600; done"])
    return ("/bin/sh", "-c", f'{entrypoint} </dev/null >/dev/null 2>&1 & exec "$@"', "sh", *argv)


def copy_readable(source: Path, target: Path) -> None:
    """Copy a folder of the task's so that the sandbox's user can read all of it and run its scripts.

    Caches that Python and pytest left there stay behind: they tell what a test said before the control turned it, and
    might be run in its place.

    Raises:
        OSError: it can't be read.
    """
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def _limits(task: Task, settings: SandboxSettings, timeout_s: float, wall_ms: int | None) -> Limits:
    wall = round(timeout_s * 1000)
    return Limits(
        wall_ms=wall if wall_ms is None else min(wall, wall_ms),
        cpu_ms=settings.cpu_ms,
        memory_mb=min(task.limits.memory_mb, settings.memory_mb or task.limits.memory_mb),
        pids=settings.pids or Limits.pids,
        cpus=task.limits.cpus,
        disk_mb=task.limits.storage_mb,
    )


def _env(task: Task, rootfs: RootFilesystem) -> dict[str, str]:
    user = rootfs.user
    own = {"PATH": _PATH, "HOME": user.home, "USER": user.name, "LOGNAME": user.name, "LANG": "C.UTF-8"}
    return {**own, **rootfs.env, **task.environment.env}


def search_path(task: Task, rootfs: RootFilesystem) -> tuple[str, ...]:
    """The folders in which a verifier looks for programs."""
    folders = {**_env(task, rootfs), **task.tests.env}["PATH"].split(":")
    return tuple(posixpath.normpath(folder) for folder in folders if folder.startswith("/"))


def home_folders(task: Task, rootfs: RootFilesystem) -> frozenset[str]:
    """The home folders of the agent and of a verifier, by their accounts and by HOME."""
    return frozenset(
        posixpath.normpath(home)
        for home in (
            *(user.home for user in (rootfs.user, task.environment.user, task.tests.user)),
            {**_env(task, rootfs), **task.tests.env}["HOME"],
        )
        if home.startswith("/")
    )


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """Those folders that lie in no other of them, sorted."""
    kept: list[str] = []
    for folder in sorted(set(folders)):
        if not any(folder.startswith(outer.rstrip("/") + "/") for outer in kept):
            kept.append(folder)
    return tuple(kept)
