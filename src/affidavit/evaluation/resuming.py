"""Going on with a run that was interrupted: which trials have their end, and what they came to."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from affidavit.evaluation.errors import RunError
from affidavit.evaluation.result import RecordFacts, TrialResult
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
from affidavit.runs import PLAN, RUN_STATEMENT, Attempt, Ledger, PlannedTrial, RunPlan, SignedPlan
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
    """The end of a trial whose bundle is in its place, though the ledger does not know that."""
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
    for left in (beside(place / "bundle"), *place.glob(".bundle.*.tmp")):
        shutil.rmtree(left, ignore_errors=True)


def _result(folder: Path, planned: PlannedTrial, plan: RunPlan, end: Attempt) -> TrialResult:
    """What a trial that has its end came to."""
    task = plan.task_by_id[planned.task]
    contract = ContractFacts(**task.contract.model_dump(mode="json"), signed_by=None)
    if end.bundle is None:
        judgement = Judgement(Verdict(end.verdict or Verdict.ERROR), end.score, end.raw_score, (end.why,), ())
        return TrialResult(
            planned.task,
            planned.number,
            planned.agent_name,
            judgement,
            RecordFacts(),
            contract,
            0,
            None,
            began=end.began,
        )
    place = folder / planned.place / "bundle"
    if bundle_digest(place) != end.bundle:
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
        contract=contract,
        duration_ms=end.duration_ms or 0,
        bundle=place,
        mode="strict" if environment.enforcement is None else environment.enforcement.mode,
        began=end.began,
    )
