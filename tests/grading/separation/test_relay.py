"""What the host's relay does with a solution's sandbox that sends anything at all."""

import os
import struct
import threading
from collections.abc import Iterator

import pytest

from affidavit.grading import Relay
from affidavit.sandbox import Limits

OPEN, DATA, CLOSE, RESULT = 1, 2, 3, 4
HEAD = struct.Struct(">IBI")


def frame(session: int, kind: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(session, kind, len(payload)) + payload


def read(descriptor: int) -> tuple[int, int, bytes]:
    head = _exactly(descriptor, HEAD.size)
    session, kind, length = HEAD.unpack(head)
    return session, kind, _exactly(descriptor, length)


def _exactly(descriptor: int, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = os.read(descriptor, count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as one:
        yield one


def test_frames_pass_both_ways(relay: Relay) -> None:
    os.write(relay.tests.stdout, frame(1, OPEN, b"{}") + frame(1, DATA, b"ask"))
    assert [read(relay.solution.stdin), read(relay.solution.stdin)] == [(1, OPEN, b"{}"), (1, DATA, b"ask")]
    os.write(relay.solution.stdout, frame(1, DATA, b"answer") + frame(1, CLOSE))
    assert [read(relay.tests.stdin), read(relay.tests.stdin)] == [(1, DATA, b"answer"), (1, CLOSE, b"")]
    assert relay.broken is None


@pytest.mark.parametrize(
    "sent",
    [
        frame(1, OPEN, b"{}"),
        frame(1, RESULT, b"passed"),
        frame(1, 9),
        frame(1, CLOSE, b"why"),
        HEAD.pack(1, DATA, (1 << 20) + 1),
        HEAD.pack(1, DATA, 0xFFFFFFFF),
    ],
    ids=["open", "result", "unknown", "end-with-words", "too-long", "longest"],
)
def test_what_no_session_asked_for_ends_the_solutions_part(relay: Relay, sent: bytes) -> None:
    os.write(relay.tests.stdout, frame(1, OPEN, b"{}"))
    assert read(relay.solution.stdin) == (1, OPEN, b"{}")
    os.write(relay.solution.stdout, sent)
    assert read(relay.tests.stdin) == (1, CLOSE, b"")
    with pytest.raises(EOFError):
        read(relay.solution.stdin)
    # A session that comes later is closed at once; what the tests say is still heard.
    os.write(relay.tests.stdout, frame(2, OPEN, b"{}") + frame(0, RESULT, b"told"))
    assert read(relay.tests.stdin) == (2, CLOSE, b"")
    assert (relay.tests.said(), relay.broken is None) == (b"told", False)


def test_an_answer_to_a_session_that_was_never_opened_goes_nowhere(relay: Relay) -> None:
    os.write(relay.tests.stdout, frame(1, OPEN))
    read(relay.solution.stdin)
    os.write(relay.solution.stdout, frame(7, DATA, b"?") + frame(1, DATA, b"!"))
    assert read(relay.tests.stdin) == (1, DATA, b"!")


def test_what_is_kept_of_the_verifiers_output_is_bounded(relay: Relay) -> None:
    part = frame(0, RESULT, b"x" * (1 << 19))
    for _ in range(Limits.output_bytes // (1 << 19) + 3):
        os.write(relay.tests.stdout, part)
    assert relay.tests.said() == b"x" * Limits.output_bytes


def test_the_solutions_sandbox_hears_that_the_tests_have_ended(relay: Relay) -> None:
    relay.finish()
    with pytest.raises(EOFError):
        read(relay.solution.stdin)


def test_a_flood_to_a_slow_reader_waits(relay: Relay) -> None:
    """The relay holds a bounded amount for tests that don't read, and loses nothing."""
    os.write(relay.tests.stdout, frame(1, OPEN))
    read(relay.solution.stdin)
    total, part = 40, b"y" * (1 << 20)

    def flood() -> None:
        for _ in range(total):
            data = memoryview(frame(1, DATA, part))
            while data:
                data = data[os.write(relay.solution.stdout, data) :]

    sender = threading.Thread(target=flood)
    sender.start()
    assert [len(read(relay.tests.stdin)[2]) for _ in range(total)] == [len(part)] * total
    sender.join()
