"""Which folder a name like /proc/self/fd/5/made stands for, by what the sentry says of calls before and beside it."""

import json
import struct

import pytest

from affidavit.recorder.gvisor.transcript import Transcript
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Loss

OPEN = "openat(AT_FDCWD /w, 0x1 {}, O_RDONLY, 0o0)"
USE = "mkdir(0x1 /proc/self/fd/5/made, 0o700)"
CLONE_FILES, CLONE_THREAD, CLONE_VM = 0x400, 0x10000, 0x100
THREAD = CLONE_FILES | CLONE_THREAD | CLONE_VM


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


class Sandbox:
    """A sandbox in which things happen one after the other, a nanosecond each. Process 1 works in /w."""

    def __init__(self) -> None:
        self.rows, self.loss = Rows(), Loss()
        self.transcript = Transcript(self.rows, self.loss, PathResolver(None), lambda time_ns: time_ns)
        self.now = 0
        self.packet(1, 1, 1, field(3, b"/w"), field(4, b"/a"))

    def packet(self, kind: int, pid: int, tid: int, *fields: bytes) -> None:
        self.now += 1
        context = field(1, self.now) + field(2, tid) + field(4, pid)
        body = struct.pack("<HHI", 8, kind, 0) + field(1, context) + b"".join(fields)
        self.transcript.packet(body)

    def clone(self, flags: int, child: int, pid: int = 1, tid: int = 1) -> None:
        child_pid = pid if flags & CLONE_THREAD else child
        self.packet(2, pid, tid, field(3, child), field(4, child_pid), field(6, flags))

    def line(self, verb: str, text: str, tid: int, pid: int) -> None:
        self.now += 1
        said = {"msg": f"[{pid:4}:{tid:4}] a {verb} {text}", "time": f"1970-01-01T00:00:00.{self.now:09}Z"}
        self.transcript.line(json.dumps(said))

    def begin(self, text: str, tid: int = 1, pid: int = 1) -> None:
        self.line("E", text, tid, pid)

    def end(self, text: str, ret: int = 0, tid: int = 1, pid: int = 1) -> None:
        if text.startswith("openat"):
            name = text.split("0x1 ")[1].split(",")[0]
            self.packet(7, pid, tid, field(6, name.encode()))
        self.line("X", f"{text} = {ret} ({ret:#x}) (1µs)", tid, pid)

    def do(self, text: str, ret: int = 0, tid: int = 1, pid: int = 1) -> None:
        self.begin(text, tid, pid)
        self.end(text, ret, tid, pid)

    def open(self, name: str, ret: int = 5, tid: int = 1, pid: int = 1) -> None:
        self.do(OPEN.format(name), ret, tid, pid)

    def made(self) -> list[str]:
        """Where folders "made" were made, and whether the record is complete, at the end."""
        self.transcript.finish()
        found = [row["path"] for row in self.rows.take().to_pylist() if row["op"] == "mkdir"]
        return [*found, *(["incomplete"] if self.loss.reasons else [])]


UNKNOWN = ["/proc/self/fd/5/made", "incomplete"]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def test_the_folder_that_was_opened(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.do(USE)
    assert sandbox.made() == ["/w/one/made"]


@pytest.mark.parametrize("replacing", ["dup2(0x6 /w/other, 0x5 /w/one)", "dup3(0x6 /w/other, 0x5 /w/one, 0x0)"])
def test_a_copy_in_its_place(sandbox: Sandbox, replacing: str) -> None:
    sandbox.open("one")
    sandbox.open("other", 6)
    sandbox.do(replacing, 5)
    sandbox.do(USE)
    assert sandbox.made() == ["/w/other/made"]


@pytest.mark.parametrize("freeing", ["close(0x5 /w/one)", "close_range(0x3 (bad FD), 0xffffffff (bad FD), 0x0)"])
def test_a_number_that_was_freed_is_not_known(sandbox: Sandbox, freeing: str) -> None:
    sandbox.open("one")
    sandbox.do(freeing)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_a_copy_of_a_number_to_itself_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.do("dup2(0x5 /w/one, 0x5 /w/one)", 5)
    sandbox.do(USE)
    assert sandbox.made() == ["/w/one/made"]


@pytest.mark.parametrize("changing", ["close(0x5 /w/one)", "dup2(0x6 /w/other, 0x5 /w/one)"])
@pytest.mark.parametrize("over", [True, False], ids=["that has ended", "that goes on"])
def test_a_change_during_the_use(sandbox: Sandbox, changing: str, over: bool) -> None:
    sandbox.clone(THREAD, 2)
    sandbox.open("one")
    sandbox.open("other", 6)
    sandbox.begin(USE)
    sandbox.begin(changing, 2)
    if over:
        sandbox.end(changing, 5, 2)
    sandbox.end(USE)
    assert sandbox.made() == UNKNOWN


def test_a_use_that_began_before_the_opens_end(sandbox: Sandbox) -> None:
    sandbox.clone(THREAD, 2)
    sandbox.begin(USE, 2)
    sandbox.open("one")
    sandbox.end(USE, tid=2)
    assert sandbox.made() == UNKNOWN


@pytest.mark.parametrize("first", [True, False], ids=["begun before it", "begun after it"])
@pytest.mark.parametrize("over", [True, False], ids=["ended before it", "ended after it"])
def test_a_number_freed_during_the_open(sandbox: Sandbox, first: bool, over: bool) -> None:
    """The open's number may have been freed and given to something else before the open's end is told."""
    sandbox.clone(THREAD, 2)
    if first:
        sandbox.begin("close(0x5 (bad FD))", 2)
    sandbox.begin(OPEN.format("one"))
    if not first:
        sandbox.begin("close(0x5 (bad FD))", 2)
    if over:
        sandbox.end("close(0x5 (bad FD))", 0, 2)
    sandbox.end(OPEN.format("one"), 5)
    if not over:
        sandbox.end("close(0x5 (bad FD))", 0, 2)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


@pytest.mark.parametrize(
    "changing", ["rename(0x1 one, 0x2 two)", "rename(0x1 two, 0x2 one)", "rename(0x1 /w, 0x2 /v)", "rmdir(0x1 one)"]
)
@pytest.mark.parametrize("over", [True, False], ids=["ended before it", "ended after it"])
def test_a_name_changed_during_the_open(sandbox: Sandbox, changing: str, over: bool) -> None:
    sandbox.clone(THREAD, 2)
    sandbox.begin(changing, 2)
    sandbox.begin(OPEN.format("one"))
    if over:
        sandbox.end(changing, 0, 2)
    sandbox.end(OPEN.format("one"), 5)
    if not over:
        sandbox.end(changing, 0, 2)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_another_name_changed_during_the_open(sandbox: Sandbox) -> None:
    sandbox.clone(THREAD, 2)
    sandbox.begin("rename(0x1 three, 0x2 four)", 2)
    sandbox.open("one")
    sandbox.end("rename(0x1 three, 0x2 four)", 0, 2)
    sandbox.do(USE)
    assert sandbox.made() == ["/w/one/made"]


def test_a_folder_that_was_moved(sandbox: Sandbox) -> None:
    sandbox.open("one/inner")
    sandbox.do("rename(0x1 one, 0x2 two)")
    sandbox.do(USE)
    assert sandbox.made() == ["/w/two/inner/made"]


def test_two_folders_that_changed_places(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.do("renameat2(AT_FDCWD /w, 0x1 one, 0xffffff9c, 0x2 two, 0x2)")
    sandbox.do(USE)
    assert sandbox.made() == ["/w/two/made"]


@pytest.mark.parametrize("removing", ["rmdir(0x1 one)", "rename(0x1 two, 0x2 one)"])
def test_a_folder_that_is_gone(sandbox: Sandbox, removing: str) -> None:
    sandbox.open("one")
    sandbox.do(removing)
    sandbox.do("mkdir(0x1 /proc/self/fd/5/../made, 0o700)")
    assert "incomplete" in sandbox.made()


def test_a_rename_that_its_caller_was_killed_in(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.begin("clone(0x11, 0x0, 0x0, 0x0, 0x0)")
    sandbox.clone(0, 2)
    sandbox.end("clone(0x11, 0x0, 0x0, 0x0, 0x0)", 2)
    sandbox.begin("rename(0x1 one, 0x2 two)", 2, 2)
    sandbox.packet(5, 2, 2, field(2, 9))
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_a_fork_has_a_copy(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.open("other", 6)
    sandbox.begin("clone(0x11, 0x0, 0x0, 0x0, 0x0)")
    sandbox.clone(0, 2)
    sandbox.end("clone(0x11, 0x0, 0x0, 0x0, 0x0)", 2)
    sandbox.do("dup2(0x6 /w/other, 0x5 /w/one)", 5)
    sandbox.do(USE, 0, 2, 2)
    sandbox.do(USE)
    assert sandbox.made() == ["/w/one/made", "/w/other/made"]


def test_a_fork_has_no_copy_of_what_came_meanwhile(sandbox: Sandbox) -> None:
    sandbox.clone(THREAD, 2)
    sandbox.begin("clone(0x11, 0x0, 0x0, 0x0, 0x0)")
    sandbox.open("one", tid=2)
    sandbox.clone(0, 3)
    sandbox.end("clone(0x11, 0x0, 0x0, 0x0, 0x0)", 3)
    sandbox.do(USE, 0, 3, 3)
    assert sandbox.made() == UNKNOWN


def test_processes_may_share_a_table(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.begin("clone(0x411, 0x0, 0x0, 0x0, 0x0)")
    sandbox.clone(CLONE_FILES, 2)
    sandbox.end("clone(0x411, 0x0, 0x0, 0x0, 0x0)", 2)
    sandbox.do("close(0x5 /w/one)", 0, 2, 2)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_what_was_open_before_an_execve_is_not_known(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.do('execve(0x1 /b, 0x2 ["b"], 0x3 [])')
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_a_table_that_may_be_one_of_two_is_not_known(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.do("unshare(CLONE_FILES)", -1)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_self_is_the_first_task_and_thread_self_the_caller(sandbox: Sandbox) -> None:
    sandbox.open("one")
    sandbox.begin("clone(0x10100, 0x0, 0x0, 0x0, 0x0)")
    sandbox.clone(CLONE_THREAD | CLONE_VM, 2)
    sandbox.end("clone(0x10100, 0x0, 0x0, 0x0, 0x0)", 2)
    sandbox.do("mkdir(0x1 /proc/thread-self/fd/5/made, 0o700)", tid=2)
    sandbox.do(USE, tid=2)
    assert sandbox.made() == ["/w/one/made", *UNKNOWN]


def test_a_symlink_itself_is_no_folder(sandbox: Sandbox) -> None:
    text = "openat(AT_FDCWD /w, 0x1 link, O_PATH|O_NOFOLLOW, 0o0)"
    sandbox.do(text, 5)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN


def test_more_descriptors_than_are_remembered(sandbox: Sandbox) -> None:
    sandbox.open("one")
    for number in range(6, 6 + 1024):
        sandbox.open("other", number)
    sandbox.do(USE)
    assert sandbox.made() == UNKNOWN
