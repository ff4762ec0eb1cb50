import errno
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import OPERATIONS, Contract, contract_of
from affidavit.events import EVENT_SCHEMA
from affidavit.policy import Judge, Violation, judge
from policy.remains import Change, Ended

Table = Callable[..., pa.Table]
Make = Callable[..., Contract]

CREAT = 0o101


def rules(violations: list[Violation]) -> list[str]:
    return [violation.rule for violation in violations]


def test_a_violation_names_rule_process_path_and_events(table: Table, contract: Make) -> None:
    events = table(
        {"op": "open_write", "path": "/workspace/a.py"},
        {"op": "open_write", "path": "/workspace/conftest.py", "pid": 812, "flags": CREAT},
        {"op": "chmod", "path": "/workspace/conftest.py", "pid": 812},
    )
    [violation] = judge(contract({"write": ["/workspace/**", "!**/conftest.py"]}), events)
    assert violation.rule == "files.write"
    assert violation.events == (1, 2)
    assert violation.count == 2
    assert violation.stage == "agent"
    assert violation.action == "flag"
    assert violation.message == (
        "python3.11 (pid 812) opened /workspace/conftest.py for writing, which the contract does not let it write"
    )


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ({"op": "open_read", "path": "/workspace/b/x"}, "files.read"),
        ({"op": "open_read", "path": "/workspace/b/x", "ret": -errno.EACCES}, "files.read"),
        ({"op": "open_write", "path": "/etc/passwd"}, "files.write"),
        ({"op": "open_write", "path": "/etc/passwd", "ret": -errno.EROFS}, "files.write"),
        ({"op": "create", "path": "/logs/verifier/reward.txt", "ret": -errno.ENOENT}, "files.write"),
        ({"op": "open_write", "path": "/logs/x", "ret": -errno.ENOENT, "flags": CREAT}, "files.write"),
        ({"op": "unlink", "path": "/usr/bin/python3"}, "files.write"),
        ({"op": "unlink", "path": "/usr/bin/python3", "ret": -errno.EROFS}, "files.write"),
        ({"op": "rename", "path": "/workspace/a/x", "path2": "/usr/bin/curl"}, "files.write"),
        ({"op": "rename", "path": "/usr/bin/curl", "path2": "/workspace/a/x"}, "files.write"),
        ({"op": "link", "path": "/usr/bin/curl", "path2": "/workspace/a/x"}, "files.write"),
        ({"op": "link", "path": "/workspace/a/x", "path2": "/usr/bin/curl"}, "files.write"),
        ({"op": "symlink", "path": "/usr/bin/curl", "path2": "/workspace/a/x"}, "files.write"),
        ({"op": "mkdir", "path": "/opt/x", "ret": -errno.EROFS}, "files.write"),
        ({"op": "truncate", "path": "/workspace/b/x"}, "files.write"),
        ({"op": "bind", "path": "/run/x.sock", "flags": 1}, "files.write"),
        ({"op": "open_read", "path": "/tests/test.sh"}, "files.deny"),
        ({"op": "open_read", "path": "/tests", "ret": -errno.ENOENT}, "files.deny"),
        ({"op": "mkdir", "path": "/tests", "ret": -errno.EEXIST}, "files.deny"),
        ({"op": "exec", "path": "/tests/test.sh", "ret": -errno.EACCES}, "files.deny"),
        ({"op": "symlink", "path": "/workspace/a/l", "path2": "/tests/x"}, "files.deny"),
        ({"op": "symlink", "path": "/workspace/a/l", "path2": "../../tests/x"}, "files.deny"),
        ({"op": "symlink", "path": "/workspace/a/l", "path2": "//tests"}, "files.deny"),
        ({"op": "link", "path": "/tests/x", "path2": "/workspace/a/x", "ret": -errno.ENOENT}, "files.deny"),
        ({"op": "rename", "path": "/workspace/a/x", "path2": "/tests/x", "ret": -errno.ENOENT}, "files.deny"),
        ({"op": "connect", "path": "/tests/socket", "flags": 1, "ret": -errno.ENOENT}, "files.deny"),
        ({"op": "exec", "path": "/usr/bin/curl", "exe": "/usr/bin/curl"}, "processes.exec"),
        ({"op": "exec", "path": "/workspace/a/run", "exe": "/usr/bin/dash"}, "processes.exec"),
        ({"op": "exec", "path": "/usr/bin/sh", "exe": "/usr/bin/perl"}, "processes.exec"),
        ({"op": "connect", "addr": "93.184.216.34", "port": 80, "flags": 2, "ret": -101}, "network.endpoints"),
        ({"op": "sendto", "addr": "2606:2800:220:1::1", "port": 9, "flags": 10}, "network.endpoints"),
        ({"op": "connect", "addr": "127.0.0.1", "port": 53, "flags": 2}, "network.endpoints"),
        ({"op": "dns", "addr": "127.0.0.1", "port": 53, "flags": 2, "path2": "example.com"}, "network.endpoints"),
        ({"op": "connect", "addr": "", "port": 53, "flags": 2}, "network.endpoints"),
        ({"op": "connect", "flags": 40}, "network.endpoints"),
        ({"op": "socket", "flags": 17, "proto": "packet", "ret": -1}, "network.endpoints"),
        ({"op": "denied", "flags": 165, "ret": -1}, "syscalls.deny"),
        ({"op": "mount", "path": "/workspace/a", "ret": -1}, "syscalls.deny"),
        ({"op": "open_read", "path": "/workspace/a/x", "source": "ebpf/raced"}, "record.path_race"),
        ({"op": "exit", "flags": 24}, "limits.cpu_ms"),
    ],
)  # fmt: skip
def test_broken_rules(table: Table, contract: Make, row: dict[str, Any], rule: str) -> None:
    promised = contract(
        {"read": ["/workspace/a/**"], "write": ["/workspace/a/**"], "deny": ["/tests/**"]},
        processes={"exec": ["/usr/bin/sh", "/usr/bin/python3*"]},
        syscalls={"deny": ["mount"]},
        limits={"cpu_ms": 1000},
    )
    assert rules(judge(promised, table(row))) == [rule]


@pytest.mark.parametrize(
    "row",
    [
        {"op": "open_read", "path": "/workspace/a/x"},
        {"op": "open_write", "path": "/dev/null", "flags": 2},
        {"op": "open_read", "path": "/workspace", "flags": 0x10000},
        {"op": "open_read", "path": "/workspace/b/x", "ret": -errno.ENOENT},
        {"op": "open_read", "path": "/etc/gitconfig/x", "ret": -errno.ENOTDIR},
        {"op": "mkdir", "path": "/workspace", "ret": -errno.EEXIST},
        {"op": "mkdir", "path": "/workspace", "ret": -errno.EROFS},
        {"op": "unlink", "path": "/usr/lib/x", "ret": -errno.ENOENT},
        {"op": "open_write", "path": "/workspace/b", "ret": -errno.EISDIR},
        {"op": "mkdir", "path": "/usr/lib/python3/dist-packages/x/__pycache__", "ret": -errno.EROFS},
        {"op": "create", "path": "/usr/lib/python3/__pycache__/x.cpython-311.pyc.139", "ret": -errno.EROFS},
        {"op": "create", "path": "/home/agent/.bash_history", "ret": -errno.EROFS},
        {"op": "mkdir", "path": "/home/agent/.cache", "ret": -errno.ENOENT},
        {"op": "rename", "path": "/tmp/x", "path2": "/workspace/a/x", "ret": -errno.EXDEV},
        {"op": "open_write", "path": "pipe:[12]", "flags": 1},
        {"op": "open_write", "path": "/memfd:x (deleted)", "flags": 2},
        {"op": "open_write", "path": "host:[2]", "flags": 2},
        {"op": "symlink", "path": "/workspace/a/l", "path2": "/usr/bin/python3"},
        {"op": "exec", "path": "/usr/local/bin/x", "ret": -errno.ENOENT},
        {"op": "exec", "path": "/usr/bin/dash", "exe": "/usr/bin/dash"},
        {"op": "exec", "path": "/bin/sh", "exe": "/usr/bin/dash"},
        {"op": "connect", "addr": "127.0.0.1", "port": 8080, "flags": 2},
        {"op": "connect", "addr": "0.0.0.0", "port": 8080, "flags": 2},
        {"op": "connect", "addr": "::1", "port": 8080, "flags": 10},
        {"op": "connect", "addr": "", "port": 8080, "flags": 10, "source": "gvisor/memory"},
        {"op": "connect", "addr": "@abstract", "flags": 1},
        {"op": "connect", "path": "/run/nscd/socket", "flags": 1, "ret": -errno.ENOENT},
        {"op": "connect", "flags": 16},
        {"op": "sendto", "flags": 0},
        {"op": "socket", "flags": 2, "proto": "icmp"},
        {"op": "denied", "flags": 425, "ret": -38},
        {"op": "dns", "addr": "127.0.0.1", "port": 53, "flags": 2, "path2": "localhost."},
        {"op": "exit", "flags": 9, "ret": 137},
    ],
)
def test_what_honest_programs_do_is_no_violation(table: Table, contract: Make, row: dict[str, Any]) -> None:
    promised = contract(
        {"read": ["/workspace/a/**"], "write": ["/workspace/a/**"], "deny": ["/tests/**"]},
        processes={"exec": ["/usr/bin/sh"]},
        syscalls={"deny": ["mount"]},
        limits={"cpu_ms": 1000},
    )
    assert judge(promised, table(row)) == []


def test_protected_places_know_no_excuse(table: Table, contract: Make) -> None:
    promised = contract({"write": ["/workspace/**", "!/home/*/.local/**", "!**/conftest.py"]})
    events = table(
        {"op": "create", "path": "/home/agent/.local/lib/python3.11/site-packages/x.pth", "ret": -errno.EROFS},
        {"op": "unlink", "path": "/workspace/conftest.py", "ret": -errno.ENOENT},
    )
    assert [v.events for v in judge(promised, events)] == [(0,)]


def test_endpoints_that_are_allowed(table: Table, contract: Make) -> None:
    promised = contract(network={"endpoints": ["10.0.0.0/8:443", "*.example.com:443", "[2001:db8::1]:80"]})
    events = table(
        {"op": "connect", "addr": "10.1.2.3", "port": 443, "flags": 2},
        {"op": "connect", "addr": "2001:db8::1", "port": 80, "flags": 10},
        {"op": "dns", "addr": "127.0.0.1", "port": 53, "flags": 2, "path2": "api.Example.com."},
        {"op": "connect", "addr": "127.0.0.1", "port": 53, "flags": 2},
        {"op": "connect", "addr": "10.1.2.3", "port": 80, "flags": 2},
        {"op": "dns", "addr": "127.0.0.1", "port": 53, "flags": 2, "path2": "example.com"},
        {"op": "dns", "addr": "127.0.0.1", "port": 53, "flags": 2, "path2": "evilexample.com"},
    )
    assert [violation.events for violation in judge(promised, events)] == [(4,), (5,), (6,)]


def test_a_host_is_known_by_the_name_in_the_record(table: Table, contract: Make) -> None:
    promised = contract(network={"endpoints": ["a.example.com:443", "198.18.0.0/15:25"]})
    named = {"op": "connect", "addr": "198.18.0.1", "flags": 2, "proto": "tcp", "path2": "a.example.com"}
    events = table(
        {**named, "port": 443},
        # A resolver's probe, which sends nothing.
        {**named, "port": 0, "proto": "udp"},
        {**named, "port": 80},
        {**named, "port": 443, "path2": "b.example.com"},
        {**named, "port": 443, "path2": None},
        # A name stands for nobody elsewhere.
        {**named, "port": 443, "addr": "192.0.2.1"},
    )
    found = judge(promised, events)
    assert [violation.events for violation in found] == [(2,), (3,), (4,), (5,)]
    assert "connected to a.example.com:80" in found[0].message


def test_an_address_that_stands_for_no_host_leads_nowhere(table: Table, contract: Make) -> None:
    promised = contract(network={"endpoints": []}, attempts="record")
    there = {"op": "connect", "addr": "198.18.0.1", "port": 443, "flags": 2, "proto": "tcp"}
    assert judge(promised, table(there)) == []
    assert len(judge(promised, table({**there, "path2": "a.example.com"}))) == 1


def test_endpoints_with_ranges_of_ports_and_a_protocol(table: Table, contract: Make) -> None:
    promised = contract(network={"endpoints": ["10.0.0.0/8:8000-8010/udp", "192.0.2.1/tcp"]})
    there = {"op": "connect", "flags": 2}
    events = table(
        {**there, "addr": "10.1.2.3", "port": 8000, "proto": "udp"},
        {**there, "addr": "10.1.2.3", "port": 8010, "proto": "udp"},
        {**there, "addr": "192.0.2.1", "port": 1, "proto": "tcp"},
        {**there, "addr": "10.1.2.3", "port": 8011, "proto": "udp"},
        {**there, "addr": "10.1.2.3", "port": 8000, "proto": "tcp"},
        {**there, "addr": "192.0.2.1", "port": 1},
        {**there, "addr": "10.1.2.4", "proto": "udp"},
    )
    assert {seq for violation in judge(promised, events) for seq in violation.events} == {3, 4, 5, 6}


def test_what_is_given_may_be_read_although_it_is_denied(table: Table, contract: Make) -> None:
    promised = contract({"read": [], "write": ["/workspace/**"], "deny": ["/solution/**", "/tests/**"]})
    events = table(
        {"op": "open_read", "path": "/solution/solve.sh"},
        {"op": "open_read", "path": "/instruction.md"},
        {"op": "open_read", "path": "/tests/test.sh"},
        {"op": "open_write", "path": "/solution/solve.sh"},
    )
    found = judge(promised, events, given=["/solution"])
    assert [(v.rule, v.events) for v in found] == [("files.deny", (2,)), ("files.write", (3,))]


def test_a_process_that_the_bound_refuses_is_an_attempt(table: Table, contract: Make) -> None:
    events = table({"op": "fork", "ret": -errno.EAGAIN}, {"op": "fork", "ret": -errno.ENOMEM})
    [violation] = judge(contract(processes={"max_processes": 2}), events)
    assert (violation.rule, violation.events) == ("processes.max_processes", (0,))
    assert "tried to start a process when 2 were alive, threads included" in violation.message
    assert judge(contract(), events) == []


def test_too_many_processes_at_the_same_time(table: Table, contract: Make) -> None:
    promised = contract(processes={"max_processes": 2})
    fork = {"op": "fork", "ret": 11}
    leave = {"op": "exit", "pid": 11}
    assert judge(promised, table(fork, leave, fork, leave, fork)) == []
    assert judge(promised, table(fork, {"op": "exit", "pid": 11, "tid": 12}, leave, fork)) == []
    [violation] = judge(promised, table(fork, fork, leave, leave, fork, fork))
    assert violation.rule == "processes.max_processes"
    assert violation.events == (1, 5)


def test_a_shell_that_runs_a_string(table: Table, contract: Make) -> None:
    promised = contract(operations={"forbid": ["system"]})
    shell = {"op": "exec", "path": "/usr/bin/sh", "exe": "/usr/bin/dash"}
    events = table(
        # The sandbox's first command, and what a shell starts.
        {**shell, "pid": 1, "argv": ["/bin/sh", "-c", "python3 a.py"]},
        {"op": "fork", "pid": 1, "ret": 2},
        {**shell, "pid": 2, "argv": ["sh", "-c", "true"]},
        {"op": "exec", "pid": 2, "path": "/usr/bin/python3", "argv": ["python3", "-c", "pass"]},
        {"op": "fork", "pid": 2, "ret": 3},
        {**shell, "pid": 3, "argv": ["sh", "x.sh", "-c"]},
        {"op": "fork", "pid": 2, "ret": 4},
        {**shell, "pid": 4, "argv": ["sh", "-ec", "rm x"]},
    )
    [violation] = judge(promised, events)
    assert violation.rule == "operations.system"
    assert violation.events == (7,)


@pytest.mark.parametrize(
    ("operation", "row"),
    [
        ("modify_test_runner", {"op": "create", "path": "/workspace/sub/conftest.py"}),
        ("modify_test_runner", {"op": "open_write", "path": "/usr/lib/python3/dist-packages/_pytest/x.py", "ret": -30}),
        ("read_answer_key", {"op": "open_read", "path": "/workspace/data/answer_key.json"}),
        ("read_answer_key", {"op": "open_read", "path": "/tests/x", "ret": -2}),
        ("write_outside_workspace", {"op": "mkdir", "path": "/opt/x"}),
        ("tool_replacement", {"op": "rename", "path": "/workspace/x", "path2": "/workspace/bin/curl"}),
        ("persistence", {"op": "create", "path": "/home/agent/.bashrc", "ret": 0}),
        ("hidden_directory_access", {"op": "open_read", "path": "/workspace/.answers/a"}),
        ("tmp_read", {"op": "open_read", "path": "/tmp/x"}),
        ("process_injection", {"op": "ptrace", "ret": -1}),
        ("clock_change", {"op": "denied", "flags": 227, "ret": -1}),
        ("unexpected_network", {"op": "connect", "addr": "1.1.1.1", "port": 80, "flags": 2, "ret": -101}),
    ],
)
def test_operations(table: Table, contract: Make, operation: str, row: dict[str, Any]) -> None:
    found = judge(contract({"write": ["/**"]}, operations={"forbid": [operation]}), table(row))
    assert f"operations.{operation}" in rules(found)
    assert f"operations.{operation}" not in rules(judge(contract({"write": ["/**"]}), table(row)))


@pytest.mark.parametrize(
    ("operation", "row"),
    [
        ("modify_test_runner", {"op": "mkdir", "path": "/usr/lib/python3/_pytest/__pycache__", "ret": -30}),
        ("modify_test_runner", {"op": "create", "path": "/tmp/own/conftest.py"}),
        ("modify_test_runner", {"op": "open_read", "path": "/workspace/conftest.py"}),
        ("modify_test_runner", {"op": "create", "path": "/workspace/.git/hooks/pre-commit.sample"}),
        ("read_answer_key", {"op": "open_read", "path": "/workspace/tests/test_a.py"}),
        ("write_outside_workspace", {"op": "create", "path": "/workspace/a"}),
        ("write_outside_workspace", {"op": "open_write", "path": "/dev/null"}),
        ("tool_replacement", {"op": "symlink", "path": "/workspace/.venv/bin/python", "path2": "/usr/bin/python3"}),
        ("hidden_directory_access", {"op": "open_read", "path": "/workspace/src/x"}),
        ("hidden_directory_access", {"op": "open_read", "path": "/workspace/.git/config"}),
        ("hidden_directory_access", {"op": "create", "path": "/workspace/.pytest_cache/v/cache/lastfailed"}),
        ("tmp_read", {"op": "open_write", "path": "/tmp/x"}),
    ],
)  # fmt: skip
def test_operations_let_honest_work_be(table: Table, contract: Make, operation: str, row: dict[str, Any]) -> None:
    assert judge(contract({"write": ["/**"]}, operations={"forbid": [operation]}), table(row)) == []


def test_counts_show_calls_that_no_event_does(table: Table, contract: Make) -> None:
    promised = contract(syscalls={"deny": ["mount", "bpf"]})
    counts = pa.table({"pid": [1, 2, 3], "exe": ["a", "b", "c"], "syscall": ["bpf", "bpf", "read"], "count": [1, 2, 9]})
    [violation] = judge(promised, table(), counts)
    assert (violation.rule, violation.count, violation.events) == ("syscalls.deny", 3, ())
    [violation] = judge(promised, table({"op": "denied", "flags": 321, "ret": -1}), counts)
    assert violation.events == (0,)


def test_the_diff_shows_what_the_events_missed(table: Table, contract: Make) -> None:
    promised = contract({"write": ["/workspace/**", "!**/conftest.py"], "deny": ["/tests/**"]})
    diff = [
        Change("/workspace/a.py"),
        Change("/workspace", "metadata", "directory"),
        Change("/", "modified", "directory"),
        Change("/workspace/conftest.py"),
        Change("/workspace/l", type="symlink", target="../tests/x"),
        Change("/usr/bin/python3", "deleted"),
        Change("/workspace", "deleted", "directory"),
    ]
    found = judge(promised, table(), diff=diff)
    assert {(v.rule, v.stage, v.events) for v in found} == {
        ("files.write", "diff", ()),
        ("files.deny", "diff", ()),
    }
    assert [v.message.split(" was ")[0] for v in found if v.rule == "files.write"] == [
        "/usr/bin/python3",
        "/workspace/conftest.py",
    ]
    seen = table({"op": "create", "path": "/workspace/conftest.py"})
    assert [v.stage for v in judge(promised, seen, diff=[diff[3]])] == ["agent"]
    seen = table({"op": "symlink", "path": "/workspace/l", "path2": "../tests/x"})
    assert [v.stage for v in judge(promised, seen, diff=[diff[4]])] == ["agent"]


def test_what_goes_on_to_the_grading(contract: Make) -> None:
    promised = contract({"write": ["/workspace/**", "!**/conftest.py"], "deny": ["/tests/**"]})
    diff = [
        Change("/workspace/a"),
        Change("/workspace/gone", "deleted"),
        Change("/workspace/link", type="symlink", target="a"),
        Change("/workspace/conftest.py"),
        Change("/workspace/setuid", mode=0o4755),
        Change("/workspace/fifo", type="fifo"),
        Change("/workspace/device", type="device"),
        Change("/workspace/bad", type="symlink", target="/tests/test.sh"),
        Change("/etc/x"),
    ]
    assert Judge(promised).carried(diff) == {"/workspace/a", "/workspace/gone", "/workspace/link"}


def test_limits(table: Table, contract: Make) -> None:
    promised = contract(limits={"wall_ms": 1000, "memory_mb": 64})
    assert rules(judge(promised, table(), end=Ended(timed_out=True))) == ["limits.wall_ms"]
    assert rules(judge(promised, table(), end=Ended(oom=True))) == ["limits.memory_mb"]
    assert judge(promised, table(), end=Ended()) == []
    assert judge(contract(), table(), end=Ended(timed_out=True)) == []


@pytest.mark.parametrize(
    ("sections", "action"),
    [
        ({"actions": ["flag", "halt"]}, "halt"),
        ({"actions": ["alert"]}, "flag"),
        ({"actions": ["halt"], "mode": "audit"}, "audit"),
    ],
)
def test_actions(table: Table, contract: Make, sections: dict[str, Any], action: str) -> None:
    judging = Judge(contract(**sections))
    [new] = judging.feed(table({"op": "create", "path": "/etc/x"}).to_batches()[0])
    assert new.action == action
    assert judging.feed(table({"op": "create", "path": "/etc/x"}).to_batches()[0]) == []


def test_the_number_of_violations_is_bounded_and_none_is_hidden(table: Table, contract: Make) -> None:
    events = table(*({"op": "create", "path": f"/etc/{n}"} for n in range(150)))
    found = judge(contract(), events)
    assert len(found) == 101
    assert found[-1].message == "50 more events or changes break files.write"
    assert found[-1].count == 50
    [one] = judge(contract(), table(*({"op": "create", "path": "/etc/x"} for _ in range(50))))
    assert (len(one.events), one.count) == (20, 50)


def test_a_message_is_one_short_line(table: Table, contract: Make) -> None:
    name = "/etc/\n\x1b[31m" + "x" * 4000
    [violation] = judge(contract(), table({"op": "create", "path": name, "exe": None, "comm": "a\nb"}))
    assert violation.message.isprintable()
    assert len(violation.message) < 400


_ROWS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(
            [
                "open_read",
                "open_write",
                "create",
                "rename",
                "link",
                "symlink",
                "exec",
                "fork",
                "exit",
                "connect",
                "denied",
            ]
        ),
        "path": st.sampled_from([None, "/workspace/a", "/workspace/conftest.py", "/tests/x", "/etc/x", "/usr/bin/sh"]),
        "path2": st.sampled_from([None, "/workspace/b", "/tests/x", "/etc/y"]),
        "ret": st.sampled_from([0, 11, 12, -2, -13, -17, -30]),
        "pid": st.sampled_from([10, 11, 12]),
        "flags": st.sampled_from([0, CREAT, 165, 2]),
        "addr": st.sampled_from([None, "127.0.0.1", "8.8.8.8"]),
        "port": st.sampled_from([None, 53, 80]),
        "exe": st.sampled_from([None, "/usr/bin/dash", "/usr/bin/python3.11", "/workspace/a"]),
        "argv": st.sampled_from([None, ["sh", "-c", "x"], ["sh"], ["python3", "-c", "y"]]),
        "uid": st.sampled_from([0, 1]),
        "source": st.sampled_from(["ebpf/kernel", "ebpf/raced"]),
    }
)
_STRICT = contract_of(
    {
        "schema": "affidavit.contract/v1",
        "id": "test",
        "version": "1.0.0",
        "files": {"read": ["/workspace/**"], "write": ["/workspace/**", "!**/conftest.py"], "deny": ["/tests/**"]},
        "processes": {"exec": ["/usr/bin/*"], "max_processes": 2},
        "syscalls": {"deny": ["mount"]},
        "operations": {"forbid": sorted(OPERATIONS)},
    },
    "test",
)


@given(st.lists(_ROWS, max_size=60), st.data())
def test_live_and_after_the_fact_agree(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    filled = [{"tid": row["pid"], "ppid": 1, "mode": 0, "gid": 0, **row} for row in rows]
    columns = [[{"seq": n, "ts_ns": n, **row}.get(f.name) for n, row in enumerate(filled)] for f in EVENT_SCHEMA]
    events = pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, EVENT_SCHEMA, strict=True)], schema=EVENT_SCHEMA
    )
    at_once = judge(_STRICT, events)
    judging = Judge(_STRICT)
    begin, new = 0, []
    while begin < len(rows):
        size = data.draw(st.integers(1, 20))
        for batch in events.slice(begin, size).to_batches():
            new += judging.feed(batch)
        begin += size
    live = judging.finish()
    assert live == at_once
    assert sorted((v.rule, v.message) for v in new) == sorted((v.rule, v.message) for v in at_once)


def test_columns_that_are_not_encoded_are_judged_alike(table: Table, contract: Make) -> None:
    events = table({"op": "create", "path": "/etc/x"}, {"op": "exit"}, {"op": "open_read", "path": "/workspace/a"})
    plain = events.cast(
        pa.schema(
            [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in events.schema]
        )
    )
    assert judge(contract(), plain) == judge(contract(), events)
    assert len(judge(contract(), plain)) == 1
