"""The event schema (version 1): what one recorded operation looks like.

An event is one row. Rows travel as Arrow record batches of :data:`EVENT_SCHEMA` from the recorder to the verdict; no
room holds events as Python objects. This room does no I/O.
"""

from affidavit.events.execs import AGENT, EXEC_SCHEMA, FIRST, ExecTracker, is_judged
from affidavit.events.host_names import NAMED_ADDRESSES, named_rows, with_host_names
from affidavit.events.model_traffic import GENERATING, MODEL_SCHEMA, ModelRow
from affidavit.events.names import decode_name, encode_name
from affidavit.events.processes import Process, process_tree
from affidavit.events.schema import (
    ATTRIBUTE_CHANGES,
    COUNT_SCHEMA,
    EVENT_SCHEMA,
    FILE_WRITES,
    LONGEST_TEXT_BYTES,
    LONGEST_WORDS_BYTES,
    OPS,
    SCHEMA_VERSION,
    TREE_CHANGES,
    Op,
    empty_counts,
    empty_events,
)
from affidavit.events.system_calls import SYSTEM_CALL_NAMES, SYSTEM_CALLS

__all__ = [
    "AGENT",
    "ATTRIBUTE_CHANGES",
    "COUNT_SCHEMA",
    "EVENT_SCHEMA",
    "EXEC_SCHEMA",
    "FILE_WRITES",
    "FIRST",
    "GENERATING",
    "LONGEST_TEXT_BYTES",
    "LONGEST_WORDS_BYTES",
    "MODEL_SCHEMA",
    "NAMED_ADDRESSES",
    "OPS",
    "SCHEMA_VERSION",
    "SYSTEM_CALLS",
    "SYSTEM_CALL_NAMES",
    "TREE_CHANGES",
    "ExecTracker",
    "ModelRow",
    "Op",
    "Process",
    "decode_name",
    "empty_counts",
    "empty_events",
    "encode_name",
    "is_judged",
    "named_rows",
    "process_tree",
    "with_host_names",
]
