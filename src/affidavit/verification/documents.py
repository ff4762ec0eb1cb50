"""What a trial is judged by, from what its bundle holds: the same objects in a run and in ``verify``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from affidavit.agents import AGENT_FOLDER
from affidavit.contracts import Contract
from affidavit.events import EVENT_SCHEMA, ExecTracker
from affidavit.evidence import EvidenceError
from affidavit.policy import Judge
from affidavit.sandbox import Exit, Program

# What the built-in agents are handed beside the task.
_GIVEN = {"oracle": ("/solution",)}


def new_judge(
    contract: Contract,
    workdir: str,
    agent: str,
    program_of: Callable[[str], Program | None] = lambda path: None,
    task_limit_s: float | None = None,
    decoys: Sequence[str] = (),
) -> Judge:
    """A judge of the agent's record.

    Args:
        contract: what was promised.
        workdir: the task's working directory.
        agent: the agent's name.
        program_of: what a name stood for in the root file system.
        task_limit_s: the task's own time limit, seconds; None: it does not matter.
        decoys: where they lay in the agent's sandbox.
    """
    limit = None if task_limit_s is None else round(task_limit_s * 1000)
    return Judge(
        contract,
        workdir=workdir,
        given=given_to(agent),
        program_of=program_of,
        task_limit_ms=limit,
        decoys=decoys,
    )


def given_to(agent: str) -> tuple[str, ...]:
    """The folders that Affidavit itself puts into the sandbox for an agent of this name."""
    return (AGENT_FOLDER, *_GIVEN.get(agent, ()))


def agent_batches(batches: Iterable[pa.RecordBatch], execs: pa.Table | None) -> Iterator[pa.RecordBatch]:
    """What of the agent's sandbox's events is held against the contract.

    Args:
        batches: all of them, in order.
        execs: the commands of the session, EXEC_SCHEMA; None where the agent is one command, to which all belongs.
    """
    if execs is None:
        yield from batches
        return
    tracker = ExecTracker.of(execs.to_pylist())
    for batch in batches:
        yield tracker.judged(batch)


def agent_events(batches: Iterable[pa.RecordBatch], execs: pa.Table | None) -> pa.Table:
    """Likewise, as one table."""
    return pa.Table.from_batches(agent_batches(batches, execs), EVENT_SCHEMA)


def agent_counts(
    batches: Iterable[pa.RecordBatch], counts: pa.Table, execs: pa.Table | None
) -> tuple[pa.Table, list[str]]:
    """What of its system calls is held against the contract, and why its record is not complete, as far as its commands
    go, a sentence each.

    Args:
        batches, execs: as `agent_batches` has them.
        counts: of all system calls, COUNT_SCHEMA.
    """
    if execs is None:
        return counts, []
    tracker = ExecTracker.of(execs.to_pylist())
    for batch in batches:
        tracker.numbers(batch)
    strangers = tracker.strangers
    why = f"the agent's record is incomplete: no command and no fork explains {strangers} of its processes"
    return tracker.judged_counts(counts), [why] if strangers else []


def programs_json(programs: Mapping[str, Any]) -> dict[str, Any]:
    """What the names of programs stood for, as it stands in ``environment.json``."""
    return {path: None if of is None else {"digest": of.digest, "via": list(of.via)} for path, of in programs.items()}


def read_programs(facts: Mapping[str, Any]) -> dict[str, Program]:
    """What `programs_json` wrote.

    Raises:
        EvidenceError: it did not.
    """
    try:
        return {path: Program(of["digest"], tuple(of["via"])) for path, of in facts.items() if of is not None}
    except (TypeError, KeyError, AttributeError) as error:
        raise EvidenceError(f"environment.json: programs: {error}") from None


def read_decoys(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """Where decoys lay, from ``environment.json``; bundles of tasks without any have nothing on it.

    Raises:
        EvidenceError: it says something else.
    """
    paths = environment.get("decoys", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise EvidenceError("environment.json: decoys is no list of paths")
    return tuple(paths)


def read_exit(facts: Mapping[str, Any]) -> Exit:
    """How a stage's command ended, from its ``exit.json``.

    Raises:
        EvidenceError: it is none.
    """
    try:
        return Exit(**{name: value for name, value in facts.items() if name != "halted"})
    except TypeError as error:
        raise EvidenceError(f"exit.json: {error}") from None
