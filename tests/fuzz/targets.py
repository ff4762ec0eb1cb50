"""What a sandbox can put words into, each as a function of bytes. Nothing may raise, hang, or grow past its input."""

import contextlib
import hmac
import importlib
import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from affidavit.evaluation.hidden_tests import left_by
from affidavit.events import empty_events
from affidavit.evidence import GradeDocument
from affidavit.grading import (
    Control,
    Graded,
    Left,
    Round,
    Separation,
    VerifierPlan,
    VerifierRecord,
    combine,
    grade_run,
    next_step,
)
from affidavit.grading.separation.relay import Relay
from affidavit.grading.test_run.settings import TestRunSettings
from affidavit.recorder import sockets
from affidavit.recorder.ebpf.frames import FrameError, batch, end
from affidavit.recorder.gvisor.transcript import Transcript as SentryTranscript
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.ptrace.transcript import Transcript as StraceTranscript
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Loss
from affidavit.sandbox import Exit
from affidavit.verification.verdict import decide

INSIDE = Path(__file__).parents[2] / "src/affidavit/grading/separation/inside"
sys.path.insert(0, str(INSIDE))
inside = importlib.import_module("affidavit_inside.values")

_INIT = 1
_TIME = "2026-01-02T03:04:05.6Z"
# More rows than this for each byte of input, and a little for none, would be growth that nobody asked for.
_ROWS_PER_BYTE = 1


def _check(rows: Rows, data: bytes) -> None:
    taken = rows.take()
    taken.validate(full=True)
    assert taken.num_rows <= len(data) * _ROWS_PER_BYTE + 64, taken.num_rows


def sentry_sink(data: bytes) -> None:
    """Packets of gVisor's sink, each after two bytes that say how long it is."""
    rows, loss = Rows(), Loss()
    transcript = SentryTranscript(rows, loss, PathResolver(None), lambda time_ns: time_ns)
    at = 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "little")
        transcript.packet(data[at + 2 : at + 2 + length])
        at += 2 + length
    transcript.advance(1 << 62)
    transcript.finish()
    _check(rows, data)


def sentry_log(data: bytes) -> None:
    """Lines of the sentry's log, as they stand and as the text of a whole entry."""
    rows, loss = Rows(), Loss()
    transcript = SentryTranscript(rows, loss, PathResolver(None), lambda time_ns: time_ns)
    for line in data.decode("utf-8", "replace").split("\n"):
        transcript.line(line)
        transcript.line(json.dumps({"msg": line, "time": _TIME}))
        transcript.line(json.dumps({"msg": f"[   1:   1] sh X {line}", "time": _TIME}))
    transcript.finish()
    _check(rows, data)


def strace_lines(data: bytes) -> None:
    """Lines of strace's, as they stand and behind the head that every line has."""
    rows, loss = Rows(), Loss()
    transcript = StraceTranscript(rows, loss, _INIT, PathResolver(None), lambda time_ns: time_ns)
    transcript.feed('1 1.000000000 execve("\\x2f\\x61", ["\\x61"], NULL) = 0')
    for line in data.decode("ascii", "replace").split("\n"):
        transcript.feed(line)
        transcript.feed(f"1 1.000000001 {line}")
        transcript.tick()
    transcript.finish()
    _check(rows, data)


def ebpf_frame(data: bytes) -> None:
    """A frame of the eBPF loader's: 'F' where its first byte is odd, else 'B'."""
    try:
        if data[:1] and data[0] & 1:
            _, counts = end(bytearray(data[1:]))
            counts.validate(full=True)
        else:
            batch(bytearray(data[1:]), 0).validate(full=True)
    except (FrameError, pa.ArrowException):
        pass


def addresses(data: bytes) -> None:
    """Socket addresses and DNS queries, as a program hands them to the kernel."""
    sockets.sockaddr(data)
    for name in (*sockets.dns_names(data), *sockets.dns_names(data, stream=True)):
        # A label of bytes that are no text is spelled with four letters for each.
        assert len(name) <= 4 * len(data)


_FRAMEWORKS = ("reward", "pytest", "unittest", "script", "junit", "tap", "go", "cargo", "ctest")
_LOGS = tempfile.TemporaryDirectory(prefix="affidavit-fuzz-")
_KEY = b"k" * 32
_EXPECTED = ("test_a.py::test_one", "two", "a")
_NEXT = b"\n====\n"
_FRAME = struct.Struct(">IBI")


def grading_channel(data: bytes) -> None:
    """What grading sandboxes leave of their tests, up to the verdict: as a trial computes it, and as ``verify`` does
    from what the bundle keeps. The first byte chooses the framework and whether the harness's lines are signed; what
    the tests and the control leave stands on either side of a line of four ``=``."""
    kind, (tests, _, control) = data[0] if data else 0, data[1:].partition(_NEXT)
    settings = TestRunSettings.model_validate({"framework": _FRAMEWORKS[kind % len(_FRAMEWORKS)]})
    plan = VerifierPlan(settings, _EXPECTED, "/workspace")
    ended, signed = Exit(kind % 3, None, False, False, 9), kind & 64 == 0
    wrong = Control(_left(plan, ended, control, signed), _EXPECTED, 1) if control else None
    record = VerifierRecord(
        framework=settings.framework,
        credit=settings.credit,
        expected=_EXPECTED,
        planned=1,
        rounds_for="any",
        rounds=(Round(_left(plan, ended, tests, signed), wrong),),
        separation=Separation(kind & 128 != 0, ""),
    )
    events = empty_events()
    grade = grade_run(record, events, ())
    next_step(record, events, ())
    graded = Graded("tests", "test_run", 1.0, None, True, grade)
    stored = json.loads(json.dumps(GradeDocument(grade.score, (graded,), verifier=record).to_json()))
    document = GradeDocument.read(stored)
    assert document.verifier == record
    assert json.loads(json.dumps(grade_run(record, events, ()).to_json())).items() <= stored["graders"][0].items()
    public = GradeDocument.read(json.loads(json.dumps(document.published().to_json())))
    assert public == document.published()
    kept, published = (decide("strict", [], combine(one.graders), []) for one in (document, public))
    assert (kept.verdict, kept.score) == (published.verdict, published.score)
    json.dumps([kept.to_json(), published.to_json()], allow_nan=False)


def _left(plan: VerifierPlan, ended: Exit, data: bytes, signed: bool) -> Left:
    """What a verifier leaves that writes this to its standard output, and into each file that it may leave."""
    logs = Path(_LOGS.name)
    for name in {"reward.txt", "reward.json", "words", plan.settings.report_file}:
        (logs / name).unlink(missing_ok=True)
    if plan.settings.framework == "reward":
        (logs / ("reward.json" if data[:1] == b"{" else "reward.txt")).write_bytes(data)
    else:
        (logs / plan.settings.report_file).write_bytes(data)
    if signed:
        lines = [
            hmac.new(_KEY, b"%d %b" % (number, line), "sha256").hexdigest().encode() + b" " + line
            for number, line in enumerate(data.split(b"\n"))
        ]
        data = b"\n".join((b"key " + _KEY.hex().encode(), *lines, b""))
    return left_by(plan, logs, ended, data, logs)


def relay(data: bytes) -> None:
    """What process 1 of the solution's sandbox sends, while the tests have opened session 1."""
    with Relay() as channel:
        os.write(channel.tests.stdout, _frame(1, 1, b""))
        os.read(channel.solution.stdin, _FRAME.size)
        os.write(channel.solution.stdout, data)
        channel.solution.close()
        got = b""
        while not got.endswith(_frame(1, 3, b"")):
            # That it ends is what closes the session, at the latest.
            got += os.read(channel.tests.stdin, 1 << 16)
    assert len(got) <= len(data) + _FRAME.size
    while got:
        session, kind, length = _FRAME.unpack_from(got)
        assert (session, kind in (2, 3)) == (1, True)
        got = got[_FRAME.size + length :]


def values(data: bytes) -> None:
    """What passes between the sandboxes as a value: plain data, or refused."""
    with contextlib.suppress(inside.Refused):
        inside.Reader(data).read()


def _frame(session: int, kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(session, kind, len(payload)) + payload


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(sentry_sink, sentry_log, strace_lines, ebpf_frame, addresses),
        *(grading_channel, relay, values),
    )
}
