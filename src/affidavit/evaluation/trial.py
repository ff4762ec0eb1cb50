"""One trial, start to end: sandbox, record, diff, second sandbox, judgement, bundle."""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as affidavit_version
from pathlib import Path
from typing import Any

import pyarrow as pa

from affidavit.contracts import Contract, canonical_bytes, compile_settings
from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.hidden_tests import HiddenTests
from affidavit.evaluation.model_access import ModelAccess, gateway_environment
from affidavit.evaluation.reference_run import Reference
from affidavit.evaluation.result import RecordFacts, TrialResult
from affidavit.evaluation.run_policy import alerts_of
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.separability import find_separation
from affidavit.evaluation.separate import GradingPlace, seen_by_tests
from affidavit.evaluation.specs import Verifier, agent_spec, outermost
from affidavit.evaluation.stages import Machinery, SandboxRun, Stage, Stages, take_over
from affidavit.evaluation.verifier_web import VerifierWeb, kept_cache
from affidavit.evaluation.workplace import open_workplace
from affidavit.evidence import (
    MODEL_LOG,
    BundleWriter,
    ContractFacts,
    Enforcement,
    EnvironmentDocument,
    ExitDocument,
    GradeDocument,
    Identity,
    Installed,
    ProgramDocument,
    TaskDocument,
    bundle_digest,
    diff_json,
    model_fault,
    stranded,
)
from affidavit.gateway import Redactor
from affidavit.grading import Material, Rerun, Separation, combine, make_graders, next_step, plan_tests
from affidavit.policy import Judge, Violation
from affidavit.recorder import LATER_MS, LIVE_MS, RecordSummary
from affidavit.runs import PlannedTrial, TrialLog
from affidavit.sandbox import (
    Change,
    LayerFiles,
    OciSandbox,
    RootFilesystem,
    SandboxSpec,
    Streams,
    look_at_usr,
    pristine_program,
)
from affidavit.signing import canonical_json
from affidavit.tasks import Task
from affidavit.trace import model_batches, one_line, read_trace, trace_batches
from affidavit.verification import (
    AgentRecord,
    Case,
    Judgement,
    Verdict,
    WatchedFiles,
    decide,
    examine,
    grade_all,
    new_judge,
    violation_json,
)

# In one alert; the bundle has them all.
_MOST_TOLD = 50
# Letters of an agent's command in the statement.
_MOST_COMMAND = 4096


def run_trial(
    machinery: Machinery,
    task: Task,
    rootfs: RootFilesystem,
    contract: Contract,
    agent: Agent,
    planned: PlannedTrial,
    log: TrialLog,
    folder: Path,
    grading: RootFilesystem | None = None,
) -> TrialResult:
    """Run one trial and write its bundle to ``folder/bundle``.

    What goes wrong in the machinery is the verdict ``error``, not an exception; a violation found before stands.

    Args:
        machinery: what every trial of the run shares.
        task, rootfs, contract, agent: what is tried.
        planned: which trial of the plan it is.
        log: where it enters what happens to it.
        folder: the trial's.
        grading: the root file system of a verifier that has one of its own.

    Raises:
        Interrupted: the run was told to stop.
        EvidenceError: the ledger can't be written.
    """
    trial = Trial(machinery, task, rootfs, contract, agent, planned, log, folder, grading)
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
            judgement = trial.broken_off(why := one_line(problem))
            log.aborted(why, judgement.verdict.value, judgement.score)
        else:
            judgement, bundle = trial.sealed
    trial.tell(judgement.violations, judgement.verdict, bundle)
    return trial.result(judgement, bundle)


@dataclass(frozen=True)
class Work:
    """What an agent did and left.

    Attributes:
        captured: what came of its sandbox.
        changes: the agent's own.
        brought: the paths of those of them that are carried over to grading.
        carried: the layer that grading sees on top of the root file system.
        execs: the commands of a session, EXEC_SCHEMA; None where the agent was one command.
    """

    captured: Capture
    changes: Sequence[Change]
    brought: frozenset[str]
    carried: Path
    execs: pa.Table | None = None


class Trial:
    """What one trial rests on, and the road from its agent's end to its bundle. However the agent worked (one command,
    or a session of many), `conclude` and `seal` are the same.

    Attributes:
        record, contract_facts: as `TrialResult` has them.
        sealed: the judgement and the signed bundle; None as long as there is none.
    """

    def __init__(
        self,
        machinery: Machinery,
        task: Task,
        rootfs: RootFilesystem,
        contract: Contract,
        agent: Agent,
        planned: PlannedTrial,
        log: TrialLog,
        folder: Path,
        grading: RootFilesystem | None = None,
    ) -> None:
        self._machinery = machinery
        self._task = task
        self._rootfs = rootfs
        self._tests_rootfs = grading or rootfs
        self._contract = contract
        self._enforced = machinery.terms.enforced(contract)
        settings = compile_settings(contract)
        self._settings = replace(settings, writable=outermost((*settings.writable, *machinery.terms.writable)))
        self._graders = make_graders(task.graders)
        self._agent = agent
        self._planned = planned
        self._log = log
        self._began = time.monotonic()
        self.sealed: tuple[Judgement, Path] | None = None
        self._number = planned.number
        self._folder = folder
        self._summaries: dict[str, RecordSummary] = {}
        self._told = False
        self._model_facts: dict[str, Any] | None = None
        self._stranded: str | None = None
        self._web: VerifierWeb | None = None
        self._found: tuple[Violation, ...] = ()
        self.record = RecordFacts(machinery.runtime.name, machinery.recorder.name)
        self.contract_facts = contract_facts(contract)

    def run(self) -> tuple[Judgement, Path]:
        with (
            BundleWriter(self._folder / "bundle") as bundle,
            open_workplace(self._machinery.state, self._folder) as place,
            Stages(self._machinery) as self._stages,
        ):
            # Its helpers get ready while the agent works.
            agent, grader = self._stages.open("agent", self.within_ms), self.open_grader(self._stages)
            return self._run(bundle, place, agent, grader)

    def broken_off(self, why: str) -> Judgement:
        """The judgement of a trial that has no bundle."""
        return decide(self._enforced.mode, self._found, None, (), fault=why)

    def tell(self, violations: Iterable[Violation], verdict: Verdict | None, bundle: Path | None) -> bool:
        """Tell those who are to be told of violations; whether there were any. None: the agent is still running."""
        told = [one for one in violations if alerts_of(self._enforced, one.rule)]
        if told:
            self._machinery.alerts.tell(
                {
                    "run_id": self._machinery.run_id,
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
        judge = self.new_judge()
        carried = place / "carried"
        with self._model(place) as model:
            spec = self.agent_spec(place, first.sandbox, model)
            with self._stage(bundle, first, spec, judge=judge, made=self._log.sandbox_made) as (agent, sandbox):
                self._log.finished()
                if model:
                    self._take_model_log(bundle, model)
                changes, brought = take_over(sandbox, judge, carried)
        work = Work(agent, changes, brought, carried)
        judgement = self.conclude(bundle, place, self._stages, judge, work, second)
        return judgement, self.seal(bundle, judgement)

    def agent_spec(
        self, place: Path, name: str, model: ModelAccess | None = None, carried: Path | None = None
    ) -> SandboxSpec:
        """The sandbox that the agent works in.

        Args:
            place: a private folder for what is mounted into it.
            name: the sandbox's.
            model: the agent's way to its model; None: it has none.
            carried: a layer of what the agent left, for a sandbox after its work; None: it finds the task's files.

        Raises:
            OSError: the solution can't be read.
        """
        rootfs = self._rootfs
        if carried is not None:
            rootfs = replace(rootfs, layers=(carried, *rootfs.layers))
        spec = agent_spec(
            self._task,
            rootfs,
            self._settings,
            self._agent,
            place,
            name,
            network=model.network if model else "",
            model=gateway_environment(self._machinery.model.models) if self._machinery.model else None,
        )
        return replace(spec, env={**spec.env, "AFFIDAVIT_SEED": str(self._planned.seed)})

    @property
    def within_ms(self) -> int:
        """How soon an event of the agent's must be judged."""
        return LIVE_MS if self._enforced.acts else LATER_MS

    def open_grader(self, stages: Stages) -> Stage | None:
        """The grading stage, where a grader wants one. Raises RecorderError."""
        return stages.open("grader") if any(named.spec.kind == "test_run" for named in self._graders) else None

    def new_judge(self) -> Judge:
        """A judge of the agent's record."""
        return new_judge(
            self._enforced,
            self._task.workdir,
            self._agent.name,
            lambda path: pristine_program(self._rootfs, path),
            self._task.agent_timeout_s,
        )

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
        record = AgentRecord(events, agent.summary.counts, work.execs, work.changes, agent.exit)
        findings = examine(judge, record)
        self._found = findings.violations
        bundle.add("diff.json", diff_json(work.changes))
        condemned = bool(findings.violations) and self._enforced.mode == "strict"
        try:
            grade = self._grade(bundle, place, work, record, second, condemned)
        except Exception as problem:
            if not condemned or isinstance(problem, Interrupted):
                raise
            grade = GradeDocument(None, failed=one_line(problem))
            bundle.keep_whole_parts(self._summaries)
        published = grade.published()
        bundle.add("grade.json", grade.to_json())
        bundle.add("grades.json", published.to_json())
        case = Case(
            mode=self._enforced.mode,
            findings=findings,
            summaries=self._summaries,
            passing=task.passing_score,
            demanded=self._machinery.terms.assurance,
            task_limit_s=task.agent_timeout_s,
            fault=None if self._model_facts is None else model_fault(self._model_facts),
            stranded=self._stranded,
        )
        judgement = case.decide(grade)
        # What everybody may know: the same, without what the graders expected and found.
        bundle.add("verdict.json", case.decide(published).to_json())
        summary = agent.summary
        self.record = replace(
            self.record, events=summary.events, lost=summary.lost, complete=not case.gaps(), gaps=tuple(summary.gaps)
        )
        bundle.add("contract.json", canonical_bytes(contract))
        if contract.signature is not None:
            bundle.add("contract.sig.json", canonical_json(contract.signature.to_json()))
        if contract.publication is not None:
            bundle.add("contract.proof.json", canonical_json(contract.publication.to_json()))
        bundle.add("task.json", TaskDocument.of(task).to_json())
        bundle.add("environment.json", self._environment(judge).to_json())
        if self._web is not None and self._web.filling and self._fills(judgement):
            self._web.keep(self._machinery.state, task)
        self._log.judged(judgement.verdict.value, judgement.score, judgement.raw_score)
        return judgement

    def _fills(self, judgement: Judgement) -> bool:
        """Whether what the tests fetched is to be kept: a solution that does not pass may have kept them from it."""
        needed = self._task.passing_score if self._agent.sees_solution else 0.0
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
        )

    @property
    def _duration_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    @contextmanager
    def _model(self, place: Path) -> Iterator[ModelAccess | None]:
        """The agent's way to its model, where it has one."""
        settings = self._machinery.model
        if settings is None:
            yield None
            return
        wall_ms = round(self._task.agent_timeout_s * 1000)
        with ModelAccess(settings, place, min(wall_ms, self._settings.wall_ms or wall_ms)) as access:
            yield access

    def _take_model_log(self, bundle: BundleWriter, model: ModelAccess) -> None:
        """End the gateway of an agent that has ended, and write down what passed through it."""
        identity = self._identity
        agent = {"name": identity.name, "version": identity.version, "model_name": identity.model}
        self._model_facts = model.finish(bundle, agent, f"{self._machinery.run_id}/{self._number}")
        self._stranded = stranded(model_batches(bundle.file(MODEL_LOG)))

    @property
    def _identity(self) -> Identity:
        """Who is evaluated, as far as it is known before the trial."""
        agent, model, installed = self._agent, self._machinery.model, self._agent.installed
        command = Redactor(model.secrets() if model else ()).text(agent.command)
        return Identity(
            name=agent.name,
            version=agent.version,
            command=command[:_MOST_COMMAND],
            command_sha256=hashlib.sha256(command.encode("utf-8", "surrogateescape")).hexdigest(),
            model=model.models[0] if model else "",
            environment=dict(agent.environment),
            brought=Installed(digest=installed.digest, files=installed.files) if installed else None,
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
    ) -> Iterator[tuple[Capture, OciSandbox]]:
        """Run a sandbox under the recorder; its frozen remains are there inside the ``with``. `made` is called when it
        is there, before anything runs in it."""

        def watch(batch: pa.RecordBatch) -> bool:
            return self.found(judge.feed(batch) if judge is not None else ())

        events = bundle.file(f"{stage.name}/events.parquet")
        with self._stages.run(stage, spec, events, watch, streams, made) as (captured, sandbox):
            self.keep(bundle, stage, captured)
            yield captured, sandbox

    def keep(self, bundle: BundleWriter, stage: Stage, captured: Capture) -> None:
        """Put what came of a sandbox into the bundle. Raises EvidenceError."""
        bundle.add_summary(stage.name, captured.summary)
        bundle.add(f"{stage.name}/exit.json", ExitDocument.of(captured.exit, captured.halted).to_json())
        bundle.add(f"{stage.name}/stdout", captured.output.stdout)
        bundle.add(f"{stage.name}/stderr", captured.output.stderr)
        self._summaries[stage.name] = captured.summary

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
        task = self._task
        agent, changes, brought = work.captured, work.changes, work.brought
        verifier = events = None
        rootfs = replace(self._rootfs, layers=(work.carried, *self._rootfs.layers))
        if grader is not None:
            (spec,) = (named.spec for named in self._graders if named.spec.kind == "test_run")
            self._web = self._verifier_web(place)
            tests = HiddenTests(
                task,
                plan_tests(spec, task),
                place,
                digest_of(changes, brought),
                secrets.token_bytes(32),
                web=self._web,
            )
            reference = Reference(
                self._stages,
                task,
                self._rootfs,
                self._enforced,
                self._settings,
                place / "reference",
                self._tests_rootfs,
            )
            tests = tests.separated(self._separation(tests, reference))
            seen = seen_by_tests(task, rootfs, self._tests_rootfs, place / "artifacts")
            ready = partial(self._ready, bundle, seen, grader)
            verifier = tests.begin(ready)
            events = read_trace(bundle.file("grader/events.parquet"))
            while not condemned and (step := next_step(verifier, events, brought)) is not None:
                if isinstance(step, Rerun):
                    verifier = verifier.with_round(tests.round(step.number, ready))
                else:
                    verifier = verifier.with_reference(step.number, reference.run(tests, step))
        files = WatchedFiles(LayerFiles(rootfs.layers))
        before = WatchedFiles(LayerFiles(self._rootfs.layers))
        graded = grade_all(
            self._graders,
            Material(
                instruction=task.instruction,
                workdir=task.workdir,
                record=record.events,
                counts=record.counts,
                exit=agent.exit,
                stdout=agent.output.stdout,
                stderr=agent.output.stderr,
                changes=changes,
                carried=brought,
                files=files,
                before=before,
                reference=task.tests_dir,
                verifier=verifier,
                grader_events=events,
            ),
        )
        return GradeDocument(
            score=combine(graded).score,
            graders=graded,
            verifier=verifier,
            files=files.write(bundle),
            before=before.write(bundle, files),
            carried=tuple(sorted(brought)),
        )

    def _verifier_web(self, place: Path) -> VerifierWeb | None:
        """What the tests have of the web; `place`: a private folder."""
        machinery = self._machinery
        if machinery.filling is not None:
            return VerifierWeb.new(place / "web", machinery.filling)
        cache = kept_cache(machinery.state, self._task)
        return None if cache is None else VerifierWeb(cache)

    def _ready(
        self, bundle: BundleWriter, rootfs: RootFilesystem, grader: Stage, name: str, verifier: Verifier
    ) -> Callable[[], SandboxRun]:
        """Make a grading sandbox ready; `grader`: the first, whose recording is open."""
        stage = grader if name == grader.name else self._stages.open(name)
        task = self._task.grading or self._task
        place = GradingPlace(self._stages, task, self._tests_rootfs, rootfs, self._settings)
        return place.ready(stage, verifier, partial(self._stage, bundle))

    def _separation(self, tests: HiddenTests, reference: Reference) -> Separation:
        """Whether the tests run apart from the solution."""
        usr = look_at_usr().result() if self._rootfs.host_usr else ""
        where = f"{self._rootfs.digest} {usr} {self._contract.digest} {self._machinery.runtime.name}"
        if self._task.grading is not None:
            where = f"{where} {self._tests_rootfs.digest}"
        if self._web is not None:
            where = f"{where} {'web' if self._web.filling else self._web.cache.digest}"
        attempt = partial(reference.separation, tests)
        return find_separation(self._task.grading or self._task, tests.plan, where, self._machinery.state, attempt)

    def _environment(self, judge: Judge) -> EnvironmentDocument:
        machinery = self._machinery
        return EnvironmentDocument(
            affidavit=affidavit_version("affidavit"),
            run_id=machinery.run_id,
            trial=self._number,
            runtime=machinery.runtime.name,
            runtime_detail=machinery.runtime_detail,
            recorder=machinery.recorder.name,
            recorder_why=machinery.why_recorder,
            kernel=os.uname().release,
            machine=os.uname().machine,
            rootfs=self._rootfs.digest,
            tests_rootfs=None if self._task.grading is None else self._tests_rootfs.digest,
            verifier_cache=None if self._web is None else self._web.facts,
            agent=self._agent.name,
            identity=self._identity,
            settings=asdict(self._settings),
            enforcement=Enforcement(
                mode=self._enforced.mode,
                actions=self._enforced.actions,
                attempts=machinery.terms.attempts,
                assurance=machinery.terms.assurance,
            ),
            terms=machinery.terms.facts,
            keep_until=machinery.terms.until(datetime.now(UTC)),
            programs={
                path: None if of is None else ProgramDocument(digest=of.digest, via=of.via)
                for path, of in judge.programs.items()
            },
        )

    def _predicate(self, judgement: Judgement) -> dict[str, Any]:
        return {
            "run_id": self._machinery.run_id,
            "trial": self._number,
            "agent": self._agent.name,
            "identity": self._identity.to_json(),
            **({} if self._model_facts is None else {"model": self._model_facts}),
            "task": {"id": self._task.id, "digest": self._task.digest},
            "contract": self.contract_facts.model_dump(mode="json", exclude_unset=True),
            "verdict": str(judgement.verdict),
            "score": judgement.score,
            "raw_score": judgement.raw_score,
            "assurance": judgement.assurance,
            "runtime": self._machinery.runtime.name,
            "recorder": self._machinery.recorder.name,
            "plan": {
                "digest": self._machinery.plan.digest,
                "trial": self._planned.name,
                "attempt": self._log.attempt,
                "seed": self._planned.seed,
                "ledger": self._log.checkpoint.to_json(),
            },
        }


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


def digest_of(changes: Sequence[Change], brought: frozenset[str]) -> str:
    """A digest of what the agent brought to grading."""
    files = sorted((c.path, c.kind, c.type, c.mode, c.sha256, c.target) for c in changes if c.path in brought)
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()
