import pyarrow as pa

from affidavit.events import EVENT_SCHEMA, process_tree


def table(*rows: dict[str, object]) -> pa.Table:
    blank: dict[str, object] = {field.name: None if field.nullable else 0 for field in EVENT_SCHEMA}
    blank["source"] = "ebpf/kernel"
    full = [{**blank, "seq": i, "ts_ns": i * 10, "tid": row["pid"], **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(full, schema=EVENT_SCHEMA)


def test_children_stand_below_their_parents_with_times_and_exit_codes() -> None:
    [root] = process_tree(
        table(
            {"op": "exec", "pid": 1, "ppid": 0, "exe": "/bin/sh", "argv": ["sh", "-c", "x"]},
            {"op": "fork", "pid": 1, "ppid": 0, "ret": 2},
            {"op": "exec", "pid": 2, "ppid": 1, "exe": "/bin/ls", "argv": ["ls"]},
            {"op": "exit", "pid": 2, "ppid": 1, "ret": 3},
            {"op": "exit", "pid": 1, "ppid": 0, "ret": 0},
        )
    )
    [child] = root.children
    assert (root.exe, root.argv, root.exit_code) == ("/bin/sh", ("sh", "-c", "x"), 0)
    assert (child.pid, child.exe, child.exit_code, child.started_ns, child.ended_ns) == (2, "/bin/ls", 3, 10, 30)


def test_a_pid_used_again_is_another_process() -> None:
    [root] = process_tree(
        table(
            {"op": "fork", "pid": 1, "ppid": 0, "ret": 2},
            {"op": "exit", "pid": 2, "ppid": 1},
            {"op": "fork", "pid": 1, "ppid": 0, "ret": 2},
            {"op": "exec", "pid": 2, "ppid": 1, "exe": "/bin/b", "argv": []},
        )
    )
    assert [child.exe for child in root.children] == [None, "/bin/b"]


def test_a_failed_fork_makes_no_process() -> None:
    [root] = process_tree(table({"op": "fork", "pid": 1, "ppid": 0, "ret": -11}))
    assert root.children == []
