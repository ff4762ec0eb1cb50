"""What a command of a session costs, beside a bare ``runc exec`` of the same command.

    python benchmarks/execs.py [--execs N] [--profile strict|container]

Both are timed alternately, the one in a session under runc and eBPF, the other in a container of runc that nobody
records. Shown as well: how much this process grew between the first quarter of the commands and the last.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import medians, show, stopwatch
from workload import trivial_task

from affidavit import open_session

_PAGE = os.sysconf("SC_PAGESIZE")


@contextmanager
def plain_container(folder: Path) -> Iterator[list[str]]:
    """A container of runc that does nothing; gives what a command is run in it by."""
    bundle, name = folder / "plain", f"plain-{os.getpid()}"
    root = bundle / "rootfs"
    for part in ("usr", "proc", "dev", "sys"):
        (root / part).mkdir(parents=True)
    for part in ("bin", "lib", "lib64"):
        (root / part).symlink_to(f"usr/{part}")
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"args": ["/bin/sleep", "100000"], "terminal": False}
    config["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
    (bundle / "config.json").write_text(json.dumps(config))
    runc = ["runc", "--root", str(folder / "runc")]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*runc, "run", "--detach", name], cwd=bundle, check=True, **quiet)
    try:
        yield [*runc, "exec", name]
    finally:
        subprocess.run([*runc, "delete", "--force", name], check=True, **quiet)


def memory_mb() -> float:
    """What this process has in memory, MiB (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / (1 << 20)


def measure(folder: Path, execs: int, profile: str) -> tuple[dict[str, float], float]:
    """Median seconds of each, and how many MiB this process grew in the last three quarters of the commands."""
    task = trivial_task(folder / "trivial")
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace("[affidavit]\n", f'[affidavit]\nprofile = "{profile}"\n'))
    grown: list[float] = []

    def sample() -> None:
        session.exec(["true"])
        grown.append(memory_mb())

    with (
        plain_container(folder) as enter,
        open_session(task, runtime="runc", recorder="ebpf", out=folder / "runs") as session,
    ):
        bare = stopwatch(lambda: subprocess.run([*enter, "true"], check=True, stdin=subprocess.DEVNULL))
        taken = medians({"session.exec": stopwatch(sample), "runc exec": bare}, execs)
        session.freeze()
    return taken, grown[-1] - grown[len(grown) // 4]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--execs", type=int, default=200)
    parser.add_argument("--profile", choices=("strict", "container"), default="strict")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        taken, grown = measure(Path(name), options.execs, options.profile)
    show(f"A command in a session ({options.profile}), {options.execs} of them", taken, "runc exec")
    over = (taken["session.exec"] - taken["runc exec"]) * 1000
    print(f"  {over:.1f} ms over a bare runc exec; this process grew by {grown:.1f} MiB")


if __name__ == "__main__":
    main()
