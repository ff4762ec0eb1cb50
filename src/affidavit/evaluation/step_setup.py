"""``steps/NAME/workdir/setup.sh``: what a task runs to make a step's root file system ready.

It runs over the task's own files before the first step begins. No agent's file is there, so that it runs no code of an
agent's and takes nothing of an agent's over.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from affidavit.contracts import SandboxSettings
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.sandbox_capture import Capture
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.stages import Stages
from affidavit.sandbox import RootFilesystem, SandboxError, carry_over, diff
from affidavit.tasks import SETUP, Task

_STAGE = "setup"
_MOST_SAID = 300


@dataclass(frozen=True)
class SetupRun:
    """What came of a step's script.

    Attributes:
        layer: all that it changed.
        stage: the part of a bundle that its record belongs to.
        events: its record.
        captured: how it went.
    """

    layer: Path
    stage: str
    events: Path
    captured: Capture


def run_setup(stages: Stages, task: Task, rootfs: RootFilesystem, settings: SandboxSettings, place: Path) -> SetupRun:
    """Run a step's script in a sandbox like the agent's, without a network and a model.

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
    place.mkdir()
    stage, events, layer = stages.open(_STAGE), place / "events.parquet", place / "layer"
    script = f"{task.environment.workdir.rstrip('/')}/{SETUP}"
    agent = Agent.shell(f"exec bash {shlex.quote(script)}", _STAGE)
    spec = agent_spec(task, rootfs, settings, agent, place, stage.sandbox)
    with stages.run(stage, spec, events) as (captured, sandbox):
        ended = captured.exit
        if ended.code != 0:
            how = f"exited with {ended.code}" if ended.code is not None else "was killed"
            said = " ".join(captured.output.stderr.decode("utf-8", "replace").split())[-_MOST_SAID:]
            raise SandboxError(
                f"{task.path / 'steps' / task.step / 'workdir' / SETUP}: {how}: {said or 'it said nothing'}; it runs "
                "over the task's own files, not over what an agent or a solution left"
            )
        changes = diff(sandbox.upper(), sandbox.layers)
        carry_over(sandbox.upper(), sandbox.layers, changes, lambda _: True, layer)
    return SetupRun(layer, _STAGE, events, captured)
