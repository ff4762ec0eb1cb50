"""A trial in steps: the agent works on one step after the other, each over the files that it left in the one before.

Each step is a trial of its own: a sandbox, its record, a grading in other sandboxes, a verdict and a signed bundle,
which names the one before. No process outlives its step, and nothing of a step's tests is in the sandbox of a later
one, for no grading takes place where an agent works. What an agent changed in a step is in the changed layer of its
next sandbox from the start: it is judged and graded as its own, against files of the task's alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial, reduce
from pathlib import Path

from affidavit.contracts import SandboxSettings
from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evaluation.failures import what_failed
from affidavit.evaluation.planning import planned_steps
from affidavit.evaluation.reference_run import Reference
from affidavit.evaluation.result import RecordFacts, TrialResult, joined
from affidavit.evaluation.stages import Machinery, Stages
from affidavit.evaluation.step_setup import SetupRun, run_setup
from affidavit.evaluation.trial import Earlier, StepLeft, Trial, contract_facts
from affidavit.evaluation.trial_plan import TrialPlan
from affidavit.evaluation.workplace import open_workplace, remove_left
from affidavit.evidence import StepFacts, bundle_digest
from affidavit.policy import Footprint
from affidavit.runs import StepEnd, StepLog, TrialLog, combine_steps, why_last
from affidavit.sandbox import EarlierChanges, RootFilesystem, files_layer
from affidavit.verification import Judgement, Verdict


def run_in_steps(plan: TrialPlan, machinery: Machinery, log: TrialLog) -> TrialResult:
    """Run one trial of a task with steps; see `affidavit.evaluation.run_trial`.

    Raises:
        Interrupted: the run is being stopped.
        EvidenceError: the ledger can't be written.
    """
    with (
        open_workplace(machinery.state, plan.folder) as place,
        Stages(machinery) as stages,
    ):
        return _TrialInSteps(plan, machinery, log, place, stages).run()


@dataclass(frozen=True)
class _Brought:
    """What a task brings for a step.

    Attributes:
        rootfs: the task's own root file system with that of this step and those before; no agent's file is in it.
        layers: what came with this step, topmost first.
        setup: what came of its script; None: it has none.
    """

    rootfs: RootFilesystem
    layers: tuple[Path, ...] = ()
    setup: SetupRun | None = None


class _TrialInSteps:
    """One trial, and how far it is."""

    def __init__(self, plan: TrialPlan, machinery: Machinery, log: TrialLog, place: Path, stages: Stages) -> None:
        """
        Args:
            plan, machinery, log: of the trial.
            place: a private folder.
            stages: of what is run beside the agent: the task's own scripts and solutions.
        """
        self._plan, self._machinery, self._log = plan, machinery, log
        self._place, self._stages = place, stages
        self._brought: list[_Brought] = []
        # For each step, what the task's own solutions of the steps before leave to it.
        self._solved: list[Callable[[], RootFilesystem]] = []
        self._results: list[TrialResult] = []
        self._ends: list[StepEnd] = []
        self._footprints: list[Footprint] = []
        self._left = StepLeft()

    def run(self) -> TrialResult:
        planned = planned_steps(self._plan.task)
        assert planned is not None
        try:
            self._prepare()
            for number, expected in enumerate(planned.steps):
                judgement = self._step(number)
                if why_last(expected, judgement.verdict.value, judgement.raw_score):
                    break
        except Interrupted:
            self._log.aborted("interrupted")
            raise
        except Exception as problem:
            # Whatever it is, and whoever caused it: other trials go on, and what was found stands.
            return self._broken_off(self._what_failed(problem))
        combined = combine_steps(planned, self._ends, self._plan.task.scoring.passing_score)
        self._log.judged(combined.verdict, combined.score, combined.raw_score)
        self._log.sealed(self._ends[-1].bundle, sum(one.duration_ms for one in self._results))
        return self._result(Verdict(combined.verdict), combined.score, combined.raw_score, combined.reasons)

    def _what_failed(self, problem: Exception) -> str:
        return what_failed(problem, (self._machinery.state, self._plan.run.folder))

    def _prepare(self) -> None:
        """Make ready what the task brings for each step, and find out what the gradings of all steps rest on: what an
        agent changes in one step may lie in wait for the tests of another."""
        plan = self._plan
        settings = Trial(plan, self._machinery, self._log).trial_contract.settings
        rootfs = plan.rootfs
        left: Callable[[], RootFilesystem] = lambda: plan.rootfs  # noqa: E731
        for number in range(len(plan.task.steps)):
            brought = self._bring(number, rootfs, settings)
            self._brought.append(brought)
            self._solved.append(cache(partial(_over, brought.layers, left)))
            rootfs = brought.rootfs
            trial = self._trial(number)
            place = self._place / f"reference-{number}"
            reference = Reference(self._stages, trial.prepared, trial.trial_contract, place)
            left = reference.left
            if trial.footprint is not None:
                learning = self._place / f"footprint-{number}"
                learning.mkdir()
                trial.learn_footprint(learning, self._stages)
                self._footprints.append(trial.footprint)

    def _bring(self, number: int, before: RootFilesystem, settings: SandboxSettings) -> _Brought:
        """What the task brings for a step, over a root file system: its files, and what its script does."""
        task = self._plan.task
        step, layers, setup = task.steps[number], before.layers, None
        if step.workdir_files is None:
            return _Brought(before)
        folder = self._place / f"files-{number}"
        brought = [files_layer(step.workdir_files, task.environment.workdir, layers, before.user, folder)]
        if step.has_setup:
            found = replace(before, layers=(*brought, *layers))
            setup = run_setup(self._stages, task.at_step(step), found, settings, self._place / f"setup-{number}")
            brought.insert(0, setup.layer)
        return _Brought(replace(before, layers=(*brought, *layers)), tuple(brought), setup)

    def _step(self, number: int) -> Judgement:
        """Play the next step."""
        step = self._plan.task.steps[number]
        trial = self._trial(number)
        trial.footprint = self._footprint_of(number)
        try:
            judgement, bundle = trial.run()
        except Interrupted:
            raise
        except Exception as problem:
            if trial.sealed is None:
                broken = trial.broken_off(self._what_failed(problem))
                trial.tell(broken.violations, broken.verdict, None)
                self._results.append(replace(trial.result(broken, None), step=step.name))
                raise
            judgement, bundle = trial.sealed
        if number:
            remove_left(self._left_by(number - 1))
        self._left = trial.step_left
        trial.tell(judgement.violations, judgement.verdict, bundle)
        self._results.append(replace(trial.result(judgement, bundle), step=step.name))
        self._ends.append(
            StepEnd(
                name=step.name,
                bundle=bundle_digest(bundle),
                verdict=judgement.verdict.value,
                score=judgement.score,
                raw_score=judgement.raw_score,
            )
        )
        return judgement

    def _footprint_of(self, number: int) -> Footprint | None:
        """What the gradings of all steps rest on, but for the product of the steps so far: what is the product of a
        later one is nobody's yet. None where an agent can change only what the contract lets it write."""
        if not self._footprints:
            return None
        later = [one.without_product for one in self._footprints[number + 1 :]]
        return reduce(Footprint.joined, (*self._footprints[: number + 1], *later))

    def _trial(self, number: int) -> Trial:
        """A step as a trial, which begins with what the agent left in the step before."""
        steps, plan, brought = self._plan.task.steps, self._plan, self._brought[number]
        step = steps[number]
        facts = StepFacts(
            name=step.name,
            number=number + 1,
            of=len(steps),
            previous=self._ends[-1].bundle if self._ends else None,
        )
        left = EarlierChanges(self._left_by(number - 1), brought.layers) if number else None
        earlier = Earlier(facts, left, self._left, self._solved[number], self._left_by(number), brought.setup)
        place = plan.trial.place_of_step(number + 1)
        task, trial = plan.task.at_step(step), replace(plan.trial, place=place)
        plan = replace(plan, task=task, trial=trial, rootfs=brought.rootfs)
        return Trial(plan, self._machinery, StepLog(self._log, step.name), earlier)

    def _left_by(self, number: int) -> Path:
        return self._place / f"left-{number}"

    def _broken_off(self, why: str) -> TrialResult:
        """The result of a trial that has no end in a bundle."""
        broken = self._results[-1].judgement if len(self._results) > len(self._ends) else None
        verdict = Verdict.ERROR if broken is None else broken.verdict
        score = None if broken is None else broken.score
        self._log.aborted(why, verdict.value, score)
        return self._result(verdict, score, None, () if broken is not None else (why,))

    def _result(
        self, verdict: Verdict, score: float | None, raw_score: float | None, reasons: tuple[str, ...]
    ) -> TrialResult:
        """What came of the trial; `reasons`: beside those of its steps."""
        plan, backends = self._plan, self._plan.run.backends
        trial = TrialResult(
            task_id=plan.task.id,
            trial=plan.trial.number,
            agent=plan.agent.name,
            judgement=Judgement(verdict, score, raw_score, reasons, ()),
            record=RecordFacts(backends.runtime, backends.recorder),
            contract=contract_facts(plan.contract),
            duration_ms=0,
            bundle=None,
            mode=plan.run.terms.enforced(plan.contract).mode,
            began=self._log.began,
        )
        return joined(trial, self._results)


def _over(layers: tuple[Path, ...], left: Callable[[], RootFilesystem]) -> RootFilesystem:
    """Layers, and below them what was left."""
    rootfs = left()
    return replace(rootfs, layers=(*layers, *rootfs.layers))
