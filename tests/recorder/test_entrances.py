"""Commands that enter a running sandbox, under each recorder."""

import contextlib
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from affidavit.recorder import Recording, RecordSummary, make_recorder
from affidavit.recorder.ebpf.recording import unexplained
from affidavit.sandbox import (
    ExecEnd,
    ExecSpec,
    Limits,
    OciSandbox,
    SandboxSpec,
    User,
    host_rootfs,
    runtimes,
)
from harness import Way, private_state

PATH = "/usr/bin:/bin"
IDLE = ("/bin/sh", "-c", "while :; do sleep 100000 & wait $!; done")
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with private_state(tmp_path_factory.mktemp("state")) as folder:
        yield folder


class Recorded:
    """A sandbox that runs under a recorder and does nothing by itself."""

    def __init__(self, sandbox: OciSandbox, recording: Recording) -> None:
        self.sandbox = sandbox
        self.recording = recording
        self.batches: list[pa.RecordBatch] = []
        self.init = sandbox.create(recording.hooks())
        recording.attach(sandbox, self.init)
        self._reader = threading.Thread(target=lambda: self.batches.extend(recording.batches()))
        self._reader.start()
        sandbox.start()

    def sh(self, script: str, timeout_s: float = 60) -> ExecEnd:
        return self.run("sh", "-c", script, timeout_s=timeout_s)

    def run(self, *argv: str, timeout_s: float = 60) -> ExecEnd:
        command = ExecSpec(argv, {"PATH": PATH}, "/workspace")
        return self.sandbox.exec(command, timeout_s=timeout_s, entrance=self.recording.entrance(command))

    def end(self) -> tuple[Rows, RecordSummary]:
        self.sandbox.kill()
        self.recording.stop()
        self._reader.join(60)
        assert not self._reader.is_alive()
        return pa.Table.from_batches(self.batches).to_pylist(), self.recording.summary()


@pytest.fixture
def recorded(way: Way, state: Path) -> Iterator[Callable[[], Recorded]]:
    with contextlib.ExitStack() as stack:

        def make() -> Recorded:
            rootfs = host_rootfs(state, User())
            spec = SandboxSpec(
                name=f"test-{uuid.uuid4().hex[:12]}",
                rootfs=rootfs.layers,
                host_usr=rootfs.host_usr,
                argv=IDLE,
                env={"PATH": PATH},
                cwd="/workspace",
                first_user=User(0, 0, "root", "/root"),
                writable=("/workspace", "/tmp"),
                limits=Limits(disk_mb=64, memory_mb=512),
            )
            sandbox = stack.enter_context(runtimes()[way.runtime].sandbox(spec, state))
            recording = make_recorder(way.recorder).open(spec.name)
            stack.callback(recording.close)
            return Recorded(sandbox, recording)

        yield make


def tree_of(rows: Rows, root: int) -> list[dict[str, Any]]:
    """The rows of a process and of all that it began."""
    pids = {root}
    for row in rows:
        if row["op"] == "fork" and row["pid"] in pids and row["ret"] > 0:
            pids.add(row["ret"])
    return [row for row in rows if row["pid"] in pids]


def entered(rows: Rows, word: str) -> int:
    """The process that entered with a word among its arguments."""
    (pid,) = {row["pid"] for row in rows if row["op"] == "exec" and row["argv"] and word in " ".join(row["argv"])}
    return int(pid)


def test_what_a_command_does_is_recorded_like_what_began_in_the_sandbox(recorded: Callable[[], Recorded]) -> None:
    box = recorded()
    box.sh(
        ": first; echo one >/workspace/one; (cat /workspace/one >/dev/null; echo two >/workspace/two); cd /tmp; >three"
    )
    box.sh(": second; cat nothing; rm /workspace/one")
    rows, summary = box.end()
    assert summary.complete, summary.reasons
    first = tree_of(rows, entered(rows, ": first"))
    assert (first[0]["op"], first[0]["path"], first[0]["uid"]) == ("exec", "/usr/bin/dash", 1000)
    assert first[0]["argv"][:2] == ["sh", "-c"]
    seen = [
        (row["op"], row["path"])
        for row in first
        if row["op"] in ("create", "open_write") and "/dev/" not in row["path"]
    ]
    assert [path for _, path in seen] == ["/workspace/one", "/workspace/two", "/tmp/three"]
    assert ("open_read", "/workspace/one") in [(row["op"], row["path"]) for row in first]
    assert {row["exe"] for row in first} == {"/usr/bin/dash", "/usr/bin/cat"}
    second = tree_of(rows, entered(rows, ": second"))
    missed = [(row["path"], row["ret"]) for row in second if row["op"] == "open_read" and "nothing" in str(row["path"])]
    assert missed == [("/workspace/nothing", -2)]
    assert [row["path"] for row in second if row["op"] == "unlink"] == ["/workspace/one"]
    (end,) = (row for row in rows if row["op"] == "exit" and row["pid"] == first[0]["pid"])
    assert (end["ret"], end["flags"]) == (0, 0)


def test_many_commands_at_once_are_told_apart(recorded: Callable[[], Recorded]) -> None:
    box = recorded()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: box.sh(f": n{n}n; (sleep 0.05; >/tmp/made-{n}) & >/tmp/{n}; wait"), range(12)))
    rows, summary = box.end()
    assert summary.complete, summary.reasons
    for n in range(12):
        own = tree_of(rows, entered(rows, f": n{n}n"))
        made = sorted(row["path"] for row in own if row["op"] == "create" and row["path"].startswith("/tmp/"))
        assert made == [f"/tmp/{n}", f"/tmp/made-{n}"]


def test_what_a_command_leaves_running_stays_recorded(recorded: Callable[[], Recorded]) -> None:
    box = recorded()
    box.sh(": left; (setsid sh -c 'while [ ! -e /tmp/go ]; do sleep 0.02; done; >/tmp/gone' &)")
    box.sh(": goes; >/tmp/go; while [ ! -e /tmp/gone ]; do sleep 0.02; done")
    rows, summary = box.end()
    assert summary.complete, summary.reasons
    assert "/tmp/gone" in [row["path"] for row in tree_of(rows, entered(rows, ": left"))]


def test_a_command_that_is_killed_or_never_begins_leaves_the_record_complete(recorded: Callable[[], Recorded]) -> None:
    box = recorded()
    assert box.run("no-such-command").code == 127
    assert box.sh(": late; sleep 1000", timeout_s=0.5).timed_out
    rows, summary = box.end()
    assert summary.complete, summary.reasons
    assert "exec" in {row["op"] for row in tree_of(rows, entered(rows, ": late"))}


def test_refused_calls_of_commands_are_recorded(recorded: Callable[[], Recorded], way: Way) -> None:
    box = recorded()
    box.run("python3", "-c", "import ctypes; ctypes.CDLL(None).unshare(0x10000000)  # refused")
    rows, summary = box.end()
    assert summary.complete, summary.reasons
    own = tree_of(rows, entered(rows, "# refused"))
    # A sentry does not show what its filter refused.
    assert [row["flags"] for row in own if row["op"] == "denied"] == ([] if way.runtime == "gvisor" else [272])


def test_nothing_of_the_runtime_is_recorded(recorded: Callable[[], Recorded]) -> None:
    box = recorded()
    for _ in range(3):
        box.run("true")
    rows, summary = box.end()
    assert summary.complete, summary.reasons
    assert Counter(row["exe"] for row in rows) == {
        exe: number
        for exe, number in Counter(row["exe"] for row in rows).items()
        if exe and exe.startswith("/usr/bin/")
    }
    assert len([row for row in rows if row["op"] == "exec" and row["path"] == "/usr/bin/true"]) == 3


def test_a_process_that_no_command_explains_makes_the_record_incomplete(
    recorded: Callable[[], Recorded], way: Way
) -> None:
    if way.runtime != "runc":
        pytest.skip("a sandbox with a kernel of its own can't be entered past its runtime")
    box = recorded()
    box.sh("true")
    subprocess.run(["nsenter", "-t", str(box.init), "-p", "-m", "/bin/sh", "-c", ">/tmp/intruder"], check=True)
    rows, summary = box.end()
    if way.recorder == "ptrace":
        gap = "a process that somebody on the machine puts into the sandbox by another way than a session's commands"
        assert f"{gap} is not seen" in summary.gaps
        return
    assert not summary.complete
    assert summary.reasons == ("1 processes entered the sandbox that no command explains",)
    assert "/tmp/intruder" in [row["path"] for row in rows]


def test_who_entered_is_held_against_who_was_let_in() -> None:
    assert unexplained([(10, 5), (11, 6)], {5, 6, 7}, [(10, 5), (11, 6)]) == []
    assert unexplained([(10, 5)], set(), []) == ["1 processes entered the sandbox that no command explains"]
    assert unexplained([], {5}, [(10, 5)]) == ["1 commands were not seen to enter the sandbox"]
