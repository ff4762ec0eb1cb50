"""Names of hosts in events."""

import pyarrow as pa

from affidavit.events import EVENT_SCHEMA, named_rows, with_host_names


def batch(*rows: tuple[str, str | None, str | None]) -> pa.RecordBatch:
    """Events of an operation, an address and a second path each."""
    columns = []
    for field in EVENT_SCHEMA:
        values = {"op": 0, "addr": 1, "path2": 2}.get(field.name)
        if values is not None:
            column = pa.array([row[values] for row in rows], pa.utf8()).dictionary_encode()
        elif field.nullable:
            column = pa.nulls(len(rows), field.type)
        elif pa.types.is_dictionary(field.type):
            column = pa.array(["x"] * len(rows)).dictionary_encode()
        else:
            column = pa.array([1] * len(rows), field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def test_what_is_sent_to_a_hosts_address_gets_its_name() -> None:
    events = batch(
        ("connect", "198.18.0.1", None),
        ("sendto", "198.18.0.1", None),
        ("connect", "198.19.0.7", None),
        ("bind", "198.18.0.1", None),
        ("connect", "192.0.2.1", None),
        ("rename", None, "/new"),
        ("dns", "127.0.0.1", "asked.example"),
    )
    named = with_host_names(events, {"198.18.0.1": "a.example", "192.0.2.1": "never.example"})
    assert named.schema == EVENT_SCHEMA
    assert named.column("path2").to_pylist() == ["a.example", "a.example", None, None, None, "/new", "asked.example"]
    assert named_rows(named) == [0, 1, 2]


def test_events_without_such_an_address_stay_as_they_are() -> None:
    events = batch(("connect", "127.0.0.1", None), ("rename", None, "/new"))
    assert with_host_names(events, {"198.18.0.1": "a.example"}) is events
    assert named_rows(batch()) == []
