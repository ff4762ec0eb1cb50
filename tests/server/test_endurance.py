"""Many clients at once, of which some are killed: nothing is left, nothing leaks, nobody sees another's session."""

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from affidavit.verification import verify
from harness import Home, wait_until_gone
from servers import Served, serving

CLIENTS = int(os.environ.get("AFFIDAVIT_CLIENTS", "4"))
KILLS = int(os.environ.get("AFFIDAVIT_CLIENT_KILLS", "4"))
_BETWEEN_KILLS_S = 1.0
# Python's allocator does not give everything back.
_MOST_GROWTH_KB = 48_000


class Fleet:
    """Clients in processes of their own, and what each has said."""

    def __init__(self, served: Served, task: Path, folder: Path) -> None:
        self._command = [sys.executable, str(Path(__file__).with_name("endurance_client.py"))]
        self._command += [str(served.socket), str(task)]
        self._folder = folder
        self._started = 0
        self._living: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start one more."""
        self._started += 1
        with (self._folder / f"said-{self._started}").open("wb") as said:
            self._living.append(subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=said))

    def kill_one(self) -> None:
        """Kill any of them."""
        victim = self._living.pop(random.randrange(len(self._living)))
        assert victim.poll() is None, "a client ended by itself"
        victim.kill()
        victim.wait()
        assert victim.stdin is not None
        victim.stdin.close()

    def finish(self) -> None:
        """Let each end its session and go."""
        for one in self._living:
            assert one.stdin is not None
            one.stdin.close()
        assert [one.wait(900) for one in self._living] == [0] * len(self._living)
        self._living.clear()

    def said(self) -> list[dict[str, object]]:
        """Of every session that was sealed; a client that was killed may have said half a line."""
        lines = [line for path in self._folder.glob("said-*") for line in path.read_text().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def end(self) -> None:
        """Kill who is left."""
        for one in self._living:
            one.kill()
            one.wait()


def held(pid: int) -> tuple[int, int, int]:
    """Open descriptors, threads, and resident memory in kB of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    descriptors = len([*Path(f"/proc/{pid}/fd").iterdir()])
    return descriptors, int(status["Threads"]), int(status["VmRSS"].split()[0])


def test_clients_that_are_killed_leave_nothing(at_home: Home, task: Callable[..., Path], tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name, serving(at_home, Path(name), "--sessions", CLIENTS) as served:
        fleet = Fleet(served, task(), tmp_path)
        with contextlib.ExitStack() as stack:
            stack.callback(fleet.end)
            # One session each that does not count: what is loaded once stays.
            for _ in range(CLIENTS):
                fleet.start()
            fleet.finish()
            wait_until_gone(served.left, 120)
            before = held(served.process.pid)
            for _ in range(CLIENTS):
                fleet.start()
            for _ in range(KILLS):
                time.sleep(_BETWEEN_KILLS_S)
                fleet.kill_one()
                fleet.start()
            fleet.finish()
        wait_until_gone(served.left, 120)
        after, said = held(served.process.pid), fleet.said()
        print(f"{len(said)} sessions sealed; descriptors, threads, memory (kB): {before} before, {after} after")
        # Idle threads of a pool stay.
        assert after[0] <= before[0] + 4, "descriptors"
        assert after[2] <= before[2] + _MOST_GROWTH_KB, "memory"
        assert set(served.attempts()) <= {("error", "the client has gone")}
        words = {one["word"] for one in said}
        assert len(said) >= 2 * CLIENTS
        for one in said:
            assert one["seen"] == f"mine\n{one['word']}", "a session sees what another one wrote"
            assert one["verdict"] == ("pass" if one["solves"] else "fail"), one
            bundle = Path(str(one["bundle"]))
            assert [check for check in verify(bundle).checks if not check.ok] == []
            recorded = b"".join(path.read_bytes() for path in bundle.rglob("*") if path.is_file())
            assert {word for word in words if str(word).encode() in recorded} == {one["word"]}
