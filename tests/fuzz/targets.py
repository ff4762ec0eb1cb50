"""What a sandbox can put words into, each as a function of bytes. Nothing may raise, hang, or grow past its input."""

import json
from collections.abc import Callable

import pyarrow as pa

from affidavit.recorder import sockets
from affidavit.recorder.calls import Loss
from affidavit.recorder.ebpf.frames import FrameError, batch, end
from affidavit.recorder.gvisor.transcript import Transcript as SentryTranscript
from affidavit.recorder.names import Names
from affidavit.recorder.ptrace.transcript import Transcript as StraceTranscript
from affidavit.recorder.rows import Rows

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
    transcript = SentryTranscript(rows, loss, Names(None), lambda time_ns: time_ns)
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
    transcript = SentryTranscript(rows, loss, Names(None), lambda time_ns: time_ns)
    for line in data.decode("utf-8", "replace").split("\n"):
        transcript.line(line)
        transcript.line(json.dumps({"msg": line, "time": _TIME}))
        transcript.line(json.dumps({"msg": f"[   1:   1] sh X {line}", "time": _TIME}))
    transcript.finish()
    _check(rows, data)


def strace_lines(data: bytes) -> None:
    """Lines of strace's, as they stand and behind the head that every line has."""
    rows, loss = Rows(), Loss()
    transcript = StraceTranscript(rows, loss, _INIT, Names(None), lambda time_ns: time_ns)
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


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (sentry_sink, sentry_log, strace_lines, ebpf_frame, addresses)
}
