"""A broker and a server as ordinary processes, with a relay between them: the two halves without their sandboxes."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import affidavit.grading.separation as separation

_HEAD = struct.Struct(">IBI")
_RESULT = 4
INSIDE = Path(separation.__file__).with_name("inside")
CHECKOUT = Path(__file__).parent.parent


@dataclass
class Pair:
    """Folders of one separated run.

    Attributes:
        ways: those of the task's own solution; None where they are to be found out.
        status, output, words: the verifier's exit status, what was printed, and how often S's word was taken.
        taken: the ways that were found out.
    """

    folder: Path
    ways: Sequence[str] | None = None
    status: int = -1
    output: str = ""
    words: int = 0
    taken: tuple[str, ...] = ()
    results: bytearray = field(default_factory=bytearray)

    @property
    def tests(self) -> Path:
        return self.folder / "tests"

    @property
    def workdir(self) -> Path:
        return self.folder / "workspace"

    def solve(self, **sources: str) -> None:
        """Write modules of the agent's."""
        for name, text in sources.items():
            path = self.folder / "solution" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def pytest(self, text: str, sources: bool = True, python: str = sys.executable) -> int:
        """Run hidden tests with these modules; what they printed is in `output`."""
        self.tests.mkdir(exist_ok=True)
        (self.tests / "test_hidden.py").write_text(text)
        command = f"{python} -m pytest -q -p no:cacheprovider --rootdir {self.tests} {self.tests}/test_hidden.py"
        script = f'PYTHONPATH="$PYTHONPATH:{self.workdir}" {command}'
        return self.run(["sh", "-c", script], sources, python)

    def run(self, argv: Sequence[str], sources: bool = True, python: str = sys.executable) -> int:
        """Play the verifier. Both halves see the same paths: T's working directory stands in for S's by a mount."""
        solution, theirs = self.folder / "solution", self.folder / "t"
        words = self.folder / "words"
        for made in (self.tests, self.workdir, solution, theirs):
            made.mkdir(exist_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))},
            "AFFIDAVIT_TESTS_DIR": str(self.tests),
            "AFFIDAVIT_WORKDIR": str(self.workdir),
            "AFFIDAVIT_CHANNEL": f"@affidavit-{os.getpid()}-{self.folder.name}",
            "AFFIDAVIT_WORDS": str(words),
            "AFFIDAVIT_SOURCES": "1" if sources else "0",
        }
        if self.ways is not None:
            environment["AFFIDAVIT_WAYS"] = json.dumps(list(self.ways))
        log = (self.folder / "log").open("wb")
        server = subprocess.Popen(
            self._apart(solution, self.tests, [python, "-I", "-S", str(INSIDE / "solution_server.py"), "--not-first"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env={**environment, "PATH": f"{Path(python).parent}:{environment['PATH']}"},
        )
        broker = subprocess.Popen(
            self._apart(
                theirs,
                None,
                [python, "-I", "-S", str(INSIDE / "tests_broker.py"), "--not-first", "--", *argv],
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            cwd=self.folder,
            env=environment,
        )
        assert server.stdin
        assert server.stdout
        assert broker.stdin
        assert broker.stdout
        relays = [
            threading.Thread(target=_results, args=(broker.stdout, server.stdin, self.results), daemon=True),
            threading.Thread(target=_copy, args=(server.stdout, broker.stdin), daemon=True),
        ]
        for relay in relays:
            relay.start()
        try:
            self.status = broker.wait(120)
        finally:
            broker.kill()
            relays[0].join(10)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)
            _end(broker, server)
            log.close()
        self.output = f"{self.results.decode()}\n{(self.folder / 'log').read_text('utf-8', 'replace')}"
        if words.exists():
            self.words = sum(int(line.split()[1]) for line in words.read_text().splitlines())
        told = self.folder / "words-ways"
        if told.exists():
            self.taken = tuple(sorted({way for line in told.read_text().splitlines() for way in json.loads(line)}))
        return self.status

    def _apart(self, shown: Path, hidden: Path | None, argv: list[str]) -> list[str]:
        """The command with a mount namespace of its own, in which the working directory is the folder given. Of /tmp
        nothing is there but this checkout, should it be in /tmp."""
        commands = [f"mount --bind {shown} {self.workdir}"]
        if CHECKOUT.is_relative_to("/tmp"):
            kept = self.folder / "checkout"
            kept.mkdir(exist_ok=True)
            commands += [
                f"mount --bind {CHECKOUT} {kept}",
                "mount -t tmpfs none /tmp",
                f"mkdir -p {CHECKOUT}",
                f"mount --move {kept} {CHECKOUT}",
            ]
        else:
            commands.append("mount -t tmpfs none /tmp")
        if hidden is not None:
            commands.append(f"mount -t tmpfs none {hidden}")
        commands.append('exec "$@"')
        return ["unshare", "--mount", "sh", "-e", "-c", "; ".join(commands), "sh", *argv]


def _end(*halves: "subprocess.Popen[bytes]") -> None:
    """Leave no process of the halves, also where they hang."""
    for half in halves:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(half.pid, signal.SIGKILL)
        half.wait()
        for pipe in (half.stdin, half.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _results(reading: IO[bytes], writing: IO[bytes], results: bytearray) -> None:
    """Copy frames, but keep results, as a host does."""
    while head := reading.read(_HEAD.size):
        _, kind, length = _HEAD.unpack(head)
        payload = reading.read(length)
        if kind == _RESULT:
            results += payload
        else:
            with contextlib.suppress(OSError):
                writing.write(head + payload)
                writing.flush()
    with contextlib.suppress(OSError):
        writing.close()


def _copy(reading: IO[bytes], writing: IO[bytes]) -> None:
    try:
        while data := os.read(reading.fileno(), 1 << 16):
            writing.write(data)
            writing.flush()
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            writing.close()
