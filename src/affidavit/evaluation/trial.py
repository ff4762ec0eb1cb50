"""One trial, start to end: sandbox, record, diff, second sandbox, judgement, bundle."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as affidavit_version
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from affidavit.contracts import Contract, canonical_bytes, compile_settings
from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evaluation.decoys import Decoys
from affidavit.evaluation.failures import what_failed
from affidavit.evaluation.footprints import find_footprint
from affidavit.evaluation.grading_run import GradingRun, Work
from affidavit.evaluation.health import HeldStart
from affidavit.evaluation.hidden_tests import HiddenTests
from affidavit.evaluation.model_access import ModelAccess, gateway_environment, model_under
from affidavit.evaluation.prepared import PreparedTask, TrialContract
from affidavit.evaluation.reach import reach_of
from affidavit.evaluation.reference_run import Reference
from affidavit.evaluation.result import RecordFacts, TrialResult
from affidavit.evaluation.run_policy import alerts_of
from affidavit.evaluation.sandbox_capture import Capture, HostNames
from affidavit.evaluation.services import RunningServices
from affidavit.evaluation.specs import agent_spec, outermost
from affidavit.evaluation.stages import Machinery, Stage, Stages, take_over
from affidavit.evaluation.step_setup import SetupRun
from affidavit.evaluation.submission import keep_submission
from affidavit.evaluation.text_changes import changed_texts
from affidavit.evaluation.trial_plan import TrialPlan
from affidavit.evaluation.verifier_web import VerifierWeb, kept_cache
from affidavit.evaluation.ways_out import WaysOut
from affidavit.evaluation.workplace import open_workplace
from affidavit.events import AGENT
from affidavit.evidence import (
    EARLIER,
    MODEL_LOG,
    BundleWriter,
    ContractFacts,
    EarlierDocument,
    Enforcement,
    EnvironmentDocument,
    ExitDocument,
    GradeDocument,
    Identity,
    Installed,
    LedgerFacts,
    ModelFacts,
    NetworkFacts,
    PlanFacts,
    ProgramDocument,
    SettingsFacts,
    StepFacts,
    TaskDocument,
    TaskFacts,
    TrialPredicate,
    bundle_digest,
    diff_json,
)
from affidavit.gateway import Redactor
from affidavit.grading import make_graders, plan_tests
from affidavit.policy import Footprint, Judge, Violation
from affidavit.recorder import LATER_MS, LIVE_MS, RecordSummary
from affidavit.runs import TrialLog
from affidavit.sandbox import (
    Change,
    EarlierChanges,
    OciSandbox,
    Program,
    RootFilesystem,
    SandboxSpec,
    Streams,
    carry_over,
    pristine_program,
)
from affidavit.signing import canonical_json
from affidavit.trace import model_batches, trace_batches
from affidavit.verification import (
    FOOTPRINT,
    AgentRecord,
    Judgement,
    Verdict,
    decide,
    examine,
    new_judge,
    read_case,
    violation_json,
)

# In one alert; the bundle has them all.
_MOST_TOLD = 50
# Letters of an agent's command in the statement.
_MOST_COMMAND = 4096

CARRIED = "carried"
"""The layer with what is carried over to grading."""


def run_trial(plan: TrialPlan, machinery: Machinery, log: TrialLog) -> TrialResult:
    """Run one trial and write its bundle to ``bundle`` in its folder.

    What goes wrong in the machinery is the verdict ``error``, not an exception; a violation found before stands.

    Args:
        plan: what is tried, and how.
        machinery: runs it and signs its evidence.
        log: where it enters what happens to it.

    Raises:
        Interrupted: the run is being stopped.
        EvidenceError: the ledger can't be written.
    """
    trial = Trial(plan, machinery, log)
    bundle: Path | None = None
    try:
        judgement, bundle = trial.run()
    except Interrupted:
        if trial.sealed is None:
            log.aborted("interrupted")
        raise
    except Exception as problem:
        # Whatever it is, and whoever caused it: other trials go on, and what was found stands.
        if trial.sealed is None:
            judgement = trial.broken_off(why := what_failed(problem, (machinery.state, plan.run.folder)))
            log.aborted(why, judgement.verdict.value, judgement.score)
        else:
            judgement, bundle = trial.sealed
    trial.tell(judgement.violations, judgement.verdict, bundle)
    return trial.result(judgement, bundle)


@dataclass(frozen=True)
class StepLeft:
    """What is known of a step at its end.

    Attributes:
        changes: of its agent, since the first step.
        rules: what the contract's rules have come to, `Judge.rule_states`.
    """

    changes: Sequence[Change] = ()
    rules: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Earlier:
    """What a step begins with.

    Attributes:
        facts: which step it is, and the bundle of the one before.
        left: what the agent changed in the steps before; None: it is the first.
        before: what of that the step before says, and what the contract's rules came to in it.
        solved: gives the root file system as the task's own solutions of those steps leave it.
        into: where to put the layer of all that the agent has changed at its end; its parent is there, and it is not.
        setup: what came of a script of the task's that made its root file system ready; None: it has none.
    """

    facts: StepFacts
    left: EarlierChanges | None
    before: StepLeft
    solved: Callable[[], RootFilesystem]
    into: Path
    setup: SetupRun | None


class Trial:
    """What one trial, or one step of it, rests on, and the road from its agent's end to its bundle. However the agent
    worked (one command, or a session of many), `conclude` and `seal` are the same.

    Attributes:
        record, contract_facts: as `TrialResult` has them.
        sealed: the judgement and the signed bundle; None as long as there is none.
        footprint: of what grades, once it is known; None: the agent can change only what the contract lets it write.
        step_left: what is known at its end, for the next step.
    """

    def __init__(self, plan: TrialPlan, machinery: Machinery, log: TrialLog, earlier: Earlier | None = None) -> None:
        """
        Args:
            plan: what is tried, and how.
            machinery: runs it and signs its evidence.
            log: where it enters what happens to it.
            earlier: what it begins with, where it is a step; None: it is a whole trial.
        """
        self._plan, self._shared, self._earlier = plan, plan.run, earlier
        self._machinery = machinery
        self._task, self._agent, self._contract = plan.task, plan.agent, plan.contract
        terms = plan.run.terms
        self._enforced = terms.enforced(plan.contract)
        settings = compile_settings(plan.contract)
        self._reach = reach_of(plan.task, plan.contract, terms)
        self._settings = replace(settings, writable=outermost((*settings.writable, *terms.access.writable)))
        self._graders = make_graders(plan.task.scoring.graders)
        self._decoys = Decoys.of(plan.task, self._settings.writable)
        self._log = log
        self._began = time.monotonic()
        self.sealed: tuple[Judgement, Path] | None = None
        self.step_left = StepLeft()
        self._number = plan.trial.number
        self._summaries: dict[str, RecordSummary] = {}
        self._told = False
        self._model_facts: ModelFacts | None = None
        self._network_facts: NetworkFacts | None = None
        self._web: VerifierWeb | None = None
        self._services: RunningServices | None = None
        self._found: tuple[Violation, ...] = ()
        self._began_with: Callable[[], tuple[Change, ...]] = tuple
        # What grades by running something must not run what an agent changed. A verifier with a root file system of its
        # own runs nothing of the agent's but its artifacts; and who fills a cache is the task's own solution.
        runs = any(named.spec.kind == "test_run" for named in self._graders)
        task = plan.task
        guarded = task.environment.profile == "container" and runs and task.grading is None and plan.run.filling is None
        self.footprint = Footprint(task.environment.workdir) if guarded else None
        self.record = RecordFacts(plan.run.backends.runtime, plan.run.backends.recorder)
        self.contract_facts = contract_facts(plan.contract)

    def run(self) -> tuple[Judgement, Path]:
        """Run it; its judgement and its bundle. Raises whatever the machinery raises."""
        with (
            BundleWriter(self._plan.folder / "bundle") as bundle,
            open_workplace(self._machinery.state, self._plan.folder) as place,
            Stages(self._machinery) as self._stages,
        ):
            if self._earlier is None:
                self.learn_footprint(place, self._stages)
            # Its helpers get ready while the agent works.
            agent, grader = self._stages.open("agent", self.within_ms), self.open_grader(self._stages)
            with self._beside(bundle, place, agent.sandbox):
                return self._run(bundle, place, agent, grader)

    @contextmanager
    def _beside(self, bundle: BundleWriter, place: Path, main: str) -> Iterator[None]:
        """Have the task's services run; `place`: a private folder; `main`: name of the agent's sandbox."""
        if self._plan.services is None:
            yield
            return
        services = self._plan.services
        with RunningServices(services, self._stages, place / "services", main, bundle) as self._services:
            yield

    def broken_off(self, why: str) -> Judgement:
        """The judgement of a trial that has no bundle."""
        return decide(self._enforced.mode, self._found, None, (), fault=why)

    def tell(self, violations: Iterable[Violation], verdict: Verdict | None, bundle: Path | None) -> bool:
        """Report violations to the destinations of alerts; whether there were any. None: the agent is still running."""
        told = [one for one in violations if alerts_of(self._enforced, one.rule)]
        if told:
            self._machinery.alerts.tell(
                {
                    "run_id": self._shared.run_id,
                    "task_id": self._task.id,
                    "trial": self._number,
                    "agent": self._agent.name,
                    "contract": self.contract_facts.model_dump(mode="json", exclude_unset=True),
                    "mode": self._enforced.mode,
                    "verdict": verdict,
                    "violations": [violation_json(one) for one in told[:_MOST_TOLD]],
                    "count": len(told),
                    "bundle": None if bundle is None else str(bundle.absolute()),
                }
            )
        return bool(told)

    def _tell_first(self, violations: Iterable[Violation]) -> None:
        """Tell of the first violations while the agent is still running; of all there will be word at the end."""
        self._told = self._told or self.tell(violations, None, None)

    def _run(self, bundle: BundleWriter, place: Path, first: Stage, second: Stage | None) -> tuple[Judgement, Path]:
        judge, earlier = self.new_judge(), self._earlier
        carried = place / CARRIED
        if earlier is not None and earlier.setup is not None:
            shutil.copyfile(earlier.setup.events, bundle.file(f"{earlier.setup.stage}/events.parquet"))
            self.keep(bundle, earlier.setup.stage, earlier.setup.captured)
        self._began_with = partial(self._stages.began_with, first)
        with self.ways_out(place, first.sandbox) as ways:
            held = HeldStart.of(self._task, lambda batch: self.found(judge.feed(batch)))
            spec = self.agent_spec(place, first.sandbox, ways, held=held is not None)
            made, names = self._log.sandbox_made, ways.names
            with self._stage(bundle, first, spec, judge=judge, made=made, names=names, held=held) as (agent, sandbox):
                self._log.finished()
                self.close_ways(bundle, ways)
                setup = held.setup if held else ()
                changes, carried_over = take_over(sandbox, judge, carried, setup)
                if earlier is not None:
                    carry_over(sandbox.upper(), sandbox.layers, changes, lambda _: True, earlier.into)
                was = {change.path: change for change in setup}
                texts = changed_texts(sandbox.upper(), sandbox.layers, changes, was)
                began_with = sandbox.began_with
        execs = None
        if held is not None:
            execs = held.execs()
            bundle.add_execs(execs)
            bundle.add("setup.json", [asdict(change) for change in setup])
        if earlier is not None and earlier.left is not None:
            before = earlier.before
            bundle.add(EARLIER, EarlierDocument.of(began_with, before.changes, before.rules).to_json())
        work = Work(agent, changes, carried_over, carried, execs, texts, began_with)
        judgement = self.conclude(bundle, place, self._stages, judge, work, second)
        return judgement, self.seal(bundle, judgement)

    def agent_spec(self, place: Path, name: str, ways: WaysOut, *, held: bool = False) -> SandboxSpec:
        """The sandbox that the agent works in.

        Args:
            place: a private folder for what is mounted into it.
            name: the sandbox's.
            ways: that lead out of it.
            held: see `affidavit.evaluation.agent_spec`.

        Raises:
            OSError: the solution can't be read.
        """
        new = [ways.layer] if ways.layer else []
        if self._decoys.contents:
            self._decoys.lay(place / "decoys")
            new.insert(0, place / "decoys")
        left = None if self._earlier is None else self._earlier.left
        if left is not None:
            left = replace(left, below_new=(*new, *left.below_new))
        spec = agent_spec(
            self._task,
            self._plan.rootfs,
            self._settings,
            self._agent,
            place,
            name,
            network=ways.network,
            network_owner=ways.network_owner,
            model=gateway_environment(self._shared.model.models) if self._shared.model else None,
            top=new,
            earlier=left,
            held=held,
        )
        spec = replace(spec, env={**spec.env, "AFFIDAVIT_SEED": str(self._plan.trial.seed)})
        return spec if self._services is None else self._services.with_volumes(spec)

    @property
    def within_ms(self) -> int:
        """How soon an event of the agent's must be judged."""
        return LIVE_MS if self._enforced.acts else LATER_MS

    def open_grader(self, stages: Stages) -> Stage | None:
        """The grading stage, where a grader wants one. Raises RecorderError."""
        return stages.open("grader") if any(named.spec.kind == "test_run" for named in self._graders) else None

    def learn_footprint(self, place: Path, stages: Stages) -> None:
        """Find out what the grading rests on, where the agent may change that; before `new_judge`.

        Args:
            place: a private folder.
            stages: of the trial.

        Raises:
            SandboxError, RecorderError, TraceError, OSError: the machinery failed.
            Interrupted: the run is being stopped.
        """
        if self.footprint is None:
            return
        task = self._task
        (spec,) = (named.spec for named in self._graders if named.spec.kind == "test_run")
        web = self._verifier_web(place)
        plan, secret = plan_tests(spec, task), secrets.token_bytes(32)
        alone = replace(task, scoring=replace(task.scoring, control=False))
        tests = HiddenTests(alone, plan, place, "", secret, web=web)
        grading = self._grading_run(stages, web)
        reference = Reference(stages, grading.prepared, grading.contract, place / "footprint")
        look = partial(reference.footprint, tests)
        with closing(reference):
            self.footprint = find_footprint(task, grading.where, self._machinery.state, look)

    def new_judge(self) -> Judge:
        """A judge of the agent's record."""
        return new_judge(
            self._enforced,
            self._task.environment.workdir,
            self._agent.name,
            self._program,
            self._task.limits.agent_timeout_s,
            self.footprint,
            self._decoys.paths,
            {} if self._earlier is None else self._earlier.before.rules,
        )

    def _program(self, path: str) -> Program | None:
        """The file that a name stood for before the agent began; None where that is not known, as where it has changed
        something on the way to it in an earlier step."""
        program = pristine_program(self._plan.rootfs, path)
        if program is None:
            return None
        on_the_way = {*program.via, path}
        on_the_way |= {str(above) for one in on_the_way for above in PurePosixPath(one).parents}
        changed = (one.path for one in self._began_with() if one.kind != "metadata")
        return program if on_the_way.isdisjoint(changed) else None

    def conclude(
        self, bundle: BundleWriter, place: Path, stages: Stages, judge: Judge, work: Work, second: Stage | None
    ) -> Judgement:
        """Judge what the agent did, grade what it left, and put all of that into the bundle.

        Args:
            bundle: with the agent's part in it.
            place: a private folder.
            stages: of the trial.
            judge: has seen all of the agent's events.
            work: what the agent did and left.
            second: the grading stage, just opened; None where no grader wants one.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        task, contract, self._stages = self._task, self._contract, stages
        agent = work.captured
        events = partial(trace_batches, bundle.file("agent/events.parquet"))
        asked = self._model_facts is not None
        model_log = partial(model_batches, bundle.file(MODEL_LOG), None) if asked else None
        counts, changes = agent.summary.counts, work.changes
        record = AgentRecord(events, counts, work.execs, changes, agent.exit, model_log, work.earlier)
        findings = examine(judge, record)
        self._found = findings.violations
        self.step_left = StepLeft(work.changes, judge.rule_states)
        bundle.add("diff.json", diff_json(work.changes))
        bundle.add("texts.json", work.texts.to_json())
        condemned = bool(findings.violations) and self._enforced.mode == "strict"
        try:
            grade = self._grade(bundle, place, work, record, second, condemned)
        except Exception as problem:
            if not condemned or isinstance(problem, Interrupted):
                raise
            grade = GradeDocument(None, failed=what_failed(problem, (self._machinery.state, self._shared.folder)))
        if self._services is not None:
            self._services.finish(partial(self.keep, bundle))
        if grade.failed is not None:
            bundle.keep_whole_parts(self._summaries)
        published = grade.published()
        bundle.add("grade.json", grade.to_json())
        bundle.add("grades.json", published.to_json())
        bundle.add("contract.json", canonical_bytes(contract))
        if contract.signature is not None:
            bundle.add("contract.sig.json", canonical_json(contract.signature.to_json()))
        if contract.publication is not None:
            bundle.add("contract.proof.json", canonical_json(contract.publication.to_json()))
        bundle.add("task.json", TaskDocument.of(task).to_json())
        if self.footprint is not None:
            bundle.add(FOOTPRINT, self.footprint.to_json())
        bundle.add("environment.json", self._environment(judge).to_json())
        with bundle.reader() as reader:
            case = read_case(reader, findings)
        judgement = case.decide(grade)
        # What everybody may know: the same, without what the graders expected and found.
        bundle.add("verdict.json", case.decide(published).to_json())
        summary = agent.summary
        self.record = replace(
            self.record, events=summary.events, lost=summary.lost, complete=not case.gaps(), gaps=tuple(summary.gaps)
        )
        if self._web is not None and self._web.filling and self._fills(judgement):
            self._web.keep(self._machinery.state, task)
        self._log.judged(judgement.verdict.value, judgement.score, judgement.raw_score)
        return judgement

    def _fills(self, judgement: Judgement) -> bool:
        """Whether what the tests fetched is to be kept: a solution that does not pass may have kept them from it."""
        needed = self._task.scoring.passing_score if self._agent.sees_solution else 0.0
        # Tests with a network come to no other verdict that is worth anything.
        return judgement.verdict is Verdict.INCONCLUSIVE and (judgement.raw_score or 0.0) >= needed

    def seal(self, bundle: BundleWriter, judgement: Judgement) -> Path:
        """Sign the bundle; its folder.

        Raises:
            EvidenceError: it can't be written, or the ledger can't.
        """
        path = bundle.seal(self._machinery.key, self._predicate(judgement), publishable=True)
        self.sealed = judgement, path
        self._log.sealed(bundle_digest(path), self._duration_ms)
        return path

    def result(self, judgement: Judgement, bundle: Path | None) -> TrialResult:
        """What came of it; `bundle`: None where there is none."""
        return TrialResult(
            task_id=self._task.id,
            trial=self._number,
            agent=self._agent.name,
            judgement=judgement,
            record=self.record,
            contract=self.contract_facts,
            mode=self._enforced.mode,
            duration_ms=self._duration_ms,
            bundle=bundle,
            began=self._log.began,
        )

    @property
    def _duration_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def ways_out(self, place: Path, name: str, *, host_asks: bool = False) -> WaysOut:
        """The ways out of the agent's sandbox.

        Args:
            place: a private folder.
            name: the sandbox's.
            host_asks: see WaysOut.

        Raises:
            SandboxError, GatewayError, OSError: they can't be opened.
        """
        wall_ms = round(self._task.limits.agent_timeout_s * 1000)
        model = None if self._shared.model is None else model_under(self._enforced, self._shared.model)
        wall_ms = min(wall_ms, self._settings.wall_ms or wall_ms)
        owner = name if self._task.environment.profile == "container" else ""
        return WaysOut(model, self._reach, place, wall_ms, owner, host_asks=host_asks, services=self._services)

    def close_ways(self, bundle: BundleWriter, ways: WaysOut) -> None:
        """Close the ways out of the sandbox of an agent that has ended, and write down what passed through them.

        Raises:
            GatewayError, TraceError, EvidenceError: that can't be read, or the bundle not be written.
        """
        if ways.model is not None:
            self._take_model_log(bundle, ways.model)
        self._network_facts = ways.finish_hosts(bundle)

    def _take_model_log(self, bundle: BundleWriter, model: ModelAccess) -> None:
        """End the gateway of an agent that has ended, and write down what passed through it."""
        identity = self._identity
        agent = {"name": identity.name, "version": identity.version, "model_name": identity.model}
        self._model_facts = model.finish(bundle, agent, f"{self._shared.run_id}/{self._number}")

    @property
    def _identity(self) -> Identity:
        """Who is evaluated, as far as it is known before the trial."""
        agent, model, installed = self._agent, self._shared.model, self._agent.installed
        command = Redactor(model.secrets() if model else ()).text(agent.command)
        return Identity(
            name=agent.name,
            version=agent.version,
            command=command[:_MOST_COMMAND],
            command_sha256=hashlib.sha256(command.encode("utf-8", "surrogateescape")).hexdigest(),
            model=model.served[0] if model else "",
            environment=dict(agent.environment),
            definition=None if agent.definition is None else agent.definition.digest,
            brought=Installed(digest=installed.digest, files=installed.files) if installed else None,
            scan=agent.scan_facts,
        )

    @contextmanager
    def _stage(
        self,
        bundle: BundleWriter,
        stage: Stage,
        spec: SandboxSpec,
        streams: Streams | None = None,
        judge: Judge | None = None,
        made: Callable[[], None] = lambda: None,
        names: HostNames | None = None,
        held: HeldStart | None = None,
    ) -> Iterator[tuple[Capture, OciSandbox]]:
        """Run a sandbox under the recorder; its frozen remains are there inside the ``with``. `made` is called when it
        is there, before anything runs in it; `names`: of the hosts that it can reach; `held`: it waits for that."""

        def watch(batch: pa.RecordBatch) -> bool:
            return self.found(judge.feed(batch) if judge is not None else ())

        events = bundle.file(f"{stage.name}/events.parquet")
        # The agent's has a network namespace of theirs already.
        services = None if spec.network and stage.name == AGENT else self._services
        with self._stages.run(stage, spec, events, watch, streams, made, names, held, services) as (captured, sandbox):
            self.keep(bundle, stage.name, captured)
            yield captured, sandbox

    def keep(self, bundle: BundleWriter, part: str, captured: Capture) -> None:
        """Put what came of a sandbox into a part of the bundle, the stage's name. Raises EvidenceError."""
        bundle.add_summary(part, captured.summary)
        bundle.add(f"{part}/exit.json", ExitDocument.of(captured.exit, captured.halted).to_json())
        bundle.add(f"{part}/stdout", captured.output.stdout)
        bundle.add(f"{part}/stderr", captured.output.stderr)
        self._summaries[part] = captured.summary

    def found(self, violations: Sequence[Violation]) -> bool:
        """Take violations that the agent's record shows while it works, and tell of them; whether they end its work."""
        self._found += tuple(violations)
        self._tell_first(violations)
        return any(violation.action == "halt" for violation in violations)

    def _grade(
        self,
        bundle: BundleWriter,
        place: Path,
        work: Work,
        record: AgentRecord,
        grader: Stage | None,
        condemned: bool,
    ) -> GradeDocument:
        """Run the hidden tests where a grader wants them, and ask every grader. `condemned`: no score will count."""
        asked = self._task.tests.service_files
        if self._services is not None and asked:
            # As the agent left them: tests may change them.
            layer = place / "service-files"
            self._services.collect(asked, layer)
            work = replace(work, service_files=layer)
        if grader is not None:
            self._web = self._verifier_web(place)
            keep_submission(bundle, work.changes, work.carried_over, work.layer)
        run = partial(self._stage, bundle)
        grading = self._grading_run(self._stages, self._web)
        return grading.grade(bundle, place, work, record, self._graders, grader, run, condemned=condemned)

    def _grading_run(self, stages: Stages, web: VerifierWeb | None) -> GradingRun:
        return GradingRun(stages, self.prepared, self.trial_contract, web)

    @property
    def prepared(self) -> PreparedTask:
        """What its sandboxes are made from."""
        solved = None if self._earlier is None else self._earlier.solved
        plan = self._plan
        return PreparedTask(self._task, plan.rootfs, plan.tests_rootfs, solved, plan.services)

    @property
    def trial_contract(self) -> TrialContract:
        """Its contract."""
        return TrialContract(self._contract, self._enforced, self._settings)

    def _verifier_web(self, place: Path) -> VerifierWeb | None:
        """What the tests have of the web; `place`: a private folder."""
        if self._shared.filling is not None:
            return VerifierWeb.new(place / "web", self._shared.filling)
        cache = kept_cache(self._machinery.state, self._task)
        return None if cache is None else VerifierWeb(cache)

    def _environment(self, judge: Judge) -> EnvironmentDocument:
        shared = self._shared
        return EnvironmentDocument(
            affidavit=affidavit_version("affidavit"),
            run_id=shared.run_id,
            trial=self._number,
            runtime=shared.backends.runtime,
            runtime_detail=shared.backends.runtime_detail,
            recorder=shared.backends.recorder,
            recorder_why=shared.backends.why,
            kernel=os.uname().release,
            machine=os.uname().machine,
            rootfs=self._plan.rootfs.digest,
            tests_rootfs=None if self._task.grading is None else self._plan.tests_rootfs.digest,
            verifier_cache=None if self._web is None else self._web.facts,
            agent=self._agent.name,
            identity=self._identity,
            settings=SettingsFacts(**asdict(self._settings)),
            enforcement=Enforcement(
                mode=self._enforced.mode,
                actions=self._enforced.actions,
                attempts=shared.terms.overrides.attempts,
                assurance=shared.terms.assurance,
            ),
            terms=shared.terms.facts,
            keep_until=shared.terms.until(datetime.now(UTC)),
            decoys=self._decoys.paths,
            programs={
                path: None if of is None else ProgramDocument(digest=of.digest, via=of.via)
                for path, of in judge.programs.items()
            },
        )

    def _predicate(self, judgement: Judgement) -> TrialPredicate:
        shared, checkpoint = self._shared, self._log.checkpoint
        return TrialPredicate(
            run_id=shared.run_id,
            trial=self._number,
            agent=self._agent.name,
            identity=self._identity,
            model=self._model_facts,
            network=self._network_facts,
            task=TaskFacts(id=self._task.id, digest=self._task.digest),
            contract=self.contract_facts,
            verdict=str(judgement.verdict),
            score=judgement.score,
            raw_score=judgement.raw_score,
            assurance=judgement.assurance,
            runtime=shared.backends.runtime,
            recorder=shared.backends.recorder,
            plan=PlanFacts(
                digest=shared.plan.digest,
                nonce=shared.plan.nonce,
                trial=self._plan.trial.name,
                attempt=self._log.attempt,
                seed=self._plan.trial.seed,
                ledger=LedgerFacts(size=checkpoint.size, root=checkpoint.root),
            ),
            step=None if self._earlier is None else self._earlier.facts,
        )


def contract_facts(contract: Contract) -> ContractFacts:
    """What the statement says of a contract."""
    facts: dict[str, Any] = {
        "id": contract.id,
        "version": contract.version,
        "digest": contract.digest,
        "signed_by": contract.signed_by,
    }
    if contract.examined is not None and len(contract.examined.good) > 1:
        facts["signers"] = list(contract.examined.good)
    if (publication := contract.publication) is not None:
        facts["published"] = {
            "registry": publication.location,
            "entry": publication.index,
            "at": publication.entry.at,
            "size": publication.head.size,
            "root": f"sha256:{publication.head.root.hex()}",
        }
    return ContractFacts.model_validate(facts)
