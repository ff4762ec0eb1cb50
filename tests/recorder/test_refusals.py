"""Calls that a sandbox's own filter refuses, under the recorder ptrace: refused all the same, and in the record."""

import errno
import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation import Capture, capture
from affidavit.events import SYSTEM_CALLS
from affidavit.recorder import Recording, RecordSummary, make_recorder
from affidavit.recorder.ptrace import PtraceRecorder
from affidavit.sandbox import Limits, SandboxSpec, User, host_rootfs, runtimes
from affidavit.trace import read_trace
from harness import share_images

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("runc", "strace"))), reason="needs root, runc and strace"
)

# What each of some calls came to: an errno, 0 where it was done.
PROGRAM = """
import ctypes, json, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def tried(call):
    made = libc.syscall(*(ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) for word in call))
    return ctypes.get_errno() if made < 0 else 0
print(json.dumps([tried(call) for call in {calls!r}]), flush=True)
"""
NEW_USER = 0x10000000


def refused(*calls: tuple[int | bytes, ...]) -> list[tuple[int | bytes, ...]]:
    return [(SYSTEM_CALLS[str(name)], *rest) for name, *rest in calls]


CALLS: list[tuple[int | bytes, ...]] = refused(
    ("mount", b"a", b"/tmp", b"tmpfs", 0, 0),
    ("ptrace", 0, 0, 0, 0),
    ("unshare", NEW_USER),
    ("io_uring_setup", 4, b"\0" * 120),
    ("pidfd_getfd", 3, 0, 0),
    ("clone", NEW_USER | 17, 0, 0, 0, 0),
    ("clone", 0x00800000 | 17, 0, 0, 0, 0),
    ("seccomp", 1, 8, b""),
    ("socket", 38, 5, 0),
    ("socket", 40, 1, 0),
    ("socket", 3, 1, 0),
    ("symlink", b"a", b"/workspace/b"),
)
NUMBERS = [call[0] for call in CALLS]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    for part in ("layers", "runtimes", "sandboxes"):
        (folder / part).mkdir(mode=0o700)
    share_images(folder)
    return folder


Play = Callable[..., tuple[Capture, list[dict[str, Any]]]]


@pytest.fixture
def play(state: Path, tmp_path: Path) -> Iterator[Play]:
    """Runs calls in a sandbox that may also not call symlink(2), under a recording."""
    recordings: list[Recording] = []

    def factory(
        calls: Sequence[tuple[int | bytes, ...]],
        prepare: Callable[[Any], None] = lambda recording: None,
        timeout_s: float = 60,
    ) -> tuple[Capture, list[dict[str, Any]]]:
        rootfs = host_rootfs(state, User())
        spec = SandboxSpec(
            name=f"test-{uuid.uuid4().hex[:12]}",
            rootfs=rootfs.layers,
            host_usr=rootfs.host_usr,
            argv=("/usr/bin/python3", "-ISc", PROGRAM.format(calls=calls)),
            env={"PATH": "/usr/bin:/bin"},
            cwd="/workspace",
            writable=("/workspace",),
            limits=Limits(disk_mb=16),
            deny_syscalls=("symlink",),
        )
        recordings.append(make_recorder("ptrace").open(spec.name))
        prepare(recordings[-1])
        events = tmp_path / "events.parquet"
        with runtimes()["runc"].sandbox(spec, state) as sandbox:
            captured = capture(sandbox, recordings[-1], events, timeout_s=timeout_s)
        return captured, read_trace(events).to_pylist()

    yield factory
    for recording in recordings:
        recording.close()


def denied(rows: list[dict[str, Any]]) -> list[int]:
    return [row["flags"] for row in rows if row["op"] == "denied" and row["source"] == "ptrace/kernel"]


def gap_of_refusals(summary: RecordSummary) -> bool:
    return any("handed over no listener" in gap for gap in summary.gaps)


def test_each_refused_call_fails_and_is_in_the_record(play: Play) -> None:
    captured, rows = play(CALLS)
    assert json.loads(captured.output.stdout) == [errno.EPERM] * len(CALLS), captured.output
    assert denied(rows) == NUMBERS
    assert {row["ret"] for row in rows if row["op"] == "denied"} == {-errno.EPERM}
    assert captured.summary.complete, captured.summary
    assert not gap_of_refusals(captured.summary)


def test_no_gap_is_named_where_refusals_are_seen() -> None:
    assert not any("handed over no listener" in gap for gap in PtraceRecorder().available().gaps)


def test_a_listener_that_is_gone_turns_no_refusal_into_success(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    from affidavit.recorder.ptrace import refusals

    def gone(self: refusals.Refusals, listener: int) -> None:
        raise OSError("gone")

    monkeypatch.setattr(refusals.Refusals, "_answer", gone)
    captured, rows = play(CALLS)
    assert json.loads(captured.output.stdout) == [errno.ENOSYS] * len(CALLS)
    assert denied(rows) == []
    # What it was that was refused nobody knows.
    assert not captured.summary.complete
    assert any("listener" in reason for reason in captured.summary.reasons)


def test_a_listener_that_hangs_holds_nothing_up_for_longer_than_the_trial(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    from affidavit.recorder.ptrace import refusals

    def hang(self: refusals.Refusals, listener: int) -> None:
        while self._wait(self._end_fd):
            pass

    monkeypatch.setattr(refusals.Refusals, "_answer", hang)
    captured, _ = play(CALLS, timeout_s=1)
    assert captured.output.stdout == b""
    assert captured.exit.timed_out
    assert captured.exit.signal == signal.SIGKILL


def test_a_runtime_without_listeners_refuses_by_itself(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affidavit.sandbox.runtime._asks", lambda path: False)
    captured, rows = play(CALLS)
    assert json.loads(captured.output.stdout) == [errno.EPERM] * len(CALLS)
    assert denied(rows) == []
    assert captured.summary.complete
    assert gap_of_refusals(captured.summary)
