"""One trial in detail, read from the published part of its bundle: what a page shows when a reader drills down.

Everything is bounded, since a page must stay readable and its content was chosen by whoever is evaluated. Nothing of
the private part is read, so that a report can be published like a bundle.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import EVENT_SCHEMA, FIRST, MODEL_SCHEMA, OPS, TREE_CHANGES, Op, Process, process_tree
from affidavit.evidence import EXECS, MODEL_LOG, BundleReader, EvidenceError, model_rows, read_identity, read_model_log
from affidavit.gateway import content_type, read_answer
from affidavit.policy import event_sentence
from affidavit.report.behaviour import SCRATCH
from affidavit.report.differences import Differences
from affidavit.report.runs import Broken, TrialView, Tried
from affidavit.trace import TraceError, clock_difference

TEXTS = "texts.json"
BINS = 120
"""Columns of the timeline's lanes."""

_MOST_EVENTS = 2_000_000
_MOST_LISTED = 100
_MOST_PROCESSES = 250
_MOST_DEPTH = 40
_MOST_BARS = 24
_MOST_CHANGES = 200
_MOST_LINES = 120
_MOST_FILE_BYTES = 64 << 10
_MOST_OUTPUT_BYTES = 4 << 10
_MOST_PARTS = 200
_MOST_TURNS = 200
_MOST_SPANS = 2000
_MOST_COMMANDS = 200
_LONGEST_SAID = 600
_MOST_CALLS = 8
_SAID_COLUMNS = frozenset({"operation", "status", "response_headers", "response"})
_TURN_USED = {
    "turn", "outcome", "reason", "started_ns", "ended_ns", "model", "wire_model", "input_tokens", "output_tokens",
}  # fmt: skip
_TURN_COLUMNS = pa.schema([field for field in MODEL_SCHEMA if field.name in _TURN_USED])
_USED = {
    "seq",
    "ts_ns",
    "pid",
    "tid",
    "ppid",
    "op",
    "path",
    "path2",
    "addr",
    "port",
    "ret",
    "exe",
    "comm",
    "argv",
    "source",
}
_SENTENCE = ["seq", "op", "path", "path2", "addr", "port", "exe", "comm", "pid", "ret"]
_COLUMNS = pa.schema([field for field in EVENT_SCHEMA if field.name in _USED])

# The lanes of the timeline: what a reader asks of a trial, and the operations that answer.
_LANES: tuple[tuple[str, tuple[Op, ...]], ...] = (
    ("programs started", (Op.EXEC,)),
    (
        "files changed",
        (*TREE_CHANGES, Op.CHMOD),
    ),
    ("files read", (Op.OPEN_READ,)),
    ("network", (Op.CONNECT, Op.SENDTO, Op.BIND, Op.LISTEN, Op.ACCEPT, Op.DNS)),
)
_NOTABLE = (
    *_LANES[0][1], *_LANES[1][1], *_LANES[3][1], Op.MOUNT, Op.PTRACE, Op.SIGNAL, Op.MEMFD, Op.CHOWN, Op.SETXATTR,
)  # fmt: skip


@dataclass(frozen=True)
class EventLine:
    """An event in words.

    Attributes:
        seconds: since the first event of the record.
        failed: it was tried and refused.
    """

    seq: int
    seconds: float
    sentence: str
    failed: bool


@dataclass(frozen=True)
class Proof:
    """A violation or an attempt with the events that prove it, those of the agent's record."""

    act: Broken | Tried
    events: tuple[EventLine, ...]


@dataclass(frozen=True)
class Lane:
    """A row of the timeline: events in each of BINS equal spans of time."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Events in all."""
        return sum(self.counts)


@dataclass(frozen=True)
class Bar:
    """A process on the timeline, seconds since the first event."""

    command: str
    start: float
    end: float
    failed: bool


@dataclass(frozen=True)
class Turn:
    """An exchange of the agent with its model.

    Attributes:
        start, end: seconds since the first event of the record; the record may begin later.
        model: as the answer names it, or else as it was asked for.
        said: the start of the text of the answer.
        calls: the tools that it asks for, with the start of their arguments.
    """

    number: int
    start: float
    end: float
    model: str
    outcome: str
    input_tokens: int
    output_tokens: int
    said: str
    calls: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command of a session.

    Attributes:
        start: seconds since the first event of the record.
        seconds: that it took.
        ending: how it ended, in words.
    """

    phase: str
    origin: str
    command: str
    start: float
    seconds: float
    ending: str


@dataclass(frozen=True)
class Timeline:
    """When what happened.

    Attributes:
        turns: start and end of each exchange with a model.
        seconds: from the first event to the last.
        marks: seconds of the events that prove violations.
        left_out: processes without a bar.
    """

    seconds: float
    turns: tuple[tuple[float, float], ...]
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    marks: tuple[float, ...]
    left_out: int


@dataclass(frozen=True)
class ProcessLine:
    """A process of the tree, in order; `depth` from 0."""

    depth: int
    pid: int
    command: str
    seconds: float | None
    exit_code: int | None


@dataclass(frozen=True)
class Change:
    """A change to the file system.

    Attributes:
        lines: the difference to the text that was there before, each line with its mark (``+``, ``-``, space or ``@``),
            where the bundle holds both texts; else the text afterwards, all with a space, where it holds that.
        compared: it is the difference.
        cut: there are more lines.
    """

    kind: str
    path: str
    what: str
    size: int | None
    lines: tuple[str, ...]
    compared: bool
    cut: bool


@dataclass(frozen=True)
class Part:
    """A part of a grade."""

    name: str
    score: float | None
    weight: float | None


@dataclass(frozen=True)
class Grade:
    """What one grader said, as far as that is for everybody."""

    name: str
    kind: str
    score: float | None
    weight: float | None
    gate: float | None
    message: str
    parts: tuple[Part, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrialDetail:
    """What the page of a trial shows beside its `TrialView`.

    Attributes:
        facts: of the evidence, name and value.
        unknown: what is not known or can't be seen, a sentence each.
        notable: how many events there would be in `events`.
        turns, commands: the first of them; `turns_left_out`, `commands_left_out`: more of them.
    """

    instruction: str
    violations: tuple[Proof, ...]
    attempts: tuple[Proof, ...]
    timeline: Timeline | None
    events: tuple[EventLine, ...]
    notable: int
    turns: tuple[Turn, ...]
    turns_left_out: int
    commands: tuple[Command, ...]
    commands_left_out: int
    processes: tuple[ProcessLine, ...]
    processes_left_out: int
    changes: tuple[Change, ...]
    changes_left_out: int
    grades: tuple[Grade, ...]
    stdout: str
    stderr: str
    facts: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


def read_detail(trial: TrialView) -> TrialDetail:
    """Read the detail of a trial. What can't be read is missing and named in `unknown`; nothing is raised for it."""
    unknown: list[str] = [f"This trial: {trial.evidence.discrepancy}."] if trial.evidence.discrepancy else []
    if trial.steps:
        last = trial.steps[-1]
        others = ", ".join(f"{number}/bundle ({one.step})" for number, one in enumerate(trial.steps[:-1], 1))
        shown = f"Of this trial's steps the last one that was reached is shown, {last.step}"
        unknown.append(f"{shown}; in the trial's folder are the others: {others}." if others else f"{shown}.")
        own = {"violations": last.judged.violations, "attempts": last.judged.attempts}
        trial = replace(trial, judged=trial.judged.model_copy(update=own))
    if trial.evidence.bundle is None:
        return _empty(trial, (*unknown, *_gaps(trial.record.gaps)))
    try:
        with BundleReader(trial.evidence.bundle) as reader:
            return _read(reader, trial, unknown)
    except EvidenceError as error:
        return _empty(trial, (*unknown, f"The bundle can't be read: {error}.", *_gaps(trial.record.gaps)))


def _empty(trial: TrialView, unknown: tuple[str, ...]) -> TrialDetail:
    violations = tuple(Proof(one, ()) for one in trial.judged.violations)
    attempts = tuple(Proof(tried, ()) for tried in trial.judged.attempts)
    facts = tuple(_facts(trial, {}, {}))
    return TrialDetail("", violations, attempts, None, (), 0, (), 0, (), 0, (), 0, (), 0, (), "", "", facts, unknown)


def _read(reader: BundleReader, trial: TrialView, unknown: list[str]) -> TrialDetail:
    task, environment, summary = (
        _object(reader, name, unknown) for name in ("task.json", "environment.json", "agent/summary.json")
    )
    events = _events(reader, trial, unknown)
    rows = _Rows(events)
    roots = process_tree(events)
    processes, left_out = _tree(roots)
    try:
        names = reader.names()
    except EvidenceError as error:
        unknown.append(f"{error}.")
        names = []
    turns = _turns(reader, events, unknown) if MODEL_LOG in names else []
    commands = _commands(reader, rows, unknown) if EXECS in names else []
    changes, more = _changes(reader, names, unknown)
    unknown += [f"The record is not complete: {reason}." for reason in _texts(summary.get("reasons"))]
    grades = tuple(_grades(reader, names, unknown))
    unknown += [f"{grade.name}: {note}." for grade in grades for note in grade.notes]
    if TEXTS not in names and not any(change.lines for change in changes) and changes:
        unknown.append("The bundle holds no content of changed files, only their digests.")
    unknown += _gaps(trial.record.gaps)
    instruction = task.get("instruction")
    return TrialDetail(
        instruction=instruction[:20_000] if isinstance(instruction, str) else "",
        violations=tuple(rows.proof(one) for one in trial.judged.violations),
        attempts=tuple(rows.proof(one) for one in trial.judged.attempts),
        timeline=_timeline(events, rows, trial, roots, turns),
        events=rows.notable(),
        notable=rows.notable_count,
        turns=tuple(turns[:_MOST_TURNS]),
        turns_left_out=max(0, len(turns) - _MOST_TURNS),
        commands=tuple(commands[:_MOST_COMMANDS]),
        commands_left_out=max(0, len(commands) - _MOST_COMMANDS),
        processes=processes,
        processes_left_out=left_out,
        changes=changes,
        changes_left_out=more,
        grades=grades,
        stdout=_output(reader, "agent/stdout"),
        stderr=_output(reader, "agent/stderr"),
        facts=tuple(_facts(trial, environment, _object(reader, "agent/exit.json", unknown))),
        unknown=tuple(unknown),
    )


def _gaps(gaps: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"The recorder's limits: {gap}." for gap in gaps)


def _object(reader: BundleReader, name: str, unknown: list[str]) -> dict[str, Any]:
    try:
        return reader.json_object(name)
    except EvidenceError as error:
        unknown.append(f"{error}.")
        return {}


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _events(reader: BundleReader, trial: TrialView, unknown: list[str]) -> pa.Table:
    batches, count = [], 0
    try:
        for batch in reader.events(columns=_COLUMNS.names):
            batches.append(batch)
            count += batch.num_rows
            if count > _MOST_EVENTS:
                unknown.append(f"Only the first {count:,} events are shown here; affidavit trace reads all.")
                break
    except (EvidenceError, TraceError) as error:
        unknown.append(f"The record can't be read: {error}.")
    return pa.Table.from_batches(batches, _COLUMNS)


class _Rows:
    """The events of a record by number and in words."""

    def __init__(self, events: pa.Table) -> None:
        self._events = events
        self._seqs = events["seq"].to_numpy()
        self._start = int(pc.min(events["ts_ns"]).as_py() or 0)
        wanted = pa.array([str(op) for op in _NOTABLE], pa.utf8())
        failed_reads = pc.and_(pc.less(events["ret"], 0), pc.equal(pc.cast(events["op"], pa.utf8()), "denied"))
        self._notable = pc.or_(pc.is_in(pc.cast(events["op"], pa.utf8()), value_set=wanted), failed_reads)

    @property
    def notable_count(self) -> int:
        return int(pc.sum(self._notable).as_py() or 0)

    def notable(self) -> tuple[EventLine, ...]:
        """The first of the events that a reader asks for: programs, changes, network, refusals."""
        return self._lines(self._events.filter(self._notable).slice(0, _MOST_LISTED))

    def proof(self, act: Broken | Tried) -> Proof:
        """With the events that prove it; those of a grader's record are in the private part."""
        return Proof(act, self._lines(self.of(act)))

    def of(self, act: Broken | Tried) -> pa.Table:
        """The rows of the events that prove it."""
        if act.stage not in ("agent", "diff"):
            return self._events.slice(0, 0)
        return self._events.filter(pa.array(np.isin(self._seqs, act.events[:20])))

    def since(self, at: int) -> float:
        """Seconds from the first event to a time."""
        return (at - self._start) / 1e9

    def seconds(self, rows: pa.Table) -> list[float]:
        """Since the first event."""
        return [self.since(int(at)) for at in rows["ts_ns"].to_pylist()]

    def _lines(self, rows: pa.Table) -> tuple[EventLine, ...]:
        times = self.seconds(rows)
        return tuple(
            EventLine(row["seq"], at, event_sentence(row) if row["op"] in OPS else "something unknown", row["ret"] < 0)
            for row, at in zip(rows.select(_SENTENCE).to_pylist(), times, strict=True)
        )


def _turns(reader: BundleReader, events: pa.Table, unknown: list[str]) -> list[Turn]:
    """The exchanges of an agent with its model. What was said is read of the first ones alone: bodies may be large."""
    found: list[Turn] = []
    try:
        log, answers = _log(reader)
        start = int(pc.min(events["ts_ns"]).as_py() or 0) + clock_difference(events, log)
        for number, row in enumerate(log.slice(0, _MOST_EVENTS).to_pylist()):
            said, calls = answers[number] if number < len(answers) else ("", ())
            found.append(
                Turn(
                    number=row["turn"],
                    start=(row["started_ns"] - start) / 1e9,
                    end=(row["ended_ns"] - start) / 1e9,
                    model=row["wire_model"] or row["model"],
                    outcome=row["outcome"] if row["outcome"] == "answered" else f"{row['outcome']}: {row['reason']}",
                    input_tokens=row["input_tokens"],
                    output_tokens=row["output_tokens"],
                    said=said,
                    calls=calls,
                )
            )
    except (EvidenceError, TraceError) as error:
        unknown.append(f"What passed between the agent and its model can't be read: {error}.")
    return found


def _log(reader: BundleReader) -> tuple[pa.Table, list[tuple[str, tuple[str, ...]]]]:
    """The decision log but for its bodies, and what was said in its first turns. Raises EvidenceError, TraceError."""
    batches: list[pa.RecordBatch] = []
    answers: list[tuple[str, tuple[str, ...]]] = []
    for batch in read_model_log(reader, {*_TURN_COLUMNS.names, *_SAID_COLUMNS}):
        batches.append(batch.select(_TURN_COLUMNS.names))
        first = batch.slice(0, _MOST_TURNS - len(answers)).select([*_SAID_COLUMNS])
        answers += [_said(row) for row in model_rows([first])]
    return pa.Table.from_batches(batches, _TURN_COLUMNS), answers


def _said(row: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The start of what a model said, and of the tools that it asked for."""
    answer = None
    if row["status"] == 200:
        answer = read_answer(row["operation"], content_type(row["response_headers"]), row["response"])
    if answer is None:
        return "", ()
    calls = tuple(f"{name} {arguments}"[:_LONGEST_SAID] for _, name, arguments in answer.tool_calls[:_MOST_CALLS])
    return "".join(answer.texts)[:_LONGEST_SAID], calls


def _commands(reader: BundleReader, rows: _Rows, unknown: list[str]) -> list[Command]:
    """The commands of a session, but for the first process, which only waits."""
    try:
        execs = reader.execs()
    except (EvidenceError, TraceError) as error:
        unknown.append(f"The commands of the session can't be read: {error}.")
        return []
    listed = [] if execs is None else sorted(execs.to_pylist(), key=lambda row: int(row["began_ns"]))
    return [
        Command(
            phase=row["phase"],
            origin=row["origin"],
            command=" ".join(row["argv"])[:300],
            start=rows.since(row["began_ns"]),
            seconds=(row["ended_ns"] - row["began_ns"]) / 1e9,
            ending=_ending({"timed_out": row["timed_out"], "signal": row["signal"], "code": row["exit_code"]}),
        )
        for row in listed
        if row["id"] != FIRST
    ]


def _are(ops: pa.ChunkedArray, wanted: Sequence[Op]) -> pa.ChunkedArray:
    """Which of the operations are of some."""
    return pc.is_in(ops, value_set=pa.array([str(op) for op in wanted], pa.utf8()))


def _timeline(
    events: pa.Table, rows: _Rows, trial: TrialView, roots: Sequence[Process], turns: Sequence[Turn]
) -> Timeline | None:
    if not events.num_rows:
        return None
    times = events["ts_ns"].to_numpy()
    start, end = int(times.min()), int(times.max())
    span = max(1, end - start)
    ops = pc.cast(events["op"], pa.utf8())
    place = np.minimum(BINS - 1, (times - start) * BINS // span)

    def lane(name: str, mask: pa.ChunkedArray) -> Lane:
        counts = np.bincount(place[mask.to_numpy().astype(bool)], minlength=BINS)
        return Lane(name, tuple(counts.tolist()))

    # A socket with a path is of this machine's, such as that of a cache of names.
    local = pc.and_(pc.is_valid(events["path"]), _are(ops, (Op.CONNECT, Op.BIND)))
    lanes = [lane(name, pc.and_not(_are(ops, wanted), local)) for name, wanted in _LANES]
    lanes.append(lane("failed or refused", pc.and_(pc.less(events["ret"], 0), pc.not_equal(ops, "exit"))))
    marks = sorted({at for one in trial.judged.violations for at in rows.seconds(rows.of(one))})
    bars, left_out = _bars(roots, start, end)
    last = span / 1e9
    spans = [(min(last, max(0.0, one.start)), min(last, max(0.0, one.end))) for one in turns[:_MOST_SPANS]]
    return Timeline(last, tuple(spans), tuple(lanes), bars, tuple(marks), left_out)


def _bars(roots: Sequence[Process], start: int, end: int) -> tuple[tuple[Bar, ...], int]:
    """The processes that ran longest, in order of their start."""
    ran = [one for one, _ in _walk(roots) if one.exe is not None or one.argv]

    def extent(process: Process) -> tuple[int, int]:
        first = start if process.started_ns is None else process.started_ns
        return first, end if process.ended_ns is None else max(first, process.ended_ns)

    longest = sorted(ran, key=lambda one: extent(one)[0] - extent(one)[1])[:_MOST_BARS]
    bars = [
        Bar(_command(one), (extent(one)[0] - start) / 1e9, (extent(one)[1] - start) / 1e9, bool(one.exit_code))
        for one in sorted(longest, key=lambda one: extent(one)[0])
    ]
    return tuple(bars), len(ran) - len(bars)


def _walk(roots: Sequence[Process]) -> Iterator[tuple[Process, int]]:
    """Each process before its children. With a stack: a record may hold a chain deeper than Python's own."""
    todo = [(root, 0) for root in reversed(roots)]
    while todo:
        process, depth = todo.pop()
        yield process, depth
        todo += [(child, depth + 1) for child in reversed(process.children)]


def _command(process: Process) -> str:
    return " ".join(process.argv)[:300] or process.exe or "(forked)"


def _tree(roots: Sequence[Process]) -> tuple[tuple[ProcessLine, ...], int]:
    lines: list[ProcessLine] = []
    total = 0
    for process, depth in _walk(roots):
        total += 1
        if len(lines) < _MOST_PROCESSES:
            known = process.started_ns is not None and process.ended_ns is not None
            seconds = ((process.ended_ns or 0) - (process.started_ns or 0)) / 1e9 if known else None
            lines.append(
                ProcessLine(min(depth, _MOST_DEPTH), process.pid, _command(process), seconds, process.exit_code)
            )
    return tuple(lines), total - len(lines)


def _changes(reader: BundleReader, names: Sequence[str], unknown: list[str]) -> tuple[tuple[Change, ...], int]:
    try:
        listed = reader.diff
    except EvidenceError as error:
        unknown.append(f"{error}.")
        return (), 0
    held = {name.removeprefix("files/") for name in names if name.startswith("files/")}
    texts, differences = texts_of(reader, names, unknown), Differences()
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    # A reader asks first for what was there before, and last for what is in scratch folders.
    entries.sort(key=lambda entry: (f"{entry.get('path')}/".startswith(SCRATCH), entry.get("kind") != "modified"))
    changes = []
    for entry in entries[:_MOST_CHANGES]:
        size, target, digest, path = entry.get("size"), entry.get("target"), entry.get("sha256"), entry.get("path")
        lines: list[str] = []
        pair = texts.get(path) if isinstance(path, str) else None
        compared = pair is not None and pair.is_of(digest)
        if pair is not None and compared:
            lines = differences.lines(pair.before, pair.after)
        elif isinstance(digest, str) and digest in held:
            mark = "+" if entry.get("kind") == "added" else " "
            lines = [mark + line for line in _text_lines(reader, digest)]
        what = str(entry.get("type", "file")) + (f" to {target}" if isinstance(target, str) else "")
        changes.append(
            Change(
                kind=str(entry.get("kind", "changed")),
                path=str(path or ""),
                what=what,
                size=size if isinstance(size, int) else None,
                lines=tuple(lines[:_MOST_LINES]),
                compared=compared,
                cut=len(lines) > _MOST_LINES,
            )
        )
    return tuple(changes), len(entries) - len(changes)


@dataclass(frozen=True)
class FileTexts:
    """A file's text before and after; None where there was none."""

    before: str | None
    after: str | None

    def is_of(self, digest: object) -> bool:
        """Whether diff.json names this content."""
        return digest == (None if self.after is None else hashlib.sha256(self.after.encode("utf-8")).hexdigest())


def texts_of(reader: BundleReader, names: Sequence[str], unknown: list[str]) -> dict[str, FileTexts]:
    """The texts that the bundle holds, by path; bundles of older versions hold none."""
    if TEXTS not in names:
        return {}
    found: dict[str, FileTexts] = {}
    document = _object(reader, TEXTS, unknown)
    files, left_out = document.get("files"), document.get("left_out")
    for one in files if isinstance(files, list) else ():
        match one:
            case {"path": str(path), "before": str() | None as before, "after": str() | None as after}:
                # JSON can hold half of a surrogate pair, which is no text.
                with suppress(UnicodeEncodeError):
                    for text in (before, after):
                        (text or "").encode("utf-8")
                    found[path] = FileTexts(before, after)
    if isinstance(left_out, int) and left_out > 0:
        unknown.append(
            f"Of {left_out} changed {'file' if left_out == 1 else 'files'} the bundle holds no text: not text, or too "
            "large, or beyond what a bundle keeps."
        )
    return found


def _text_lines(reader: BundleReader, digest: str) -> list[str]:
    """The lines of a text file; none where it is not text or is large."""
    try:
        text = reader.read(f"files/{digest}", _MOST_FILE_BYTES).decode()
    except (EvidenceError, UnicodeDecodeError):
        return []
    return [] if "\0" in text else text.split("\n")


def _grades(reader: BundleReader, names: Sequence[str], unknown: list[str]) -> Iterator[Grade]:
    if "grades.json" not in names:
        unknown.append("The bundle is of version 0.1; its grades are not shown, since they may hold what tests expect.")
        return
    graders = _object(reader, "grades.json", unknown).get("graders")
    for one in graders[:_MOST_PARTS] if isinstance(graders, list) else ():
        if not isinstance(one, dict):
            continue
        components = one.get("components")
        parts = [
            Part(str(part.get("name", "")), _number(part.get("score")), _number(part.get("weight")))
            for part in (components[:_MOST_PARTS] if isinstance(components, list) else ())
            if isinstance(part, dict)
        ]
        findings = one.get("findings")
        found = [
            str(finding.get("message", ""))
            for finding in (findings[:_MOST_PARTS] if isinstance(findings, list) else ())
            if isinstance(finding, dict)
        ]
        notes = [
            f"{name}: {text}" for name in ("error", "abstained", "unproven") if isinstance(text := one.get(name), str)
        ]
        if one.get("deterministic") is False:
            notes.append("its score can't be recomputed from the bundle")
        yield Grade(
            name=str(one.get("name", "")),
            kind=str(one.get("kind", "")),
            score=_number(one.get("score")),
            weight=_number(one.get("weight")),
            gate=_number(one.get("gate")),
            message=str(one.get("message") or ""),
            parts=tuple(parts),
            findings=tuple(found),
            notes=tuple(notes),
        )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _output(reader: BundleReader, name: str) -> str:
    """The end of what the agent wrote there."""
    try:
        with reader.open(name) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _MOST_OUTPUT_BYTES))
            data = file.read(_MOST_OUTPUT_BYTES)
    except EvidenceError:
        return ""
    text = data.decode("utf-8", "backslashreplace")
    return f"[… {size - len(data):,} bytes before]\n{text}" if size > len(data) else text


def _facts(trial: TrialView, environment: Mapping[str, Any], ended: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Run", trial.run_id
    yield "Agent", trial.agent.name
    if trial.agent.digest is not None:
        yield "Digest of the agent", trial.agent.digest
    if trial.agent.model:
        yield "Model that it was given", trial.agent.model
    if said := _brought(environment):
        yield "The agent's own files", said
    yield "Runtime and recorder", f"{trial.record.runtime or '?'} + {trial.record.recorder or '?'}"
    for name, label in (("runtime_detail", "Runtime version"), ("kernel", "Kernel"), ("affidavit", "Affidavit")):
        if isinstance(environment.get(name), str):
            yield label, environment[name]
    known = "unknown" if trial.record.complete is None else "yes" if trial.record.complete else "no"
    yield "Record complete", known
    yield (
        "Events recorded, lost",
        f"{trial.record.events if trial.record.events is not None else '?'}, {trial.record.lost}",
    )
    yield "Contract", f"{trial.contract.id} {trial.contract.version}, {trial.contract.digest}"
    yield "Contract signed by", trial.contract.signers or "nobody"
    if trial.mode != "strict":
        yield "Contract mode", trial.mode
    yield "Assurance of the score", trial.judged.assurance or "none"
    known_signer = (
        "not checked here"
        if trial.evidence.checked is None
        else "verified"
        if trial.evidence.checked.ok
        else "does not verify"
    )
    yield "Bundle names as its signer", f"{trial.evidence.signed_by or 'nobody'} ({known_signer})"
    if ended:
        yield "Agent's command ended with", _ending(ended)
    if trial.duration_ms is not None:
        yield "Wall time of the trial", f"{trial.duration_ms / 1000:.1f} s"


def _brought(environment: Mapping[str, Any]) -> str:
    try:
        identity = read_identity("environment.json", environment.get("identity"))
    except EvidenceError:
        return "the bundle does not say it in a form that is known"
    return "" if identity is None or identity.scan is None else identity.scan.sentence


def _ending(ended: Mapping[str, Any]) -> str:
    if ended.get("timed_out") is True:
        return "a timeout"
    if ended.get("halted") is True:
        return "a halt by the contract"
    if ended.get("oom") is True:
        return "no memory left"
    if isinstance(ended.get("signal"), int):
        return f"signal {ended['signal']}"
    return f"exit status {ended.get('code')}"
