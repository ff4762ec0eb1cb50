"""What strace prints, as values: nothing that it prints may raise."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.ptrace import lines
from affidavit.recorder.ptrace.transcript import TRACED, Transcript
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Loss


def hexed(raw: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in raw)


WORDS = st.sampled_from(
    [
        *("1 ", "23  ", "1700000000.123456789 ", "(", ")", " = ", "?", "0", "-1", " ENOENT", " (No such file)", ", "),
        *(
            "<unfinished ...>",
            "<... ",
            " resumed>",
            "+++ ",
            "exited with ",
            "killed by SIGKILL",
            "superseded by execve",
        ),
        *(
            '"',
            "\\x2f",
            "[",
            "]",
            "{",
            "}",
            "<",
            ">",
            "...",
            "NULL",
            "0x80000",
            "-100<\\x2f>",
            "sa_family=0x1",
            "flags=",
        ),
        *("@", "=", "|", " <pid changed to 1 ...>", "= -1 (errno 99)", "syscall_0x1c4", "\n", "é", *TRACED),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map("".join))


@given(st.lists(TEXTS, max_size=20))
def test_no_text_raises(texts: list[str]) -> None:
    loss, rows = Loss(), Rows()
    transcript = Transcript(rows, loss, 1, PathResolver(None), lambda time_ns: time_ns)
    for text in texts:
        transcript.feed(text)
        transcript.feed(f"1 1700000000.000000000 {text}")
        transcript.feed(f"1 1700000000.000000000 execve({text}) = 0")
    transcript.finish()
    rows.take()
    assert loss.reasons


@given(
    st.sampled_from(TRACED), st.lists(TEXTS, max_size=6), st.sampled_from(["0", "3<\\x2f\\x61>", "-1 EPERM (x)", "?"])
)
def test_no_arguments_raise(name: str, args: list[str], result: str) -> None:
    loss, rows = Loss(), Rows()
    transcript = Transcript(rows, loss, 1, PathResolver(None), lambda time_ns: time_ns)
    transcript.feed('1 1.000000001 execve("\\x2f\\x61", ["\\x61"], 0x1 /* 2 vars */) = 0')
    transcript.feed(f"1 1.000000002 {name}({', '.join(args)}) = {result}")
    transcript.finish()
    rows.take()


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(-100, 100))
def test_any_name_comes_through(name: bytes, folder: bytes, number: int) -> None:
    text = f'7 1.000000001 openat({number}<{hexed(folder)}>, "{hexed(name)}", 0x80000) = 3<{hexed(name)}>(deleted)'
    line = lines.parse(text)
    assert line is not None
    call = line.body
    assert isinstance(call, lines.Call)
    assert call.args.fd(0) == (number, folder)
    assert call.args.name(1) == name
    assert (call.args.number(2), call.ret, call.fd) == (0x80000, 3, name)


def test_a_call_in_two_parts() -> None:
    begun = lines.parse('7 1.000000001 connect(3<\\x61>, {sa_family=0x2, sin_port="\\x00\\x50", <unfinished ...>')
    resumed = lines.parse('7 1.000000001 <... connect resumed>sin_addr="\\x7f\\x00\\x00\\x01"}, 16) = -1 EINTR (x)')
    assert begun is not None
    assert resumed is not None
    assert isinstance(begun.body, lines.Begun)
    assert isinstance(resumed.body, lines.Resumed)
    call = lines.join(begun.body, resumed.body)
    assert call is not None
    address = call.args.address(1)
    assert address is not None
    assert (address.addr, address.port, call.ret) == ("127.0.0.1", 80, -4)


def test_ends() -> None:
    ends = {
        "+++ exited with 3 +++": (3, 0),
        "+++ killed by SIGSEGV (core dumped) +++": (0, 11),
        "+++ killed by SIGRT_2 +++": (0, 34),
    }
    for text, (code, signal) in ends.items():
        line = lines.parse(f"9 1.000000001 {text}")
        assert line is not None
        assert line.body == lines.Ended(code, signal)


def test_a_thread_that_runs_exec_while_others_print() -> None:
    rows, loss = Rows(), Loss()
    transcript = Transcript(rows, loss, 1, PathResolver(None), lambda time_ns: time_ns)
    for text in (
        '1 1.000000001 execve("\\x2f\\x61", ["\\x61"], 0x1 /* 2 vars */) = 0',
        "1 1.000000002 clone(child_stack=0x1, flags=0x10000) = 2",
        "2 1.000000003 set_robust_list(0x1, 24) = 0",
        '2 1.000000004 execve("\\x2f\\x62", ["\\x62"], 0x1 /* 2 vars */ <unfinished ...>',
        "1 1.000000005 +++ superseded by execve in pid 2 +++",
        "1 1.000000006 <... execve resumed>) = -1 (errno 18446744073709551359)",
        "1 1.000000007 +++ exited with 0 +++",
    ):
        transcript.feed(text)
    transcript.finish()
    assert [(row["op"], row["path"], row["tid"]) for row in rows.take().to_pylist()] == [
        ("exec", "/a", 1),
        ("exec", "/b", 1),
        ("exit", None, 1),
    ]
    assert not loss.reasons


def test_calls_of_the_killed() -> None:
    for text in ('unlink("\\x61") = ?', 'unlink("\\x61") = ? <unavailable>'):
        line = lines.parse(f"9 1.000000001 {text}")
        assert line is not None
        assert isinstance(line.body, lines.Call)
        assert (line.body.args.name(0), line.body.ret) == (b"a", None)
    line = lines.parse('9 1.000000001 unlink("\\x61" <detached ...>')
    assert line is not None
    assert line.body == lines.Begun("unlink", '"\\x61"', None)


@pytest.mark.parametrize(
    "text",
    [
        "???( <unfinished ...>",
        "<... ??? resumed>) = ?",
        "???() = ?",
        "????( <detached ...>",
        "????() = ? <unavailable>",
    ],
)
def test_a_call_that_a_kill_forestalled_says_nothing(text: str) -> None:
    line = lines.parse(f"16280 1795251163.729169782 {text}")
    assert line is not None
    assert line.body == lines.Noise()
    assert lines.parse("1 1.000000001 ???() = 3") is None


def test_the_end_of_a_process_comes_after_its_forks() -> None:
    rows, loss = Rows(), Loss()
    transcript = Transcript(rows, loss, 1, PathResolver(None), lambda time_ns: time_ns)
    for text in (
        '1 1.000000001 execve("\\x2f\\x61", ["\\x61"], 0x1 /* 2 vars */) = 0',
        "1 1.000000002 fork() = 2",
        "4000001 1.000000003 set_robust_list(0x1, 24) = 0",
        "4000001 1.000000004 fork() = 3",
        "4000001 1.000000005 +++ exited with 7 +++",
        "4000002 1.000000006 set_robust_list(0x1, 24) = 0",
        "4000002 1.000000007 +++ exited with 0 +++",
        "1 1.000000008 +++ exited with 0 +++",
    ):
        transcript.feed(text)
    transcript.finish()
    assert [(row["op"], row["pid"], row["ret"]) for row in rows.take().to_pylist()] == [
        ("exec", 1, 0),
        ("fork", 1, 4000001),
        ("fork", 4000001, 4000002),
        ("exit", 4000001, 7),
        ("exit", 4000002, 0),
        ("exit", 1, 0),
    ]
    assert not loss.reasons


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[PathResolver]:
    """PathResolver in a sandbox whose processes are all gone."""
    names = PathResolver(os.open(tmp_path, os.O_PATH))
    yield names
    names.close()


def test_tasks_that_waited_go_to_those_that_made_them(monkeypatch: pytest.MonkeyPatch, gone: PathResolver) -> None:
    monkeypatch.setattr("affidavit.recorder.ptrace.transcript._LOOK_S", -1)
    rows, loss = Rows(), Loss()
    transcript = Transcript(rows, loss, 1, gone, lambda time_ns: time_ns)
    for text in (
        '1 1.000000001 execve("\\x2f\\x61", ["\\x61"], 0x1 /* 2 vars */) = 0',
        "1 1.000000002 fork() = 2",
        "1 1.000000003 fork() = 3",
        "4000001 1.000000004 fork() = 4",
        "4000001 1.000000005 fork() = 5",
        "4000001 1.000000006 +++ exited with 0 +++",
        "4000003 1.000000007 +++ exited with 0 +++",
        "4000004 1.000000008 +++ exited with 0 +++",
        "4000002 1.000000009 +++ exited with 0 +++",
        "1 1.000000010 +++ exited with 0 +++",
    ):
        transcript.feed(text)
    transcript.finish()
    forks = [(row["pid"], row["ret"]) for row in rows.take().to_pylist() if row["op"] == "fork"]
    assert sorted(forks) == [(1, 4000001), (1, 4000002), (4000001, 4000003), (4000001, 4000004)]
    assert not loss.reasons


def test_a_call_that_has_not_returned_is_given_no_task(monkeypatch: pytest.MonkeyPatch, gone: PathResolver) -> None:
    monkeypatch.setattr("affidavit.recorder.ptrace.transcript._HOLD_S", -1)
    monkeypatch.setattr("affidavit.recorder.ptrace.transcript._LOOK_S", -1)
    rows, loss = Rows(), Loss()
    transcript = Transcript(rows, loss, 1, gone, lambda time_ns: time_ns)
    for text in (
        '1 1.000000001 execve("\\x2f\\x61", ["\\x61"], 0x1 /* 2 vars */) = 0',
        "1 1.000000002 fork() = 2",
        "4000001 1.000000003 set_robust_list(0x1, 24) = 0",
        "1 1.000000004 fork( <unfinished ...>",
        "4000001 1.000000005 fork( <unfinished ...>",
        "4000002 1.000000006 +++ exited with 0 +++",
        "1 1.000000007 <... fork resumed>) = ? ERESTARTNOINTR (To be restarted)",
        "4000001 1.000000008 <... fork resumed>) = 3",
        "1 1.000000009 fork() = 4",
        "4000003 1.000000010 +++ exited with 0 +++",
        "4000001 1.000000011 +++ exited with 0 +++",
        "1 1.000000012 +++ exited with 0 +++",
    ):
        transcript.feed(text)
    transcript.finish()
    forks = [(row["pid"], row["ret"]) for row in rows.take().to_pylist() if row["op"] == "fork" and row["ret"] > 0]
    assert sorted(forks) == [(1, 4000001), (1, 4000003), (4000001, 4000002)]
    assert not loss.reasons
