"""SQL over traces, with DuckDB."""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset

from affidavit.trace.counts import read_counts
from affidavit.trace.files import TraceError, one_line, open_regular

_LOCKS = (
    # The data is there already; a query reads nothing else of the machine (nor Python's variables) and changes nothing.
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def query(source: Path, sql: str, beside: Path | None = None) -> pa.Table:
    """Answer a query over a bundle's traces or over one trace.

    Tables: ``events`` and ``counts`` are the agent's; those of any other part stand under its name, as
    ``grader_events`` and ``grader_counts`` (``control-2`` as ``control_2_events``). Names in dictionary columns are
    plain text. ``model`` is the decision log of an agent that had a model.

    Args:
        source: a bundle's folder, or one Parquet file of events (then there is only ``events``).
        beside: the folder of its private part; None, or no folder, where it is not at hand.
        sql: one DuckDB query.

    Returns:
        The rows of its answer.

    Raises:
        TraceError: no trace is there, the trace is damaged, or the query is wrong.
    """
    tables = _tables(source, beside)
    with duckdb.connect(":memory:") as connection:
        for name, path in tables.items():
            with open_regular(path):
                pass  # DuckDB would wait for ever on a FIFO
            try:
                data = read_counts(path) if name.endswith("counts") else pyarrow.dataset.dataset(path, format="parquet")
                connection.register(name, data)
            except (pa.ArrowException, OSError, ValueError, duckdb.Error) as error:
                raise TraceError(f"{path}: is not a trace or is damaged: {one_line(error)}") from error
        try:
            for lock in _LOCKS:
                connection.execute(lock)
            statements = connection.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise TraceError("the query is not one SELECT; a trace can be asked, not changed")
            return connection.sql(sql).to_arrow_table()
        except (duckdb.Error, pa.ArrowException, OSError, ValueError) as error:
            raise TraceError(f"the query failed: {one_line(error)}{_missing(source, tables)}") from error


def _missing(source: Path, tables: Mapping[str, Path]) -> str:
    """What to add where a query may have meant tables of a private part that is not at hand."""
    if not source.is_dir() or not tables.keys() <= {"events", "counts", "model"}:
        return ""
    return "; the records of grading are in the bundle's private part, which is not beside it"


def _tables(source: Path, beside: Path | None) -> dict[str, Path]:
    """Where each table lies, by name."""
    if not source.is_dir():
        return {"events": source}
    tables: dict[str, Path] = {}
    places = [source] if beside is None or beside.is_symlink() or not beside.is_dir() else [source, beside]
    for folder in sorted(folder for place in places for folder in place.iterdir()):
        part = folder.name.replace("-", "_")
        if folder.is_symlink() or not folder.is_dir() or not part.isidentifier():
            continue
        for kind in ("events", "counts"):
            path = folder / f"{kind}.parquet"
            if path.is_file() and not path.is_symlink():
                tables[kind if folder.name == "agent" else f"{part}_{kind}"] = path
    log = source / "agent" / "model.parquet"
    if log.is_file() and not log.is_symlink() and not log.parent.is_symlink():
        tables["model"] = log
    if "events" not in tables:
        raise TraceError(f"{source}: holds no agent/events.parquet; give the folder of a bundle")
    return tables
