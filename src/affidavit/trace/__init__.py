"""Writing, reading and querying traces: Parquet and DuckDB.

A trace is the record of one sandbox as a Parquet file of ``EVENT_SCHEMA``; beside it stands a Parquet file of
``COUNT_SCHEMA``. What is read may have been written by anyone, so every row is checked against the schema.
"""

from affidavit.trace.counts import read_counts, write_counts
from affidavit.trace.execs import read_execs, write_execs
from affidavit.trace.files import TraceError, TraceWriter, in_sequence, one_line, read_trace, trace_batches
from affidavit.trace.leaves import EVENTS_PER_LEAF, trace_leaves
from affidavit.trace.model_log import ModelLog, model_batches, model_chain, write_model_log
from affidavit.trace.sql import query
from affidavit.trace.turns import ancestry, turn_of_events

__all__ = [
    "EVENTS_PER_LEAF",
    "ModelLog",
    "TraceError",
    "TraceWriter",
    "ancestry",
    "in_sequence",
    "model_batches",
    "model_chain",
    "one_line",
    "query",
    "read_counts",
    "read_execs",
    "read_trace",
    "trace_batches",
    "trace_leaves",
    "turn_of_events",
    "write_counts",
    "write_execs",
    "write_model_log",
]
