"""Queries a record with SQL."""

import math

import duckdb
import pyarrow as pa

from affidavit.grading.execution_trace.evidence import CheckResult
from affidavit.grading.execution_trace.processes import Execution, RecordedProcesses

_LOCKS = (
    "SET threads = 1",
    "SET memory_limit = '2GB'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
_PROCESSES = pa.schema(
    [
        pa.field("process", pa.int64()),
        pa.field("parent", pa.int64()),
        pa.field("pid", pa.int64()),
        pa.field("started", pa.int64()),
        pa.field("ended", pa.int64()),
        pa.field("exe", pa.utf8()),
        pa.field("argv", pa.list_(pa.utf8())),
        pa.field("exit_code", pa.int64()),
    ]
)


class QueryFault(Exception):
    """The task's query is wrong; the text says how."""


def ask(query: str, events: pa.Table, counts: pa.Table, lineage: RecordedProcesses) -> CheckResult:
    """The score that a query gives.

    Raises:
        QueryFault: it is no SELECT, fails, or gives something else than a score.
    """
    with duckdb.connect(":memory:") as connection:
        connection.register("events", events)
        connection.register("counts", counts)
        connection.register("processes", processes(lineage))
        try:
            for lock in _LOCKS:
                connection.execute(lock)
            statements = connection.extract_statements(query)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise QueryFault("is not one SELECT")
            rows = connection.execute(query).fetchmany(2)
        except duckdb.Error as error:
            raise QueryFault(f"failed: {' '.join(str(error).split())[:300]}") from None
    if len(rows) != 1 or len(rows[0]) != 1:
        raise QueryFault("gives not one row of one column")
    try:
        score = float(rows[0][0]) if rows[0][0] is not None else 0.0
    except (TypeError, ValueError):
        score = math.nan
    if not 0 <= score <= 1:
        raise QueryFault(f"gives {str(rows[0][0])[:60]}, which is no number from 0 to 1")
    return CheckResult(score, f"the record gives {score:g}")


def processes(lineage: RecordedProcesses) -> pa.Table:
    """A row for each program that a process ran, and one for each process that ran none."""
    rows = []
    for index, lived in enumerate(lineage.processes):
        executions: list[Execution | None] = [*lived.executions] or [None]
        for execution in executions:
            rows.append(
                {
                    "process": index,
                    "parent": lived.parent,
                    "pid": lived.pid,
                    "started": lived.started if execution is None else execution.seq,
                    "ended": lived.ended,
                    "exe": None if execution is None else execution.exe,
                    "argv": None if execution is None else list(execution.argv),
                    "exit_code": lived.exit_code,
                }
            )
    return pa.Table.from_pylist(rows, schema=_PROCESSES)
