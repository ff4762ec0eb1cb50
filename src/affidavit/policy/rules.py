"""The rules of a contract: order, time, counts and CEL, each a state that grows with the record.

What can't be fixed any more is reported with the batch that shows it; the rest at the end. Either way the same is
found, however the record is cut into batches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from affidavit.contracts import Rule, cel, compile_rule_nodes
from affidavit.policy import sentences
from affidavit.policy.columnar import ChangeFrame, Evaluation
from affidavit.policy.columns import Batch
from affidavit.policy.findings import MAX_EVENTS, Findings
from affidavit.policy.model_traffic import Turn, TurnFrame
from affidavit.policy.record_rule import Ends, RecordRule

Rows = npt.NDArray[np.int64]


class RuleCheck(Protocol):
    """One rule, with what it has seen so far.

    Attributes:
        state: what of that goes on to the next step of a trial: numbers, whose meaning is the rule's own.
    """

    state: tuple[int, ...]

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        """Judge further events."""

    def finish(self, ends: Ends, findings: Findings) -> None:
        """Judge what only the end shows."""


class RuleChecks:
    """All rules of a contract."""

    def __init__(self, rules: Sequence[Rule], states: Mapping[str, Sequence[int]]) -> None:
        """
        Args:
            rules: the contract's.
            states: by their ids, what `states` gave for the step before; empty where there was none.
        """
        self._checks = {rule.id: _check_of(rule) for rule in rules}
        for name, check in self._checks.items():
            if len(state := tuple(states.get(name, ()))) >= len(check.state):
                check.state = state
        nodes = compile_rule_nodes(rules)
        columns = {one for node in nodes for one in cel.walk(node) if isinstance(one, cel.Column)}
        of_process = {column.name for column in columns if column.of == "process"}
        self.needs_lineage = bool(of_process & {"exe", "argv", "parent_exe", "ancestors"})
        self.needs_argv = "argv" in of_process

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        """Judge further events."""
        for check in self._checks.values():
            check.check(batch, evaluation, findings)

    @property
    def states(self) -> dict[str, tuple[int, ...]]:
        """What goes on to the next step of a trial, by the rules' ids."""
        return {name: check.state for name, check in self._checks.items() if check.state}

    def finish(self, changes: Sequence[Any], turns: Sequence[Turn], findings: Findings) -> None:
        """Judge what only the end shows.

        Args:
            changes: the diff.
            turns: the exchanges with a model.
        """
        ends = Ends(Evaluation(ChangeFrame(changes)), Evaluation(TurnFrame(turns)), turns)
        for check in self._checks.values():
            check.finish(ends, findings)


def _check_of(rule: Rule) -> RuleCheck:
    if rule.never is not None:
        return _Never(rule, rule.never.node())
    if rule.each is not None:
        return _EachAfter(rule, rule.each.node()) if rule.after is not None else _EachBefore(rule, rule.each.node())
    if rule.count is not None:
        return _Count(rule, rule.count.node())
    text = rule.forbid if rule.forbid is not None else rule.require
    assert text is not None
    expression = cel.compile_cel(text)
    if expression.about == "record":
        return RecordRule(rule, expression)
    broken = expression.node if rule.forbid is not None else cel.Not(expression.node)
    return _OfTurn(rule, broken) if expression.about == "turn" else _OfEvent(rule, broken)


class _Base:
    """What all forms share."""

    state: tuple[int, ...] = ()

    def __init__(self, rule: Rule, node: cel.Node) -> None:
        self._rule = rule
        self._node = node

    def finish(self, ends: Ends, findings: Findings) -> None:
        pass

    def _found(self, batch: Batch, evaluation: Evaluation) -> Rows:
        return np.flatnonzero(evaluation.mask(self._node))

    def _report(self, batch: Batch, rows: Rows, why: str, findings: Findings) -> None:
        findings.add(
            f"rules.{self._rule.id}",
            self._rule.severity,
            batch.numbers("seq")[rows],
            np.zeros(len(rows), np.int64),
            lambda keys: [""] * len(keys),
            self._message(batch, rows, why),
        )

    def _message(self, batch: Batch, rows: Rows, why: str) -> Callable[[int], str]:
        told = f": {self._rule.message}" if self._rule.message else f", {why} (rule {self._rule.id})"
        return lambda index: sentences.of_event(batch, int(rows[index])) + told


class _OfTurn:
    """forbid and require over one exchange with a model."""

    state: tuple[int, ...] = ()

    def __init__(self, rule: Rule, node: cel.Node) -> None:
        self._rule = rule
        self._node = node

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        pass

    def finish(self, ends: Ends, findings: Findings) -> None:
        broken = [int(ends.turns[row]["number"]) for row in np.flatnonzero(ends.of_turns.mask(self._node)).tolist()]
        if not broken:
            return
        rule = self._rule
        why = rule.message or f"it breaks the rule {rule.id}"
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        message = f"turn {broken[0]}{more} of the agent's model: {why}"
        findings.settle(f"rules.{rule.id}", rule.severity, message, "agent", [], len(broken))


class _OfEvent(_Base):
    """forbid and require over one event."""

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        why = "which the contract forbids" if self._rule.forbid is not None else "which is not what the contract wants"
        self._report(batch, self._found(batch, evaluation), why, findings)


class _Never(_Base):
    """never, from an ``after`` on, until an ``until``."""

    def __init__(self, rule: Rule, node: cel.Node) -> None:
        super().__init__(rule, node)
        self._opens = rule.after.node() if rule.after is not None else None
        self._closes = rule.until.node() if rule.until is not None else None
        # Whether it holds now.
        self.state = (int(self._opens is None),)

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        found = self._found(batch, evaluation)
        opens = np.flatnonzero(evaluation.mask(self._opens)) if self._opens else np.zeros(0, np.int64)
        closes = np.flatnonzero(evaluation.mask(self._closes)) if self._closes else np.zeros(0, np.int64)
        # An event that does both closes first.
        places = np.concatenate([2 * closes, 2 * opens + 1])
        order = np.argsort(places)
        turns = places[order] // 2
        # What holds before the first turn, and after each.
        states = np.concatenate([[bool(self.state[0])], (places[order] & 1).astype(np.bool_)])
        # An event does not open or close for itself.
        broken = found[states[np.searchsorted(turns, found, "left")]]
        self.state = (int(states[-1]),)
        why = "which the contract never lets it"
        if self._opens is not None or self._closes is not None:
            why = "which the contract does not let it at that point"
        self._report(batch, broken, why, findings)


class _EachAfter(_Base):
    """each, after: one of the others must have come earlier."""

    def __init__(self, rule: Rule, node: cel.Node) -> None:
        super().__init__(rule, node)
        assert rule.after is not None
        self._after = rule.after.node()
        # Whether one of the others has come.
        self.state = (0,)

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        if self.state[0]:
            return
        found = self._found(batch, evaluation)
        earlier = np.flatnonzero(evaluation.mask(self._after))
        if len(earlier):
            self.state = (1,)
            found = found[found <= earlier[0]]
        self._report(batch, found, "before what the contract wants to come first", findings)


class _EachBefore(_Base):
    """each, before: one of the others must come later."""

    def __init__(self, rule: Rule, node: cel.Node) -> None:
        super().__init__(rule, node)
        assert rule.before is not None
        self._before = rule.before.node()
        self._waiting: list[int] = []
        self._count = 0
        self._first = ""

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        found = self._found(batch, evaluation)
        later = np.flatnonzero(evaluation.mask(self._before))
        if len(later):
            self._waiting, self._count = [], 0
            found = found[found >= later[-1]]
        if len(found) and not self._count:
            self._first = self._message(batch, found, "and what the contract wants to follow did not")(0)
        self._count += len(found)
        self._waiting += batch.numbers("seq")[found[: MAX_EVENTS - len(self._waiting)]].tolist()

    def finish(self, ends: Ends, findings: Findings) -> None:
        if self._count:
            rule = self._rule
            findings.settle(f"rules.{rule.id}", rule.severity, self._first, "agent", self._waiting, self._count)


class _Count(_Base):
    """count: at least, at most, exactly; at most within a time."""

    def __init__(self, rule: Rule, node: cel.Node) -> None:
        super().__init__(rule, node)
        self._most = rule.exactly if rule.exactly is not None else rule.at_most
        self._least = rule.exactly if rule.exactly is not None else rule.at_least
        self._within_ns = None if rule.within_ms is None else rule.within_ms * 1_000_000
        # How many there were, and times of the last ones where time matters, as many as there may be at most.
        self.state = (0,)

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        found = self._found(batch, evaluation)
        before, *recent = self.state
        self.state = (before + len(found), *recent)
        if self._most is None or not len(found):
            return
        if self._within_ns is None:
            broken = found[max(0, self._most - before) :]
            why = f"one more than the {self._most} that the contract allows"
        else:
            times = np.concatenate([np.array(recent, np.int64), batch.numbers("ts_ns")[found]])
            pairs = max(0, len(times) - self._most)
            near = times[len(times) - pairs :] - times[:pairs] < self._within_ns
            broken = found[len(found) - pairs :][near]
            self.state = (self.state[0], *times[pairs:].tolist())
            why = f"one more than the {self._most} within {self._rule.within_ms} ms that the contract allows"
        self._report(batch, broken, why, findings)

    def finish(self, ends: Ends, findings: Findings) -> None:
        count, rule = self.state[0], self._rule
        if self._least is None or count >= self._least:
            return
        told = f": {rule.message}" if rule.message else f" (rule {rule.id})"
        message = f"there were {count} of the {self._least} events that the contract wants{told}"
        findings.settle(f"rules.{rule.id}", rule.severity, message, "agent", [], 0)
