"""Resuming an interrupted run: which trials are finished, and their results."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from affidavit.evaluation.errors import RunError
from affidavit.evaluation.result import RecordFacts, TrialResult, joined
from affidavit.evidence import (
    BundleReader,
    ContractFacts,
    EvidenceError,
    SigningKey,
    beside,
    bundle_digest,
    read_environment,
    stated_plan,
)
from affidavit.runs import PLAN, RUN_STATEMENT, Attempt, Ledger, PlannedTrial, RunPlan, SignedPlan, combine_steps
from affidavit.verification import Judgement, Verdict, verify_signed_by


@dataclass(frozen=True)
class Resumed:
    """A run that goes on.

    Attributes:
        run_id: its name.
        ledger: open.
        done: the trials that have their end, by name.
    """

    run_id: str
    ledger: Ledger
    done: dict[str, TrialResult]


def resume_run(folder: Path, plan: SignedPlan, key: SigningKey) -> Resumed:
    """Open the ledger of a run that was interrupted.

    A bundle that was sealed, though the run ended before its ledger could say so, is entered there; a trial that has no
    end begins again, and what it left half-written is removed, as are half-written documents of the run.

    Args:
        folder: of the run.
        plan: of the run.
        key: the run's.

    Raises:
        RunError: the run is closed or still at work, or something in it is not what the ledger says.
    """
    try:
        ledger, read = Ledger.reopen(folder, key)
    except EvidenceError as error:
        raise RunError(f"--resume {folder}: {error}") from error
    try:
        if read.history.closed and (folder / RUN_STATEMENT).exists():
            raise RunError(f"--resume {folder}: the run is closed: every trial has its end and the statement is signed")
        if read.history.plan != plan.plan.digest:
            raise RunError(f"--resume {folder}: its ledger is of another plan than {PLAN}")
        _clear_documents(folder)
        done = {}
        for planned in plan.plan.in_order:
            end = ledger.history.end_of(planned.name) or _adopted(folder, planned, plan.plan, ledger, key)
            if end is None:
                _clear(folder, planned)
            else:
                done[planned.name] = _result(folder, planned, plan.plan, end)
    except EvidenceError as error:
        ledger.close()
        raise RunError(f"--resume {folder}: {error}") from error
    except BaseException:
        ledger.close()
        raise
    return Resumed(read.history.run_id, ledger, done)


def _adopted(folder: Path, planned: PlannedTrial, plan: RunPlan, ledger: Ledger, key: SigningKey) -> Attempt | None:
    """The end of a trial whose bundle is in its place, though the ledger does not know that. A trial in steps begins
    again with its first: what that left for the next one is gone."""
    place = folder / planned.place / "bundle"
    if not place.exists():
        return None
    verification = verify_signed_by(place, key.public)
    facts = verification.facts
    said = stated_plan(facts) if facts is not None and verification.ok else None
    attempts = ledger.history.attempts.get(planned.name, [])
    expected = (plan.digest, planned.name, len(attempts))
    fits = said is not None and (said.digest, said.trial, said.attempt) == expected
    if facts is None or not attempts or not fits:
        raise RunError(f"{place}: is there, and the ledger does not know it; move it away to go on")
    ledger.adopt(planned.name, facts.verdict, facts.score, facts.raw_score, bundle_digest(place))
    return ledger.history.end_of(planned.name)


def _clear_documents(folder: Path) -> None:
    """Remove the run's own documents that were half-written."""
    for left in folder.glob(".*.json.*.tmp"):
        left.unlink(missing_ok=True)


def _clear(folder: Path, planned: PlannedTrial) -> None:
    """Remove what a trial without an end left: the private part goes into its place before the bundle does."""
    place = folder / planned.place
    for left in (beside(place / "bundle"), *place.glob(".bundle.*.tmp"), *place.glob("[1-9]*")):
        shutil.rmtree(left, ignore_errors=True)


def _result(folder: Path, planned: PlannedTrial, plan: RunPlan, end: Attempt) -> TrialResult:
    """What a trial that has its end came to."""
    task = plan.task_by_id[planned.task]
    if task.steps is None and end.bundle is not None:
        trial = _from_bundle(folder, planned.place, planned, plan, end.bundle)
    else:
        reasons: tuple[str, ...] = (end.why,) if end.why else ()
        if task.steps is not None and end.bundle is not None:
            reasons = combine_steps(task.steps, end.played, task.passing_score).reasons
        trial = TrialResult(
            planned.task,
            planned.number,
            planned.agent_name,
            Judgement(Verdict(end.verdict or Verdict.ERROR), end.score, end.raw_score, reasons, ()),
            RecordFacts(),
            ContractFacts(**task.contract.model_dump(mode="json"), signed_by=None),
            0,
            None,
        )
    if steps := [
        replace(_from_bundle(folder, planned.place_of_step(number), planned, plan, step.bundle), step=step.name)
        for number, step in enumerate(end.played, 1)
    ]:
        first = steps[0]
        trial = replace(trial, record=first.record, mode=first.mode)
        trial = joined(trial, steps)
    return replace(trial, duration_ms=end.duration_ms or 0, began=end.began)


def _from_bundle(folder: Path, within: str, planned: PlannedTrial, plan: RunPlan, digest: str) -> TrialResult:
    """What a bundle in the folder of a run says its trial, or its step, came to.

    Args:
        folder: the run's.
        within: the folder in it that the bundle is in.
        planned: the trial.
        plan: of the run.
        digest: of the bundle's statement, by the ledger.
    """
    place = folder / within / "bundle"
    if bundle_digest(place) != digest:
        raise EvidenceError(f"{place}: is not the bundle that the ledger says; see affidavit verify")
    with BundleReader(place) as reader:
        environment = read_environment(reader)
        summary = reader.summary("agent")
        judgement = Judgement.from_json(reader.verdict)
    return TrialResult(
        task_id=planned.task,
        trial=planned.number,
        agent=planned.agent_name,
        judgement=judgement,
        record=RecordFacts(
            environment.runtime,
            environment.recorder,
            summary.events,
            summary.lost,
            summary.complete,
            tuple(summary.gaps),
        ),
        contract=ContractFacts(**plan.task_by_id[planned.task].contract.model_dump(mode="json"), signed_by=None),
        duration_ms=0,
        bundle=place,
        mode="strict" if environment.enforcement is None else environment.enforcement.mode,
    )
