"""Rules in CEL over the whole record: what is known of each question so far is a range, which only narrows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from affidavit.contracts import Rule, cel
from affidavit.policy.columnar import Evaluation
from affidavit.policy.columns import Batch
from affidavit.policy.findings import MAX_EVENTS, Findings
from affidavit.policy.sentences import shown


@dataclass(frozen=True)
class Ends:
    """What only the end of a record shows.

    Attributes:
        of_changes: asks of the diff.
        of_turns: asks of the exchanges with a model.
        turns: these.
    """

    of_changes: Evaluation
    of_turns: Evaluation
    turns: Sequence[Mapping[str, Any]]


# The least and the most that a value can turn out to be; a bool is 0 or 1.
Range = tuple[float, float]


@dataclass
class _Tally:
    """What a question on the record has found: events or changes that match (``all``: that don't)."""

    node: cel.OverRecord
    wanted: cel.Node
    count: int = 0
    events: list[int] = field(default_factory=list)
    # In the steps before.
    earlier: int = 0

    def range(self, ended: bool) -> Range:
        most = self.count if ended else math.inf
        match self.node.quantifier:
            case "count":
                return (self.count, most)
            case "exists":
                return (min(1, self.count), min(1, most))
            case "all":
                return (0 if self.count else int(ended), 0 if self.count else 1)
        if self.count > 1:
            return (0, 0)
        return (int(ended and self.count == 1), 1 if not ended else int(self.count == 1))


class RecordRule:
    """forbid and require over the record.

    Args:
        rule: as it is written.
        expression: its CEL.
    """

    def __init__(self, rule: Rule, expression: cel.Expression) -> None:
        self._rule = rule
        self._node = expression.node
        self._text = expression.text
        nodes = dict.fromkeys(one for one in cel.walk(self._node) if isinstance(one, cel.OverRecord))
        self._tallies = {
            node: _Tally(node, cel.Not(node.predicate) if node.quantifier == "all" else node.predicate)
            for node in nodes
        }
        self._broken = False

    @property
    def state(self) -> tuple[int, ...]:
        """What goes on to the next step of a trial: how often each question was met, but those on the diff, which is
        of all steps."""
        return tuple(tally.count for tally in self._tallies.values() if tally.node.source != "diff")

    @state.setter
    def state(self, counts: tuple[int, ...]) -> None:
        tallies = [tally for tally in self._tallies.values() if tally.node.source != "diff"]
        for tally, count in zip(tallies, counts, strict=True):
            tally.count = tally.earlier = count

    def check(self, batch: Batch, evaluation: Evaluation, findings: Findings) -> None:
        """Judge further events."""
        for node, tally in self._tallies.items():
            if node.source != "trace":
                continue
            mask = evaluation.mask(tally.wanted)
            tally.count += int(np.count_nonzero(mask))
            if (missing := MAX_EVENTS - len(tally.events)) > 0:
                tally.events += batch.numbers("seq")[np.flatnonzero(mask)[:missing]].tolist()
        if not self._broken and self._is_broken(ended=False):
            self._broken = True
            self._report(findings)

    def finish(self, ends: Ends, findings: Findings) -> None:
        """Judge what only the end shows."""
        for node, tally in self._tallies.items():
            if node.source != "trace":
                rows = ends.of_changes if node.source == "diff" else ends.of_turns
                tally.count = tally.earlier + int(np.count_nonzero(rows.mask(tally.wanted)))
        if self._is_broken(ended=True):
            self._report(findings)

    def _is_broken(self, ended: bool) -> bool:
        least, most = self._range(self._node, ended)
        return least == 1 if self._rule.forbid is not None else most == 0

    def _report(self, findings: Findings) -> None:
        rule = self._rule
        of_trace = [tally for tally in self._tallies.values() if tally.node.source == "trace"]
        events = sorted({seq for tally in of_trace for seq in tally.events})[:MAX_EVENTS]
        of_diff_alone = all(tally.node.source == "diff" for tally in self._tallies.values())
        stage: Literal["agent", "diff"] = "diff" if of_diff_alone else "agent"
        verb = "forbids" if rule.forbid is not None else "requires"
        message = f"the record breaks the rule {rule.id}, which {verb} {shown(self._text)}"
        if rule.message:
            message = f"the record breaks the rule {rule.id}: {rule.message}"
        count = max(sum(tally.count for tally in of_trace), len(events)) if events else 0
        findings.settle(f"rules.{rule.id}", rule.severity, message, stage, events, count)

    def _range(self, node: cel.Node, ended: bool) -> Range:
        match node:
            case cel.OverRecord():
                return self._tallies[node].range(ended)
            case cel.Constant(value):
                return (int(value), int(value))
            case cel.Not(operand):
                least, most = self._range(operand, ended)
                return (1 - most, 1 - least)
            case cel.Negative(operand):
                least, most = self._range(operand, ended)
                return (-most, -least)
            case cel.Conditional(test, yes, no):
                return _chosen(self._range(test, ended), self._range(yes, ended), self._range(no, ended))
            case cel.OneOf(item, options):
                ranges = [_equal(self._range(item, ended), (float(one), float(one))) for one in options]
                return (max((one[0] for one in ranges), default=0), max((one[1] for one in ranges), default=0))
            case cel.Binary(op, left, right):
                return _combined(op, self._range(left, ended), self._range(right, ended))
        raise TypeError(f"{node} is no question on the record")


def _combined(op: str, a: Range, b: Range) -> Range:
    match op:
        case "&&":
            return (min(a[0], b[0]), min(a[1], b[1]))
        case "||":
            return (max(a[0], b[0]), max(a[1], b[1]))
        case "==":
            return _equal(a, b)
        case "!=":
            least, most = _equal(a, b)
            return (1 - most, 1 - least)
        case "<":
            return (int(a[1] < b[0]), int(a[0] < b[1]))
        case "<=":
            return (int(a[1] <= b[0]), int(a[0] <= b[1]))
        case ">":
            return _combined("<", b, a)
        case ">=":
            return _combined("<=", b, a)
        case "+":
            return (a[0] + b[0], a[1] + b[1])
    return (a[0] - b[1], a[1] - b[0])


def _equal(a: Range, b: Range) -> Range:
    certain = a[0] == a[1] == b[0] == b[1]
    return (int(certain), int(a[0] <= b[1] and b[0] <= a[1]))


def _chosen(test: Range, yes: Range, no: Range) -> Range:
    if test == (1, 1):
        return yes
    if test == (0, 0):
        return no
    return (min(yes[0], no[0]), max(yes[1], no[1]))
