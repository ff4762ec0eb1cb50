"""``steps/NAME/workdir/setup.sh``: what a task runs in the sandbox before a step begins."""

import shlex
from pathlib import Path

from affidavit.contracts import SandboxSettings
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.stages import Stages
from affidavit.sandbox import OciSandbox, RootFilesystem, SandboxError, SandboxSpec, carry_over, diff
from affidavit.tasks import SETUP, Task

STAGE = "setup"
"""The part of a bundle that has its record."""

_MOST_SAID = 300


def setup_spec(
    task: Task, rootfs: RootFilesystem, settings: SandboxSettings, place: Path, name: str, top: tuple[Path, ...] = ()
) -> SandboxSpec:
    """The sandbox that a step's script runs in: the agent's, without a network and a model.

    Args:
        task: as the step has it.
        rootfs, settings: as the agent has them.
        place: a private folder, which does not exist.
        name: the sandbox's.
        top: layers over all others, topmost first.

    Raises:
        OSError: the folder can't be written.
    """
    place.mkdir()
    script = f"{task.environment.workdir.rstrip('/')}/{SETUP}"
    agent = Agent.shell(f"exec bash {shlex.quote(script)}", STAGE)
    return agent_spec(task, rootfs, settings, agent, place, name, top=top)


def take_setup(task: Task, captured: Capture, sandbox: OciSandbox, folder: Path) -> Path:
    """Make a layer of all that a step's script changed.

    Args:
        task: as the step has it.
        captured, sandbox: of the script's run.
        folder: of the layer, which does not exist.

    Raises:
        SandboxError: the script failed.
    """
    if captured.exit.code != 0:
        ended = captured.exit
        how = f"exited with {ended.code}" if ended.code is not None else "was killed"
        said = " ".join(captured.output.stderr.decode("utf-8", "replace").split())[-_MOST_SAID:]
        raise SandboxError(f"{task.path / 'steps' / task.step / 'workdir' / SETUP}: {how}: {said or 'it said nothing'}")
    changes = diff(sandbox.upper(), sandbox.layers)
    carry_over(sandbox.upper(), sandbox.layers, changes, lambda _: True, folder)
    return folder


def run_setup(stages: Stages, task: Task, rootfs: RootFilesystem, settings: SandboxSettings, place: Path) -> Path:
    """Run a step's script where no agent is going to work; a layer of what it changed.

    Args:
        stages: of the trial.
        task: as the step has it.
        rootfs: what it runs over.
        settings: as the agent has them.
        place: a private folder, which does not exist.

    Raises:
        SandboxError, RecorderError, TraceError, OSError: the script failed, or the machinery did.
        Interrupted: the run is being stopped.
    """
    stage = stages.open(STAGE)
    spec = setup_spec(task, rootfs, settings, place, stage.sandbox)
    with stages.run(stage, spec, place / "events.parquet") as (captured, sandbox):
        return take_setup(task, captured, sandbox, place / "layer")
