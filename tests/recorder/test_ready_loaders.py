"""Loaders that are ready before a sandbox wants them."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import oci

from affidavit.recorder import KeepsReady, kept_ready
from affidavit.recorder.ebpf import EbpfRecorder
from affidavit.recorder.ebpf.loader import Loader
from affidavit.recorder.ptrace import PtraceRecorder
from harness import ready_loaders, wait_for, wait_until_gone


@pytest.fixture
def recorder() -> Iterator[EbpfRecorder]:
    made = EbpfRecorder()
    with kept_ready(made, 2):
        yield made
    wait_until_gone(lambda: [str(pid) for pid in ready_loaders(os.getpid())])


def test_each_recording_has_one_that_was_started_before_and_is_new(recorder: EbpfRecorder) -> None:
    before = sorted(ready_loaders(os.getpid()))
    assert len(before) == 2
    with closing(recorder.open("first")) as first, closing(recorder.open("second")) as second:
        assert sorted((first.loader_pid, second.loader_pid)) == before
        # Nobody waits for more.
        with closing(recorder.open("third")) as third:
            assert third.loader_pid not in before
    wait_for(lambda: len(ready_loaders(os.getpid())) == 2)
    with closing(recorder.open("fourth")) as fourth:
        assert fourth.loader_pid not in before


def test_one_that_has_ended_is_given_to_nobody(recorder: EbpfRecorder) -> None:
    killed, other = sorted(ready_loaders(os.getpid()))
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in ready_loaders(os.getpid()))
    with closing(recorder.open("sandbox")) as recording:
        assert recording.loader_pid == other


def test_what_it_records_is_whole(recorder: EbpfRecorder, folder: Path) -> None:
    table, summary = oci.record(recorder, oci.Box(folder, ["/bin/true"]))
    assert (summary.complete, summary.reasons) == (True, ())
    assert "exec" in table.column("op").to_pylist()


def test_one_that_waits_has_attached_nothing() -> None:
    """An attached program costs every system call of the machine."""
    loader = Loader(4096, waits=True)
    try:
        assert loader.socket.recv(1) == b"R"
        held = [str(path.readlink()) for path in Path(f"/proc/{loader.process.pid}/fd").iterdir()]
        assert [one for one in held if "bpf-prog" in one]
        assert [one for one in held if "bpf_link" in one or "raw_tracepoint" in one or "perf_event" in one] == []
    finally:
        loader.discard()


def test_a_recorder_without_slow_helpers_is_left_alone() -> None:
    assert not isinstance(PtraceRecorder(), KeepsReady)
    with kept_ready(PtraceRecorder(), 2):
        pass
