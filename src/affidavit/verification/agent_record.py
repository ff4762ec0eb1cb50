"""What an agent did, as its record shows it, and what of that speaks against its contract."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import pyarrow as pa

from affidavit.agents import AGENT_FOLDER
from affidavit.contracts import Contract
from affidavit.events import EVENT_SCHEMA, ExecTracker
from affidavit.policy import Attempt, Footprint, Judge, ModelLogReader, Violation, unexplained
from affidavit.sandbox import Change, Exit, Program, changes_since

FOOTPRINT = "footprint.json"
"""The file of a bundle that says what the grading rests on."""

# What the built-in agents are handed beside the task.
_GIVEN = {"oracle": ("/solution",)}


@dataclass(frozen=True)
class AgentRecord:
    """What an agent did.

    Attributes:
        batches: reads all events of its sandbox, in order, EVENT_SCHEMA.
        all_counts: all system calls in its sandbox, COUNT_SCHEMA.
        execs: the commands of a session, EXEC_SCHEMA; None where the agent was one command, to which all belongs.
        changes: what it changed; in a step, together with what it began with.
        exit: how it ended.
        model_log: reads what passed between it and its model; None: it had none.
        earlier: what it began with of its changes in the steps before.
    """

    batches: Callable[[], Iterable[pa.RecordBatch]]
    all_counts: pa.Table
    execs: pa.Table | None
    changes: Sequence[Change]
    exit: Exit
    model_log: ModelLogReader | None = None
    earlier: Sequence[Change] = ()

    def judged(self) -> Iterator[pa.RecordBatch]:
        """The events that are checked against the contract. Raises TraceError while iterating."""
        if self.execs is None:
            yield from self.batches()
            return
        tracker = ExecTracker.of(self.execs.to_pylist())
        for batch in self.batches():
            yield tracker.judged(batch)

    def events(self) -> pa.Table:
        """The same as one table. Raises TraceError."""
        return pa.Table.from_batches(self.judged(), EVENT_SCHEMA)

    @property
    def counts(self) -> pa.Table:
        """The system calls that are checked against the contract, COUNT_SCHEMA. Raises TraceError."""
        return self._counted[0]

    @cached_property
    def _counted(self) -> tuple[pa.Table, int]:
        """The counts, and the number of processes that nothing explains."""
        if self.execs is None:
            return self.all_counts, 0
        tracker = ExecTracker.of(self.execs.to_pylist())
        for batch in self.batches():
            tracker.numbers(batch)
        return tracker.judged_counts(self.all_counts), tracker.strangers

    def gaps(self) -> tuple[str, ...]:
        """What happened in the sandbox without the record explaining it, a sentence each. Raises TraceError."""
        strangers = self._counted[1]
        own = changes_since(self.earlier, self.changes)
        unknown = [f"no command and no fork explains {strangers} of its processes"] if strangers else []
        return tuple(
            f"the agent's record is incomplete: {what}" for what in (*unknown, *unexplained(self.batches(), own))
        )


@dataclass(frozen=True)
class AgentFindings:
    """What an agent's record shows.

    Attributes:
        violations: of its contract.
        attempts: what it tried and came to nothing.
        stopped: the task's time limit stopped it.
        gaps: why the record does not explain all that happened, a sentence each.
    """

    violations: tuple[Violation, ...]
    attempts: tuple[Attempt, ...]
    stopped: bool
    gaps: tuple[str, ...]


def examine(judge: Judge, record: AgentRecord) -> AgentFindings:
    """Check an agent's record against its contract.

    Args:
        judge: has seen the events that `record.judged` gives, live or just now.
        record: the agent's.

    Raises:
        TraceError: the record can't be read.
    """
    violations = tuple(judge.finish(record.counts, record.changes, record.exit, record.model_log))
    return AgentFindings(violations, tuple(judge.attempts), judge.limit_of_task(record.exit), record.gaps())


def new_judge(
    contract: Contract,
    workdir: str,
    agent: str,
    program_of: Callable[[str], Program | None] = lambda path: None,
    task_limit_s: float | None = None,
    footprint: Footprint | None = None,
    decoys: Sequence[str] = (),
    rule_states: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Judge:
    """A judge of the agent's record.

    Args:
        contract: what was promised.
        workdir: the task's working directory.
        agent: the agent's name.
        program_of: what a name stood for in the root file system.
        task_limit_s: the task's own time limit, seconds; None: it does not matter.
        footprint: of what grades; None where the agent can change only what the contract lets it write.
        decoys: where they lay in the agent's sandbox.
        rule_states: what the contract's rules came to in the step before.
    """
    limit = None if task_limit_s is None else round(task_limit_s * 1000)
    return Judge(
        contract,
        workdir=workdir,
        given=given_to(agent),
        program_of=program_of,
        task_limit_ms=limit,
        footprint=footprint,
        decoys=decoys,
        rule_states=rule_states,
    )


def given_to(agent: str) -> tuple[str, ...]:
    """The folders that Affidavit itself puts into the sandbox for an agent of this name."""
    return (AGENT_FOLDER, *_GIVEN.get(agent, ()))
