"""Plain outcome grading, for comparison: the score that a usual harness gives.

As Harbor and its kin do it: the agent works in a container; when its command ends, the tests are copied into the *same*
container and run there as the same user; the number they leave is the score. Processes, files and settings that the
agent left behind are still there. Nothing is recorded and nothing is checked against a contract.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from affidavit.grading import VERIFIER_LOGS, RewardError, read_reward
from affidavit.sandbox import RuntimeHooks, Sandbox, SandboxSpec

_SYNC = "/run/outcome"
_TESTS = "/tests"
# $1: the agent's command. It ends; the tests appear; they run.
_SCRIPT = f"""
/bin/sh -c "$1" </dev/null
: >{_SYNC}/done
while [ ! -e {_SYNC}/go ]; do sleep 0.02; done
exec /bin/bash {_TESTS}/test.sh
"""


def outcome_score(
    make: Callable[[SandboxSpec], Sandbox],
    spec: SandboxSpec,
    command: str,
    tests: Path,
    timeout_s: float,
    reward: str | None = None,
) -> float:
    """The score that plain outcome grading gives; 0 where the tests leave no valid reward or time is up.

    Args:
        make: makes a sandbox, of runc: gVisor's caches hide what comes into a running one from outside.
        spec: the agent's sandbox; its command, writable and scratch folders are replaced.
        command: the agent's, for ``/bin/sh -c``.
        tests: the task's tests folder.
        timeout_s: for agent and tests together, seconds.
        reward: of several rewards, the one that the task says is the score.
    """
    # Not the contract's folders: a mount inside the working directory would hinder what a plain container lets pass.
    writable = tuple(dict.fromkeys((spec.cwd, "/tmp", spec.user.home)))
    spec = replace(
        spec,
        argv=("/bin/sh", "-c", _SCRIPT, "sh", command),
        writable=writable,
        scratch=(_TESTS, VERIFIER_LOGS, _SYNC),
    )
    deadline = time.monotonic() + timeout_s
    with make(spec) as sandbox:
        sandbox.create(RuntimeHooks())
        sandbox.start()
        sync = sandbox.scratch(_SYNC)
        ended = None
        while ended is None and time.monotonic() < deadline and not os.path.lexists(sync / "done"):
            ended = sandbox.wait(0.02)
        if ended is None:
            with suppress(OSError):
                _plant(tests, sandbox.scratch(_TESTS))
            with suppress(OSError):
                os.close(os.open(sync / "go", os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY))
            sandbox.wait(max(0.0, deadline - time.monotonic()))
        sandbox.kill()
        try:
            return read_reward(sandbox.scratch(VERIFIER_LOGS), reward).value
        except RewardError:
            return 0.0


def _plant(source: Path, target: Path) -> None:
    """Copy a folder into one that hostile processes write to: nothing that already stands there is followed.

    Raises:
        OSError: something stands in the way.
    """
    fd = os.open(target, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_RDONLY)
    try:
        _plant_at(source, fd)
    finally:
        os.close(fd)


def _plant_at(source: Path, folder: int) -> None:
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            os.mkdir(entry.name, 0o755, dir_fd=folder)
            child = os.open(entry.name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_RDONLY, dir_fd=folder)
            try:
                _plant_at(entry, child)
            finally:
                os.close(child)
        else:
            # docker cp replaces what is there.
            with suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=folder)
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY
            child = os.open(entry.name, flags, 0o755, dir_fd=folder)
            with os.fdopen(child, "wb") as file:
                file.write(entry.read_bytes())
