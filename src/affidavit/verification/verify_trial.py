"""``verify``: a bundle checked down to its verdict, which is judged anew from the bundle alone."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from affidavit.contracts import Contract, parse_contract
from affidavit.evidence import (
    BundleReader,
    EvidenceError,
    PublicKey,
    beside,
    keys_dir,
    load_key,
    load_public_key,
    model_fault,
    read_model_facts,
    read_model_log,
    stranded,
)
from affidavit.grading import Assurance, combine, published_grades
from affidavit.sandbox import Change
from affidavit.signing import read_trust
from affidavit.tasks import Task, load_task
from affidavit.verification.bundle_checks import Verification, verify_bundle
from affidavit.verification.documents import (
    agent_batches,
    agent_counts,
    new_judge,
    read_decoys,
    read_exit,
    read_programs,
)
from affidavit.verification.regrade import regrade, stored_grades
from affidavit.verification.verdict import Verdict, decide, diff_gaps, grading_failed, in_order, stage_gaps, stopped_at


def verify(bundle: Path, key: Path | None = None, task: Path | None = None, trust: Path | None = None) -> Verification:
    """Check a bundle: signature, every file, Merkle roots, contract, grades, score and verdict.

    Args:
        bundle: its folder.
        key: the public key that must have signed; the user's own where None.
        task: the task's folder, with which every deterministic grader can be asked again; None where it is not at hand.
        trust: the trust file that says who must have signed the contract; None: whoever the run found good.

    Raises:
        EvidenceError: there is no such folder, the key or the trust file can't be read, or a task is given and the
            private part, which its graders need, is not there.
        TaskError: there is no such task.
    """
    given = None if task is None else load_task(task)
    if given is not None and (bundle / "grades.json").exists() and not beside(bundle.absolute()).is_dir():
        raise EvidenceError(f"--task {task}: its graders need the private part, which is not beside {bundle}")
    keys = [load_public_key(key)] if key is not None else own_keys()
    trusted = None if trust is None else read_trust(trust)
    return verify_bundle(bundle, keys, rejudge, lambda reader: _regrade(reader, given), trusted)


def verify_signed_by(bundle: Path, key: PublicKey) -> Verification:
    """Check a bundle as `verify` does, without its task and without trust in who signed its contract.

    Args:
        bundle: its folder.
        key: must have signed.

    Raises:
        EvidenceError: there is no such folder.
    """
    return verify_bundle(bundle, [key], rejudge, lambda reader: _regrade(reader, None))


def own_keys() -> list[PublicKey]:
    """The user's own public key; none where there is no key yet."""
    try:
        return [load_key(keys_dir()).public]
    except EvidenceError:
        return []


def rejudge(reader: BundleReader) -> Mapping[str, Any]:
    """The content that ``verdict.json`` must have, computed from the rest of the bundle.

    Raises:
        EvidenceError, TraceError, ValueError: something in the bundle is not what it should be.
    """
    contract = enforced_contract(reader)
    programs = read_programs(reader.environment.get("programs", {}))
    # Before they told attempts apart, bundles knew no limit of the task's own either.
    limit = reader.task["agent_timeout_s"] if knows_attempts(reader) else None
    decoys = read_decoys(reader.environment)
    judge = new_judge(contract, reader.task["workdir"], reader.environment["agent"], programs.get, limit, decoys)
    execs = reader.execs()
    for batch in agent_batches(reader.events("agent"), execs):
        judge.feed(batch)
    counts, strangers = agent_counts(reader.events("agent"), reader.counts("agent"), execs)
    changes = [change_of(row) for row in reader.diff]
    ended = read_exit(reader.json_object("agent/exit.json"))
    violations = judge.finish(counts, changes, ended)
    gaps = [gap for stage in in_order(reader.stages()) for gap in stage_gaps(stage, reader.summary(stage))]
    gaps += strangers
    gaps += diff_gaps(reader.events("agent"), changes)
    failed = reader.grades.get("failed")
    if failed is not None:
        gaps.append(grading_failed(str(failed)))
    assessment = combine(stored_grades(reader.grades)) if failed is None else None
    passing, demanded = reader.task["passing_score"], demanded_assurance(reader)
    model = read_model_facts(reader)
    judgement = decide(
        contract.mode,
        violations,
        assessment,
        gaps,
        fault=None if model is None else model_fault(model),
        passing=passing,
        demanded=demanded,
        attempts=None if limit is None else judge.attempts,
        stopped=stopped_at(limit) if limit is not None and judge.limit_of_task(ended) else None,
        stranded=None if model is None else stranded(read_model_log(reader)),
    )
    if failed is not None and judgement.verdict != Verdict.VIOLATION:
        raise EvidenceError("grade.json: says that the grading failed, which only a violation survives")
    return judgement.to_json()


def _regrade(reader: BundleReader, task: Task | None) -> str:
    if "grades.json" in reader.names():
        if not reader.has_private:
            return "what the graders said is the signer's claim: the private part, which shows how, is not here"
        if published_grades(reader.grade) != reader.grades:
            raise EvidenceError("grades.json: is not what grade.json in the private part comes to")
    if "failed" in reader.grade:
        return "the grading failed after a violation: there is nothing to grade anew"
    contract = parse_contract(reader.contract, "contract.json")
    judge = new_judge(contract, reader.task["workdir"], reader.environment["agent"])
    changes = [change_of(row) for row in reader.diff]
    return regrade(reader, changes, frozenset(judge.carried(changes)), task)


def demanded_assurance(reader: BundleReader) -> Assurance | None:
    """What had to stand behind the score at least.

    Raises:
        EvidenceError: the bundle says something else than a run can.
    """
    match reader.environment.get("enforcement", {}).get("assurance"):
        case None | "outcome" | "control" | "separate" as assurance:
            return assurance
    raise EvidenceError("environment.json: says of the enforcement what can't be")


def knows_attempts(reader: BundleReader) -> bool:
    """Whether a bundle is of a version that tells attempts from violations."""
    enforcement = reader.environment.get("enforcement")
    return isinstance(enforcement, dict) and "attempts" in enforcement


def enforced_contract(reader: BundleReader) -> Contract:
    """The contract as it was enforced: in the mode and with the actions that the run's environment names.

    Raises:
        EvidenceError, ContractError: the bundle says something else than a run can.
    """
    contract = parse_contract(reader.contract, "contract.json")
    match enforcement := reader.environment.get("enforcement", {}):
        case {"mode": "strict" | "audit" as mode, "actions": list(actions)} if {*actions} <= {"flag", "halt", "alert"}:
            attempts = enforcement.get("attempts")
            if attempts in (None, "violation", "record"):
                return contract.enforced_as(mode, tuple(actions), attempts)
        case {}:
            return contract
    raise EvidenceError("environment.json: says of the enforcement what can't be")


def change_of(row: Any) -> Change:
    """A change as it stands in ``diff.json``.

    Raises:
        EvidenceError: it is none.
    """
    if not isinstance(row, dict) or set(row) != {field.name for field in fields(Change)}:
        raise EvidenceError("diff.json: holds something that is no change")
    return Change(**row)
