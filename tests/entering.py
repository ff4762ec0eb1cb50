"""A sandbox whose command enters it once it runs, in place of beginning with it."""

from dataclasses import replace
from pathlib import Path

from affidavit.evaluation import Capture, RunningCapture
from affidavit.recorder import Recording
from affidavit.sandbox import ExecSpec, OciSandbox, Output, SandboxSpec, User

_IDLE = ("/bin/sh", "-c", "while :; do sleep 100000 & wait $!; done")


def idle(spec: SandboxSpec) -> SandboxSpec:
    """The same sandbox, whose first process does nothing."""
    return replace(spec, argv=_IDLE, first_user=User(0, 0, "root", "/root"))


def capture_entered(
    sandbox: OciSandbox, recording: Recording, events: Path, wanted: SandboxSpec, timeout_s: float
) -> Capture:
    """Like `capture`, of a sandbox made by `idle`, in which the command of `wanted` runs second, after another one."""
    running = RunningCapture(sandbox, recording, events)
    running.start()
    first = ExecSpec(("true",), wanted.env, wanted.cwd, wanted.user)
    sandbox.exec(first, timeout_s=timeout_s, entrance=running.entrance(first))
    second = ExecSpec(wanted.argv, wanted.env, wanted.cwd, wanted.user)
    end = sandbox.exec(second, timeout_s=timeout_s, entrance=running.entrance(second))
    captured = running.end(killed_here=True)
    return replace(captured, output=Output(end.stdout, end.stderr, end.dropped))
