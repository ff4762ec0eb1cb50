"""The figures that the project claims, each beside a peer that is measured in the same run.

    python benchmarks/run.py [--rounds N] [--json FILE]

Rounds alternate between the peers, so that what else the machine does meets them alike; medians are shown. It takes
some minutes; each part can be run alone: execs.py, recording.py, throughput.py, latency.py, judge.py.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import execs
import latency
import recording
import throughput
from measuring import Timed, medians, recorded, show, spec, stopwatch, unrecorded
from workload import BUILD_AND_TEST, Sizes, prepare, trivial_task

from affidavit.evaluation import Agent, Job, RunOptions, run_jobs
from affidavit.recorder import make_recorder
from affidavit.tasks import load_task

JUDGED = 10_000_000
EXECS = 200


class Quiet:
    """Progress of a run that nobody watches."""

    def note(self, text: str) -> None: ...

    def doing(self, done: int, total: int, what: str) -> None: ...

    def finished(self, done: int, total: int, trial: object) -> None: ...


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


def build_and_test(how: str, folder: Path) -> float:
    """Seconds of it under a recorder."""
    return recorded(spec(BUILD_AND_TEST), make_recorder(how), folder / "events.parquet")[0]


def overhead(folder: Path, rounds: int) -> dict[str, float]:
    """The build-and-test workload in the same sandbox under each recorder."""
    wanted = {"ebpf": "ebpf", "ptrace (strace -f --seccomp-bpf)": "ptrace"}
    timed: dict[str, Timed] = {"not recorded": lambda: unrecorded(spec(BUILD_AND_TEST))}
    for name, how in wanted.items():
        timed[name] = partial(build_and_test, how, folder)
    return medians(timed, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        cost = trial_cost(folder, options.rounds * 2)
        show("A trial, all of it: two sandboxes, recording, judging, signing", cost, "runc run true")
        commands, _ = execs.measure(folder / "session", EXECS, "strict")
        show("A command in a session", commands, "runc exec")
        built = overhead(folder, options.rounds)
        show("Build and test in the same sandbox", built, "not recorded")
        bench = prepare(folder / "bench", Sizes())
        costs = recording.costs(bench, folder, options.rounds, recording.OPENS)
        costs["gVisor"] = recording.gvisor(bench, folder, options.rounds)
        halting = latency.measure(folder, options.rounds * 10)
        print(f"\nEvent to halt: median {halting['median']:.0f} ms, 99th percentile {halting['p99']:.0f} ms")
        rate = throughput.sustained(bench, folder, seconds=2)
        print(f"Kernel to judged Parquet on one core: {rate} events/s without loss\n", flush=True)
        # A process of its own, whose memory is shown.
        subprocess.run([sys.executable, str(Path(__file__).with_name("judge.py")), str(JUDGED)], check=True)
    figures = {
        "trial": cost,
        "exec": commands,
        "overhead": built,
        "recording": costs,
        "halt_ms": halting,
        "events_per_s": rate,
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
