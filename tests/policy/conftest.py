"""Records for the tests of the judge."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from affidavit.contracts import Contract, contract_of
from affidavit.events import EVENT_SCHEMA

_DEFAULTS: dict[str, Any] = {
    "pid": 10,
    "tid": None,
    "ppid": 1,
    "flags": 0,
    "mode": 0,
    "ret": 0,
    "exe": "/usr/bin/python3.11",
    "comm": "python3",
    "uid": 1000,
    "gid": 1000,
    "source": "ebpf/kernel",
}


def _table(*rows: dict[str, Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in EVENT_SCHEMA.names}
    for seq, row in enumerate(rows):
        full = {"seq": seq, "ts_ns": seq * 1000, **_DEFAULTS, **row}
        full["tid"] = full["pid"] if full["tid"] is None else full["tid"]
        for name, values in columns.items():
            values.append(full.get(name))
    return pa.table(
        [pa.array(columns[field.name], field.type) for field in EVENT_SCHEMA], schema=EVENT_SCHEMA
    ).combine_chunks()


def _contract(files: dict[str, Sequence[str]] | None = None, **sections: Any) -> Contract:
    content = {"schema": "affidavit.contract/v1", "id": "test", "version": "1.0.0", "extends": ["affidavit:base"]}
    return contract_of({**content, "files": files or {"write": ["/workspace/**", "/tmp/**"]}, **sections}, "test")


@pytest.fixture(scope="session")
def table() -> Callable[..., pa.Table]:
    """Make a record of rows, each given by what differs from an ordinary event of a Python process."""
    return _table


@pytest.fixture
def contract() -> Callable[..., Contract]:
    """Make a contract of sections; by default /workspace and /tmp may be written."""
    return _contract
