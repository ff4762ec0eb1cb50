"""What the sentry says, as values: nothing that a sandbox puts into it may raise, or pass for something else."""

import json
import struct

from hypothesis import assume, given
from hypothesis import strategies as st

from affidavit.recorder.gvisor import log, wire
from affidavit.recorder.gvisor.transcript import Transcript
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Loss

WORDS = st.sampled_from(
    [
        *(
            "[   1:   1] ",
            "sh",
            " X ",
            " E ",
            "(",
            ")",
            ") = 0 (0x0) (1µs)",
            ", ",
            "0x1 ",
            "AT_FDCWD /",
            "0x3 /a",
            "null",
        ),
        *("<null>", '["a", "b\\n"]', "{Family: AF_INET, Addr: 127.0.0.1, Port: 1}", "O_RDONLY|0x0", "0o644", "SIGKILL"),
        *(" errno=2 (x)", "-1", "\n", "\\", '"', "{", "}", "é", *log.SHAPES),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map("".join))


def transcript() -> tuple[Transcript, Rows, Loss]:
    rows, loss = Rows(), Loss()
    return Transcript(rows, loss, PathResolver(None), lambda time_ns: time_ns), rows, loss


def entry(text: object, time: object = "2026-01-02T03:04:05.6Z") -> str:
    return json.dumps({"msg": text, "time": time})


@given(st.lists(TEXTS, max_size=20), st.one_of(st.none(), st.integers(), st.text(max_size=30)))
def test_no_line_raises(texts: list[str], time: object) -> None:
    made, rows, _ = transcript()
    for text in texts:
        made.line(text)
        made.line(entry(text))
        made.line(entry(text, time))
        made.line(entry(f"[   1:   2] sh X {text}"))
        made.line(entry(f"[   1:   2] sh E {text}"))
    made.finish()
    rows.take()


@given(st.sampled_from(sorted(log.SHAPES)), st.lists(TEXTS, max_size=6))
def test_no_arguments_raise(name: str, args: list[str]) -> None:
    made, rows, _ = transcript()
    made.line(entry(f"[   1:   2] sh X {name}({', '.join(args)}) = 0 (0x0) (1µs)"))
    made.finish()
    rows.take()


@given(st.lists(st.binary(max_size=100), max_size=20), st.integers(0, 40), st.integers(0, 0xFFFFFFFF))
def test_no_packet_raises(packets: list[bytes], kind: int, dropped: int) -> None:
    made, rows, _ = transcript()
    for data in packets:
        made.packet(data)
        made.packet(struct.pack("<HHI", 8, kind, dropped) + data)
    made.finish()
    rows.take()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_a_name_comes_through_or_is_refused(name: str) -> None:
    assume("/" not in name)
    said = log.said(f"[   1:   1] sh X rename(0x7f01 {name}, 0x7f02 b) = 0 (0x0) (1µs)")
    assert said is not None
    try:
        call = log.call(said)
    except ValueError:
        # Only where the name itself has what stands between two arguments.
        assert ", 0x" in name
    else:
        assert (call.args.name(0), call.args.name(1)) == (name.encode(), b"b")


@given(st.binary(max_size=60))
def test_quoted_strings(raw: bytes) -> None:
    simple = {7: "a", 8: "b", 12: "f", 10: "n", 13: "r", 9: "t", 11: "v", 34: '"', 92: "\\"}
    quoted = "".join(
        "\\" + simple[byte] if byte in simple else chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw
    )
    assert log.unquote(quoted) == raw


def test_times() -> None:
    assert [found.time_ns for found in log.entries(entry("x", "1970-01-01T00:01:00.000000001Z")) if found] == [
        60_000_000_001
    ]
    assert [found.time_ns for found in log.entries(entry("x", "1970-01-01T01:00:01+01:00")) if found] == [1_000_000_000]
    assert list(log.entries(entry("x", "yesterday"))) == [None]


def test_negative_numbers_on_the_wire() -> None:
    # Field 2 (exit status) as a 64-bit varint of -1.
    data = struct.pack("<HHI", 8, 5, 0) + b"\x10" + b"\xff" * 9 + b"\x01"
    event = wire.packet(data).event
    assert isinstance(event, wire.TaskExit)
    assert event.status == 0xFFFF


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message, short ones only."""
    if isinstance(value, bytes):
        return bytes([number << 3 | 2, len(value)]) + value
    return bytes([number << 3]) + bytes([value & 0x7F | 0x80 * (value > 0x7F)]) + (b"\x01" if value > 0x7F else b"")


def packet(kind: int, time_ns: int, tid: int, *fields: tuple[int, int | bytes]) -> bytes:
    context = field(1, time_ns) + field(2, tid) + field(4, 2)
    body = field(1, context) + b"".join(field(*one) for one in fields)
    return struct.pack("<HHI", 8, kind, 0) + body


def test_a_thread_that_goes_on_under_the_first_ones_number_keeps_what_it_opened() -> None:
    made, rows, loss = transcript()
    # The first thread ends as another one runs a program, and that one's open is told on the sink at once.
    made.packet(packet(1, 1, 1, (3, b"/"), (4, b"/a")))
    made.packet(packet(5, 2, 2, (2, 0)))
    made.packet(packet(7, 3, 2, (6, b"/mark")))
    # 1970-01-01 and three nanoseconds.
    said = "[   2:   2] sh X open(0x1 /mark, O_RDONLY, 0o0) = 3 (0x3) (1µs)"
    made.line(entry(said, "1970-01-01T00:00:00.000000003Z"))
    made.finish()
    opened = [row for row in rows.take().to_pylist() if row["op"] == "open_read"]
    assert [(row["path"], row["path2"], row["source"]) for row in opened] == [("/mark", None, "gvisor/memory")]
    assert not loss.events


def test_a_text_that_looks_like_many_arguments_is_refused_at_once() -> None:
    much = "0x1 " + ", 0x3 /a, 0x1 b, 0x1 /c" * 10_000
    for name in ("mount", "renameat2", "execveat", "symlinkat"):
        made, _, loss = transcript()
        kinds = {"P": much, "F": f"0x3 /{much}", "N": "0x0", "V": '0x1 ["a"]'}
        arguments = ", ".join(kinds[kind] for kind in log.SHAPES[name])
        made.line(entry(f"[   1:   1] sh X {name}({arguments}) = 0 (0x0) (1µs)"))
        made.finish()
        assert any("too many ways" in reason for reason in loss.reasons), name
