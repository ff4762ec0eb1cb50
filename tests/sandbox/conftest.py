"""Sandboxes for tests, in a state folder of their own."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from affidavit.sandbox import (
    Exit,
    Limits,
    OciSandbox,
    RootFilesystem,
    RuntimeHooks,
    SandboxSpec,
    User,
    host_rootfs,
    runtimes,
)
from harness import private_state

RUNTIMES = ("runc", "gvisor")
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Ran:
    """What a command in a sandbox came to."""

    exit: Exit
    stdout: str
    stderr: str
    dropped: int


def spec(rootfs: RootFilesystem, argv: Sequence[str]) -> SandboxSpec:
    return SandboxSpec(
        name=f"test-{uuid.uuid4().hex[:12]}",
        rootfs=rootfs.layers,
        host_usr=rootfs.host_usr,
        argv=tuple(argv),
        env={"PATH": PATH, "HOME": "/home/agent", "LANG": "C.UTF-8"},
        cwd="/workspace",
        writable=("/workspace", "/tmp"),
        limits=Limits(disk_mb=64, memory_mb=512),
    )


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with private_state(tmp_path_factory.mktemp("state")) as folder:
        yield folder


@pytest.fixture(scope="session")
def rootfs(state: Path) -> RootFilesystem:
    return host_rootfs(state, User())


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(state: Path, rootfs: RootFilesystem) -> Iterator[Callable[..., OciSandbox]]:
    """Makes sandboxes, not yet created; all are closed at the end."""
    made: list[OciSandbox] = []

    def factory(runtime: str, *argv: str, **changes: object) -> OciSandbox:
        wanted = replace(spec(rootfs, argv), **changes)
        made.append(runtimes()[runtime].sandbox(wanted, state))
        return made[-1]

    yield factory
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def run(make: Callable[..., OciSandbox]) -> Callable[..., Ran]:
    """Runs a command in a sandbox to its end."""

    def factory(runtime: str, *argv: str, **changes: object) -> Ran:
        with make(runtime, *argv, **changes) as sandbox:
            sandbox.create(RuntimeHooks())
            sandbox.start()
            ended = sandbox.wait(60)
            sandbox.kill()
            output = sandbox.output()
        assert ended is not None
        return Ran(ended, output.stdout.decode(), output.stderr.decode(), output.dropped)

    return factory
