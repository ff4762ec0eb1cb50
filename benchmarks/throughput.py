"""How many events a second become a judged Parquet file, the whole way, on one core, without loss.

    python benchmarks/throughput.py [--seconds N]

A program on another core opens files at a rate that grows until the record is not whole, or is not written half a
second after the program's end. Loader, judge and writer share one core.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from judge import contract
from measuring import spec
from workload import PACED, programs

from affidavit.evaluation import capture
from affidavit.policy import Judge
from affidavit.recorder import make_recorder
from affidavit.sandbox import runtimes
from affidavit.trace import read_trace

_START = 40_000
_STEP = 1.25
_LATE_NS = 500_000_000


def keeps_up(rate: int, seconds: int, bench: Path, events: Path) -> bool:
    """Whether a record at `rate` opens a second is whole, judged and written in time."""
    judge = Judge(contract())

    def watch(batch: pa.RecordBatch) -> bool:
        judge.feed(batch)
        return False

    wanted = spec(PACED.format(rate=rate, seconds=seconds), bench)
    with runtimes()["runc"].sandbox(wanted) as sandbox, closing(make_recorder("ebpf").open(wanted.name)) as recording:
        captured = capture(sandbox, recording, events, timeout_s=60, watch=watch)
        written_ns = time.monotonic_ns()
    last_ns = read_trace(events)["ts_ns"][-1].as_py()
    if captured.exit.code not in (0, 1):
        sys.exit(f"{wanted.name}: {captured}")
    made = captured.exit.code == 0
    if not made:
        print(f"  the program itself does not make {rate} opens a second")
    return made and captured.summary.complete and written_ns - last_ns < _LATE_NS


def sustained(bench: Path, folder: Path, seconds: int) -> int:
    """Events a second."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    pa.set_cpu_count(1)
    try:
        rate, kept = _START, 0
        while keeps_up(rate, seconds, bench, folder / "events.parquet"):
            kept, rate = rate, round(rate * _STEP)
    finally:
        os.sched_setaffinity(0, cores)
        pa.set_cpu_count(len(cores))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        programs(folder)
        rate = sustained(folder, folder, options.seconds)
        print(f"from kernel to judged Parquet on one core: {rate} events/s (load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
