"""The sandboxes of a trial, each under the recorder: the agent's, those that grade, and those of the reference run."""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from affidavit.alerts import Alerts
from affidavit.evaluation.active_sandboxes import LiveSandboxes
from affidavit.evaluation.backends import Chosen
from affidavit.evaluation.health import HeldStart
from affidavit.evaluation.sandbox_capture import Capture, HostNames, RunningCapture, capture
from affidavit.evidence import SigningKey
from affidavit.policy import Judge
from affidavit.recorder import LATER_MS, Recorder, Recording
from affidavit.sandbox import Change, OciSandbox, Runtime, SandboxSpec, Streams, carry_over, diff, no_room

_logger = logging.getLogger(__name__)

_MOST_NAME = 64

SandboxRun = AbstractContextManager[tuple[Capture, OciSandbox]]
"""The run of a sandbox; its frozen remains are there inside of the ``with``."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What sandboxes are made with.

    Attributes:
        run_id: of the run that they belong to.
        chosen: runtime and recorder.
        state: the state folder.
        live: where sandboxes are held while they run.
    """

    run_id: str
    chosen: Chosen
    state: Path
    live: LiveSandboxes

    @property
    def runtime(self) -> Runtime:
        """The chosen one."""
        return self.chosen.runtime

    @property
    def recorder(self) -> Recorder:
        """The chosen one."""
        return self.chosen.recorder


@dataclass(frozen=True, kw_only=True)
class Machinery(Machine):
    """What runs trials and signs their evidence.

    Attributes:
        key: signs the bundles.
        alerts: where violations are reported.
    """

    key: SigningKey
    alerts: Alerts = field(default_factory=Alerts)


@dataclass(frozen=True)
class Stage:
    """A sandbox of the trial: what it is for, its name on the machine, its recording."""

    name: str
    sandbox: str
    recording: Recording


class JoinsServices(Protocol):
    """Services of a task that a sandbox can be joined to."""

    def joined(self, spec: SandboxSpec) -> AbstractContextManager[SandboxSpec]:
        """The sandbox, joined to them as long as the ``with`` lasts. Raises SandboxError, GatewayError."""


class Stages:
    """Makes the stages of one trial. A context manager: closes their recordings.

    Attributes:
        machine: runs their sandboxes.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._recordings = ExitStack()
        self._running: dict[str, OciSandbox] = {}

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *error: object) -> None:
        self._recordings.close()

    def open(self, name: str, within_ms: int = LATER_MS) -> Stage:
        """Get a recording ready, whose events come within so many milliseconds. Raises RecorderError."""
        sandbox = f"{self.machine.run_id}-{uuid.uuid4().hex[:8]}-{name}"[:_MOST_NAME].rstrip("-")
        recording = self.machine.recorder.open(sandbox, within_ms)
        return Stage(name, sandbox, self._recordings.enter_context(closing(recording)))

    @contextmanager
    def run(
        self,
        stage: Stage,
        spec: SandboxSpec,
        events: Path,
        watch: Callable[[pa.RecordBatch], bool] | None = None,
        streams: Streams | None = None,
        made: Callable[[], None] = lambda: None,
        names: HostNames | None = None,
        held: HeldStart | None = None,
        services: "JoinsServices | None" = None,
    ) -> Iterator[tuple[Capture, OciSandbox]]:
        """Run a sandbox under the recorder; its frozen remains are there inside the ``with``.

        Args:
            stage: just opened.
            spec: what runs.
            events: where its record goes.
            watch: see `affidavit.evaluation.sandbox_capture`.
            streams: of its process 1; None: no input, and output that is kept.
            made: called when the sandbox is there, before anything runs in it.
            names: of the hosts that it can reach; None: it can reach none.
            held: where its command waits until it is healthy, in place of `watch` and `streams`.
            services: that a sandbox that grades is joined to; None: there are none, or it is joined already.

        Raises:
            SandboxError, RecorderError, TraceError: it could not be run or recorded.
            Interrupted: the run is being stopped.
        """
        machine, limits = self.machine, spec.limits
        run = partial(capture, watch=watch) if held is None else held.capture
        with (
            nullcontext(spec) if services is None else services.joined(spec) as joined,
            machine.runtime.sandbox(joined, machine.state, streams if held is None else held.streams) as sandbox,
            machine.live.holding(sandbox),
        ):
            self._running[stage.name] = sandbox
            made()
            captured = run(
                sandbox,
                stage.recording,
                events,
                timeout_s=limits.wall_ms / 1000,
                cpu_ms=limits.cpu_ms,
                names=names,
            )
            self.ended(stage)
            _logger.info(
                "stage %s: exit %s, signal %s, %d ms, %d events, record %s",
                stage.name,
                captured.exit.code,
                captured.exit.signal,
                captured.exit.duration_ms,
                captured.summary.events,
                "complete" if captured.summary.complete else "incomplete",
            )
            yield captured, sandbox

    @contextmanager
    def hold(
        self,
        stage: Stage,
        spec: SandboxSpec,
        events: Path,
        watch: Callable[[pa.RecordBatch], bool],
        names: HostNames | None = None,
    ) -> Iterator[tuple[RunningCapture, OciSandbox]]:
        """Run a sandbox under the recorder as long as the ``with`` wants: it begins with `RunningCapture.start` and
        ends with `RunningCapture.end`, then `ended`.

        Args:
            stage: just opened.
            spec, events, watch, names: as `run` has them.

        Raises:
            Interrupted: the run is being stopped.
        """
        machine = self.machine
        with machine.runtime.sandbox(spec, machine.state) as sandbox, machine.live.holding(sandbox):
            cpu_ms = spec.limits.cpu_ms
            yield RunningCapture(sandbox, stage.recording, events, cpu_ms=cpu_ms, watch=watch, names=names), sandbox

    def ended(self, stage: Stage) -> None:
        """Let go of a stage whose sandbox has ended.

        Raises:
            SandboxError: what the sandbox wrote may be lost.
        """
        if full := no_room(self.machine.state, "what the sandbox wrote may not be there"):
            raise full
        # A trial may have many stages: none keeps its helpers until the last.
        stage.recording.close()

    def began_with(self, stage: Stage) -> tuple[Change, ...]:
        """What the sandbox of a stage began with; none where it was not created yet."""
        sandbox = self._running.get(stage.name)
        return () if sandbox is None else sandbox.began_with

    def end(self, stage: Stage) -> None:
        """Kill the sandbox of a stage, where it runs."""
        sandbox = self._running.get(stage.name)
        if sandbox is not None:
            sandbox.kill()


def take_over(
    sandbox: OciSandbox, judge: Judge, folder: Path, setup: Iterable[Change] = ()
) -> tuple[tuple[Change, ...], frozenset[str]]:
    """Make a layer of what the contract lets an agent leave for the grading.

    Args:
        sandbox: the agent's, frozen.
        judge: of its record.
        folder: of the layer, which does not exist.
        setup: changes that were there before it began; those that it left as they were are in the layer too.

    Returns:
        All its own changes, and the paths of those that are in the layer.
    """
    before = {change.path: change for change in setup}
    changes = diff(sandbox.upper(), sandbox.layers)
    own = tuple(change for change in changes if before.get(change.path) != change)
    carried_over = judge.carried(own)
    taken = carried_over | {change.path for change in changes if before.get(change.path) == change}
    carry_over(sandbox.upper(), sandbox.layers, changes, lambda change: change.path in taken, folder)
    return own, carried_over
