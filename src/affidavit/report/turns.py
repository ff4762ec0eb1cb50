"""What a turn of an agent's model led to, and which turn led to an event."""

from collections.abc import Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from affidavit.events import Op
from affidavit.evidence import BundleReader, EvidenceError, model_rows, read_model_log
from affidavit.gateway import content_type, read_answer
from affidavit.report.console import open_console
from affidavit.report.text import printable
from affidavit.trace import ancestry, turn_of_events

_LOG_COLUMNS = ("turn", "operation", "outcome", "status", "started_ns", "ended_ns")
_EVENT_COLUMNS = ("seq", "op", "pid", "path", "path2", "ret", "addr", "port", "exe", "argv")
_MOST_TEXT = 2000
_MOST_SHOWN = 200


def turn_facts(reader: BundleReader, turn: int) -> dict[str, Any]:
    """What an agent's model said in a turn, and what the agent did after it.

    Raises:
        EvidenceError, TraceError: there is no such turn, or the bundle can't be read.
    """
    events = reader.event_table("agent")
    mine = events.filter(pa.array(turn_of_events(events, _light_log(reader)) == turn))
    return {**_said(reader, turn), "events": mine.select([*_EVENT_COLUMNS]).to_pylist()}


def why_facts(reader: BundleReader, seq: int) -> dict[str, Any]:
    """An event, the processes that led to it, and the turn that it followed; ``turn`` is None where it followed none.

    Raises:
        EvidenceError, TraceError: there is no such event, or the bundle can't be read.
    """
    events = reader.event_table("agent")
    found = events.filter(pc.equal(events["seq"], seq))
    if not len(found):
        raise EvidenceError(f"agent/events.parquet: has no event {seq}, only 0 to {len(events) - 1}")
    # Every event counts for the clock of the record.
    turn = int(turn_of_events(events, _light_log(reader))[pc.index(events["seq"], pa.scalar(seq, pa.int64())).as_py()])
    (event,) = found.select([*_EVENT_COLUMNS]).to_pylist()
    processes = [{"pid": pid, "argv": argv} for pid, argv in ancestry(events, seq)]
    return {"event": event, "processes": processes, "turn": _said(reader, turn) if turn else None}


def _light_log(reader: BundleReader) -> pa.Table:
    batches = [batch.select([*_LOG_COLUMNS]) for batch in read_model_log(reader)]
    if not batches:
        raise EvidenceError("agent/model.parquet: has no turn: the agent asked its model nothing")
    return pa.Table.from_batches(batches)


def _said(reader: BundleReader, turn: int) -> dict[str, Any]:
    row = next((row for row in model_rows(read_model_log(reader)) if row["turn"] == turn), None)
    if row is None:
        raise EvidenceError(f"agent/model.parquet: has no turn {turn}")
    kind = content_type(row["response_headers"])
    answer = read_answer(row["operation"], kind, row["response"]) if row["status"] == 200 else None
    calls = answer.tool_calls if answer else []
    return {
        **{name: row[name] for name in ("turn", "operation", "model", "wire_model", "outcome", "status", "reason")},
        **{name: row[name] for name in ("stripped", "input_tokens", "output_tokens", "estimated")},
        "text": "".join(answer.texts) if answer else "",
        "tool_calls": [{"name": name, "arguments": arguments} for _, name, arguments in calls],
    }


def print_turn(facts: Mapping[str, Any], out: IO[str]) -> None:
    """Print what `turn_facts` found."""
    _print_said(facts, out)
    _print_events(facts["events"], out)


def print_why(facts: Mapping[str, Any], out: IO[str]) -> None:
    """Print what `why_facts` found."""
    console = open_console(out)
    _print_events([facts["event"]], out)
    console.print("by")
    for depth, process in enumerate(facts["processes"]):
        line = f"{'  ' * (depth + 1)}{process['pid']} {' '.join(process['argv'])}"
        console.print(Text(printable(line, _MOST_SHOWN)), soft_wrap=True)
    if facts["turn"] is None:
        console.print("before the model had answered anything")
    else:
        console.print("after")
        _print_said(facts["turn"], out)


def _print_said(facts: Mapping[str, Any], out: IO[str]) -> None:
    console = open_console(out)
    head = f"turn {facts['turn']}: {facts['operation']} {facts['wire_model'] or facts['model']}: {facts['outcome']}"
    head += f", {facts['input_tokens']} + {facts['output_tokens']} tokens{' (estimated)' * facts['estimated']}"
    console.print(Text(printable(head), style="bold"), soft_wrap=True)
    if facts["reason"]:
        console.print(Text(printable(facts["reason"])), soft_wrap=True)
    for name in facts["stripped"]:
        console.print(Text(printable(f"taken out of the request: {name}")), soft_wrap=True)
    for line in facts["text"][:_MOST_TEXT].splitlines():
        console.print(Text(f"  {printable(line)}"), soft_wrap=True)
    for call in facts["tool_calls"]:
        line = f"  {call['name']} {call['arguments']}"
        console.print(Text(printable(line, _MOST_TEXT)), soft_wrap=True)


def _print_events(events: list[dict[str, Any]], out: IO[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("event", "op", "pid", "what", "ret"):
        table.add_column(column, justify="right" if column in ("event", "pid", "ret") else "left", overflow="fold")
    for event in events[:_MOST_SHOWN]:
        host = event["path2"] if event["op"] in (Op.CONNECT, Op.SENDTO) else None
        address = f"{host or event['addr']}:{event['port']}" if event["addr"] else ""
        what = " ".join(event["argv"] or ()) or event["path"] or address or event["exe"] or ""
        row = (str(event["seq"]), event["op"], str(event["pid"]), printable(what, _MOST_SHOWN), str(event["ret"]))
        table.add_row(*map(Text, row))
    console = open_console(out)
    console.print(table)
    if len(events) > _MOST_SHOWN:
        console.print(f"and {len(events) - _MOST_SHOWN} more: --json has them all")
