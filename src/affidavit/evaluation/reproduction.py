"""Grading a bundle again on this machine, and counter-signing it where everything comes out the same."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from affidavit.contracts import compile_settings, parse_contract
from affidavit.errors import AffidavitError
from affidavit.evaluation.active_sandboxes import LiveSandboxes
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import choose_runtime
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.grading_run import GradingRun, Work
from affidavit.evaluation.interrupts import terminable
from affidavit.evaluation.places import check_places
from affidavit.evaluation.prepared import PreparedTask, TrialContract
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.service_plan import plan_services
from affidavit.evaluation.services import RunningServices
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.stages import Machine, SandboxRun, Stage, Stages
from affidavit.evaluation.submission import kept_submission
from affidavit.evaluation.task_base import root_filesystem
from affidavit.evaluation.task_images import with_images
from affidavit.evaluation.verifier_web import VerifierWeb, kept_cache
from affidavit.evaluation.workplace import clean_workplaces, open_workplace
from affidavit.evidence import (
    BundleReader,
    BundleWriter,
    EnvironmentDocument,
    ReproducedGrade,
    ReproductionFacts,
    SigningKey,
    TrialFacts,
    read_environment,
    read_grade,
    read_task,
    stated_step,
    write_reproduction,
)
from affidavit.grading import Graded, NamedGrader, make_graders, weakest
from affidavit.images import ImageStore
from affidavit.sandbox import (
    OciSandbox,
    Output,
    SandboxSpec,
    Streams,
    carry_over,
    clean_stale,
    state_dir,
    write_layer,
    write_points,
)
from affidavit.signing import now
from affidavit.tasks import Task, load_task
from affidavit.verification import (
    Verification,
    enforced_contract,
    kept_footprint,
    new_judge,
    read_agent_record,
    stage_gaps,
    verify,
)

_TESTS = "test_run"


@dataclass(frozen=True)
class ReproductionResult:
    """What came of grading a bundle again.

    Attributes:
        verification: of the bundle, with its task.
        differences: what came out otherwise, or why nothing could be graded again, a sentence each.
        facts: what was signed; None where the bundle does not verify or something came out otherwise.
        path: the counter-signature; None likewise.
    """

    verification: Verification
    differences: tuple[str, ...] = ()
    facts: ReproductionFacts | None = None
    path: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether it was counter-signed."""
        return self.path is not None

    def to_json(self) -> dict[str, Any]:
        """What ``affidavit reproduce --json`` prints."""
        return {
            "ok": self.ok,
            "bundle": str(self.verification.path),
            "checks": [asdict(check) for check in self.verification.checks],
            "differences": list(self.differences),
            "reproduction": None if self.facts is None else self.facts.model_dump(),
            "counter_signature": None if self.path is None else str(self.path),
        }


@dataclass(frozen=True)
class _Place:
    """Where hidden tests run again.

    Attributes:
        machine: makes the sandboxes.
        prepared: the task whose tests run.
        web: what the tests have of the web; None: nothing.
    """

    machine: Machine
    prepared: PreparedTask
    web: VerifierWeb | None


def reproduce(
    bundle: Path,
    task: Path,
    key: Path | None,
    signer: SigningKey,
    *,
    runtime: str = "auto",
    recorder: str = "auto",
    rootfs_outside: bool = False,
) -> ReproductionResult:
    """Verify a bundle, grade it again, and counter-sign it where all grades come out as it says.

    Hidden tests run again in sandboxes of this machine, over the changes that were carried over, beside new services of
    the task; every other deterministic grader is computed again from the evidence and the task. Nobody asks a model or
    a human again.

    Args:
        bundle: its folder, with its private part beside it.
        task: the task's folder.
        key: the public key that must have signed the bundle; None: the user's own.
        signer: counter-signs; must not have signed the bundle.
        runtime, recorder: names, or ``auto``.
        rootfs_outside: the root file system may come from outside of the task's folder.

    Raises:
        RunError: the task, the machine or the keys can't be used so.
        KeyboardInterrupt: it was interrupted.
    """
    if os.geteuid() != 0:
        raise RunError("making sandboxes needs root: run affidavit with sudo, or in a container that is root")
    try:
        verification = verify(bundle, key, task)
        if not verification.ok or verification.facts is None:
            return ReproductionResult(verification)
        if stated_step(verification.facts) is not None:
            raise RunError(f"{bundle}: is of one step of a trial, which can't be graded again on its own yet")
        if verification.signer == signer.key_id:
            raise RunError(f"{signer.key_id} signed the bundle; a counter-signature must be another's: use --keys DIR")
        with (
            terminable(),
            BundleReader(bundle) as reader,
            _prepared(load_task(task).in_profile(read_task(reader).profile), runtime, recorder, bundle) as place,
        ):
            check_places([place.prepared.task], place.machine.state, bundle.parent, rootfs_outside=rootfs_outside)
            return _reproduced(verification, verification.facts, reader, place, signer)
    except RunError:
        raise
    except AffidavitError as error:
        raise RunError(str(error)) from error


@contextmanager
def _prepared(task: Task, runtime: str, recorder: str, bundle: Path) -> Iterator[_Place]:
    """What hidden tests need, kept from being removed meanwhile."""
    state, live = state_dir(), LiveSandboxes()
    with ImageStore(state).in_use():
        (task,) = with_images([task], state)
        choice = choose_runtime(runtime, recorder)
        clean_stale(state)
        clean_workplaces(state)
        machine = Machine(run_id="reproduction", chosen=choice, state=state, live=live)
        try:
            rootfs, cache = root_filesystem(task, state), kept_cache(state, task)
            tests_rootfs = rootfs if task.grading is None else root_filesystem(task.grading, state)
            prepared = PreparedTask(task, rootfs, tests_rootfs, services=plan_services(task, state))
            yield _Place(machine, prepared, None if cache is None else VerifierWeb(cache))
        except BaseException:
            live.stop()
            raise


def _reproduced(
    verification: Verification, facts: TrialFacts, reader: BundleReader, place: _Place, signer: SigningKey
) -> ReproductionResult:
    grade = read_grade(reader)
    if grade.failed is not None:
        return ReproductionResult(verification, ("the grading failed after a violation: there is nothing to grade",))
    stored = grade.graders
    environment = read_environment(reader)
    if not any(one.deterministic for one in stored):
        return ReproductionResult(verification, ("no grader is deterministic: there is nothing to grade again",))
    named = {one.spec.name: one for one in make_graders(place.prepared.task.scoring.graders)}
    grades, differences = [], []
    for one in stored:
        how: Literal["run again", "asked again", "as signed"] = "asked again" if one.deterministic else "as signed"
        score = one.grade.score
        if one.kind == _TESTS:
            how = "run again"
            found, gaps = _run_tests(reader, environment, named[one.name], place)
            differences += gaps
            if found is None:
                continue
            differences += _differences(one, found)
            score = found.grade.score
        grades.append(ReproducedGrade(name=one.name, kind=one.kind, how=how, score=score))
    if differences:
        if place.prepared.services is not None:
            differences.append("the services were new ones: what the agent changed in the trial's is not in the bundle")
        return ReproductionResult(verification, tuple(differences))
    made = _facts(facts, grades, environment, place)
    return ReproductionResult(verification, (), made, write_reproduction(reader.path, made, signer))


def _differences(stored: Graded, found: Graded) -> Iterator[str]:
    """What the tests came to otherwise than the bundle says."""
    signed, made = stored.grade, found.grade
    told: Mapping[str, tuple[object, object]] = {
        "score": (signed.score, made.score),
        "error": (signed.error, made.error),
        "what is not proved": (signed.unproven, made.unproven),
        "findings": (_rules(stored), _rules(found)),
        "components": (_scores(stored), _scores(found)),
    }
    for what, (before, after) in told.items():
        if before != after:
            yield f"grader {stored.name}: {what}: signed {_short(before)}, here {_short(after)}"
    if signed.assurance is not None and weakest((signed.assurance, made.assurance or "outcome")) != signed.assurance:
        yield f"grader {stored.name}: assurance: signed {signed.assurance}, here only {made.assurance}"


def _rules(graded: Graded) -> list[str]:
    return sorted({finding.rule for finding in graded.grade.findings})


def _scores(graded: Graded) -> dict[str, float]:
    return {component.name: component.score for component in graded.grade.components}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _run_tests(
    reader: BundleReader, environment: EnvironmentDocument, grader: NamedGrader, place: _Place
) -> tuple[Graded | None, list[str]]:
    """Run the hidden tests of a bundle again: what they come to, and why that is not to be relied on."""
    machine, task, rootfs = place.machine, place.prepared.task, place.prepared.rootfs
    contract = parse_contract(reader.contract, "contract.json")
    enforced = enforced_contract(reader, environment)
    settings = replace(compile_settings(contract), writable=environment.settings.writable)
    record = read_agent_record(reader)
    changes = record.changes
    workdir = read_task(reader).workdir
    if (missing := _missing_cache(environment, place)) is not None:
        return None, [f"grader {grader.spec.name}: {missing}"]
    judge = new_judge(enforced, workdir, environment.agent, footprint=kept_footprint(reader))
    carried_over = frozenset(judge.carried(changes))
    content = kept_submission(reader, changes, carried_over)
    if content is None:
        why = "the bundle does not hold what the agent left: it is of an older version, or that was more than 64 MiB"
        return None, [f"grader {grader.spec.name}: {why}"]
    gaps: list[str] = []
    with open_workplace(machine.state, reader.path.parent) as folder, BundleWriter(folder / "grading") as scratch:
        layer, points, carried = folder / "layer", folder / "points", folder / "carried"
        write_layer(
            [change for change in changes if _is_needed(change.path, change.type, carried_over)], content, layer
        )
        write_points(agent_spec(task, rootfs, settings, Agent.named("nop"), folder, "points"), points)
        lower = (points, *rootfs.layers)
        carry_over(layer, lower, changes, lambda change: change.path in carried_over, carried)
        output = Output(reader.read("agent/stdout"), reader.read("agent/stderr"), 0)
        captured = Capture(record.exit, output, reader.summary("agent"), False)
        work = Work(captured, changes, carried_over, carried, reader.execs())
        with ExitStack() as stack:
            stages = stack.enter_context(Stages(machine))
            plan, services = place.prepared.services, None
            if plan is not None:
                services = stack.enter_context(RunningServices(plan, stages, folder / "services"))
            grading = GradingRun(stages, place.prepared, TrialContract(contract, enforced, settings), place.web)
            run = partial(_run_stage, stages, scratch, gaps, services)
            grade = grading.grade(scratch, folder, work, record, [grader], stages.open("grader"), run)
            if services is not None:
                services.finish(lambda part, captured: gaps.extend(stage_gaps(part, captured.summary)))
    return grade.graders[0], gaps


def _missing_cache(environment: EnvironmentDocument, place: _Place) -> str | None:
    """Why the tests would not find here what they downloaded in the run; None where they would."""
    used = environment.verifier_cache
    if used is None or (place.web is not None and place.web.cache.digest == used.digest):
        return None
    return f"the verifier cache {used.digest} that the run used is not here: fill it with affidavit task warm"


def _is_needed(path: str, kind: str, carried_over: frozenset[str]) -> bool:
    """Whether a change is carried over, or is a folder that one may be in."""
    return path in carried_over or kind == "directory"


@contextmanager
def _run_stage(
    stages: Stages,
    scratch: BundleWriter,
    gaps: list[str],
    services: RunningServices | None,
    stage: Stage,
    spec: SandboxSpec,
    streams: Streams | None,
) -> Iterator[tuple[Capture, OciSandbox]]:
    """Run a grading sandbox; `gaps`: gets what its record lacks."""
    events = scratch.file(f"{stage.name}/events.parquet")
    running: SandboxRun = stages.run(stage, spec, events, streams=streams, services=services)
    with running as (captured, sandbox):
        gaps += stage_gaps(stage.name, captured.summary)
        yield captured, sandbox


def _facts(
    facts: TrialFacts, grades: Sequence[ReproducedGrade], environment: EnvironmentDocument, place: _Place
) -> ReproductionFacts:
    machine, rootfs, kernel = place.machine, place.prepared.rootfs, os.uname()
    return ReproductionFacts(
        run_id=facts.run_id,
        trial=facts.trial,
        agent=facts.agent,
        task=facts.task,
        verdict=facts.verdict,
        score=facts.score,
        raw_score=facts.raw_score,
        graders=[*grades],
        at=now(),
        affidavit=version("affidavit"),
        runtime=f"{machine.runtime.name} {machine.chosen.runtime_detail}",
        recorder=machine.recorder.name,
        kernel=kernel.release,
        machine=kernel.machine,
        rootfs=rootfs.digest,
        same_rootfs=rootfs.digest == environment.rootfs,
        new_services=place.prepared.services is not None,
    )
