"""Grading what an agent left: the hidden tests in their sandboxes, then every grader."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from affidavit.evaluation.hidden_tests import HiddenTests
from affidavit.evaluation.performance import Measurement
from affidavit.evaluation.prepared import PreparedTask, TrialContract
from affidavit.evaluation.reference_run import Reference
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.separability import find_separation
from affidavit.evaluation.separate import GradingPlace, Runs, seen_by_tests
from affidavit.evaluation.specs import Verifier
from affidavit.evaluation.stages import SandboxRun, Stage, Stages
from affidavit.evaluation.submission import digest_of
from affidavit.evaluation.verifier_web import VerifierWeb
from affidavit.evidence import BundleWriter, ChangedTexts, GradeDocument
from affidavit.grading import (
    AgentFiles,
    AgentRun,
    Material,
    NamedGrader,
    PerformanceGrader,
    Rerun,
    Separation,
    TestsRun,
    Timings,
    ToolsRequest,
    combine,
    next_step,
    plan_tests,
)
from affidavit.sandbox import Change, LayerFiles, RootFilesystem, look_at_usr
from affidavit.trace import read_counts, read_trace
from affidavit.verification import AgentRecord, WatchedFiles, grade_all


@dataclass(frozen=True)
class Work:
    """What an agent did and left.

    Attributes:
        captured: what came of its sandbox.
        changes: the agent's own; in a step, since the first.
        carried_over: paths of those changes that are carried over to grading.
        layer: what grading sees on top of the root file system.
        execs: the commands of a session, EXEC_SCHEMA; None where the agent was one command.
        texts: of the files that it changed; grading does without.
        earlier: in a step, those of its changes that it began with.
        service_files: layer over that, with files of the task's services, for graders that look at files; None: none.
    """

    captured: Capture
    changes: Sequence[Change]
    carried_over: frozenset[str]
    layer: Path
    execs: pa.Table | None = None
    texts: ChangedTexts = field(default_factory=ChangedTexts)
    earlier: Sequence[Change] = ()
    service_files: Path | None = None


@dataclass(frozen=True)
class GradingRun:
    """What a grading rests on.

    Attributes:
        stages: of its sandboxes.
        prepared: the task whose graders are asked.
        contract: of the trial.
        web: what the tests have of the web; None: nothing.
    """

    stages: Stages
    prepared: PreparedTask
    contract: TrialContract
    web: VerifierWeb | None

    def grade(
        self,
        bundle: BundleWriter,
        place: Path,
        work: Work,
        record: AgentRecord,
        graders: Sequence[NamedGrader],
        grader: Stage | None,
        run: Runs,
        *,
        condemned: bool = False,
    ) -> GradeDocument:
        """Run the hidden tests where a grader wants them, and ask every grader.

        Args:
            bundle: gets what the graders looked at.
            place: a private folder.
            work: what the agent did and left.
            record: the agent's.
            graders: to be asked.
            grader: the grading stage, just opened; None where no grader wants one.
            run: runs a grading sandbox, and puts what came of it into `bundle`.
            condemned: no score will count.

        Returns:
            What the graders say, and what that rests on.

        Raises:
            SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
        """
        task, found = self.prepared.task, self.prepared.rootfs
        changes, carried_over = work.changes, work.carried_over
        verifier = events = timings = None
        submission = digest_of(changes, carried_over)
        rootfs = replace(found, layers=(work.layer, *found.layers))
        if grader is not None:
            (spec,) = (named.spec for named in graders if named.spec.kind == "test_run")
            plan, secret = plan_tests(spec, task), secrets.token_bytes(32)
            shares = self._shares_services
            tests = HiddenTests(task, plan, place, submission, secret, web=self.web, services=shares)
            with closing(Reference(self.stages, self.prepared, self.contract, place / "reference")) as reference:
                tests = tests.separated(self._separation(tests, reference))
                seen = seen_by_tests(task, rootfs, self.prepared.tests_rootfs, place / "artifacts")
                ready = partial(self._ready, seen, grader, run)
                verifier = tests.begin(ready)
                events = read_trace(bundle.file("grader/events.parquet"))
                while not condemned and (step := next_step(verifier, events, carried_over)) is not None:
                    if isinstance(step, ToolsRequest):
                        verifier = replace(verifier, tools=reference.tools(tests))
                    elif isinstance(step, Rerun):
                        verifier = verifier.with_round(tests.round(step.number, ready))
                    else:
                        verifier = verifier.with_reference(step.number, reference.run(tests, step))
        timed = [named.grader for named in graders if isinstance(named.grader, PerformanceGrader)]
        if timed:
            timings = self._time(timed, place, rootfs, submission, run)
        of_services = () if work.service_files is None else (work.service_files,)
        files = WatchedFiles(LayerFiles((*of_services, *rootfs.layers)))
        before = WatchedFiles(LayerFiles(found.layers))
        tested = None
        if verifier is not None and events is not None:
            counts = [read_counts(bundle.file(f"{stage}/counts.parquet")) for stage in verifier.controlled]
            tested = TestsRun(verifier, events, counts)
        output = work.captured.output
        material = Material(
            instruction=task.instruction,
            workdir=task.environment.workdir,
            agent=AgentRun(record.events, record.counts, record.exit, output.stdout, output.stderr),
            work=AgentFiles(changes, carried_over, files, before),
            reference=task.tests.folder,
            tests=tested,
            timings=timings,
        )
        graded = grade_all(graders, material)
        return GradeDocument(
            score=combine(graded).score,
            graders=graded,
            verifier=verifier,
            files=files.write(bundle),
            before=before.write(bundle, files),
            carried=tuple(sorted(carried_over)),
            timings=timings,
        )

    def _time(
        self, graders: Sequence[PerformanceGrader], place: Path, rootfs: RootFilesystem, submission: str, run: Runs
    ) -> dict[str, Timings]:
        """What `Material.timings` has; `rootfs`: with the changes that are carried over."""
        where = GradingPlace(self.stages, self.prepared.task, self.prepared.rootfs, rootfs, self.contract.settings)
        timings, timed = {}, 0
        for number, grader in enumerate(graders):
            folder = place / f"performance-{number}"
            timings[grader.name] = Measurement(grader, where, folder, submission, run, timed + 1).measure()
            timed += grader.settings.repetitions
        return timings

    def _ready(
        self, rootfs: RootFilesystem, grader: Stage, run: Runs, name: str, verifier: Verifier
    ) -> Callable[[], SandboxRun]:
        """Make a grading sandbox ready; `grader`: the first, whose recording is open."""
        stage = grader if name == grader.name else self.stages.open(name)
        task, pristine = self.prepared.as_tested, self.prepared.tests_rootfs
        return GradingPlace(self.stages, task, pristine, rootfs, self.contract.settings).ready(stage, verifier, run)

    def _separation(self, tests: HiddenTests, reference: Reference) -> Separation:
        """Whether the tests run apart from the solution."""
        if self._shares_services:
            # What lies in a volume, or is said to a service, is the agent's as much as the tests'.
            return Separation(False, "the tests and the solution would share the task's services")
        attempt = partial(reference.separation, tests)
        return find_separation(self.prepared.as_tested, tests.plan, self.where, self.stages.machine.state, attempt)

    @property
    def _shares_services(self) -> bool:
        services = self.prepared.services
        return services is not None and services.shared

    @property
    def where(self) -> str:
        """What decides, beside the task, how its tests run: root file systems, contract, runtime, what they have of the
        web."""
        prepared, runtime = self.prepared, self.stages.machine.runtime
        usr = look_at_usr().result() if prepared.rootfs.host_usr else ""
        where = f"{prepared.rootfs.digest} {usr} {self.contract.signed.digest} {runtime.name}"
        if prepared.task.grading is not None:
            where = f"{where} {prepared.tests_rootfs.digest}"
        if prepared.task.step:
            where = f"{where} step {prepared.task.step}"
        if self.web is not None:
            where = f"{where} {'web' if self.web.filling else self.web.cache.digest}"
        return where
