"""What the report of a large run costs: seconds, memory, the size of its index, and how soon a browser has opened it.

    PYTHONPATH=tests python benchmarks/reports.py [--trials N] [--events N] [--json FILE]

The run is written by hand, as for tests: no sandbox is needed for that.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from run_folders import attempt, event, trial, turn, violation, write_run

TRIALS_OF_A_TASK = 10
TURNS = 20
CATEGORIES, TAGS = 8, 30
_LOOK_S = 0.5


def record(number: int, events: int) -> list[dict[str, Any]]:
    """A shell that starts programs, each of which reads and writes some files: of 500 events about 30 processes, as in
    the trials of the demo's agents."""
    rows = [event(0, "exec", path="/usr/bin/sh", argv=["sh", "-c", "make all check"])]
    while len(rows) < events - 1:
        pid = 100 + len(rows)
        its = {"pid": pid, "tid": pid, "ppid": 10, "exe": f"/usr/bin/tool-{pid % 40}", "comm": f"tool-{pid % 40}"}
        acts = [
            ("exec", {"path": its["exe"], "argv": [str(its["comm"]), "--input", f"/workspace/src/{pid % 97}.c"]}),
            *(("open_read", {"path": f"/workspace/src/{(pid + place) % 97}.c"}) for place in range(10)),
            ("create", {"path": f"/workspace/out/{(pid * 7 + number) % 211}.o"}),
            ("exit", {"ret": int(pid % 11 == 0)}),
        ]
        rows.append(event(len(rows), "fork", ret=pid))
        rows += [event(len(rows) + place, op, **its, **columns) for place, (op, columns) in enumerate(acts)]
    return [*rows[: events - 1], event(events - 1, "exit")]


def trials(count: int, events: int) -> Iterator[dict[str, Any]]:
    """Trials of some tasks, of every verdict, with all that a page shows."""
    for number in range(count):
        task, of = divmod(number, TRIALS_OF_A_TASK)
        verdict = ("pass", "pass", "fail", "violation", "pass", "fail", "inconclusive")[(task + of * of) % 7]
        broke = [violation(message=f"cp (pid 11) created /workspace/{task % 9}/answer")]
        text = "".join(f"line {line} of {task}\n" for line in range(60))
        yield trial(
            f"task-{task:04}", of, verdict,
            violations=broke if verdict == "violation" else [], attempts=[attempt()] if of % 3 == 0 else [],
            labels={"category": f"category-{task % CATEGORIES}", "tags": [f"tag-{task % TAGS}", f"tag-{task % 7}"]},
            record=record(number, events), turns=[turn(1 + place * 20, f"Step {place}.") for place in range(TURNS)],
            changes=[{"kind": "added", "path": f"/workspace/out/{n}.o", "type": "file", "size": n} for n in range(20)],
            texts={"files": [{"path": "/workspace/a.c", "before": text, "after": text[20:]}], "left_out": 0},
            grades=[{"name": "tests", "kind": "test_run", "score": 1.0, "weight": 1.0, "message": "12 of 12 tests"}],
        )  # fmt: skip


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from family(child)


def resident(pid: int) -> int:
    """Bytes of memory of a process, each page shared out among those that share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib << 10


def used(pid: int) -> float:
    """Seconds that a process has had of processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def build(run: Path, pages: Path) -> tuple[float, float, int]:
    """Seconds, seconds of processors, and most bytes of memory that ``affidavit report --html`` takes."""
    command = [sys.executable, "-c", "from affidavit.cli import main; main()", "report", str(run), "--html", str(pages)]
    began, most = time.perf_counter(), 0
    processors: dict[int, float] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            memory = 0
            for pid in family(process.pid):
                # It may have ended since.
                with suppress(OSError, ValueError):
                    processors[pid] = used(pid)
                    memory += resident(pid)
            most = max(most, memory)
            time.sleep(_LOOK_S)
        if process.returncode:
            raise SystemExit(f"affidavit report: exit status {process.returncode}")
    return time.perf_counter() - began, sum(processors.values()), most


def opening(page: Path, folder: Path) -> float | None:
    """Seconds until Chromium has loaded a page; None where it is not installed."""

    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.get("data:text/html,<p>warm</p>")
        browser.get(page.as_uri())
        loaded = "const [it] = performance.getEntriesByType('navigation'); return it.loadEventEnd"
        return float(browser.execute_script(loaded)) / 1000
    finally:
        browser.quit()


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = write_run(folder / "run", list(trials(arguments.trials, arguments.events)))
        seconds, processors, memory = build(run, folder / "pages")
        index = folder / "pages/index.html"
        found = {
            "trials": arguments.trials,
            "events": arguments.events,
            "load": os.getloadavg()[0],
            "seconds": seconds,
            "processor_seconds": processors,
            "memory_mb": memory / 1e6,
            "index_mb": index.stat().st_size / 1e6,
            "trial_page_kb": (folder / "pages/trial-00001.html").stat().st_size / 1e3,
            "opens_seconds": opening(index, folder / "profile"),
        }
    for name, value in found.items():
        print(f"{name:20} {value if isinstance(value, int) or value is None else format(value, '.2f')}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
