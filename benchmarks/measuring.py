"""What the benchmarks share: alternating rounds, medians, and a sandbox to run a command in."""

import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

from affidavit.evaluation import Capture, RunningCapture, capture
from affidavit.recorder import LATER_MS, Recorder
from affidavit.sandbox import (
    ExecEnd,
    ExecSpec,
    Exit,
    Limits,
    Mount,
    OciSandbox,
    RuntimeHooks,
    SandboxSpec,
    User,
    host_rootfs,
    runtimes,
    state_dir,
)

Timed = Callable[[], float]

UNRECORDED = RuntimeHooks()
_WALL_S = 600.0
_IDLE = ("/bin/sh", "-c", "while :; do sleep 100000 & wait $!; done")


def medians(timed: dict[str, Timed], rounds: int) -> dict[str, float]:
    """Median seconds of each, after a round that does not count. Rounds alternate, so that what else the machine does
    meets all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, measure in timed.items():
            if sys.stderr.isatty():
                print(f"\r{number}/{rounds} {name:40}", end="", file=sys.stderr, flush=True)
            seconds = measure()
            if number:
                taken[name].append(seconds)
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return {name: statistics.median(values) for name, values in taken.items()}


def stopwatch(work: Callable[[], object]) -> Timed:
    """`work`, timed from its start to its end."""

    def measure() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return measure


def show(title: str, seconds: dict[str, float], base: str) -> None:
    """A table, each row beside `base`; with the load of the machine, by which it is to be read."""
    print(f"\n{title} (load {os.getloadavg()[0]:.1f})", flush=True)
    for name, value in seconds.items():
        print(f"  {name:36} {value * 1000:9.1f} ms   {value / seconds[base]:6.2f} × {base}", flush=True)


def spec(command: str, folder: Path | None = None) -> SandboxSpec:
    """A sandbox for a shell command, with `folder` at /bench."""
    return SandboxSpec(
        name=f"bench-{uuid.uuid4().hex[:12]}",
        rootfs=host_rootfs(state_dir(), User()).layers,
        host_usr=True,
        argv=("/bin/sh", "-c", command),
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/agent", "LANG": "C.UTF-8"},
        cwd="/tmp",
        writable=("/tmp",),
        mounts=(Mount(folder, "/bench"),) if folder else (),
        limits=Limits(disk_mb=1024, pids=2048),
    )


def seconds_of(sandbox: OciSandbox, ended: Exit | None) -> float:
    """From start to end of a sandbox's command, which must have succeeded."""
    if ended is None or ended.code != 0:
        sys.exit(f"{sandbox.name}: the workload failed: {ended}, {sandbox.output()}")
    return ended.duration_ms / 1000


def unrecorded(
    wanted: SandboxSpec,
    runtime: str = "runc",
    watched: Callable[[int], AbstractContextManager[object]] = nullcontext,
    hooks: RuntimeHooks = UNRECORDED,
) -> float:
    """Seconds that a command takes in a sandbox that Affidavit does not record.

    Args:
        wanted: the sandbox.
        runtime: ``runc`` or ``gvisor``.
        watched: something else that looks at it meanwhile, given the pid of its first process before that begins.
        hooks: what the runtime is started with.
    """
    with runtimes()[runtime].sandbox(wanted) as sandbox:
        with watched(sandbox.create(hooks)):
            sandbox.start()
            ended = sandbox.wait(_WALL_S)
        return seconds_of(sandbox, ended)


def recorded(wanted: SandboxSpec, how: Recorder, events: Path, runtime: str = "runc") -> tuple[float, Capture]:
    """Likewise of one that it records, to the Parquet file `events`; and what came of it. The record must be whole."""
    with runtimes()[runtime].sandbox(wanted) as sandbox, closing(how.open(wanted.name, LATER_MS)) as recording:
        events.unlink(missing_ok=True)
        captured = capture(sandbox, recording, events, timeout_s=_WALL_S)
        if not captured.summary.complete:
            sys.exit(f"{wanted.name}: the record is incomplete: {captured.summary.reasons} {captured.summary.facts}")
        return seconds_of(sandbox, captured.exit), captured


def entered(wanted: SandboxSpec, how: Recorder | None, events: Path) -> float:
    """Seconds that a command takes that enters a sandbox of runc once it runs, from the runtime's beginning on.

    Where there is a recorder, it is recorded to the Parquet file `events`; the record must be whole.
    """
    command = ExecSpec(wanted.argv, wanted.env, wanted.cwd, wanted.user)
    with runtimes()["runc"].sandbox(replace(wanted, argv=_IDLE)) as sandbox:
        if how is None:
            sandbox.create(UNRECORDED)
            sandbox.start()
            return _seconds(sandbox, sandbox.exec(command, timeout_s=_WALL_S))
        with closing(how.open(wanted.name, LATER_MS)) as recording:
            events.unlink(missing_ok=True)
            running = RunningCapture(sandbox, recording, events)
            running.start()
            ended = sandbox.exec(command, timeout_s=_WALL_S, entrance=running.entrance(command))
            summary = running.end(killed_here=True).summary
            if not summary.complete:
                sys.exit(f"{wanted.name}: the record is incomplete: {summary.reasons} {summary.facts}")
            return _seconds(sandbox, ended)


def _seconds(sandbox: OciSandbox, ended: ExecEnd) -> float:
    if ended.code != 0:
        sys.exit(f"{sandbox.name}: the workload failed: {ended}")
    return ended.duration_ms / 1000
