"""A trial in steps: the agent works on one step after the other, each over the files that it left in the one before.

Each step is a trial of its own: a sandbox, its record, a grading in other sandboxes, a verdict and a signed bundle,
which names the one before. No process outlives its step, and nothing of a step's tests is in the sandbox of a later
one, for no grading takes place where an agent works.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evaluation.planning import planned_steps
from affidavit.evaluation.reference_run import Reference
from affidavit.evaluation.result import RecordFacts, TrialResult, joined
from affidavit.evaluation.stages import Machinery, Stages
from affidavit.evaluation.step_setup import STAGE as SETUP_STAGE
from affidavit.evaluation.step_setup import run_setup
from affidavit.evaluation.trial import CARRIED, STATE, Earlier, Trial, contract_facts
from affidavit.evaluation.trial_plan import TrialPlan
from affidavit.evaluation.workplace import open_workplace
from affidavit.evidence import StepFacts, bundle_digest
from affidavit.policy import Footprint
from affidavit.runs import StepEnd, StepLog, TrialLog, combine_steps, why_last
from affidavit.sandbox import files_layer
from affidavit.tasks import Step
from affidavit.trace import one_line
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


class _TrialInSteps:
    """One trial, and how far it is."""

    def __init__(self, plan: TrialPlan, machinery: Machinery, log: TrialLog, place: Path, stages: Stages) -> None:
        """
        Args:
            plan, machinery, log: of the trial.
            place: a private folder.
            stages: of what is run beside the agent, to know what the task's own solutions leave.
        """
        self._plan, self._machinery, self._log = plan, machinery, log
        self._place, self._stages = place, stages
        self._state: tuple[Path, ...] = ()
        self._graded: tuple[Path, ...] = ()
        self._results: list[TrialResult] = []
        self._ends: list[StepEnd] = []
        # What the task's own solutions of the steps before leave, for each step.
        self._starts: list[Callable[[], tuple[Path, ...]]] = []
        self._footprint: Footprint | None = None

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
            return self._broken_off(one_line(problem))
        combined = combine_steps(planned, self._ends, self._plan.task.scoring.passing_score)
        self._log.judged(combined.verdict, combined.score, combined.raw_score)
        self._log.sealed(self._ends[-1].bundle, sum(one.duration_ms for one in self._results))
        return self._result(Verdict(combined.verdict), combined.score, combined.raw_score, combined.reasons)

    def _prepare(self) -> None:
        """Find out what the gradings of all steps rest on: what an agent changes in one step may lie in wait for the
        tests of another."""
        before: Callable[[], tuple[Path, ...]] = tuple
        for number in range(len(self._plan.task.steps)):
            self._starts.append(cache(partial(self._begun, number, before, self._place / f"reference-begins-{number}")))
            trial = self._trial(number)
            place = self._place / f"reference-{number}"
            reference = Reference(self._stages, trial.prepared, trial.trial_contract, place)
            before = partial(getattr, reference, "layers")
            if trial.footprint is not None:
                learning = self._place / f"footprint-{number}"
                learning.mkdir()
                trial.learn_footprint(learning, self._stages)
                found = trial.footprint
                self._footprint = found if self._footprint is None else self._footprint.joined(found)

    def _begun(self, number: int, before: Callable[[], tuple[Path, ...]], place: Path) -> tuple[Path, ...]:
        """Layers where no agent works, and over them what a step begins with: its files, and what its script does."""
        step, below = self._plan.task.steps[number], before()
        place.mkdir()
        layers = self._with_files(step, below, place / "files")
        if not step.has_setup:
            return layers
        trial = self._trial(number)
        rootfs = replace(self._plan.rootfs, layers=(*layers, *self._plan.rootfs.layers))
        task, settings = trial.prepared.task, trial.trial_contract.settings
        return (run_setup(self._stages, task, rootfs, settings, place / "setup"), *layers)

    def _with_files(self, step: Step, below: tuple[Path, ...], folder: Path) -> tuple[Path, ...]:
        """Layers, and over them the files that a step brings."""
        workdir, rootfs = self._plan.task.environment.workdir, self._plan.rootfs
        if step.workdir_files is None:
            return below
        layers = (*below, *rootfs.layers)
        return (files_layer(step.workdir_files, workdir, layers, rootfs.user, folder), *below)

    def _step(self, number: int) -> Judgement:
        """Play the next step."""
        step = self._plan.task.steps[number]
        self._state = self._with_files(step, self._state, self._place / f"files-{number}")
        graded = self._graded
        self._graded = self._begun(number, lambda: graded, self._place / f"graded-begins-{number}")
        trial = self._trial(number)
        trial.footprint = self._footprint
        try:
            judgement, bundle = trial.run()
        except Interrupted:
            raise
        except Exception as problem:
            if trial.sealed is None:
                broken = trial.broken_off(one_line(problem))
                trial.tell(broken.violations, broken.verdict, None)
                self._results.append(replace(trial.result(broken, None), step=step.name))
                raise
            judgement, bundle = trial.sealed
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
        left = self._left_by(number)
        made = (left / STATE, left / SETUP_STAGE) if step.has_setup else (left / STATE,)
        self._state, self._graded = (*made, *self._state), (left / CARRIED, *self._graded)
        return judgement

    def _trial(self, number: int) -> Trial:
        """A step as a trial over what the steps before left."""
        step, steps, plan = self._plan.task.steps[number], self._plan.task.steps, self._plan
        facts = StepFacts(
            name=step.name,
            number=number + 1,
            of=len(steps),
            previous=self._ends[-1].bundle if self._ends else None,
        )
        keep = self._left_by(number)
        keep.mkdir(exist_ok=True)
        earlier = Earlier(facts, self._state, self._graded, self._starts[number], keep, step.has_setup)
        place = plan.trial.place_of_step(number + 1)
        plan = replace(plan, task=plan.task.at_step(step), trial=replace(plan.trial, place=place))
        return Trial(plan, self._machinery, StepLog(self._log, step.name), earlier)

    def _left_by(self, number: int) -> Path:
        return self._place / f"step-{number}"

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
