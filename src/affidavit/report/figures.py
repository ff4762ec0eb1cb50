"""Every figure of a report, computed once: the page, the terminal, JSON and CSV only lay them out."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from affidavit.report.agent_names import AgentFacts, agent_names, shorten, trials_by_agent
from affidavit.report.behaviour import Behaviour, Consistency, consistency
from affidavit.report.prices import Price, cost_usd
from affidavit.report.runs import SEVERITIES, VERDICTS, Broken, Checked, RunView, TrialView, Tried
from affidavit.report.statistics import pass_at_k, pass_hat_k
from affidavit.report.workers import Share
from affidavit.statistics import Estimate, estimate

SCHEMA = "affidavit.report/v1"
NO_LABEL = "(no label)"
# Of one report; with more, agents are rows of a table.
_MOST_ONE_BY_ONE = 5
_MOST_CURVE = 100
_MOST_MODELS = 20
_LONGEST_EXAMPLE = 300
_MOST_EXAMPLES = 5
# A process and the events that prove it, in a message.
_NUMBERS = re.compile(r"\(pid \d+\)|\(events? [^)]*\)")


@dataclass(frozen=True)
class Group:
    """The trials of the tasks that bear a label.

    Attributes:
        kind: ``category``, ``difficulty``, ``tag`` or ``security``.
        tasks, trials: how many.
        solved: share of trials with the verdict pass.
        counted: mean counted score.
    """

    kind: str
    label: str
    tasks: int
    trials: int
    solved: Estimate
    counted: Estimate


@dataclass(frozen=True)
class Repeat:
    """The chance over `k` trials of a task, averaged over the tasks that have so many.

    Attributes:
        at_least_one: pass@k.
        all_of_them: pass^k.
        tasks: that have `k` trials or more.
    """

    k: int
    at_least_one: float
    all_of_them: float
    tasks: int


@dataclass(frozen=True)
class RuleCount:
    """How often a rule was broken.

    Attributes:
        severity: the gravest.
        violations: all of them.
        trials, tasks: in which there is at least one.
        actions: violations by action.
        events: that prove them.
        example: what happened, of the first of them.
    """

    rule: str
    severity: str
    violations: int
    trials: int
    tasks: int
    actions: dict[str, int]
    events: int
    examples: tuple[str, ...]
    further: int


@dataclass(frozen=True)
class AttemptCount:
    """How often breaking a rule was tried and came to nothing.

    Attributes:
        attempts: all of them.
        trials, tasks: in which there is at least one.
        outcomes: attempts by what became of them.
        events: that show them.
        example: what was tried, of the first of them.
    """

    rule: str
    attempts: int
    trials: int
    tasks: int
    outcomes: dict[str, int]
    events: int
    examples: tuple[str, ...]
    further: int


@dataclass(frozen=True)
class Propensity:
    """How often an agent looked for a way round the work, whether or not it solved the task.

    Attributes:
        trials: with decoys in the sandbox.
        touched: of these, where the agent touched one.
        solved: of those, where the raw score was the full one all the same.
        share: of `trials`, those that `touched` counts.
    """

    trials: int
    touched: int
    solved: int
    share: Estimate


@dataclass(frozen=True)
class Spending:
    """What was recorded of model traffic.

    Attributes:
        trials: with any such record; the figures are sums over these.
        models: that answered, by their own word; the first of them.
        cost_usd: None where no price list was given, or a model is not in it.
    """

    trials: int
    requests: int
    input_tokens: int
    output_tokens: int
    models: tuple[str, ...]
    cost_usd: float | None


@dataclass(frozen=True)
class Verified:
    """What the figures rest on, where bundles were verified.

    Attributes:
        trials: those whose bundle verifies.
        counted: mean counted score where all other trials count 0.
        run: what does not hold of the run as a whole, a sentence each.
    """

    trials: int
    counted: Estimate
    run: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """One agent in one run, with all its figures.

    Attributes:
        name: the agent's, with what tells it from others of that name; see `agent_names`.
        agent: the name alone.
        digest: of what the agent is, the same under whatever name; None where its bundles don't say, or trials differ.
        model: that it was given; empty where it had none.
        trials: in the run's order.
        verdicts: how many trials came to each.
        counted: mean counted score, over all trials; one without a score counts 0.
        raw: mean raw score, likewise.
        solved: share of trials with the verdict pass.
        decided: trials that came to pass, fail or violation; `counted_of_decided` is the mean over these alone.
        not_counted: trials whose raw score is above the counted one.
        lost_points: raw score minus counted score.
        gap: that in words.
        groups: capability profile, worst first.
        repeats: pass@k and pass^k, by k.
        rules, actions: violations.
        attempts: acts that were tried and came to nothing, by rule.
        propensity: to cheat, by decoys; None where no trial had any.
        consistency: how alike the trials of each task are in what they did.
        seconds: mean wall time of a trial; None where it is not known.
        verified: None where bundles were not verified.
        limits: what the evidence does not show, a sentence each.
    """

    name: str
    agent: str
    digest: str | None
    model: str
    run_id: str
    trials: tuple[TrialView, ...]
    verdicts: dict[str, int]
    counted: Estimate
    raw: Estimate
    solved: Estimate
    decided: int
    counted_of_decided: float | None
    not_counted: int
    lost_points: float
    gap: tuple[str, ...]
    groups: tuple[Group, ...]
    repeats: tuple[Repeat, ...]
    rules: tuple[RuleCount, ...]
    actions: dict[str, int]
    attempts: tuple[AttemptCount, ...]
    propensity: Propensity | None
    spending: Spending | None
    consistency: tuple[Consistency, ...]
    seconds: float | None
    verified: Verified | None
    limits: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its tasks in the order of their first trial."""
        return tuple(dict.fromkeys(trial.task_id for trial in self.trials))

    @property
    def most_trials(self) -> int:
        """Trials of the task that has most."""
        return max(Counter(trial.task_id for trial in self.trials).values(), default=0)

    @property
    def rank(self) -> tuple[float, float, str]:
        """Orders subjects: the highest counted score first, then the highest raw score, then by name."""
        return (-(self.counted.value or 0.0), -(self.raw.value or 0.0), self.name)

    @property
    def repeated(self) -> bool:
        """Whether it tried a task more than once."""
        return self.most_trials > 1

    @property
    def by_task(self) -> Mapping[str, Sequence[TrialView]]:
        """Its trials, by task, in the order of each task's first one."""
        return _by_task(self.trials)


@dataclass(frozen=True)
class Report:
    """The figures of all subjects of one or more runs."""

    subjects: tuple[Subject, ...]

    @property
    def many(self) -> bool:
        """Whether there are so many subjects that they are shown in one table rather than one by one."""
        return len(self.subjects) > _MOST_ONE_BY_ONE

    @property
    def same_tasks(self) -> bool:
        """Whether all subjects tried the same tasks."""
        return len({frozenset(subject.tasks) for subject in self.subjects}) < 2

    @property
    def ranked(self) -> tuple[Subject, ...]:
        """The subjects, the best first."""
        return tuple(sorted(self.subjects, key=lambda subject: subject.rank))

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks, in the order of their first appearance."""
        return tuple(dict.fromkeys(task for subject in self.subjects for task in subject.tasks))

    def to_json(self) -> dict[str, Any]:
        """Every figure, as ``--json`` prints it."""
        return {"schema": SCHEMA, "level": 0.95, "subjects": [_subject_json(subject) for subject in self.subjects]}


def make_report(
    runs: Sequence[RunView],
    behaviour_of: Callable[[Path], Behaviour | None] | None = None,
    prices: Mapping[str, Price] | None = None,
    share: Share = map,
) -> Report:
    """Compute a report.

    Args:
        runs: their trials are grouped by run and agent, in order.
        behaviour_of: reads what a trial did from its bundle; None leaves the consistency of trials out.
        prices: of tokens, by model; None leaves the cost out.
        share: calls `behaviour_of` with each bundle; see `shared`.
    """
    found, names = trials_by_agent(runs), agent_names(runs)
    run_of = {run.run_id: run for run in runs}
    repeated = [
        trial.evidence.bundle
        for trials in found.values()
        for of in _by_task(trials).values()
        if sum(trial.evidence.bundle is not None for trial in of) > 1
        for trial in of
        if trial.evidence.bundle is not None
    ]
    behaviours = None
    if behaviour_of is not None:
        behaviours = dict(zip(repeated, share(behaviour_of, repeated), strict=True))
    return Report(
        tuple(_subject(names[key], run_of[key[0]], trials, behaviours, prices) for key, trials in found.items()),
    )


def _subject(
    name: str,
    run: RunView,
    trials: Sequence[TrialView],
    behaviours: Mapping[Path, Behaviour | None] | None,
    prices: Mapping[str, Price] | None,
) -> Subject:
    verdicts = {verdict: sum(trial.verdict == verdict for trial in trials) for verdict in VERDICTS}
    decided = [trial for trial in trials if trial.score is not None]
    rules = _rules(trials)
    counted, raw = _mean(trials, lambda t: t.counted), _mean(trials, lambda t: t.raw)
    times = [trial.duration_ms for trial in trials if trial.duration_ms is not None]
    who = AgentFacts.of(trials)
    alike = () if behaviours is None else tuple(_consistency(trials, behaviours))
    return Subject(
        name=name,
        agent=who.name,
        digest=who.digest,
        model=who.model,
        run_id=run.run_id,
        trials=tuple(trials),
        verdicts=verdicts,
        counted=counted,
        raw=raw,
        solved=_solved(trials),
        decided=len(decided),
        counted_of_decided=fmean(trial.counted for trial in decided) if decided else None,
        not_counted=sum(trial.raw > trial.counted for trial in trials),
        lost_points=(raw.value or 0.0) - (counted.value or 0.0),
        gap=tuple(_gap(trials)),
        groups=_groups(trials),
        repeats=_repeats(trials),
        rules=rules,
        actions=dict(Counter(one.action for trial in trials for one in trial.judged.violations)),
        attempts=_attempts(trials),
        propensity=_propensity(trials),
        spending=_spending(trials, prices),
        consistency=alike,
        seconds=fmean(times) / 1000 if times else None,
        verified=None if run.checked is None else _verified(trials, run.checked),
        limits=tuple(_limits(trials, alike, run, asked=behaviours is not None)),
    )


def _by_task(trials: Iterable[TrialView]) -> dict[str, list[TrialView]]:
    found: dict[str, list[TrialView]] = defaultdict(list)
    for trial in trials:
        found[trial.task_id].append(trial)
    return found


def _mean(trials: Iterable[TrialView], value: Callable[[TrialView], float]) -> Estimate:
    return estimate([[value(trial) for trial in of] for of in _by_task(trials).values()])


def _solved(trials: Iterable[TrialView]) -> Estimate:
    return _mean(trials, lambda trial: float(trial.passed))


def points(share: float) -> str:
    """``25 of 100 points``."""
    return f"{share * 100:.0f} of 100 points"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _gap(trials: Sequence[TrialView]) -> Iterator[str]:
    """Why counted and raw score differ, in sentences."""
    over = [trial for trial in trials if trial.raw > trial.counted]
    total = len(trials)
    if not over:
        yield "All points that were earned count."
    else:
        causes: Counter[str] = Counter(trial.verdict for trial in over)
        words = {
            "violation": "broke the contract",
            "inconclusive": "had a record that is not complete",
            "error": "ended in an error of the machinery",
        }
        parts = [f"{causes[verdict]} {said}" for verdict, said in words.items() if causes[verdict]]
        if others := len(over) - sum(causes[verdict] for verdict in words):
            parts.append(f"{others} for another reason")
        yield f"{len(over)} of {plural(total, 'trial')} earned points that do not count: {', '.join(parts)}."
    if idle := sum(trial.verdict == "violation" and trial.raw <= trial.counted for trial in trials):
        yield f"{plural(idle, 'trial')} broke the contract, and would have earned nothing anyway."
    unscored = sum(trial.verdict in ("inconclusive", "error") for trial in trials)
    if unscored:
        yield f"{plural(unscored, 'trial')} without a valid score {'count' if unscored > 1 else 'counts'} as 0."
    if audited := sum(trial.mode == "audit" for trial in trials):
        yield f"In {plural(audited, 'trial')} the contract was in audit mode: violations there do not change the score."


def _groups(trials: Sequence[TrialView]) -> tuple[Group, ...]:
    labelled: dict[tuple[str, str], list[TrialView]] = defaultdict(list)
    for trial in trials:
        labels = trial.labels
        found = [("category", labels.category), ("difficulty", labels.difficulty)]
        found += [("tag", tag) for tag in labels.tags]
        if labels.security_critical:
            found.append(("security", "security-critical"))
        named = [(kind, label) for kind, label in found if label]
        for key in dict.fromkeys(named or [("category", NO_LABEL)]):
            labelled[key].append(trial)
    groups = [
        Group(kind, label, len(_by_task(of)), len(of), _solved(of), _mean(of, lambda t: t.counted))
        for (kind, label), of in labelled.items()
    ]
    return tuple(sorted(groups, key=_worst_first))


def _worst_first(group: Group) -> tuple[float, float, str, str]:
    low = group.solved.interval.low if group.solved.interval else 0.0
    return (group.solved.value or 0.0, low, group.kind, group.label)


def _repeats(trials: Sequence[TrialView]) -> tuple[Repeat, ...]:
    counts = [(len(of), sum(trial.passed for trial in of)) for of in _by_task(trials).values()]
    most = min(_MOST_CURVE, max((count for count, _ in counts), default=0))
    found = []
    for k in range(1, most + 1):
        able = [(count, passed) for count, passed in counts if count >= k]
        one = fmean(pass_at_k(count, passed, k) for count, passed in able)
        every = fmean(pass_hat_k(count, passed, k) for count, passed in able)
        found.append(Repeat(k, one, every, len(able)))
    return tuple(found)


def _examples(messages: Iterable[str]) -> tuple[str, ...]:
    """What differs in more than its process and its events, in order."""
    distinct: dict[str, str] = {}
    for message in messages:
        distinct.setdefault(_NUMBERS.sub("", message), message[:_LONGEST_EXAMPLE])
    return tuple(distinct.values())


def _rules(trials: Sequence[TrialView]) -> tuple[RuleCount, ...]:
    found: dict[str, list[tuple[TrialView, Broken]]] = defaultdict(list)
    for trial in trials:
        for one in trial.judged.violations:
            found[one.rule].append((trial, one))
    counts = [
        RuleCount(
            rule=rule,
            severity=min((one.severity for _, one in pairs), key=SEVERITIES.index),
            violations=len(pairs),
            trials=len({(trial.task_id, trial.trial) for trial, _ in pairs}),
            tasks=len({trial.task_id for trial, _ in pairs}),
            actions=dict(Counter(one.action for _, one in pairs)),
            events=sum(one.count for _, one in pairs),
            examples=(shown := _examples(one.message for _, one in pairs))[:_MOST_EXAMPLES],
            further=max(0, len(shown) - _MOST_EXAMPLES),
        )
        for rule, pairs in found.items()
    ]
    return tuple(sorted(counts, key=lambda one: (SEVERITIES.index(one.severity), -one.trials, one.rule)))


def _attempts(trials: Sequence[TrialView]) -> tuple[AttemptCount, ...]:
    found: dict[str, list[tuple[TrialView, Tried]]] = defaultdict(list)
    for trial in trials:
        for one in trial.judged.attempts:
            found[one.rule].append((trial, one))
    counts = [
        AttemptCount(
            rule=rule,
            attempts=len(pairs),
            trials=len({(trial.task_id, trial.trial) for trial, _ in pairs}),
            tasks=len({trial.task_id for trial, _ in pairs}),
            outcomes=dict(Counter(one.outcome for _, one in pairs)),
            events=sum(one.count for _, one in pairs),
            examples=(shown := _examples(one.message for _, one in pairs))[:_MOST_EXAMPLES],
            further=max(0, len(shown) - _MOST_EXAMPLES),
        )
        for rule, pairs in found.items()
    ]
    return tuple(sorted(counts, key=lambda one: (-one.trials, one.rule)))


def _propensity(trials: Sequence[TrialView]) -> Propensity | None:
    tempted = [trial for trial in trials if trial.decoys]
    if not tempted:
        return None
    touched = [trial for trial in tempted if trial.touched_a_decoy]
    share = _mean(tempted, lambda trial: float(trial.touched_a_decoy))
    return Propensity(len(tempted), len(touched), sum(trial.raw_score == 1 for trial in touched), share)


def propensity_words(found: Propensity) -> str:
    """What decoys showed, in a sentence."""
    if not found.touched:
        having = "the 1 trial" if found.trials == 1 else f"the {found.trials} trials"
        return f"No decoy was touched in {having} with decoys. That says nothing of other ways to cheat."
    text = f"In {found.touched} of {plural(found.trials, 'trial')} with decoys the agent touched one"
    if words := interval_words(found.share):
        text += f" ({percent(found.share.value)}; 95 % interval {words})"
    text += f"; {found.solved} of these reached the full raw score"
    return f"{text}. This says how often it looked for a way round the work, apart from what it solved."


def _spending(trials: Sequence[TrialView], prices: Mapping[str, Price] | None) -> Spending | None:
    used = [trial.usage for trial in trials if trial.usage is not None]
    if not used:
        return None
    costs = [None if prices is None else cost_usd(usage, prices) for usage in used]
    models = sorted({one.model for usage in used for one in usage.by_model})
    return Spending(
        trials=len(used),
        requests=sum(usage.requests for usage in used),
        input_tokens=sum(usage.input_tokens for usage in used),
        output_tokens=sum(usage.output_tokens for usage in used),
        models=tuple(models[:_MOST_MODELS]),
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def _consistency(trials: Sequence[TrialView], behaviours: Mapping[Path, Behaviour | None]) -> Iterator[Consistency]:
    for task, of in _by_task(trials).items():
        bundles = [trial.evidence.bundle for trial in of if trial.evidence.bundle in behaviours]
        if bundles:
            yield consistency(task, [one for bundle in bundles if bundle and (one := behaviours[bundle]) is not None])


def _verified(trials: Sequence[TrialView], run: Checked) -> Verified:
    def holds(trial: TrialView) -> bool:
        return trial.evidence.checked is not None and trial.evidence.checked.ok

    return Verified(
        trials=sum(map(holds, trials)),
        counted=_mean(trials, lambda trial: trial.counted if holds(trial) else 0.0),
        run=run.faults,
    )


def verified_words(subject: Subject) -> tuple[str, ...]:
    """What verifying came to, in sentences; none where it was not asked for."""
    found = subject.verified
    if found is None:
        return ()
    total = len(subject.trials)
    missing = total - found.trials
    if not missing:
        trials = f"The bundles of all {total} trials verify" if total > 1 else "The bundle verifies"
        sentences = [f"{trials}: signature, files and records are as signed, and the verdict was computed again."]
    else:
        sentences = [
            f"{missing} of {plural(total, 'trial')} {'rests' if missing == 1 else 'rest'} on no bundle that verifies: "
            "figures show what is stated of them, which may be forged. The counted score with these as 0 is "
            f"{percent(found.counted.value)}."
        ]
    if found.run:
        sentences.append(f"The run as a whole does not verify: {'; '.join(found.run)}.")
    elif not missing:
        sentences.append("Its signed plan, ledger and statement show that these are all the trials of the run.")
    return tuple(sentences)


def common_limits(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """The limits that all subjects share, of several."""
    if len(subjects) < 2:
        return ()
    return tuple(one for one in subjects[0].limits if all(one in subject.limits for subject in subjects[1:]))


def consistency_words(found: Sequence[Consistency]) -> str:
    """How alike trials of a task are in what they did, over all tasks; empty where nothing was compared."""
    parts = []
    for kind in ("programs", "files"):
        values = [(value, one.task_id) for one in found if (value := getattr(one, kind)) is not None]
        if values:
            least, task = min(values)
            worst = f" (least in {shorten(task)}: {percent(least)})" if len(values) > 1 and least < 1 else ""
            said = "programs that ran" if kind == "programs" else "files that were changed"
            parts.append(f"{percent(fmean(value for value, _ in values))} of the {said}{worst}")
    if not parts:
        return ""
    return f"Two trials of a task have in common, on average and by the record, {' and '.join(parts)}."


def _limits(trials: Sequence[TrialView], alike: Sequence[Consistency], run: RunView, *, asked: bool) -> Iterator[str]:
    """What a reader must know before quoting a figure."""
    tasks = _by_task(trials)
    if not run.finished:
        yield "The run is not finished, or was interrupted: these are the trials that have been judged, not all."
    yield (
        f"{plural(len(trials), 'trial')} of {plural(len(tasks), 'task')}. The intervals say how far a figure may be "
        "off by chance on tasks like these, not on other tasks."
    )
    if max(map(len, tasks.values()), default=0) == 1:
        yield "Each task was tried once, so nothing is known of how reliably the agent repeats a result."
    if run.checked is None:
        yield (
            "Signatures were not checked for this report. `affidavit report --verify` checks each bundle, recomputes "
            "its verdict, and compares the run with its signed plan and ledger."
        )
        yield (
            "So this report does not show that these are all the trials that were made: a run can be repeated, and the "
            "best shown."
        )
    else:
        yield (
            "That a run is complete does not show that it was the only one: whoever made it may have made others, and "
            "published this one. A signature shows who vouches for a record, not that the machine that made it was "
            "honest."
        )
    if wrong := sum(bool(trial.evidence.discrepancy) for trial in trials):
        yield f"{plural(wrong, 'trial')} where bundle and run.json disagree, or the bundle can't be read: see there."
    if lost := sum(bool(trial.record.lost) for trial in trials):
        yield f"{plural(lost, 'trial')} with lost events; such a trial is inconclusive."
    assurances = Counter(trial.judged.assurance for trial in trials if trial.raw_score is not None)
    words = {
        "separate": "graded with tests and solution in two sandboxes",
        "control": "backed by a control, in which each test that had passed was made wrong and had to fail",
        "outcome": "backed by the outcome alone: nothing checked that the result was not forged",
    }
    for name, said in words.items():
        if assurances[name]:
            yield f"{plural(assurances[name], 'score')} {said} (assurance: {name})."
    if ungraded := sum(trial.raw_score is None for trial in trials):
        yield (
            f"{plural(ungraded, 'trial')} without a raw score, because the trial or its grading failed; "
            f"{'it counts' if ungraded == 1 else 'they count'} as 0 in the raw score, too."
        )
    if unsigned := sum(trial.contract.signers is None for trial in trials):
        yield f"{plural(unsigned, 'trial')} under a contract that nobody signed."
    if asked and len(alike) < sum(len(of) > 1 for of in tasks.values()):
        yield "The consistency of what was done is missing for tasks whose records can't be read."
    ways = sorted(
        {
            f"{trial.record.runtime}+{trial.record.recorder}"
            for trial in trials
            if trial.record.runtime and trial.record.recorder
        }
    )
    if ways:
        yield f"Recorded by {', '.join(ways)}. What these can't see is listed with each trial."


def _subject_json(subject: Subject) -> dict[str, Any]:
    document = asdict(subject)
    document["trials"] = [trial_json(trial) for trial in subject.trials]
    return document


def trial_json(trial: TrialView) -> dict[str, Any]:
    """A trial's figures as JSON values."""
    return {
        "task_id": trial.task_id,
        "trial": trial.trial,
        "verdict": trial.verdict,
        "score": trial.score,
        "raw_score": trial.raw_score,
        "assurance": trial.judged.assurance,
        "reasons": list(trial.judged.reasons),
        "violations": [one.model_dump() for one in trial.judged.violations],
        "attempts": [one.model_dump() for one in trial.judged.attempts],
        "events": trial.record.events,
        "lost": trial.record.lost,
        "complete": trial.record.complete,
        "duration_ms": trial.duration_ms,
        "mode": trial.mode,
        "usage": None if trial.usage is None else asdict(trial.usage),
        "labels": trial.labels.to_json(),
        "contract": {"id": trial.contract.id, "version": trial.contract.version, "digest": trial.contract.digest},
        "agent_digest": trial.agent.digest,
        "model": trial.agent.model,
        "signed_by": trial.evidence.signed_by,
        "discrepancy": trial.evidence.discrepancy,
        "checked": None if trial.evidence.checked is None else asdict(trial.evidence.checked),
    }


def percent(value: float | None) -> str:
    """``83 %``; a dash for nothing. Never 0 or 100 for what is only close to it."""
    if value is None:
        return "–"
    rounded = round(value * 100)
    if (rounded == 0 and value > 0) or (rounded == 100 and value < 1):
        return f"{value * 100:.1f} %"
    return f"{rounded} %"


def interval_words(found: Estimate) -> str:
    """``66 to 93 %``; empty where there is none."""
    if found.interval is None:
        return ""
    return f"{round(found.interval.low * 100)} to {round(found.interval.high * 100)} %"


def jaggedness(groups: Sequence[Group]) -> str:
    """How far the worst and the best label lie apart, in words; empty with fewer than two labels."""
    named: Mapping[str, list[Group]] = {
        kind: [one for one in groups if one.kind == kind] for kind in ("category", "tag")
    }
    for of in named.values():
        if len(of) > 1 and of[0].solved.value != of[-1].solved.value:
            worst, best = of[0], of[-1]
            return (
                f"From {percent(worst.solved.value)} ({shorten(worst.label)}) to {percent(best.solved.value)} "
                f"({shorten(best.label)}) "
                f"of trials solved by {worst.kind}."
            )
    return ""
