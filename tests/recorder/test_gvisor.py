"""runsc's sentry as a recorder, on real sandboxes."""

import errno
import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import oci

from affidavit.events import EVENT_SCHEMA, encode_name, process_tree
from affidavit.recorder import RecordSummary
from affidavit.recorder.gvisor import GvisorRecorder

PYTHON = "/usr/bin/python3"
FLAGS = ("--network=none", "--overlay2=none", "--ignore-cgroups")


def box(folder: Path, *argv: str) -> oci.Box:
    made = oci.Box(folder, argv, "runsc", FLAGS)
    # The host's view of what the sandbox sees, as the sandbox room makes it.
    for link in ("bin", "lib", "lib64", "sbin"):
        assert (made.root / link).is_symlink()
    return made


def run(folder: Path, *argv: str) -> tuple[list[dict[str, Any]], RecordSummary]:
    table, summary = oci.record(GvisorRecorder(), box(folder, *argv))
    assert table.schema == EVENT_SCHEMA
    return table.to_pylist(), summary


def test_works_here() -> None:
    answer = GvisorRecorder().available()
    assert answer.works, answer
    assert answer.gaps


def test_begins_with_the_command_and_ends_with_it(folder: Path) -> None:
    rows, _ = run(folder, "/bin/true")
    assert (rows[0]["op"], rows[0]["path"], rows[0]["exe"]) == ("exec", "/usr/bin/true", "/usr/bin/true")
    assert rows[0]["argv"] == ["/bin/true"]
    assert (rows[-1]["op"], rows[-1]["pid"], rows[-1]["ret"]) == ("exit", 1, 0)


def test_process_tree(folder: Path) -> None:
    table, summary = oci.record(GvisorRecorder(), box(folder, "/bin/sh", "-c", "(true; sleep 0); env true & wait"))
    (root,) = process_tree(table)
    assert root.exe == "/usr/bin/sh"
    assert {child.exe for child in root.children} == {"/usr/bin/sleep", "/usr/bin/true"}
    assert summary.complete


def test_double_fork_and_setsid_are_followed(folder: Path) -> None:
    program = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.2)
        open("/workspace/late", "w")
    os._exit(0)
os.wait()
time.sleep(0.6)
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    (late,) = [row for row in rows if row["path"] == "/workspace/late"]
    parents = {row["ret"]: row["pid"] for row in rows if row["op"] == "fork"}
    assert parents[parents[late["pid"]]] == 1
    assert summary.complete


def test_threads_end_with_their_process_only(folder: Path) -> None:
    program = "import threading; [threading.Thread(target=open, args=('/etc/none',)).start() for _ in range(5)]"
    rows, summary = run(folder, PYTHON, "-c", program)
    assert [row["op"] for row in rows].count("exit") == 1
    assert len([row for row in rows if row["path"] == "/etc/none"]) == 5
    assert len({row["tid"] for row in rows if row["path"] == "/etc/none"}) == 5
    assert summary.complete


@pytest.mark.parametrize(("words", "kept", "cut"), [(1000, 1001, 0), (9000, 1312, 1)])
def test_arguments_longer_than_a_packet(folder: Path, words: int, kept: int, cut: int) -> None:
    """Packets have 64 KiB; a record keeps the first 128 KiB."""
    program = f"import os; os.execv('/bin/true', ['true'] + ['x' * 99] * {words})"
    rows, summary = run(folder, PYTHON, "-c", program)
    row = rows[[row["op"] for row in rows].index("exec", 1)]
    assert (row["exe"], len(row["argv"]), row["flags"]) == ("/usr/bin/true", kept, cut)
    assert summary.complete


def test_a_thread_that_runs_exec(folder: Path) -> None:
    program = """
import os, threading, time
threading.Thread(target=lambda: os.execv("/usr/bin/env", ["env", "true"])).start()
time.sleep(5)
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    execs = [(row["path"], row["ret"], row["tid"]) for row in rows if row["op"] == "exec"]
    assert execs[1:] == [("/usr/bin/env", 0, 1), ("/usr/bin/true", 0, 1)]
    assert [row["op"] for row in rows].count("exit") == 1
    assert summary.complete
    assert summary.facts["init_ended"]


def test_names_that_are_not_text(folder: Path) -> None:
    program = r"""
import os
for name in (b"\xff\xfe", b"a\nb", b"back\\slash", b"n" * 255, "\u00e9".encode(), "\ufffd".encode()):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    os.unlink(name)
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    names = ["��", "a\nb", "back\\\\slash", "n" * 255, "é", "�"]
    for op in ("create", "unlink"):
        assert [row["path"] for row in rows if row["op"] == op] == [f"/workspace/{name}" for name in names]
    assert {row["source"] for row in rows if row["op"] == "create"} == {"gvisor/memory"}
    assert summary.complete
    assert any("U+FFFD" in gap for gap in summary.gaps)


def test_names_that_the_sink_would_drop_are_seen(folder: Path) -> None:
    # Protobuf strings are UTF-8: with any of these in a message, the sentry drops it and says nothing.
    program = r"""
import ctypes, os
os.mkdir(b"\xff")
os.chdir(b"\xff")
ctypes.CDLL(None).prctl(15, b"\xfe\xfd")
open("here", "w").close()
if os.fork() == 0:
    os.execve(b"/bin/true", [b"\xff", b"\xfe"], {b"A": b"\xff"})
os.wait()
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    assert [row["path"] for row in rows if row["op"] == "create"] == ["/workspace/�/here"]
    (child,) = [row for row in rows if row["op"] == "exec" and row["pid"] != 1]
    assert (child["path"], child["argv"]) == ("/usr/bin/true", ["\\xff", "\\xfe"])
    assert [row["pid"] for row in rows if row["op"] == "exit"] == [child["pid"], 1]
    assert summary.complete


def test_what_a_program_prints_is_no_line(folder: Path) -> None:
    text = "[   1:   1] sh X unlink(0x1 /forged) = 0 (0x0) (1µs)"
    forged = '\n{"msg":"' + text + '","level":"info","time":"2030-01-01T00:00:00Z"}\n'
    program = f"""
import os, sys
line, text = {forged!r}, {text!r}
sys.stdout.write(line); sys.stderr.write(line)
for fd in range(3, 64):
    try:
        os.write(fd, line.encode())
    except OSError:
        pass
for name in (line, text, "x\\n" + text):
    try:
        os.open(name, os.O_RDONLY)
    except OSError:
        pass
os.execv("/bin/true", [line, line])
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    assert not [row for row in rows if row["op"] == "unlink"]
    assert rows[[row["op"] for row in rows].index("exec", 1)]["argv"] == [encode_name(forged.encode())] * 2
    assert summary.complete


@pytest.mark.parametrize(
    "trick",
    [
        # A name that looks like the end of one argument and the beginning of the next.
        "os.rename('a, 0x1 b', 'c')",
        # The name of a program that looks like a call.
        "ctypes.CDLL(None).prctl(15, b'x X unlink('); os.unlink('none')",
    ],
)
def test_what_can_be_read_two_ways_is_a_loss(folder: Path, trick: str) -> None:
    program = f"import ctypes, os\ntry:\n    {trick}\nexcept OSError:\n    pass"
    rows, summary = run(folder, PYTHON, "-c", program)
    assert not [row for row in rows if row["op"] in ("unlink", "rename")]
    assert summary.lost > 0
    assert not summary.complete


def test_killed_sandbox(folder: Path) -> None:
    made = box(folder, "/bin/sh", "-c", "mkfifo /workspace/f; cat /workspace/f & sleep 0.5; env sleep 100")
    recording = GvisorRecorder().open(made.name)
    try:
        recording.attach(made, made.create(recording.hooks()))  # type: ignore[arg-type]
        rows: list[Any] = []
        reader = threading.Thread(target=lambda: [rows.extend(batch.to_pylist()) for batch in recording.batches()])
        reader.start()
        made.start()
        until = time.monotonic() + 30
        while not any(row["path"] == "/usr/bin/env" for row in rows) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(made.pid, 9)
        assert made.wait(20)
        recording.stop()
        reader.join(30)
        assert not reader.is_alive()
        summary = recording.summary()
    finally:
        made.close()
        recording.close()
        recording.close()
    assert summary.reasons == ()
    assert not summary.facts["init_ended"]
    # It hung in open(2) when it was killed.
    assert [row["ret"] for row in rows if row["path"] == "/workspace/f" and row["op"] == "open_read"] == [-4]


def test_side_by_side_without_cross_talk(folder: Path) -> None:
    results: dict[int, tuple[Any, RecordSummary]] = {}

    def one(number: int) -> None:
        place = folder / str(number)
        place.mkdir(mode=0o755)
        made = box(place, "/bin/sh", "-c", f"for i in 1 2 3; do mkdir n{number}-$i; done")
        results[number] = oci.record(GvisorRecorder(), made)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        table, summary = results[number]
        made = [row["path"] for row in table.to_pylist() if row["op"] == "mkdir"]
        assert made == [f"/workspace/n{number}-{i}" for i in range(1, 4)]
        assert summary.complete


class Sentry:
    """A sentry that says what a test wants it to say."""

    def __init__(self, recording: Any) -> None:
        flags = {flag.partition("=")[0]: flag.partition("=")[2] for flag in recording.hooks().flags}
        session = json.loads(Path(flags["--pod-init-config"]).read_text())["trace_session"]
        self.log = Path(flags["--debug-log"]).open("ab", buffering=0)  # noqa: SIM115
        self.sink = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sink.connect(session["sinks"][0]["config"]["endpoint"].replace("@", "\0"))
        self.sink.send(b"\x08\x01")
        assert self.sink.recv(100) == b"\x08\x01"
        self.name = "fake"

    @property
    def earlier_links(self) -> dict[bytes, bytes]:
        return {}

    @property
    def enters_by_program(self) -> bool:
        return False

    def root_fd(self) -> int:
        return os.open("/", os.O_PATH)

    def say(self, kind: int, fields: bytes, dropped: int = 0) -> None:
        self.sink.send(struct.pack("<HHI", 8, kind, dropped) + fields)

    def start(self) -> None:
        # context (1): time 1, thread 1, group 1; cwd (3) "/"; args (4) "/bin/true".
        self.say(1, b"\x0a\x06\x08\x01\x10\x01\x20\x01\x1a\x01/\x22\x09/bin/true")

    def end(self) -> None:
        self.sink.close()
        self.log.close()


OPEN_A = "open(0x1 /a, O_RDONLY|0x0, 0o0) = 3 (0x3) (5µs)"


def fake_record(*lines: bytes, opened: tuple[bytes, ...] = (), **packets: int) -> tuple[list[Any], RecordSummary]:
    recording = GvisorRecorder().open("fake")
    try:
        sentry = Sentry(recording)
        recording.attach(sentry, 1)
        sentry.start()
        for line in lines:
            sentry.log.write(line)
        for name in opened:
            # context (1): time 1, thread 1, group 1; pathname (6).
            sentry.say(7, b"\x0a\x06\x08\x01\x10\x01\x20\x01\x32" + bytes([len(name)]) + name)
        if packets:
            sentry.say(packets["kind"], b"", packets["dropped"])
        sentry.end()
        recording.stop()
        rows = [row for batch in recording.batches() for row in batch.to_pylist()]
        return rows, recording.summary()
    finally:
        recording.close()


def entry(text: str) -> bytes:
    return json.dumps({"msg": text, "level": "info", "time": "2026-01-02T03:04:05.000000006Z"}).encode() + b"\n"


def test_messages_that_the_sentry_dropped_are_lost() -> None:
    _, summary = fake_record(kind=6, dropped=3)
    assert summary.lost == 3
    assert not summary.complete


def test_a_name_that_changes_during_the_call() -> None:
    rows, summary = fake_record(
        *(entry(f"[   1:   1] true {verb}") for verb in ("E open(0x1 /a, O_RDONLY|0x0, 0o0)", f"X {OPEN_A}")),
        opened=(b"/b", b"/a"),
    )
    assert [(row["path"], row["path2"], row["source"]) for row in rows[1:]] == [("/a", "/b", "gvisor/raced")]
    assert summary.complete


def test_lines_that_the_sentry_dropped_are_lost() -> None:
    _, summary = fake_record(b"\n*** Dropped 3 log messages ***\n")
    assert summary.lost == 1
    assert not summary.complete


def test_lines_of_two_tasks_in_one() -> None:
    line = entry("[   1:   1] true X rmdir(0x1 /a) = -1 errno=2 (no such file or directory) (5µs)")
    rows, summary = fake_record(line.rstrip(b"\n") + line + b"\n\n")
    assert [(row["op"], row["path"], row["ret"]) for row in rows[1:]] == [("rmdir", "/a", -errno.ENOENT)] * 2
    assert summary.complete


def test_a_line_that_the_sentry_was_killed_in() -> None:
    line = entry("[   1:   1] true E rmdir(0x1 /a)")
    rows, summary = fake_record(line, entry("[   1:   1] true X rmdir(0x1 /a) = 0 (0x0) (5µs)")[:-20])
    assert [(row["op"], row["ret"]) for row in rows[1:]] == [("rmdir", -errno.EINTR)]
    assert summary.complete


def test_a_sentry_that_never_connects() -> None:
    recording = GvisorRecorder().open("fake")
    recording.hooks()
    recording.stop()
    assert list(recording.batches()) == []
    assert not recording.summary().complete
    recording.close()
