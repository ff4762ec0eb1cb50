"""How long after a forbidden call the whole sandbox is dead, where the contract says `halt`.

    python benchmarks/latency.py [--rounds N]

Measured from the event's own time in the kernel to the end of the sandbox's first process, which the kernel tells only
after every other process of it is gone (pid_namespaces(7)).
"""

import argparse
import os
import select
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measuring import spec

from affidavit.contracts import contract_of
from affidavit.evaluation import capture
from affidavit.policy import Judge
from affidavit.recorder import make_recorder
from affidavit.sandbox import runtimes
from affidavit.trace import read_trace

FORBIDDEN = "/etc/passwd"
# Two processes that open and run what they may, while a third does what it may not.
AGENT = (
    "for i in 1 2; do while :; do /bin/true; cat /tmp/* > /dev/null; done & done; sleep 0.2; cat /etc/passwd; sleep 60"
)


def latency_ms(folder: Path) -> float:
    """Of one sandbox."""
    rules = {
        "schema": "affidavit.contract/v1",
        "id": "halting",
        "version": "1.0.0",
        "actions": ["halt"],
        "files": {"read": ["/**"], "write": ["/tmp/**"], "deny": [FORBIDDEN]},
        "extends": ["affidavit:base"],
    }
    judge = Judge(contract_of(rules, "halting"))
    wanted = spec(AGENT)
    dead: list[int] = []
    waiting: list[threading.Thread] = []

    def wait_for_death(pidfd: int) -> None:
        select.select([pidfd], [], [])
        dead.append(time.monotonic_ns())
        os.close(pidfd)

    def watch(batch: pa.RecordBatch) -> bool:
        if not waiting:
            # The first row is the first process'.
            pidfd = os.pidfd_open(batch["pid"][0].as_py())
            waiting.append(threading.Thread(target=wait_for_death, args=[pidfd], daemon=True))
            waiting[0].start()
        return bool(judge.feed(batch))

    with runtimes()["runc"].sandbox(wanted) as sandbox, closing(make_recorder("ebpf").open(wanted.name)) as recording:
        captured = capture(sandbox, recording, folder / "events.parquet", timeout_s=30, watch=watch)
        waiting[0].join(10)
    if not captured.halted:
        sys.exit(f"the sandbox was not halted: {captured}")
    events = read_trace(folder / "events.parquet")
    forbidden = events.filter(pc.equal(events["path"].cast("string"), FORBIDDEN))
    return float(dead[0] - pc.min(forbidden["ts_ns"]).as_py()) / 1e6


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Median and 99th percentile, milliseconds."""
    taken = [latency_ms(folder) for _ in range(rounds)]
    return {"median": float(np.median(taken)), "p99": float(np.percentile(taken, 99)), "worst": max(taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), options.rounds)
        said = ", ".join(f"{what} {value:.0f} ms" for what, value in figures.items())
        print(f"from event to halt, {options.rounds} times: {said} (load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
