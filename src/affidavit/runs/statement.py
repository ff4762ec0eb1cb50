"""The statement of a run: an in-toto Statement v1 over its bundles, with what they come to as its predicate.

Beside it stand two statements of in-toto's vetted predicates, which policy tools read:
test-result v0.1 (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md) and
svr v0.1 (https://github.com/in-toto/attestation/blob/main/spec/predicates/svr.md).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from affidavit.evidence import IN_TOTO
from affidavit.runs.ledger import Attempt, Checkpoint, History, StepEnd
from affidavit.runs.plan import Digest, RunPlan, Strict, Time, Verdict, parsed
from affidavit.runs.timestamps import PLAN_TOKEN, RUN_TOKEN, request_timestamp
from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    canonical_json,
    read_bounded,
    strict_canonical_json,
    write_whole,
)
from affidavit.statistics import clustered_standard_error, estimate, normal_quantile, wilson

RUN_STATEMENT = "run.dsse.json"
TEST_RESULT = "test-result.dsse.json"
SVR = "svr.dsse.json"
RUN_DOCUMENT = "run.json"
RUN_PREDICATE = "urn:affidavit:run:v2"
_FIRST_PREDICATE = "urn:affidavit:run:v1"
TEST_RESULT_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
SVR_PREDICATE = "https://in-toto.io/attestation/svr/v0.1"
MOST_STATEMENT_BYTES = 64 << 20
MOST_DOCUMENT_BYTES = 1 << 30

_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_DIGITS = 6
_VERDICTS = ("pass", "fail", "violation", "inconclusive", "error")


class Head(Strict):
    """Size and root of the ledger when the run was closed."""

    size: int = Field(ge=1)
    root: Digest


class TrialEnd(Strict):
    """How a planned trial ended.

    Attributes:
        name: in the plan.
        place: its folder in the run's.
        attempts: how often it was tried.
        bundle: digest of its bundle's statement; None where there is no bundle. With steps, of the last one's.
        verdict, score, raw_score: as the bundle says, or else the ledger.
        steps: those that were reached and have bundles, in order; None: the task has no steps.
    """

    name: str
    place: str
    attempts: int = Field(ge=1)
    bundle: Digest | None
    verdict: Verdict
    score: float | None
    raw_score: float | None
    steps: list[StepEnd] | None = Field(default=None, exclude_if=lambda steps: steps is None)

    @property
    def bundles(self) -> dict[str, str]:
        """The digests of all its bundles, by their places in the folder of the run."""
        if self.steps is not None:
            return {f"{self.place}/{number}/bundle": step.bundle for number, step in enumerate(self.steps, 1)}
        return {} if self.bundle is None else {f"{self.place}/bundle": self.bundle}


class Rate(Strict):
    """An estimate with the bounds of its interval; None where there is nothing to estimate from."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Mapping[str, Sequence[float]], confidence: float) -> "Rate":
        """The mean of values from 0 to 1 by task, with the interval of `estimate`: trials of one task may resemble each
        other, so that each task is a cluster."""
        found = estimate([*values.values()], confidence)
        if found.value is None or found.interval is None:
            return cls(value=None, low=None, high=None)
        return cls.rounded(found.value, found.interval.low, found.interval.high)

    @classmethod
    def rounded(cls, value: float, low: float | None, high: float | None) -> "Rate":
        """As it stands in a statement: whatever a machine's C library makes of the last digits, these are the same
        everywhere."""
        return cls(value=_rounded(value), low=_rounded(low), high=_rounded(high))


class Aggregate(Strict):
    """What all trials come to.

    Attributes:
        trials: planned, each of which has its end.
        verdicts: how many trials came to each.
        pass_rate: the share that passed.
        raw_pass_rate: the share that would have passed by the graders alone, whatever the record says.
        mean_score: over the trials that have a score that counts.
    """

    trials: int
    verdicts: dict[str, int]
    pass_rate: Rate
    raw_pass_rate: Rate
    mean_score: Rate


class RunFacts(Strict):
    """The predicate. More fields may stand beside these, such as the entry in a transparency log.

    Attributes:
        run_id: the run's.
        plan: digest of the plan.
        ledger: what the ledger came to.
        began, ended: of the run, by its machine's clock.
        resumed: how often it was interrupted and went on.
        trials: all that were planned, in order.
        aggregate: what they come to.
        result: ``PASSED``: every trial passed; ``WARNED``: enough of them; ``FAILED``.
        timestamped: a time-stamp token for this statement is to be found beside it.
    """

    model_config = ConfigDict(extra="allow")

    run_id: str
    plan: Digest
    ledger: Head
    began: Time
    ended: Time
    resumed: int = Field(ge=0)
    trials: list[TrialEnd]
    aggregate: Aggregate
    result: Literal["PASSED", "WARNED", "FAILED"]
    timestamped: bool = False


@dataclass(frozen=True)
class RunStatement:
    """A statement in its envelope, whose signatures need not be good.

    Attributes:
        facts: the predicate.
        subjects: digests by name, bare hex: the bundles, ``run.json``, and what else was there.
        envelope: signed.
        version: of the predicate, 1 or 2; they differ in the intervals of the aggregate alone.
    """

    facts: RunFacts
    subjects: Mapping[str, str]
    envelope: Envelope
    version: int

    def data(self) -> bytes:
        """The content of ``run.dsse.json``."""
        return canonical_json(self.envelope.to_json())


def run_facts(plan: RunPlan, history: History, checkpoint: Checkpoint, timestamped: bool, version: int = 2) -> RunFacts:
    """What a run comes to.

    Args:
        plan: of the run.
        history: of its ledger, in which every planned trial has its end.
        checkpoint: of all of the ledger.
        timestamped: a time-stamp token is to follow.
        version: of the predicate.
    """
    trials = []
    for planned in plan.in_order:
        end = history.end_of(planned.name)
        if end is None or end.verdict is None:
            raise EvidenceError(f"{planned.name}: has no end in the ledger")
        in_steps = plan.task_by_id[planned.task].steps is not None
        trials.append(_end(planned.name, planned.place, end, end.verdict, in_steps))
    aggregate = aggregate_of(plan, trials, version)
    return RunFacts(
        run_id=history.run_id,
        plan=plan.digest,
        ledger=Head(size=checkpoint.size, root=checkpoint.root),
        began=history.began,
        ended=history.last,
        resumed=history.resumed,
        trials=trials,
        aggregate=aggregate,
        result=_result(plan, aggregate),
        timestamped=timestamped,
    )


def _end(name: str, place: str, end: Attempt, verdict: Verdict, in_steps: bool) -> TrialEnd:
    return TrialEnd(
        name=name,
        place=place,
        attempts=end.number,
        bundle=end.bundle,
        verdict=verdict,
        score=end.score,
        raw_score=end.raw_score,
        steps=[*end.played] if in_steps else None,
    )


def aggregate_of(plan: RunPlan, trials: Iterable[TrialEnd], version: int = 2) -> Aggregate:
    """What trials come to.

    Args:
        plan: of the run.
        trials: in the plan's order.
        version: of the predicate.
    """
    verdicts = dict.fromkeys(_VERDICTS, 0)
    passes: dict[str, list[float]] = {}
    raw_passes: dict[str, list[float]] = {}
    scores: dict[str, list[float]] = {}
    for planned, trial in zip(plan.in_order, trials, strict=True):
        verdicts[trial.verdict] += 1
        passing = plan.task_by_id[planned.task].passing_score
        passes.setdefault(planned.task, []).append(trial.verdict == "pass")
        raw_passes.setdefault(planned.task, []).append(trial.raw_score is not None and trial.raw_score >= passing)
        if trial.score is not None:
            scores.setdefault(planned.task, []).append(trial.score)
    rate, mean = (Rate.of, Rate.of) if version == 2 else (_plain_rate, _normal_mean)
    confidence = plan.thresholds.confidence
    return Aggregate(
        trials=len(plan.in_order),
        verdicts=verdicts,
        pass_rate=rate(passes, confidence),
        raw_pass_rate=rate(raw_passes, confidence),
        mean_score=mean(scores, confidence),
    )


def _plain_rate(values: Mapping[str, Sequence[float]], confidence: float) -> Rate:
    """A rate of a statement of version 1: Wilson's interval, as if all trials were independent."""
    every = [value for task in values.values() for value in task]
    interval = wilson(sum(every), len(every), confidence)
    return Rate.rounded(sum(every) / len(every), interval.low, interval.high)


def _normal_mean(values: Mapping[str, Sequence[float]], confidence: float) -> Rate:
    """A mean of a statement of version 1: clustered by task, by the normal distribution and without the factor for few
    tasks, whose intervals are too narrow."""
    every = [value for task in values.values() for value in task]
    if not every:
        return Rate(value=None, low=None, high=None)
    mean, error = math.fsum(every) / len(every), clustered_standard_error([*values.values()])
    if error is None:
        return Rate.rounded(mean, None, None)
    half = normal_quantile(0.5 + confidence / 2) * error * math.sqrt((len(values) - 1) / len(values))
    return Rate.rounded(mean, max(0.0, mean - half), min(1.0, mean + half))


def _rounded(value: float | None) -> float | None:
    # No negative zero.
    return None if value is None else round(value, _DIGITS) + 0.0


def _result(plan: RunPlan, aggregate: Aggregate) -> Literal["PASSED", "WARNED", "FAILED"]:
    passes = aggregate.verdicts["pass"]
    # A share such as 0.7 is no binary fraction.
    if passes < round(plan.thresholds.pass_rate * aggregate.trials, 9):
        return "FAILED"
    return "PASSED" if passes == aggregate.trials else "WARNED"


def subjects_of(facts: RunFacts, files: Mapping[str, bytes]) -> dict[str, str]:
    """The subjects of a run's statement: each bundle by its statement's digest, and further files.

    Args:
        facts: the predicate.
        files: content of files beside the statement, by name.
    """
    bundles = {place: digest[7:] for trial in facts.trials for place, digest in trial.bundles.items()}
    return {**bundles, **{name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}


def sign_run(facts: RunFacts, subjects: Mapping[str, str], key: SigningKey) -> RunStatement:
    """Sign the statement of a run."""
    payload = _statement(subjects, RUN_PREDICATE, facts.model_dump(mode="json"))
    return RunStatement(facts, subjects, Envelope(payload, IN_TOTO, {}).with_signature(key), 2)


def write_run_statement(
    folder: Path,
    plan: RunPlan,
    history: History,
    checkpoint: Checkpoint,
    key: SigningKey,
    timestamp: str | None = None,
) -> None:
    """Write the statements of a run whose ledger is closed and whose ``run.json`` is written.

    Args:
        folder: the run's.
        plan: of the run.
        history, checkpoint: of its ledger.
        key: signs.
        timestamp: address of a time-stamping authority; None: nobody stamps.

    Raises:
        EvidenceError: a planned trial has no end, a file can't be read or written, or the authority does not stamp.
            There is no statement then.
    """
    facts = run_facts(plan, history, checkpoint, timestamped=timestamp is not None)
    files = {RUN_DOCUMENT: read_bounded(folder / RUN_DOCUMENT, MOST_DOCUMENT_BYTES)}
    if (folder / PLAN_TOKEN).exists():
        files[PLAN_TOKEN] = read_bounded(folder / PLAN_TOKEN, MOST_DOCUMENT_BYTES)
    for name, payload in ((TEST_RESULT, result_payload(plan, facts)), (SVR, svr_payload(plan, facts))):
        write_whole(folder / name, canonical_json(Envelope(payload, IN_TOTO, {}).with_signature(key).to_json()))
    statement = sign_run(facts, subjects_of(facts, files), key)
    if timestamp is not None:
        write_whole(folder / RUN_TOKEN, request_timestamp(timestamp, statement.envelope, key.key_id))
    # The last, for it says that the run is whole.
    write_whole(folder / RUN_STATEMENT, statement.data())


def read_run_statement(path: Path) -> RunStatement:
    """The statement in a file; its signatures are not checked.

    Raises:
        EvidenceError: there is none.
    """
    envelope, statement = read_statement_file(path)
    try:
        versions = {_FIRST_PREDICATE: 1, RUN_PREDICATE: 2}
        if (version := versions.get(statement["predicateType"])) is None:
            raise EvidenceError(f"its predicate type is not {RUN_PREDICATE}")
        facts = parsed(RunFacts, statement["predicate"])
        subjects = dict(_subject(one) for one in statement["subject"])
        if len(subjects) != len(statement["subject"]):
            raise EvidenceError("names a subject twice")
    except EvidenceError as error:
        raise EvidenceError(f"{path.name}: is not a statement of a run: {error}") from error
    return RunStatement(facts, subjects, envelope, version)


def read_statement_file(path: Path) -> tuple[Envelope, dict[str, Any]]:
    """The envelope in a file, and the in-toto statement in it.

    Raises:
        EvidenceError: there is none.
    """
    data = read_bounded(path, MOST_STATEMENT_BYTES)
    try:
        envelope = Envelope.from_json(strict_canonical_json(data))
        statement = strict_canonical_json(envelope.payload)
    except EvidenceError as error:
        raise EvidenceError(f"{path.name}: {error}") from error
    match statement:
        case {"_type": str(kind), "predicateType": str(), "subject": [*_], "predicate": dict()} if len(statement) == 4:
            if kind == _STATEMENT_TYPE and envelope.payload_type == IN_TOTO:
                return envelope, statement
    raise EvidenceError(f"{path.name}: is not an in-toto Statement v1")


def result_payload(plan: RunPlan, facts: RunFacts) -> bytes:
    """The payload of a statement of in-toto's predicate test-result v0.1: the tests are the trials."""
    passed = [trial.name for trial in facts.trials if trial.verdict == "pass"]
    unjudged = [trial.name for trial in facts.trials if trial.verdict in ("inconclusive", "error")]
    failed = [trial.name for trial in facts.trials if trial.verdict in ("fail", "violation")]
    predicate = {
        "result": facts.result,
        "configuration": [{"name": "plan", "digest": {"sha256": plan.digest[7:]}}],
        "passedTests": passed,
        "warnedTests": unjudged,
        "failedTests": failed,
    }
    return _statement(_agents(plan), TEST_RESULT_PREDICATE, predicate)


def svr_payload(plan: RunPlan, facts: RunFacts) -> bytes:
    """The payload of a statement of in-toto's predicate svr v0.1: which properties the run has."""
    verdicts, bundles = facts.aggregate.verdicts, [trial.bundle for trial in facts.trials]
    held = {
        "AFFIDAVIT_PLANNED_BEFORE_THE_FIRST_TRIAL": True,
        "AFFIDAVIT_EVERY_TRIAL_HAS_A_BUNDLE": None not in bundles,
        "AFFIDAVIT_NO_TRIAL_RETRIED": all(trial.attempts == 1 for trial in facts.trials),
        "AFFIDAVIT_EVERY_RECORD_COMPLETE": not verdicts["inconclusive"] and not verdicts["error"],
        "AFFIDAVIT_NO_VIOLATION": not verdicts["violation"],
        "AFFIDAVIT_PASS_RATE_REACHED": facts.result != "FAILED",
    }
    predicate = {
        "verifier": {
            "id": f"urn:affidavit:{plan.affidavit}",
            "policy": {"name": "plan", "digest": {"sha256": plan.digest[7:]}},
        },
        "timeCreated": facts.ended,
        "properties": [name for name, holds in held.items() if holds],
    }
    return _statement(_agents(plan), SVR_PREDICATE, predicate)


def _agents(plan: RunPlan) -> dict[str, str]:
    """What was evaluated; agents of one name are told apart by their digests."""
    names = [agent.name for agent in plan.agents.values()]
    return {
        agent.name if names.count(agent.name) == 1 else f"{agent.name}@{digest}": digest[7:]
        for digest, agent in plan.agents.items()
    }


def _statement(subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    return canonical_json(
        {
            "_type": _STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": made}} for name, made in sorted(subjects.items())],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def _subject(value: Any) -> tuple[str, str]:
    match value:
        case {"name": str(name), "digest": {"sha256": str(made)}} if len(value) == 2:
            return name, made
    raise EvidenceError("names a subject without its sha256")
