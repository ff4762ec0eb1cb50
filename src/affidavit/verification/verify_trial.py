"""``verify``: a bundle checked down to its verdict, which is judged again from the bundle alone."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from affidavit.contracts import Contract, parse_contract
from affidavit.evidence import (
    EARLIER,
    MODEL_LOG,
    BundleReader,
    EnvironmentDocument,
    EvidenceError,
    PublicKey,
    TaskDocument,
    beside,
    keys_dir,
    load_key,
    load_public_key,
    read_diff,
    read_earlier,
    read_environment,
    read_exit,
    read_grade,
    read_grades,
    read_model_facts,
    read_model_log,
    read_network,
    read_task,
    stranded,
)
from affidavit.policy import Footprint, Judge
from affidavit.signing import read_trust
from affidavit.tasks import Task, load_task
from affidavit.verification.agent_record import FOOTPRINT, AgentFindings, AgentRecord, examine, new_judge
from affidavit.verification.bundle_checks import Verification, verify_bundle
from affidavit.verification.case import Case
from affidavit.verification.expectations import ANYTHING, Expected
from affidavit.verification.regrade import Kept, regrade
from affidavit.verification.reproductions import check_reproductions
from affidavit.verification.verdict import Judgement, Verdict


def verify(
    bundle: Path,
    key: Path | None = None,
    task: Path | None = None,
    trust: Path | None = None,
    reproduced_by: Sequence[PublicKey] = (),
    expected: Expected = ANYTHING,
) -> Verification:
    """Check a bundle: signature, every file, Merkle roots, contract, grades, score and verdict.

    Args:
        bundle: its folder.
        key: the public key that must have signed; the user's own where None.
        task: the task's folder, with which every deterministic grader can be asked again; None where it is not at hand.
        trust: the trust file that says who must have signed the contract; None: whoever the run found good.
        reproduced_by: who must have counter-signed it (`affidavit reproduce`).
        expected: what it must be of.

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
    verification = verify_bundle(bundle, keys, rejudge, lambda reader: _regrade(reader, given), trusted)
    if verification.facts is None:
        return verification
    checks = [*verification.checks, *expected.checks(verification.facts)]
    known = {one.key_id: one for one in (*keys, *own_keys(), *reproduced_by)}
    wanted = [one.key_id for one in reproduced_by]
    if (found := check_reproductions(bundle, verification.facts, known, wanted)) is not None:
        checks.append(found[0])
    return replace(verification, checks=tuple(checks))


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


def rejudge(reader: BundleReader) -> Judgement:
    """The judgement that ``verdict.json`` must hold, computed from the rest of the bundle.

    Raises:
        EvidenceError, TraceError, ValueError: something in the bundle is not what it should be.
    """
    _, findings = _examined(reader)
    grades = read_grades(reader)
    judgement = read_case(reader, findings).decide(grades)
    if grades.failed is not None and judgement.verdict != Verdict.VIOLATION:
        raise EvidenceError("grade.json: says that the grading failed, which only a violation survives")
    return judgement


def rule_states(reader: BundleReader) -> dict[str, tuple[int, ...]]:
    """What the rules of a contract came to by the end of a step, computed from its bundle; see `Judge.rule_states`.

    Raises:
        EvidenceError, TraceError, ValueError: something in the bundle is not what it should be.
    """
    if not parse_contract(reader.contract, "contract.json").document.rules:
        return {}
    judge, _ = _examined(reader)
    return judge.rule_states


def _examined(reader: BundleReader) -> tuple[Judge, AgentFindings]:
    """The judge of the agent's record, and what that shows."""
    task = read_task(reader)
    environment = read_environment(reader)
    contract = enforced_contract(reader, environment)
    limit = _task_limit(task, environment)
    footprint, decoys, earlier = kept_footprint(reader), environment.decoys, read_earlier(reader)
    states = {} if earlier is None else earlier.rules
    judge = new_judge(contract, task.workdir, environment.agent, environment.program, limit, footprint, decoys, states)
    record = read_agent_record(reader)
    for batch in record.judged():
        judge.feed(batch)
    return judge, examine(judge, record)


def read_case(reader: BundleReader, findings: AgentFindings) -> Case:
    """What a verdict rests on, from a bundle that may still be unsealed: a trial decides by it, too.

    Args:
        reader: of the bundle.
        findings: what the agent's record shows.

    Raises:
        EvidenceError, TraceError: something in the bundle is not what it should be.
    """
    task = read_task(reader)
    environment = read_environment(reader)
    enforcement = environment.enforcement
    model, network = read_model_facts(reader), read_network(reader)
    fault = None if model is None else model.fault
    return Case(
        mode=enforced_contract(reader, environment).mode,
        findings=findings,
        summaries={stage: reader.summary(stage) for stage in reader.stages()},
        passing=task.passing_score,
        demanded=None if enforcement is None else enforcement.assurance,
        task_limit_s=_task_limit(task, environment),
        fault=fault or (None if network is None else network.facts.fault),
        stranded=None if model is None else stranded(read_model_log(reader)),
        after_unknown=task.earlier_steps > 0 and EARLIER not in reader.names(),
    )


def _task_limit(task: TaskDocument, environment: EnvironmentDocument) -> float | None:
    # Bundles from before attempts were told apart knew no limit of the task's own either.
    enforcement = environment.enforcement
    return task.agent_timeout_s if enforcement is not None and enforcement.knows_attempts else None


def read_agent_record(reader: BundleReader) -> AgentRecord:
    """What the agent did, from its bundle.

    Raises:
        EvidenceError, TraceError: something in the bundle is not what it should be.
    """
    ended = read_exit(reader, "agent")
    events = partial(reader.events, "agent")
    model_log = partial(read_model_log, reader) if MODEL_LOG in reader.names() else None
    earlier = read_earlier(reader)
    before = () if earlier is None else earlier.changes
    counts, changes = reader.counts("agent"), read_diff(reader)
    return AgentRecord(events, counts, reader.execs(), changes, ended.exit, model_log, before)


def _regrade(reader: BundleReader, task: Task | None) -> str:
    if "grades.json" in reader.names():
        if not reader.has_private:
            return "what the graders said is the signer's claim: the private part, which shows how, is not here"
        if read_grade(reader).published() != read_grades(reader):
            raise EvidenceError("grades.json: is not what grade.json in the private part comes to")
    grade = read_grade(reader)
    if grade.failed is not None:
        return "the grading failed after a violation: there is nothing to grade again"
    document = read_task(reader)
    environment = read_environment(reader)
    contract = parse_contract(reader.contract, "contract.json")
    judge = new_judge(contract, document.workdir, environment.agent, footprint=kept_footprint(reader))
    record = read_agent_record(reader)
    if task is not None:
        # Where it has no such step, it is another task, as its digest shows.
        task = next((one for one in task.played if one.step == document.step), task)
    carried = frozenset(judge.carried(record.changes))
    return regrade(Kept(reader, grade, document, record, carried), task)


def kept_footprint(reader: BundleReader) -> Footprint | None:
    """The footprint of what graded; None where the agent could change only what the contract lets it write.

    Raises:
        EvidenceError: the bundle holds something else in its place.
    """
    if FOOTPRINT not in reader.names():
        return None
    try:
        return Footprint.from_json(reader.json_object(FOOTPRINT))
    except ValueError as error:
        raise EvidenceError(f"{FOOTPRINT}: {error}") from None


def enforced_contract(reader: BundleReader, environment: EnvironmentDocument) -> Contract:
    """The contract as it was enforced: in the mode and with the actions that the run's environment names.

    Raises:
        EvidenceError, ContractError: there is no contract in the bundle.
    """
    contract = parse_contract(reader.contract, "contract.json")
    enforcement = environment.enforcement
    if enforcement is None:
        return contract
    return contract.enforced_as(enforcement.mode, enforcement.actions, enforcement.attempts)
