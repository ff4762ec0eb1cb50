"""Servers (``affidavit serve``) for tests."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from affidavit.runs import LEDGER, read_ledger
from affidavit.verification import own_keys
from harness import AFFIDAVIT, Home, leftovers, ready_loaders


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    process: "subprocess.Popen[str]"
    socket: Path
    runs: Path
    home: Home

    def left(self) -> list[str]:
        """What is left of its sessions."""
        ready = {f"eBPF loader {pid}" for pid in ready_loaders(self.process.pid)}
        return [one for one in leftovers(self.home.state, self.runs, self.process.pid) if one not in ready]

    def attempts(self) -> list[tuple[str, str]]:
        """Verdict, and why, of every session that has ended without a bundle."""
        found = []
        for folder in sorted(self.runs.glob("*")):
            for attempts in read_ledger(folder / LEDGER, own_keys()[0]).history.attempts.values():
                found += [(one.verdict or "", one.why or "") for one in attempts if one.bundle is None and one.ended]
        return found


@contextmanager
def serving(home: Home, folder: Path, *arguments: object) -> Iterator[Served]:
    """A server in a process of its own; it ends in order, unless the test has ended it."""
    place, runs = folder / "s.sock", folder / "runs"
    command = [str(AFFIDAVIT), "serve", "--socket", str(place), "--out", str(runs), *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **home.env},
    )
    with process:
        assert process.stderr is not None
        try:
            first = process.stderr.readline()
            assert first == f"serving on {place}\n", first + process.stderr.read()
            yield Served(process, place, runs, home)
        finally:
            process.terminate()
            assert process.wait(60) in (0, -signal.SIGKILL)
            said = process.stderr.read()
    assert "Traceback" not in said, said
