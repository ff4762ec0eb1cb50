"""Learning the smallest contract that admits recorded honest runs.

The contract is built from what the runs did, generalised as `generalising` says, and then checked against each of the
runs: what it would still call a violation is added name by name, until nothing is left. Runs under which the default
contract is broken teach nothing (`lessons`): so nothing that it forbids can be learned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.authoring.errors import LearningError
from affidavit.authoring.generalising import generalised
from affidavit.contracts import OPERATIONS, Contract, Endpoint, PathMatcher, contract_of, default_for, escape, matcher
from affidavit.events import FILE_WRITES, Op
from affidavit.policy import Judge, Violation
from affidavit.sandbox import Change
from affidavit.tasks import Profile

_LISTS = {"files.read": "read", "files.write": "write", "processes.exec": "exec"}
# Each turn adds what up to a hundred violations name.
_MOST_TURNS = 200
_FEWEST_PROCESSES = 16


@dataclass(frozen=True)
class Lesson:
    """A recorded honest run.

    Attributes:
        name: how it is called in the evidence.
        workdir, timeout_s: of its task.
        given: what Affidavit put into the sandbox for the agent.
        events: the agent's record, EVENT_SCHEMA.
        counts: system calls by process; None: not known.
        diff: what the agent changed.
        duration_ms: wall time of the agent's command.
        profile: of its sandbox.
        reachable: endpoints that the agent could reach.
        reached: endpoints that it reached, ``HOST:PORT``, for each connection.
    """

    name: str
    workdir: str
    timeout_s: float
    events: pa.Table
    given: tuple[str, ...] = ()
    counts: pa.Table | None = None
    diff: Sequence[Change] = ()
    duration_ms: int = 0
    profile: Profile = "strict"
    reachable: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """An entry of a list, and what it rests on: for each run its name and how many events the entry is about."""

    pattern: str
    evidence: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        value: the contract as plain values of ``affidavit.contract/v1``.
        read, write, exec, endpoints: its lists with what each entry rests on.
        peak: the most processes that were alive at the same time.
        longest_ms: the longest run.
        tripped: operations that are not forbidden, for a run shows them.
        lessons: the runs' names.
    """

    value: dict[str, Any]
    read: tuple[Line, ...]
    write: tuple[Line, ...]
    exec: tuple[Line, ...]
    endpoints: tuple[Line, ...]
    peak: int
    longest_ms: int
    tripped: tuple[str, ...]
    lessons: tuple[str, ...]

    @property
    def kept_out(self) -> tuple[str, ...]:
        """What the entries of ``files.write`` do not allow, each with ``!`` before it."""
        return tuple(pattern for pattern in self.value["files"]["write"] if pattern.startswith("!"))

    def evidence(self) -> dict[str, dict[str, dict[str, int]]]:
        """For each list and entry: how many events, or connections, of which run it rests on."""
        lists = {"files.read": self.read, "files.write": self.write, "processes.exec": self.exec}
        if self.endpoints:
            lists["network.endpoints"] = self.endpoints
        return {name: {line.pattern: dict(line.evidence) for line in lines} for name, lines in lists.items()}


def learn_contract(lessons: Sequence[Lesson], contract_id: str, version: str = "1.0.0") -> Learned:
    """The smallest contract that admits the runs.

    Args:
        lessons: of one task and one profile, one at least.
        contract_id, version: of the contract.

    Raises:
        LearningError: a run breaks the default contract, or none can be learned.
        ContractError: id or version are none.
    """
    timeout_s = lessons[0].timeout_s
    reachable = sorted({endpoint for lesson in lessons for endpoint in lesson.reachable})
    usual = {**_default_value(lessons[0]), "network": {"endpoints": reachable}}
    default = contract_of(usual, "default")
    for lesson in lessons:
        if found := _judged(default, lesson):
            first = found[0]
            raise LearningError(
                f"{lesson.name}: shows what the default contract forbids ({first.rule}: {first.message}); learn from "
                "honest runs only"
            )
    write = {grant.pattern for grant in generalised(*_written(lessons))}
    read = {grant.pattern for grant in generalised(_read(lessons, write))}
    run = {grant.pattern for grant in generalised(_run(lessons))}
    peak = max(_peak(lesson.events) for lesson in lessons)
    longest = max(lesson.duration_ms for lesson in lessons)
    forbidding = contract_of({**usual, "operations": {"forbid": _forbiddable()}}, "default")
    shown = {found.rule.removeprefix("operations.") for one in lessons for found in _judged(forbidding, one)}
    endpoints = {endpoint for lesson in lessons for endpoint in lesson.reached}
    written = default.document.model_dump(mode="json", exclude_unset=True)
    # Elsewhere than in its working directory, an agent of a container may install what decides how tests run.
    container = lessons[0].profile == "container"
    kept_out = [pattern for pattern in written["files"]["write"] if pattern.startswith("!")] if container else []

    def value() -> dict[str, Any]:
        return {
            "schema": written["schema"],
            "id": contract_id,
            "version": version,
            "attempts": written["attempts"],
            "files": {
                "read": sorted(read),
                "write": [*sorted(write), *(kept_out if write else ())],
                "deny": written["files"]["deny"],
            },
            "network": {"endpoints": sorted(endpoints)},
            "processes": {"exec": sorted(run), "max_processes": max(_FEWEST_PROCESSES, 2 * peak)},
            "syscalls": written["syscalls"],
            "operations": {"forbid": [name for name in _forbiddable() if name not in shown]},
            "limits": {"wall_ms": min(max(1, round(timeout_s * 1000)), _round_up(4 * longest))},
            "extends": ["affidavit:base", *(() if container else ("affidavit:test-infrastructure",))],
        }

    lists = {"files.read": read, "files.write": write, "processes.exec": run}
    for _ in range(_MOST_TURNS):
        contract = contract_of(value(), "what was learned")
        lacking = [(lesson, violation) for lesson in lessons for violation in _judged(contract, lesson)]
        if not lacking:
            break
        before = sum(map(len, (*lists.values(), endpoints, shown)))
        for lesson, violation in lacking:
            if violation.rule in lists:
                lists[violation.rule] |= {grant.pattern for grant in generalised(_names_of(lesson, violation))}
            elif violation.rule == "network.endpoints":
                endpoints |= _endpoints_of(lesson, violation)
            elif violation.rule.startswith("operations."):
                # Some are judged by what the contract's own lists expect.
                shown.add(violation.rule.removeprefix("operations."))
        if sum(map(len, (*lists.values(), endpoints, shown))) == before:
            lesson, violation = lacking[0]
            raise LearningError(f"{lesson.name}: {violation.rule}: {violation.message}: can't be allowed for")
    else:
        raise LearningError("the runs use more names than a contract can list")
    return Learned(
        value=value(),
        read=_lines(read, lessons, (Op.OPEN_READ,)),
        write=_lines(write, lessons, FILE_WRITES),
        exec=_lines(run, lessons, (Op.EXEC,)),
        endpoints=_endpoint_lines(endpoints, lessons),
        peak=peak,
        longest_ms=longest,
        tripped=tuple(name for name in _forbiddable() if name in shown),
        lessons=tuple(lesson.name for lesson in lessons),
    )


def _default_value(lesson: Lesson) -> dict[str, Any]:
    """The default contract of a run's task as plain values; but attempts count: who is to be learned from tried
    nothing."""
    value = default_for(lesson.workdir, lesson.profile).document.model_dump(mode="json", exclude_unset=True)
    return {**value, "attempts": "violation"}


def _judged(contract: Contract, lesson: Lesson) -> list[Violation]:
    judge = Judge(contract, workdir=lesson.workdir, given=lesson.given)
    for batch in lesson.events.to_batches():
        judge.feed(batch)
    return judge.finish(lesson.counts, lesson.diff)


def _forbiddable() -> list[str]:
    """Operations that are grave enough to be forbidden unasked."""
    return [name for name, operation in OPERATIONS.items() if operation.severity != "low"]


def _names(events: pa.Table, column: str, ops: Iterable[str]) -> list[str]:
    """The distinct names that successful operations of these kinds were about."""
    of_kind = pc.is_in(events["op"].cast("string"), pa.array([*ops], pa.utf8()))
    wanted = pc.and_(of_kind, pc.greater_equal(events["ret"], 0))
    return [name for name in pc.unique(events.filter(wanted)[column].cast("string")).to_pylist() if name is not None]


def _written(lessons: Sequence[Lesson]) -> tuple[list[str], list[str]]:
    """What the runs wrote but for what any program writes, and those folders of it that they made."""
    names: list[str] = []
    made: list[str] = []
    for lesson in lessons:
        names += _names(lesson.events, "path", FILE_WRITES)
        names += _names(lesson.events, "path2", (Op.RENAME, Op.LINK))
        names += [change.path for change in lesson.diff if change.kind != "metadata"]
        made += _names(lesson.events, "path", (Op.MKDIR,))
    base = _covered({"write": []}, lessons[0], "write")
    return _without(names, base), _without(made, base)


def _read(lessons: Sequence[Lesson], write: Iterable[str]) -> list[str]:
    names = [name for lesson in lessons for name in _names(lesson.events, "path", (Op.OPEN_READ,))]
    base = _covered({"read": [], "write": sorted(write)}, lessons[0], "read")
    return _without(_without(names, base), _given(lessons))


def _run(lessons: Sequence[Lesson]) -> list[str]:
    columns = ("path", "exe")
    names = [name for lesson in lessons for column in columns for name in _names(lesson.events, column, (Op.EXEC,))]
    return _without(names, _given(lessons))


def _given(lessons: Sequence[Lesson]) -> PathMatcher:
    """What Affidavit itself put into the sandboxes."""
    folders = {f"{escape(folder)}/**" for lesson in lessons for folder in lesson.given}
    return PathMatcher(["/instruction.md", *folders])


def _covered(files: dict[str, Any], lesson: Lesson, kind: str) -> PathMatcher:
    """What the pack that every contract extends, and these lists, let one read or write."""
    contract = contract_of({**_default_value(lesson), "files": files, "extends": ["affidavit:base"]}, "base")
    patterns = (*(contract.read or ()), *contract.write) if kind == "read" else contract.write
    return matcher(tuple(patterns))


def _without(names: Iterable[str], covered: PathMatcher) -> list[str]:
    distinct = sorted(set(names))
    return [name for name, known in zip(distinct, covered.mask(distinct).tolist(), strict=True) if not known]


def _names_of(lesson: Lesson, violation: Violation) -> list[str]:
    """The names that the events of a violation are about; where there are none, the changes that its sentence names."""
    rows = lesson.events.filter(pc.is_in(lesson.events["seq"], pa.array(violation.events, pa.int64())))
    columns = ("path", "exe") if violation.rule == "processes.exec" else ("path", "path2")
    names = [name for column in columns for name in rows[column].cast("string").to_pylist() if name]
    if not violation.events:
        names = [change.path for change in lesson.diff]
    return [name for name in names if name.startswith("/")]


def _endpoints_of(lesson: Lesson, violation: Violation) -> set[str]:
    """What the agent could reach of the hosts whose names the events of a violation ask for."""
    rows = lesson.events.filter(pc.is_in(lesson.events["seq"], pa.array(violation.events, pa.int64())))
    asked = {name for name in rows["path2"].cast("string").to_pylist() if name}
    return {text for text in lesson.reachable if any(map(Endpoint.parse(text).allows_name, asked))}


def _peak(events: pa.Table) -> int:
    """The most processes alive at the same time."""
    ops = events["op"].cast("string")
    born = np.asarray(pc.and_(pc.equal(ops, Op.FORK), pc.greater(events["ret"], 0)), np.int64)
    gone = np.asarray(pc.and_(pc.equal(ops, Op.EXIT), pc.equal(events["tid"], events["pid"])), np.int64)
    return 1 + int(np.cumsum(born - gone).max(initial=0))


def _round_up(milliseconds: int) -> int:
    """To one significant digit, ten seconds at least."""
    wanted = max(10_000, milliseconds)
    step = int("1" + "0" * (len(str(wanted)) - 1))
    return -(-wanted // step) * step


def _lines(patterns: Iterable[str], lessons: Sequence[Lesson], ops: Iterable[str]) -> tuple[Line, ...]:
    wanted = pa.array([*ops], pa.utf8())
    counted: list[tuple[str, pa.Array, np.ndarray[Any, Any]]] = []
    for lesson in lessons:
        rows = lesson.events.filter(pc.is_in(lesson.events["op"].cast("string"), wanted))
        columns = ("path", "exe") if Op.EXEC in ops else ("path", "path2")
        names = pa.chunked_array([rows[column].cast("string").combine_chunks() for column in columns]).drop_null()
        table = pc.value_counts(names)
        counted.append((lesson.name, table.field("values"), np.asarray(table.field("counts"))))
    lines = []
    for pattern in sorted(patterns):
        matching = PathMatcher([pattern])
        found = [(name, int(counts[matching.mask(values)].sum())) for name, values, counts in counted]
        lines.append(Line(pattern, tuple((name, count) for name, count in found if count)))
    return tuple(lines)


def _endpoint_lines(endpoints: Iterable[str], lessons: Sequence[Lesson]) -> tuple[Line, ...]:
    lines = []
    for endpoint in sorted(endpoints):
        found = [(lesson.name, lesson.reached.count(endpoint)) for lesson in lessons]
        lines.append(Line(endpoint, tuple((name, count) for name, count in found if count)))
    return tuple(lines)
