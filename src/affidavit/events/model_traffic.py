"""Columns of the decision log: the requests of an agent to its model, and the answers."""

from typing import TypedDict

import pyarrow as pa


class ModelRow(TypedDict):
    """A row of MODEL_SCHEMA."""

    turn: int
    started_ns: int
    answered_ns: int | None
    ended_ns: int
    dialect: str
    operation: str
    method: str
    path: str
    query: str
    model: str
    wire_model: str
    outcome: str
    status: int
    reason: str
    stripped: list[str]
    input_tokens: int
    output_tokens: int
    estimated: bool
    request_headers: str
    response_headers: str
    request: bytes
    response: bytes
    hash: bytes


MODEL_SCHEMA: pa.Schema = pa.schema(
    [
        # Position in the order that requests came in, from 1, without a gap.
        pa.field("turn", pa.int32(), nullable=False),
        # CLOCK_MONOTONIC of the machine, nanoseconds (which is that of events, but for gVisor's): the request came in,
        # the first byte of an answer was there, it was over.
        pa.field("started_ns", pa.int64(), nullable=False),
        pa.field("answered_ns", pa.int64()),
        pa.field("ended_ns", pa.int64(), nullable=False),
        # openai, anthropic, gemini; empty for what no dialect has.
        pa.field("dialect", pa.utf8(), nullable=False),
        # chat, responses, messages, generate (which a model answers), count_tokens, models.
        pa.field("operation", pa.utf8(), nullable=False),
        pa.field("method", pa.utf8(), nullable=False),
        pa.field("path", pa.utf8(), nullable=False),
        pa.field("query", pa.utf8(), nullable=False),
        # That was asked for, and that the answer says it is from.
        pa.field("model", pa.utf8(), nullable=False),
        pa.field("wire_model", pa.utf8(), nullable=False),
        # answered, failed (the upstream did), refused (the gateway did), left (the agent went away), unfinished.
        pa.field("outcome", pa.utf8(), nullable=False),
        # Of HTTP, as the agent got it; 0: it got none.
        pa.field("status", pa.int32(), nullable=False),
        # Why it did not end well.
        pa.field("reason", pa.utf8(), nullable=False),
        # What was taken out of the request: tools that the provider would run.
        pa.field("stripped", pa.list_(pa.utf8()), nullable=False),
        pa.field("input_tokens", pa.int64(), nullable=False),
        pa.field("output_tokens", pa.int64(), nullable=False),
        # The answer did not say how many tokens it took.
        pa.field("estimated", pa.bool_(), nullable=False),
        # JSON objects.
        pa.field("request_headers", pa.utf8(), nullable=False),
        pa.field("response_headers", pa.utf8(), nullable=False),
        # As the upstream got it (as it came, where it got nothing) and as the agent got it; without keys.
        pa.field("request", pa.binary(), nullable=False),
        pa.field("response", pa.binary(), nullable=False),
        # SHA-256 over the hash of the row before (32 zero bytes before the first) and this row.
        pa.field("hash", pa.binary(), nullable=False),
    ],
    metadata={"affidavit.schema": "1"},
)

GENERATING: tuple[str, ...] = ("chat", "responses", "messages", "generate")
"""The operations that a model answers."""
