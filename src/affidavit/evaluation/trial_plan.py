"""What one trial rests on, as values: made before the run begins, the same for whoever runs the trial."""

from dataclasses import dataclass, field
from pathlib import Path

from affidavit.contracts import Contract
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.run_policy import Terms
from affidavit.gateway import GatewaySettings
from affidavit.runs import PlannedTrial
from affidavit.sandbox import RootFilesystem
from affidavit.tasks import Task


@dataclass(frozen=True)
class Backends:
    """Runtime and recorder of a run, by name.

    Attributes:
        runtime, recorder: their names.
        runtime_detail: the runtime's version.
        why: this recorder, in a clause.
    """

    runtime: str
    recorder: str
    runtime_detail: str = ""
    why: str = ""


@dataclass(frozen=True)
class PlanIdentity:
    """Which signed plan a run follows: its digest, and the nonce in it."""

    digest: str
    nonce: str


@dataclass(frozen=True)
class RunSettings:
    """What all trials of a run share.

    Attributes:
        run_id: of the run.
        folder: of the run; each trial has a folder of its own in it.
        backends: what sandboxes are made and recorded with.
        plan: that the run follows.
        terms: what profile, suite and command line say.
        model: what the agents' gateway is told; None: they have no model.
        filling: the tests have the web, to fill the verifier caches, and the hosts that they may reach though these are
            private; None: they have what the caches hold.
    """

    run_id: str
    folder: Path
    backends: Backends
    plan: PlanIdentity
    terms: Terms = field(default_factory=Terms)
    model: GatewaySettings | None = None
    filling: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TrialPlan:
    """All that one trial needs beside the machine that it runs on. It holds no live object.

    Attributes:
        run: what the trial shares with the others.
        trial: which of the plan it is.
        task, agent, contract: what is tried.
        rootfs: as the agent finds it.
        grading_rootfs: of a verifier that has one of its own; None: it has the agent's.
    """

    run: RunSettings
    trial: PlannedTrial
    task: Task
    agent: Agent
    contract: Contract
    rootfs: RootFilesystem
    grading_rootfs: RootFilesystem | None = None

    @property
    def folder(self) -> Path:
        """The trial's, in the run's."""
        return self.run.folder / self.trial.place

    @property
    def tests_rootfs(self) -> RootFilesystem:
        """The root file system that the tests run in."""
        return self.rootfs if self.grading_rootfs is None else self.grading_rootfs
