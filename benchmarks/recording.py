"""What recording costs: the same commands in the same sandbox, recorded and not, beside other ways of looking on.

python benchmarks/recording.py [--rounds N] [--full | --entered]
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from measuring import Timed, entered, medians, recorded, show, spec, unrecorded
from tracepoints import ATTACHED, empty_programs
from workload import BUILD, FIND, GIT, OPEN_CLOSE, PYTEST, SHORT_PROCESSES, WORKERS, Sizes, prepare

from affidavit.recorder import make_recorder
from affidavit.sandbox import RuntimeHooks

# What the peers are asked for: the calls that make the events of an ordinary program, without their results.
_CALLS = (
    *("open", "openat", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink"),
    *("symlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "truncate", "ftruncate", "execve"),
    *("connect", "bind", "sendto"),
)
_ATTACH_S = 15.0

WORK = {"C build": BUILD, "pytest (numpy's tests)": PYTEST, "git": GIT, "find /usr": FIND}
WORST = "open/close only"
OPENS = 300_000


@contextmanager
def watching(command: list[str], output: Path, ready: str | None) -> Iterator[None]:
    """A program that looks on; in the block once it has said `ready` in its output, or after a second."""
    with output.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as peer:
        try:
            deadline = time.monotonic() + (_ATTACH_S if ready else 1)
            while time.monotonic() < deadline and not (ready and ready in output.read_text(errors="replace")):
                if peer.poll() is not None:
                    raise SystemExit(f"{command[0]}: {output.read_text(errors='replace')[-500:]}")
                time.sleep(0.02)
            yield
        finally:
            peer.terminate()


def _strace(folder: Path, pid: int) -> AbstractContextManager[None]:
    return watching(["strace", "-f", "-o", str(folder / "strace.out"), "-p", str(pid)], folder / "said", "attached")


def _bpftrace(folder: Path, pid: int) -> AbstractContextManager[None]:
    """Of the user that sandboxes run as."""
    probes = [
        f'tracepoint:syscalls:sys_enter_{call} /uid == 1000/ {{ printf("%d %s\\n", pid, probe); }}' for call in _CALLS
    ]
    named = 'tracepoint:syscalls:sys_enter_openat /uid == 1000/ { printf("%d %s\\n", pid, str(args->filename)); }'
    program = " ".join(['BEGIN { printf("begins\\n"); }', named, *(p for p in probes if "_openat " not in p)])
    return watching(
        ["bpftrace", "-B", "full", "-o", str(folder / "bpftrace.out"), "-e", program], folder / "bpftrace.out", "begins"
    )


def _empty(folder: Path, pid: int) -> AbstractContextManager[None]:
    """Of the whole machine, as all that is on a tracepoint."""
    return watching(empty_programs(folder), folder / "said", ATTACHED)


def _perf_trace(folder: Path, pid: int) -> AbstractContextManager[None]:
    """Of the whole machine: with ``-p`` it does not follow a process's children."""
    output = ["-o", str(folder / "perf.out")]
    return watching(["perf", "trace", "-a", "-e", ",".join(_CALLS), *output], folder / "said", None)


def _alone(command: str, bench: Path) -> float:
    return unrecorded(spec(command, bench))


def _recorded(how: str, command: str, bench: Path, folder: Path) -> float:
    return recorded(spec(command, bench), make_recorder(how), folder / f"{how}.parquet")[0]


def _entered(how: str | None, command: str, bench: Path, folder: Path) -> float:
    return entered(spec(command, bench), make_recorder(how) if how else None, folder / "entered.parquet")


def peers(command: str, bench: Path, folder: Path) -> dict[str, Timed]:
    """Other ways to look on, those that are installed."""
    wrapper = (
        "strace",
        "-f",
        "--seccomp-bpf",
        "-D",
        "-o",
        str(folder / "strace.out"),
        "-e",
        "trace=" + ",".join(_CALLS),
    )
    found: dict[str, Timed] = {
        "empty eBPF programs": lambda: unrecorded(spec(command, bench), watched=partial(_empty, folder)),
        "ptrace recorder": partial(_recorded, "ptrace", command, bench, folder),
        "strace -f --seccomp-bpf": lambda: unrecorded(spec(command, bench), hooks=RuntimeHooks(wrapper=wrapper)),
        "strace -f": lambda: unrecorded(spec(command, bench), watched=partial(_strace, folder)),
        "bpftrace": lambda: unrecorded(spec(command, bench), watched=partial(_bpftrace, folder)),
        "perf trace": lambda: unrecorded(spec(command, bench), watched=partial(_perf_trace, folder)),
    }
    for name in list(found):
        program = {"ptrace recorder": "strace", "empty eBPF programs": "clang"}.get(name, name.split()[0])
        if shutil.which(program) is None:
            print(f"  {name}: left out, {program} is not installed")
            del found[name]
    return found


def commands(opens: int) -> dict[str, str]:
    """Each command by its name."""
    return WORK | {WORST: OPEN_CLOSE.format(number=opens)}


def costs(bench: Path, folder: Path, rounds: int, opens: int) -> dict[str, dict[str, float]]:
    """Median seconds of each command under each way of looking on, shown as they come."""
    seconds: dict[str, dict[str, float]] = {}
    for name, command in commands(opens).items():
        timed: dict[str, Timed] = {
            "not recorded": partial(_alone, command, bench),
            "ebpf": partial(_recorded, "ebpf", command, bench, folder),
        }
        seconds[name] = medians(timed | peers(command, bench, folder), rounds)
        show(f"Recording: {name}", seconds[name], "not recorded")
        rows, size = pq.ParquetFile(folder / "ebpf.parquet").metadata.num_rows, (folder / "ebpf.parquet").stat().st_size
        print(f"  its record: {rows} events, {size / rows:.1f} bytes an event as Parquet")
    ratios = [of["ebpf"] / of["not recorded"] for name, of in seconds.items() if name != WORST]
    print(f"\nebpf, median of the first {len(ratios)}: {statistics.median(ratios):.3f} ×", flush=True)
    return seconds


def entrants(bench: Path, folder: Path, rounds: int) -> None:
    """What recording costs commands that begin with their sandbox, and those that enter it."""
    for name, command in WORK.items():
        seconds = medians(
            {
                "begins, not recorded": partial(_alone, command, bench),
                "begins, ebpf": partial(_recorded, "ebpf", command, bench, folder),
                "enters, not recorded": partial(_entered, None, command, bench, folder),
                "enters, ebpf": partial(_entered, "ebpf", command, bench, folder),
            },
            rounds,
        )
        show(f"Recording what enters: {name}", seconds, "begins, not recorded")
        begins, enters = (seconds[f"{how}, ebpf"] / seconds[f"{how}, not recorded"] for how in ("begins", "enters"))
        print(f"  recorded by unrecorded: begins {begins:.3f}, enters {enters:.3f}", flush=True)


def gvisor(bench: Path, folder: Path, rounds: int) -> dict[str, float]:
    """A small build in gVisor, recorded and not."""
    command = "cp -r /bench/project /tmp/w && cd /tmp/w && rm -f part[3-9]* part1[0-9]* part2[0-9]* && make -s -j2"
    seconds = medians(
        {
            "gVisor not recorded": lambda: unrecorded(spec(command, bench), "gvisor"),
            "gVisor recorded": lambda: recorded(
                spec(command, bench), make_recorder("gvisor"), folder / "gvisor.parquet", "gvisor"
            )[0],
        },
        rounds,
    )
    show("Recording in gVisor: a C build", seconds, "gVisor not recorded")
    return seconds


def losses(bench: Path, folder: Path) -> dict[str, int]:
    """Events of the full sizes, of which none may be lost."""
    events = {}
    for name, command in {
        "C build, 2,000 files": BUILD,
        "100,000 processes": SHORT_PROCESSES.format(number=100_000),
        "tests, 8 workers": WORKERS,
        "git, 20,000 files": GIT,
        "find /usr": FIND,
    }.items():
        seconds, captured = recorded(spec(command, bench), make_recorder("ebpf"), folder / "full.parquet")
        print(f"  {name}: {seconds:.1f} s, {captured.summary.events} events, {captured.summary.lost} lost", flush=True)
        events[name] = captured.summary.events
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="show that nothing is lost at full size, and end")
    parser.add_argument("--entered", action="store_true", help="compare with commands that enter a sandbox, and end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        bench = prepare(folder / "bench", Sizes(2000, 20_000) if options.full else Sizes())
        if options.full:
            losses(bench, folder)
        elif options.entered:
            entrants(bench, folder, options.rounds)
        else:
            costs(bench, folder, options.rounds, OPENS)
            gvisor(bench, folder, options.rounds)


if __name__ == "__main__":
    main()
