"""The figures that the project claims, each beside a peer that is measured in the same run.

    python benchmarks/run.py [--rounds N] [--json FILE]

Rounds alternate between the peers, so that what else the machine does meets them alike; medians are shown.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

from workload import BUILD_AND_TEST, trivial_task

from affidavit.evaluation import Agent, Job, RunOptions, run_jobs
from affidavit.recorder import Recorder, recorder
from affidavit.sandbox import Limits, RuntimeHooks, SandboxSpec, User, host_rootfs, runtimes, state_dir
from affidavit.tasks import load_task
from affidavit.trace import capture

Timed = Callable[[], float]


class Quiet:
    """Progress of a run that nobody watches."""

    def note(self, text: str) -> None: ...

    def doing(self, done: int, total: int, what: str) -> None: ...

    def finished(self, done: int, total: int, trial: object) -> None: ...


def medians(timed: dict[str, Timed], rounds: int) -> dict[str, float]:
    """Median seconds of each, after a round that does not count."""
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


def spec(name: str, command: str) -> SandboxSpec:
    """A sandbox for a command."""
    rootfs = host_rootfs(state_dir(), User())
    return SandboxSpec(
        name=f"bench-{name}-{os.getpid()}",
        rootfs=rootfs.layers,
        host_usr=True,
        argv=("/bin/sh", "-c", command),
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/agent", "LANG": "C.UTF-8"},
        cwd="/tmp",
        writable=("/tmp",),
        limits=Limits(disk_mb=512),
    )


def sandboxed(command: str, how: Recorder | None, folder: Path) -> float:
    """Seconds that a command takes in a runc sandbox, from its start to its end; recorded or not."""
    runtime = runtimes()["runc"]
    wanted = spec("none" if how is None else how.name, command)
    with runtime.sandbox(wanted) as sandbox, closing(how.open(wanted.name)) if how else nullcontext() as recording:
        if recording is None:
            sandbox.create(RuntimeHooks())
            sandbox.start()
            ended = sandbox.wait(300)
        else:
            (folder / "events.parquet").unlink(missing_ok=True)
            captured = capture(sandbox, recording, folder / "events.parquet", timeout_s=300)
            if not captured.summary.complete:
                sys.exit(f"{wanted.name}: the record is incomplete: {captured.summary.reasons}")
            ended = captured.exit
    if ended is None or ended.code != 0:
        sys.exit(f"{wanted.name}: the workload failed: {ended}, {sandbox.output()}")
    return ended.duration_ms / 1000


def plain_runc(folder: Path, wrapper: list[str]) -> Timed:
    """``runc run`` of ``true`` on a read-only root, as everyone can type it."""
    bundle = folder / "plain"
    root = bundle / "rootfs"
    if not bundle.exists():
        for name in ("usr", "proc", "dev", "sys"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        subprocess.run(["runc", "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"] |= {"args": ["/bin/true"], "terminal": False}
        config["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
        (bundle / "config.json").write_text(json.dumps(config))
    command = [*wrapper, "runc", "--root", str(folder / "runc"), "run", f"plain-{os.getpid()}"]
    return stopwatch(lambda: subprocess.run(command, cwd=bundle, check=True, stderr=subprocess.DEVNULL))


def trial_cost(folder: Path, rounds: int) -> dict[str, float]:
    """A whole trial whose agent is ``true`` and whose test is trivial, beside runc alone."""
    job = Job(load_task(trivial_task(folder / "trivial")), Agent.shell("true"))

    def trial() -> float:
        [result] = run_jobs([job], RunOptions("runc", "ebpf", out=folder / "runs"), Quiet()).trials
        if result.judgement.verdict != "pass":
            sys.exit(f"trivial trial: {result.judgement}")
        return result.duration_ms / 1000

    strace = ["strace", "-f", "-qq", "-o", os.devnull]
    return medians(
        {
            "affidavit trial (runc+ebpf)": trial,
            "runc run true": plain_runc(folder, []),
            "strace -f runc run true": plain_runc(folder, strace),
        },
        rounds,
    )


def overhead(folder: Path, rounds: int) -> dict[str, float]:
    """The build-and-test workload in the same sandbox under each recorder."""
    return medians(
        {
            "not recorded": lambda: sandboxed(BUILD_AND_TEST, None, folder),
            "ebpf": lambda: sandboxed(BUILD_AND_TEST, recorder("ebpf"), folder),
            "ptrace (strace -f --seccomp-bpf)": lambda: sandboxed(BUILD_AND_TEST, recorder("ptrace"), folder),
        },
        rounds,
    )


def show(title: str, seconds: dict[str, float], base: str) -> None:
    """A table, each row beside `base`."""
    print(f"\n{title}")
    for name, value in seconds.items():
        print(f"  {name:36} {value * 1000:9.1f} ms   {value / seconds[base]:6.2f} × {base}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cost = trial_cost(folder, options.rounds * 2)
        show("A trial, all of it: two sandboxes, recording, judging, signing", cost, "runc run true")
        recorded = overhead(folder, options.rounds)
        show("Build and test in the same sandbox", recorded, "not recorded")
    if options.json:
        options.json.write_text(json.dumps({"trial": cost, "overhead": recorded}, indent=2) + "\n")


if __name__ == "__main__":
    main()
