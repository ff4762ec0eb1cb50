"""What it costs to open a session at a server that is warm, beside ``runc run true``.

    python benchmarks/sessions.py [--sessions N] [--profile strict|container] [--rest SECONDS]

Both are timed alternately. A session is open when the client has its answer: its sandbox runs and is recorded. Without
a rest between them, the server's next recorders may still be loading.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import medians, show
from run import plain_runc
from workload import trivial_task

from affidavit.client import Client

REST_S = 1.0


@contextmanager
def serving(folder: Path) -> Iterator[Path]:
    """A server, for as long as the ``with`` lasts; its socket."""
    place = folder / "s.sock"
    command = [Path(sys.executable).with_name("affidavit"), "serve", "--socket", place, "--out", folder / "sessions"]
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        if not first.startswith(b"serving on "):
            sys.exit(f"affidavit serve: {first.decode()}{process.stderr.read().decode()}")
        try:
            yield place
        finally:
            process.send_signal(signal.SIGTERM)


def measure(folder: Path, sessions: int, profile: str, rest_s: float) -> dict[str, float]:
    """Median seconds of each."""
    task = trivial_task(folder / "trivial")
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace("[affidavit]\n", f'[affidavit]\nprofile = "{profile}"\n'))
    with serving(folder) as place, Client(place) as client:

        def opened() -> float:
            time.sleep(rest_s)
            began = time.perf_counter()
            with client.open_session(task, runtime="runc", recorder="ebpf"):
                return time.perf_counter() - began

        return medians({"open_session": opened, "runc run true": plain_runc(folder, [])}, sessions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--profile", choices=("strict", "container"), default="strict")
    parser.add_argument("--rest", type=float, default=REST_S)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        taken = measure(Path(name), options.sessions, options.profile, options.rest)
    show(f"Opening a session ({options.profile}), {options.sessions} of them", taken, "runc run true")
    print(f"  {(taken['open_session'] - taken['runc run true']) * 1000:.1f} ms over runc run true")


if __name__ == "__main__":
    main()
