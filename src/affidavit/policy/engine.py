"""A contract against a record: live, batch by batch, and after the fact, by the same code."""

import errno
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.contracts import OPERATIONS, Contract
from affidavit.events import OPS, SYSTEM_CALL_NAMES, Op
from affidavit.policy import paths as p
from affidavit.policy import sentences
from affidavit.policy.accesses import OP_CODES, SET_ASIDE_WHY, AccessCheck, leads_to
from affidavit.policy.attempts import EVALUATION_CALLS, Attempt, Outcome, attempts_under, came_to_nothing
from affidavit.policy.columnar import Evaluation, EventFrame
from affidavit.policy.columns import Batch, Names
from affidavit.policy.decoys import DecoyCheck
from affidavit.policy.detectors import Detectors
from affidavit.policy.digests import Digests, Program
from affidavit.policy.findings import Findings
from affidavit.policy.footprint import Footprint, NamedChange
from affidavit.policy.lineage import Images, Lineage
from affidavit.policy.model_traffic import ModelCheck, ModelLogReader
from affidavit.policy.network import NetworkCheck
from affidavit.policy.renaming_links import renaming_links
from affidavit.policy.rules import RuleChecks
from affidavit.policy.scoping import Scoping, lists_of
from affidavit.policy.violation import Action, Severity, Violation

_SIGXCPU = 24
# Folders of a root file system that no agent can write to, and that hold nothing hidden.
_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib", "/etc/")
_CHUNK = 1 << 20

# Operations of their own that stand for a system call.
_CALL_OF_OP = {Op.MOUNT: "mount", Op.PTRACE: "ptrace", Op.MEMFD: "memfd_create"}

# Folders that every grading mounts something on, or below: no sandbox can be made where one of them is something else.
_MOUNTED_ON = frozenset(
    (
        *("/proc", "/sys", "/dev", "/usr", "/var", "/var/tmp", "/tmp", "/home", "/root"),
        *("/tests", "/logs", "/logs/verifier", "/run", "/run/affidavit", "/run/affidavit-web"),
    )
)

_KEPT_OUT_WHY = "which the grading may rest on and is no part of the task's product, so it is not carried over"

# With the folder of a layer in front a longer one has no path (PATH_MAX), and can't be packed into an image.
_LONGEST_CARRIED = 3500
# What makes the images (mkfs.erofs of Debian 12) fails at a name of 255 bytes, which Linux allows.
_LONGEST_NAME_CARRIED = 254


class Change(NamedChange, Protocol):
    """The same, with what is there now."""

    @property
    def mode(self) -> int: ...
    @property
    def target(self) -> str | None: ...


class End(Protocol):
    """How the agent's command ended; :class:`affidavit.sandbox.Exit` is one."""

    @property
    def timed_out(self) -> bool: ...
    @property
    def oom(self) -> bool: ...


class Judge:
    """Checks a record against a contract.

    Args:
        contract: what was promised.
        workdir: the task's working directory.
        given: absolute names of folders and files that Affidavit itself put into the sandbox for this agent
            (``/solution`` for the oracle); it may read and run what is there, whatever the contract denies.
        program_of: what a name stood for in the root file system, for programs that are named by digest.
        task_limit_ms: the task's own time limit; a contract's that is longer can't be broken. None: there is none.
        footprint: of what grades, where the agent may change anything; None: what the contract lets it write is all.
        decoys: absolute paths of files that no work leads to, whatever the contract lets the agent read.
        rule_states: what the contract's rules came to in the step before, `rule_states` of its judge.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        workdir: str = "/workspace",
        given: Sequence[str] = (),
        program_of: Callable[[str], Program | None] = lambda path: None,
        task_limit_ms: int | None = None,
        footprint: Footprint | None = None,
        decoys: Sequence[str] = (),
        rule_states: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        document = contract.document
        forbidden = document.operations.forbid
        self._contract = contract
        self._footprint = footprint
        self._findings = Findings(self._action_of)
        self._limits = document.limits
        self._mounted_on = _MOUNTED_ON | {workdir, *map(str, PurePosixPath(workdir).parents)}
        self._task_limit_ms = task_limit_ms
        self._max_processes = document.processes.max_processes
        lists = cache(partial(lists_of, contract))
        self._verdicts_of = cache(lambda scopes: p.PathVerdicts(contract, lists(scopes), workdir, given))
        self._verdicts = self._verdicts_of(0)
        self._digests = Digests(program_of) if contract.names_digests else None
        self._attempts_for = partial(attempts_under, contract)
        self._accesses = AccessCheck(self._verdicts_of, forbidden, self._attempts_for, self._digests)
        self._network = NetworkCheck(lists, "unexpected_network" in forbidden, self._attempts_for)
        # Which rules a refused system call breaks.
        self._calls: dict[str, list[tuple[str, Severity]]] = {}
        for name in document.syscalls.deny:
            self._calls.setdefault(name, []).append(("syscalls.deny", "high"))
        for operation in forbidden:
            for name in OPERATIONS[operation].syscalls:
                self._calls.setdefault(name, []).append((f"operations.{operation}", OPERATIONS[operation].severity))
        self._shells = ShellWatch(self._verdicts) if "system" in forbidden else None
        self._processes = 1
        self._decoys = DecoyCheck(decoys) if decoys else None
        self._rules = RuleChecks(document.rules, rule_states) if document.rules else None
        self._model = ModelCheck(contract)
        self._detectors = Detectors(forbidden, workdir, self._attempts_for)
        scoping = Scoping(contract) if document.scopes else None
        self._lineage = Lineage(
            scoping.entered if scoping else None, with_argv=self._rules is not None and self._rules.needs_argv
        )
        self._began_ns: int | None = None

    @property
    def programs(self) -> dict[str, Program | None]:
        """What names stood for that were asked for; empty where the contract names no digest."""
        return self._digests.known if self._digests is not None else {}

    def feed(self, batch: pa.RecordBatch) -> list[Violation]:
        """Judge further events, in the record's order.

        Args:
            batch: rows of EVENT_SCHEMA.

        Returns:
            The violations that were not known before, with the events so far.
        """
        columns = Batch(batch)
        if columns.rows:
            ops = op_codes(columns.names("op"))
            images = self._images(columns, ops)
            scoped = images is not None and bool(self._contract.document.scopes)
            sets = Scoping.sets(self._lineage, images) if scoped and images is not None else None
            self._accesses.check(columns, ops, self._findings, sets)
            self._network.check(columns, ops, self._findings, sets)
            if self._decoys:
                self._decoys.check(columns, ops, self._findings)
            self._check_calls(columns, ops)
            self._check_processes(columns, ops)
            self._check_races(columns)
            self._check_cpu(columns, ops)
            if self._shells:
                self._shells.check(columns, ops, self._findings)
            self._check_expressions(batch, columns, ops, images)
        return self._findings.take_new()

    def finish(
        self,
        counts: pa.Table | None = None,
        diff: Iterable[Change] = (),
        end: End | None = None,
        model_log: ModelLogReader | None = None,
    ) -> list[Violation]:
        """Judge what no event shows; only once, after the last `feed`.

        Args:
            counts: system calls by process, COUNT_SCHEMA.
            diff: what the agent changed.
            end: how its command ended.
            model_log: reads what passed between it and its model; None: it had none.

        Raises:
            TraceError: that can't be read.

        Returns:
            All violations, those that `feed` returned included, in the order of their first events.
        """
        if counts is not None:
            self._check_counts(counts)
        if end is not None:
            self._check_end(end)
        changes = list(diff)
        self._check_diff(changes)
        self._detectors.finish(changes, self._findings)
        turns = self._model.turns(model_log)
        self._model.check(turns, self._findings)
        if self._rules is not None:
            self._rules.finish(changes, turns, self._findings)
        return self._findings.all()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What the agent tried and came to nothing, as far as it is known; whole after `finish`."""
        return tuple(self._findings.attempts())

    @property
    def rule_states(self) -> dict[str, tuple[int, ...]]:
        """What the contract's rules have come to, for the next step of a trial; whole after `finish`."""
        return {} if self._rules is None else self._rules.states

    def limit_of_task(self, end: End) -> bool:
        """Whether the agent was stopped by the task's time limit and not by one of the contract's."""
        return end.timed_out and not self._limit_of_contract

    @property
    def _limit_of_contract(self) -> bool:
        """Whether the contract's time limit is the one that ends the agent."""
        own = self._limits.wall_ms
        return own is not None and (self._task_limit_ms is None or own <= self._task_limit_ms)

    def _action_of(self, rule: str) -> Action:
        if self._contract.mode == "audit":
            return "audit"
        return "halt" if "halt" in self._contract.actions_for(rule) else "flag"

    def _images(self, batch: Batch, ops: npt.NDArray[Any]) -> Images | None:
        """What the processes of the events are; None where no rule, scope or detector asks."""
        of_rules = self._rules is not None and self._rules.needs_lineage
        if not (self._contract.document.scopes or of_rules or self._detectors.needs_lineage):
            return None
        return self._lineage.follow(batch, ops)

    def _check_expressions(
        self, raw: pa.RecordBatch, batch: Batch, ops: npt.NDArray[Any], images: Images | None
    ) -> None:
        if self._began_ns is None:
            self._began_ns = int(batch.numbers("ts_ns")[0])
        if self._rules is None and not self._detectors.needed:
            return
        evaluation = Evaluation(EventFrame(batch, self._began_ns, self._lineage, images))
        self._detectors.check(raw, batch, ops, self._lineage, images, evaluation, self._findings)
        if self._rules is not None:
            self._rules.check(batch, evaluation, self._findings)

    def _check_calls(self, batch: Batch, ops: npt.NDArray[Any]) -> None:
        if not self._calls:
            return
        interesting = [OP_CODES[op] for op in (Op.DENIED, *_CALL_OF_OP)]
        rows = np.flatnonzero(np.isin(ops, interesting))
        if not len(rows):
            return
        numbers = batch.numbers("flags")[rows].copy()
        for op, name in _CALL_OF_OP.items():
            numbers[ops[rows] == OP_CODES[op]] = _NUMBERS[name]
        unique, inverse = np.unique(numbers, return_inverse=True)
        called = [SYSTEM_CALL_NAMES.get(number, "") for number in unique.tolist()]
        for rule, severity in dict.fromkeys(entry for entries in self._calls.values() for entry in entries):
            broken = np.array([(rule, severity) in self._calls.get(name, ()) for name in called])[inverse]
            failed = came_to_nothing(batch.numbers("ret")[rows])
            attempted = broken & failed & np.array([self._may_be_tried(rule, name) for name in called])[inverse]
            self._add_calls(batch, rows, called, inverse, attempted, rule, severity, "refused")
            self._add_calls(batch, rows, called, inverse, broken & ~attempted, rule, severity, None)

    def _may_be_tried(self, rule: str, call: str) -> bool:
        """Whether a system call that a rule forbids, and that was refused, is no violation."""
        return call not in EVALUATION_CALLS and self._attempts_for(rule) == "record"

    def _add_calls(
        self,
        batch: Batch,
        rows: npt.NDArray[Any],
        called: list[str],
        inverse: npt.NDArray[Any],
        mask: npt.NDArray[np.bool_],
        rule: str,
        severity: Severity,
        outcome: Outcome | None,
    ) -> None:
        """Add those of some rows that `mask` names; `inverse` says for each row which of `called` it is."""
        chosen, keys = rows[mask], inverse[mask]

        def message(index: int) -> str:
            row = int(chosen[index])
            who = sentences.who(batch, row)
            name = called[int(keys[index])]
            if int(batch.numbers("ret")[row]) < 0:
                return f"{who} tried the system call {name}, which the contract forbids"
            return f"{who} made the system call {name}, which the contract forbids"

        self._findings.add(
            rule,
            severity,
            batch.numbers("seq")[chosen],
            keys,
            lambda keys: [called[key] for key in keys.tolist()],
            message,
            by="calls",
            outcome=outcome,
        )

    def _check_processes(self, batch: Batch, ops: npt.NDArray[Any]) -> None:
        if self._max_processes is None:
            return
        born = (ops == OP_CODES[Op.FORK]) & (batch.numbers("ret") > 0)
        # The sandbox's own bound, which is the contract's, says EAGAIN (fork(2)).
        refused = (ops == OP_CODES[Op.FORK]) & (batch.numbers("ret") == -errno.EAGAIN)
        gone = (ops == OP_CODES[Op.EXIT]) & (batch.numbers("tid") == batch.numbers("pid"))
        if not (born.any() or refused.any() or gone.any()):
            return
        alive = self._processes + np.cumsum(born.astype(np.int64) - gone)
        self._processes = int(alive[-1])
        rows = np.flatnonzero(refused | (born & (alive > self._max_processes)))
        limit = self._max_processes
        self._findings.add(
            "processes.max_processes",
            "medium",
            batch.numbers("seq")[rows],
            np.zeros(len(rows), np.int64),
            lambda keys: ["processes"] * len(keys),
            lambda index: (
                f"{sentences.who(batch, int(rows[index]))} "
                f"{'tried to start' if refused[rows[index]] else 'started'} a process when {limit} were alive"
                f"{', threads included' if refused[rows[index]] else ''}, "
                f"and the contract allows no more than {limit} at the same time"
            ),
        )

    def _check_races(self, batch: Batch) -> None:
        sources = batch.names("source")
        raced = pc.ends_with(sources.distinct, "/raced").to_numpy(zero_copy_only=False)
        if not raced.any():
            return
        rows = np.flatnonzero(sources.spread(raced, False))
        paths = batch.names("path")
        self._findings.add(
            "record.path_race",
            "high",
            batch.numbers("seq")[rows],
            paths.codes[rows],
            paths.values,
            lambda index: (
                f"{sentences.who(batch, int(rows[index]))} changed a file name or address in memory while the kernel "
                f"was reading it ({sentences.shown(paths.at(int(rows[index])) or 'a name')}), "
                "as one does to deceive a recorder"
            ),
        )

    def _check_cpu(self, batch: Batch, ops: npt.NDArray[Any]) -> None:
        limit = self._limits.cpu_ms
        if limit is None:
            return
        rows = np.flatnonzero((ops == OP_CODES[Op.EXIT]) & (batch.numbers("flags") == _SIGXCPU))
        self._findings.add(
            "limits.cpu_ms",
            "medium",
            batch.numbers("seq")[rows],
            np.zeros(len(rows), np.int64),
            lambda keys: ["time"] * len(keys),
            lambda index: (
                f"{sentences.who(batch, int(rows[index]))} used up the {limit} ms of CPU time that the contract "
                "gives it"
            ),
        )

    def _check_counts(self, counts: pa.Table) -> None:
        wanted = counts.filter(pc.is_in(counts["syscall"], value_set=pa.array(list(self._calls), pa.utf8())))
        for row in wanted.group_by("syscall").aggregate([("count", "sum")]).sort_by("syscall").to_pylist():
            name, count = row["syscall"], row["count_sum"]
            for rule, severity in self._calls[name] if count else ():
                if self._findings.knows(rule, name, by="calls"):
                    continue
                message = f"the system call {name} was made {count} times, which the contract forbids"
                # What syscalls.deny names no sandbox lets through; of other calls a count does not tell how they ended.
                refused = rule == "syscalls.deny" and self._may_be_tried(rule, name)
                outcome: Outcome | None = "refused" if refused else None
                self._findings.add_fact(rule, severity, name, message, "agent", count, by="calls", outcome=outcome)

    def _check_end(self, end: End) -> None:
        limits = self._limits
        if end.timed_out and self._limit_of_contract:
            message = f"the agent was still running after {limits.wall_ms} ms, the time that the contract gives it"
            self._findings.add_fact("limits.wall_ms", "medium", "", message, "agent")
        if end.oom and limits.memory_mb is not None:
            message = f"the agent used up the {limits.memory_mb} MiB of memory that the contract gives it"
            self._findings.add_fact("limits.memory_mb", "medium", "", message, "agent")

    def _check_diff(self, diff: Sequence[Change]) -> None:
        for change, bits in self._judged(diff):
            if bits & p.DENIED:
                self._add_change("files.deny", change, "which the contract denies")
            elif not bits & p.WRITE and not _made_by_the_way(change, bits):
                if bits & p.SET_ASIDE and self._attempts_for("files.write") == "record":
                    self._add_change("files.write", change, SET_ASIDE_WHY, outcome="set_aside")
                else:
                    self._add_change("files.write", change, "which the contract does not let the agent write")
            elif (target := _target(change)) and self._bits(target) & p.DENIED:
                why = f"a symlink to {sentences.shown(target)}, which the contract denies"
                # Under the target's name, as the event of its making is.
                self._add_change("files.deny", change, why, target)
        self._check_footprint(diff)

    def _check_footprint(self, diff: Sequence[Change]) -> None:
        """What of the agent's changes is kept out of the grading, and what of that is a violation."""
        kept_out = {} if self._footprint is None else self._footprint.kept_out(diff)
        changes = {change.path: change for change in diff}
        for change, bits in self._judged([changes[path] for path in kept_out]):
            if not bits & p.WRITE or bits & p.DENIED or _is_compiled(change):
                # A violation already, or what no program was asked to make.
                continue
            kept = kept_out[change.path]
            if kept.replaced:
                self._add_change("grading.footprint", change, "which the tests use")
            else:
                self._add_change("grading.footprint", changes[kept.top], _KEPT_OUT_WHY, outcome="set_aside")

    def _judged(self, diff: Iterable[Change]) -> list[tuple[Change, int]]:
        changes = list(diff)
        return list(zip(changes, self._of_diff([change.path for change in changes]), strict=True))

    def _of_diff(self, names: Sequence[str]) -> list[int]:
        """The bits of paths that changed."""
        paths = pa.array(names, pa.utf8())
        bits = self._verdicts.of(paths)
        # Who made a change the diff does not tell: what some scope's processes may write may be there.
        for place, scope in enumerate(self._contract.document.scopes):
            if scope.files.write is not None:
                bits = bits | (self._verdicts_of(1 << place).of(paths) & p.WRITE)
        return [int(one) for one in bits.tolist()]

    def _bits(self, path: str) -> int:
        return int(self._verdicts.of(pa.array([path], pa.utf8()))[0])

    def _add_change(
        self, rule: str, change: Change, why: str, key: str | None = None, outcome: Outcome | None = None
    ) -> None:
        done = {"added": "was added", "deleted": "was deleted", "metadata": "has other owners, modes or attributes now"}
        message = f"{sentences.shown(change.path)} {done.get(change.kind, 'was changed')}, {why}"
        self._findings.add_fact(rule, "high", key or change.path, message, "diff", outcome=outcome)

    def carried(self, diff: Iterable[Change]) -> frozenset[str]:
        """The paths of those changes that may go on to the grading: what the contract lets the agent write, but no
        device, FIFO or socket, no set-uid or set-gid bit, no compiled Python (a cache that may say something else than
        its source), nothing that a path can hardly name, nothing in place of a folder that a grading needs, no symlink
        that could lead out of what the agent may write and the system's own folders, none by way of which something has
        a name that the agent may not write, and nothing in the footprint of what grades."""
        changes = list(diff)
        kept_out = {} if self._footprint is None else self._footprint.kept_out(changes)
        judged = self._judged(change for change in changes if change.path not in kept_out)
        left = {change.path: _target(change) for change, bits in judged if self._goes_on(change, bits)}
        return frozenset(left.keys() - renaming_links(left, self._may_write))

    def _may_write(self, paths: Sequence[str]) -> list[bool]:
        return [bool(bits & p.WRITE) and not bits & p.DENIED for bits in self._of_diff(paths)]

    def _goes_on(self, change: Change, bits: int) -> bool:
        if not bits & p.WRITE or bits & p.DENIED or _is_too_long(os.fsencode(change.path)):
            return False
        if change.kind == "deleted" or change.type == "directory":
            return True
        if change.path in self._mounted_on or posixpath.dirname(change.path) == "/home":
            return False
        if change.type == "symlink":
            return change.target is not None and self._stays_inside(change.path, change.target)
        return change.type == "file" and not change.mode & 0o6000 and not _is_compiled(change)

    def _stays_inside(self, link: str, target: str) -> bool:
        """Whether a symlink leads to an allowed place whatever other symlinks its target passes through.

        Each of those must itself lead to an allowed place; only a ``..`` behind one could go elsewhere than its
        name says.
        """
        parts = [part for part in target.split("/") if part not in ("", ".")]
        climbs = 0 if target.startswith("/") else next((i for i, part in enumerate(parts) if part != ".."), len(parts))
        if ".." in parts[climbs:]:
            return False
        place = leads_to(link, target)
        if place.startswith(("/proc/", "/dev/")):
            return place == "/dev/null"
        bits = self._bits(place)
        return not bits & p.DENIED and (bool(bits & p.WRITE) or place.startswith(_SYSTEM))


def _is_too_long(path: bytes) -> bool:
    return len(path) > _LONGEST_CARRIED or any(len(name) > _LONGEST_NAME_CARRIED for name in path.split(b"/"))


def _is_compiled(change: Change) -> bool:
    """Whether it is Python's byte code in place of its source."""
    return "/__pycache__/" in change.path and change.path.endswith(".pyc")


class ShellWatch:
    """operations.system: a shell that is started with a string to run, by a program that is no shell itself."""

    def __init__(self, verdicts: p.PathVerdicts) -> None:
        self._verdicts = verdicts
        # For each process that is alive: whether what it runs is a shell; None where it was not seen to start.
        self._is_shell: dict[int, bool] = {}

    def check(self, batch: Batch, ops: npt.NDArray[Any], findings: Findings) -> None:
        """Judge a batch; only starts and ends of processes are looked at one by one."""
        exes = batch.names("exe")
        shells = exes.spread((self._verdicts.of(exes.distinct) & p.SHELL) != 0, False)
        ret, pid, tid = batch.numbers("ret"), batch.numbers("pid"), batch.numbers("tid")
        fork, run, leave = (OP_CODES[op] for op in (Op.FORK, Op.EXEC, Op.EXIT))
        found: list[int] = []
        for row in np.flatnonzero(np.isin(ops, (fork, run, leave))).tolist():
            op, process = ops[row], int(pid[row])
            if op == fork:
                if ret[row] > 0 and process in self._is_shell:
                    self._is_shell[int(ret[row])] = self._is_shell[process]
            elif op == leave:
                if tid[row] == process:
                    self._is_shell.pop(process, None)
            elif ret[row] >= 0:
                before = self._is_shell.get(process)
                self._is_shell[process] = bool(shells[row])
                if shells[row] and before is False and _runs_a_string(batch.argv(row)):
                    found.append(row)
        rows = np.array(found, np.int64)

        def message(index: int) -> str:
            row = int(rows[index])
            string = sentences.shown(" ".join(batch.argv(row)))
            return f"process {int(pid[row])} was made a shell to run a string ({string}), which the contract forbids"

        findings.add(
            "operations.system",
            OPERATIONS["system"].severity,
            batch.numbers("seq")[rows],
            rows,
            lambda keys: [" ".join(batch.argv(row)) for row in keys.tolist()],
            message,
        )


def judge(
    contract: Contract,
    events: pa.Table | Iterable[pa.RecordBatch],
    counts: pa.Table | None = None,
    diff: Iterable[Change] = (),
    end: End | None = None,
    *,
    workdir: str = "/workspace",
    given: Sequence[str] = (),
) -> list[Violation]:
    """Check a whole record against a contract; see :class:`Judge`."""
    judging = Judge(contract, workdir=workdir, given=given)
    batches = events.to_batches(max_chunksize=_CHUNK) if isinstance(events, pa.Table) else events
    for batch in batches:
        judging.feed(batch)
    return judging.finish(counts, diff, end)


_NUMBERS = {name: number for number, name in SYSTEM_CALL_NAMES.items()}


def op_codes(column: Names) -> npt.NDArray[np.int8]:
    """Each row's place in OPS; what is none of them is past the end."""
    known = {name: code for code, name in enumerate(OPS)}
    codes = np.array([known.get(name, len(OPS)) for name in column.distinct.to_pylist()], np.int8)
    return column.spread(codes, len(OPS))


def _runs_a_string(argv: list[str]) -> bool:
    """Whether a shell was called with -c, alone or among other letters (sh -ec …)."""
    for word in argv[1:]:
        if not word.startswith("-") or word == "--":
            return False
        if not word.startswith("--") and "c" in word:
            return True
    return False


def _made_by_the_way(change: Change, bits: int) -> bool:
    """Whether it is a folder above a writable one: making files below changes its times, or copies it up."""
    return bool(bits & p.TO_WRITABLE) and change.type == "directory" and change.kind != "deleted"


def _target(change: Change) -> str | None:
    return leads_to(change.path, change.target) if change.type == "symlink" and change.target else None
