"""What a control's accusation is checked against: the task's own solution, run like an agent, graded by the same tests.

Nothing of the agent's is in it: its processes are gone, and the sandboxes are others. It is not in the bundle either,
for its record would tell how the task is solved; the bundle has what the tests came to.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from affidavit.contracts import Contract, SandboxSettings
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.hidden_tests import HiddenTests
from affidavit.evaluation.separate import GradingPlace, seen_by_tests
from affidavit.evaluation.specs import Verifier, agent_spec
from affidavit.evaluation.stages import SandboxRun, Stage, Stages, take_over
from affidavit.grading import ReferenceRequest, ReferenceRun, Separation, grade_run, words_of
from affidavit.recorder import RecorderError
from affidavit.sandbox import RootFilesystem, SandboxError, SandboxSpec, Streams
from affidavit.tasks import Task
from affidavit.trace import TraceError, read_trace
from affidavit.verification import new_judge

# A task's tests may fail by chance.
_ATTEMPTS = 2


class Reference:
    """The reference of one trial; the solution is run when it is first asked for, and once."""

    def __init__(
        self,
        stages: Stages,
        task: Task,
        rootfs: RootFilesystem,
        contract: Contract,
        settings: SandboxSettings,
        place: Path,
        own: RootFilesystem,
    ) -> None:
        """
        Args:
            stages: of the trial.
            task, rootfs, settings: as the agent had them.
            contract: as it is enforced.
            place: a private folder, which does not exist.
            own: the tests' root file system without what is graded.
        """
        self._stages = stages
        self._task = task
        self._pristine = rootfs
        self._contract = contract
        self._settings = settings
        self._place = place
        self._own = own

    def run(self, tests: HiddenTests, ask: ReferenceRequest) -> ReferenceRun:
        """Run the tests that an accusation is about over the reference.

        Raises:
            Interrupted: the run was told to stop.
        """
        solved = (self._task.solution_dir / "solve.sh").is_file()
        run = ReferenceRun("solution" if solved else "start", ask.names)
        try:
            rootfs = self._solved if solved else self._start
            right, wrong = tests.refer(ask.number, ask.names, partial(self._ready, rootfs))
            return replace(run, right=right, wrong=wrong)
        except (SandboxError, RecorderError, TraceError, OSError) as error:
            return replace(run, error=" ".join(str(error).split()) or repr(error))

    def separation(self, tests: HiddenTests) -> Separation:
        """Whether the task's own solution passes the tests from a sandbox of its own.

        Raises:
            SandboxError, RecorderError, TraceError, OSError: the machinery failed.
            Interrupted: the run was told to stop.
        """
        why = ""
        for _ in range(_ATTEMPTS):
            events = self._place / "apart.parquet"
            record = tests.alone(partial(self._ready, self._solved, events=events))
            grade = grade_run(record, read_trace(events), ())
            if grade.score == 1 and not (grade.error or grade.unproven or grade.findings):
                ways = record.first.left.ways
                return Separation(True, "the task's own solution passes so", words_of(record), ways)
            lost = next((f"{one.name} {one.message}" for one in grade.components if one.score < 1), grade.message)
            why = grade.error or lost
        return Separation(False, f"the task's own solution does not pass so: {why}")

    @cached_property
    def _solved(self) -> RootFilesystem:
        """The root file system with what the contract lets the solution leave."""
        task, pristine, oracle = self._task, self._pristine, Agent.named("oracle")
        place = self._place
        place.mkdir()
        stage = self._stages.open("solution")
        spec = agent_spec(task, pristine, self._settings, oracle, place, stage.sandbox)
        carried = place / "carried"
        with self._stages.run(stage, spec, place / "solution.parquet") as (_, sandbox):
            take_over(sandbox, new_judge(self._contract, task.workdir, oracle.name), carried)
        left = replace(pristine, layers=(carried, *pristine.layers))
        return seen_by_tests(task, left, self._own, place / "solved")

    @cached_property
    def _start(self) -> RootFilesystem:
        """What the tests see of what the agent found."""
        self._place.mkdir(exist_ok=True)
        return seen_by_tests(self._task, self._pristine, self._own, self._place / "start")

    def _ready(
        self, rootfs: RootFilesystem, name: str, verifier: Verifier, events: Path | None = None
    ) -> Callable[[], SandboxRun]:
        place = GradingPlace(self._stages, self._task.grading or self._task, self._own, rootfs, self._settings)
        kept = events or verifier.tests.parent.with_suffix(".parquet")

        def run(stage: Stage, spec: SandboxSpec, streams: Streams | None) -> SandboxRun:
            record = kept if stage.name == name else kept.with_suffix(".solution.parquet")
            return self._stages.run(stage, spec, record, streams=streams)

        return place.ready(self._stages.open(name), verifier, run)
