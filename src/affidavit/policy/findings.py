"""Grouping what was found: one violation for each rule and thing, whatever batches the events came in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from affidavit.policy.attempts import Attempt, Outcome
from affidavit.policy.violation import Action, Severity, Violation

MAX_EVENTS = 20
MAX_GROUPS = 100


@dataclass
class _Group:
    rule: str
    severity: Severity
    message: str
    stage: Literal["agent", "diff"]
    events: list[int] = field(default_factory=list)
    count: int = 0
    outcome: Outcome | None = None


class Findings:
    """What was found so far.

    A rule has 100 violations at most; further events that break it are counted in one more. The same goes for attempts.

    Args:
        action_of: the action of a rule's violations.
    """

    def __init__(self, action_of: Callable[[str], Action]) -> None:
        self._action_of = action_of
        # By rule, by what found it, and for attempts by their outcome.
        self._groups: dict[tuple[str, str, Outcome | None], dict[str, _Group]] = {}
        self._severities: dict[str, Severity] = {}
        self._more: dict[tuple[str, Outcome | None], int] = {}
        self._new: list[_Group] = []

    def add(
        self,
        rule: str,
        severity: Severity,
        seqs: npt.NDArray[np.int64],
        keys: npt.NDArray[Any],
        names: Callable[[npt.NDArray[Any]], Sequence[str | None]],
        message: Callable[[int], str],
        by: str = "",
        outcome: Outcome | None = None,
    ) -> None:
        """Add events that break a rule.

        Args:
            seqs: their sequence numbers, ascending.
            keys: for each a number that tells what it is about.
            names: what the numbers stand for; several may stand for the same.
            message: the sentence, from the index of an event.
            by: what found them, where several things find what breaks the rule: each has its own 100, so that it does
                not matter in which order they come.
            outcome: of attempts; None: the events are violations.
        """
        if not len(seqs):
            return
        unique, inverse = np.unique(keys, return_inverse=True)
        numbers: dict[str, int] = {}
        # Names that stand under several numbers are one thing.
        merged = np.array([numbers.setdefault(text or "", len(numbers)) for text in names(unique)], np.int64)
        texts = list(numbers)
        _, first, inverse, counts = np.unique(
            merged[inverse], return_index=True, return_inverse=True, return_counts=True
        )
        groups = self._groups.setdefault((rule, by, outcome), {})
        self._severities.setdefault(rule, severity)
        order: npt.NDArray[np.intp] | None = None
        ends = np.cumsum(counts)
        for index in np.argsort(first, kind="stable").tolist():
            text, count = texts[index], int(counts[index])
            group = groups.get(text)
            if group is None:
                if len(groups) >= MAX_GROUPS:
                    self._more[rule, outcome] = self._more.get((rule, outcome), 0) + count
                    continue
                group = groups[text] = _Group(rule, severity, message(int(first[index])), "agent", outcome=outcome)
                if outcome is None:
                    self._new.append(group)
            group.count += count
            if (wanted := MAX_EVENTS - len(group.events)) > 0:
                if order is None:
                    order = np.argsort(inverse, kind="stable")
                begin = int(ends[index]) - count
                group.events.extend(seqs[order[begin : begin + min(wanted, count)]].tolist())

    def knows(self, rule: str, key: str, by: str = "") -> bool:
        """Whether a rule is known to be broken, or tried, by a thing."""
        return any(key in self._groups.get((rule, by, outcome), ()) for outcome in (None, "refused", "set_aside"))

    def add_fact(
        self,
        rule: str,
        severity: Severity,
        key: str,
        message: str,
        stage: Literal["agent", "diff"],
        count: int = 0,
        by: str = "",
        outcome: Outcome | None = None,
    ) -> None:
        """Add what no event shows. Nothing where the same is known of the same thing.

        Args:
            outcome: of an attempt; None: it is a violation.
        """
        groups = self._groups.setdefault((rule, by, outcome), {})
        self._severities.setdefault(rule, severity)
        if key in groups:
            return
        if len(groups) >= MAX_GROUPS:
            self._more[rule, outcome] = self._more.get((rule, outcome), 0) + max(1, count)
            return
        groups[key] = _Group(rule, severity, message, stage, count=count, outcome=outcome)
        if outcome is None:
            self._new.append(groups[key])

    def settle(
        self,
        rule: str,
        severity: Severity,
        message: str,
        stage: Literal["agent", "diff"],
        events: list[int],
        count: int,
    ) -> None:
        """Say all that there is to say of a rule that is broken or not as a whole, in place of what was said before."""
        groups = self._groups.setdefault((rule, "", None), {})
        self._severities.setdefault(rule, severity)
        if "" not in groups:
            groups[""] = _Group(rule, severity, message, stage)
            self._new.append(groups[""])
        groups[""].message, groups[""].events, groups[""].count = message, events, count

    def take_new(self) -> list[Violation]:
        """Violations that were not known at the last call, with the events so far."""
        new = [self._violation(group) for group in self._new]
        self._new = []
        return new

    def all(self) -> list[Violation]:
        """All of them, those with events first and in the events' order."""
        found = [self._violation(group) for group in self._sorted() if group.outcome is None]
        for rule, count in sorted((rule, count) for (rule, outcome), count in self._more.items() if outcome is None):
            message = f"{count} more events or changes break {rule}"
            found.append(Violation(rule, self._severities[rule], self._action_of(rule), message, (), "agent", count))
        return found

    def attempts(self) -> list[Attempt]:
        """All attempts, those with events first and in the events' order."""
        found = [
            Attempt(group.rule, group.outcome, group.message, tuple(group.events), group.stage, group.count)
            for group in self._sorted()
            if group.outcome is not None
        ]
        more = [(rule, outcome, count) for (rule, outcome), count in self._more.items() if outcome is not None]
        for rule, outcome, count in sorted(more):
            message = f"{count} more events or changes would break {rule} and came to nothing"
            found.append(Attempt(rule, outcome, message, (), "agent", count))
        return found

    def _sorted(self) -> list[_Group]:
        groups = [group for of_rule in self._groups.values() for group in of_rule.values()]
        return sorted(groups, key=lambda group: (not group.events, group.events[:1], group.rule, group.message))

    def _violation(self, group: _Group) -> Violation:
        action = self._action_of(group.rule)
        return Violation(
            group.rule, group.severity, action, group.message, tuple(group.events), group.stage, group.count
        )
