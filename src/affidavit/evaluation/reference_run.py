"""What a control's accusation is checked against: the task's own solution, run like an agent, graded by the same tests.

Nothing of the agent's is in it: its processes are gone, and the sandboxes are others. It is not in the bundle either,
for its record would tell how the task is solved; the bundle has what the tests came to.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

from affidavit.evaluation.agents import Agent
from affidavit.evaluation.footprints import programs_looked_for
from affidavit.evaluation.health import HeldStart
from affidavit.evaluation.hidden_tests import HiddenTests
from affidavit.evaluation.prepared import PreparedTask, TrialContract
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.separate import GradingPlace, seen_by_tests
from affidavit.evaluation.services import RunningServices
from affidavit.evaluation.specs import Verifier, agent_spec, home_folders, search_path
from affidavit.evaluation.stages import SandboxRun, Stage, Stages, take_over
from affidavit.grading import ReferenceRequest, ReferenceRun, Separation, ToolsRun, grade_run, words_of
from affidavit.policy import Footprint
from affidavit.recorder import RecorderError
from affidavit.sandbox import Change, OciSandbox, RootFilesystem, SandboxError, SandboxSpec, Streams, symlinks
from affidavit.trace import TraceError, read_trace, trace_batches
from affidavit.verification import new_judge

# A task's tests may fail by chance.
_ATTEMPTS = 2
_SOLVED = "solved"


class Reference:
    """The reference of one trial; the solution is run when it is first asked for, and once."""

    def __init__(self, stages: Stages, prepared: PreparedTask, contract: TrialContract, place: Path) -> None:
        """
        Args:
            stages, prepared, contract: of the trial.
            place: a private folder, which does not exist.
        """
        self._stages = stages
        self._prepared, self._task = prepared, prepared.task
        self._contract = contract
        self._place = place
        self._written: Sequence[Change] = ()
        self._services: dict[str, RunningServices] = {}

    def close(self) -> None:
        """End the services that run beside it."""
        while self._services:
            self._services.popitem()[1].close()

    def _beside(self, which: str) -> RunningServices | None:
        """The task's services as the agent finds them (``start``), or as the solution leaves them (``solved``)."""
        plan = self._prepared.services
        if plan is None:
            return None
        if which not in self._services:
            self._place.mkdir(exist_ok=True)
            self._services[which] = RunningServices(plan, self._stages, self._place / f"services-{which}").__enter__()
        return self._services[which]

    def run(self, tests: HiddenTests, ask: ReferenceRequest) -> ReferenceRun:
        """Run the tests that an accusation is about over the reference.

        Raises:
            Interrupted: the run is being stopped.
        """
        solved = self._has_solution
        run = ReferenceRun("solution" if solved else "start", ask.names)
        try:
            rootfs = self._solved if solved else self._start
            right, wrong = tests.refer(ask.number, ask.names, partial(self._ready, rootfs))
            return replace(run, right=right, wrong=wrong)
        except (SandboxError, RecorderError, TraceError, OSError) as error:
            return replace(run, error=" ".join(str(error).split()) or repr(error))

    def tools(self, tests: HiddenTests) -> ToolsRun:
        """Run the tests over the task's own solution.

        Raises:
            Interrupted: the run is being stopped.
        """
        if not (self._task.solution.folder / "solve.sh").is_file():
            return ToolsRun(error="the task has no solution")
        try:
            return ToolsRun(tests.right(partial(self._ready, self._solved)))
        except (SandboxError, RecorderError, TraceError, OSError) as error:
            return ToolsRun(error=" ".join(str(error).split()) or repr(error))

    def separation(self, tests: HiddenTests) -> Separation:
        """Whether the task's own solution passes the tests from a sandbox of its own.

        Raises:
            SandboxError, RecorderError, TraceError, OSError: the machinery failed.
            Interrupted: the run is being stopped.
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

    def footprint(self, tests: HiddenTests) -> Footprint:
        """What the verifier uses of the root file system as the agent finds it, and as the solution leaves it.

        Args:
            tests: the verifier, without a control.

        Raises:
            SandboxError, RecorderError, TraceError, OSError: the machinery failed.
            Interrupted: the run is being stopped.
        """
        self._place.mkdir(exist_ok=True)
        whole = True

        def look(captured: Capture) -> None:
            nonlocal whole
            whole &= captured.summary.complete

        records: list[Path] = []
        for rootfs in (self._start, *((self._solved,) if self._has_solution else ())):
            records.append(self._place / f"footprint-{len(records)}.parquet")
            tests.round(1, partial(self._ready, rootfs, events=records[-1], look=look))
        rows = chain.from_iterable(map(trace_batches, records))
        path = search_path(self._task, self._prepared.rootfs)
        observed = Footprint.observed(
            self._task.environment.workdir,
            self._written,
            rows,
            path,
            links=symlinks(self._start),
            looked_for=programs_looked_for(self._task.tests.folder),
            homes=home_folders(self._task, self._prepared.rootfs),
        )
        return observed if whole else replace(observed, used=None)

    @property
    def _has_solution(self) -> bool:
        return (self._task.solution.folder / "solve.sh").is_file()

    def left(self) -> RootFilesystem:
        """The root file system as the task's own solution leaves it.

        Raises:
            SandboxError, RecorderError, TraceError, OSError: the machinery failed.
            Interrupted: the run is being stopped.
        """
        return self._worked if self._has_solution else self._found

    @cached_property
    def _found(self) -> RootFilesystem:
        """The root file system as the solution finds it."""
        return self._prepared.reference

    @cached_property
    def _solved(self) -> RootFilesystem:
        """What the tests see of what the solution leaves."""
        return seen_by_tests(self._task, self._worked, self._prepared.tests_rootfs, self._place / "solved")

    @cached_property
    def _worked(self) -> RootFilesystem:
        """The root file system with what the contract lets the solution leave."""
        task, found, oracle = self._task, self._found, Agent.named("oracle")
        place = self._place
        place.mkdir(exist_ok=True)
        stage = self._stages.open("solution")
        held = HeldStart.of(task)
        spec = agent_spec(task, found, self._contract.settings, oracle, place, stage.sandbox, held=held is not None)
        carried = place / "carried"
        events, services = place / "solution.parquet", self._beside(_SOLVED)
        with self._stages.run(stage, spec, events, held=held, services=services) as (_, sandbox):
            judge = new_judge(self._contract.enforced, task.environment.workdir, oracle.name)
            changes, carried_over = take_over(sandbox, judge, carried, held.setup if held else ())
        self._written = [change for change in changes if change.path in carried_over]
        return replace(found, layers=(carried, *found.layers))

    @cached_property
    def _start(self) -> RootFilesystem:
        """What the tests see of what the agent found."""
        self._place.mkdir(exist_ok=True)
        return seen_by_tests(self._task, self._found, self._prepared.tests_rootfs, self._place / "start")

    def _ready(
        self,
        rootfs: RootFilesystem,
        name: str,
        verifier: Verifier,
        events: Path | None = None,
        look: Callable[[Capture], None] = lambda captured: None,
    ) -> Callable[[], SandboxRun]:
        task, own = self._prepared.as_tested, self._prepared.tests_rootfs
        place = GradingPlace(self._stages, task, own, rootfs, self._contract.settings)
        kept = events or verifier.tests.parent.with_suffix(".parquet")
        services = self._beside(_SOLVED if rootfs is self.__dict__.get("_solved") else "start")

        def run(stage: Stage, spec: SandboxSpec, streams: Streams | None) -> SandboxRun:
            record = kept if stage.name == name else kept.with_suffix(".solution.parquet")
            return _looked_at(self._stages.run(stage, spec, record, streams=streams, services=services), look)

        return place.ready(self._stages.open(name), verifier, run)


@contextmanager
def _looked_at(run: SandboxRun, look: Callable[[Capture], None]) -> Iterator[tuple[Capture, OciSandbox]]:
    with run as (captured, sandbox):
        look(captured)
        yield captured, sandbox
