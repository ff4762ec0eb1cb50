"""Inspect tasks over the tiny task "write 42 into the file answer", whose folder is in $TINY."""

import os

from inspect_ai import Task, task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.hooks import Hooks
from inspect_ai.scorer import Score, Scorer, Target, mean, score, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import bash
from inspect_ai.util import SandboxEnvironmentSpec, sandbox

from affidavit.integrations.inspect import AffidavitConfig

TINY = os.environ["TINY"]
SANDBOX = ("affidavit", TINY)
SAMPLE = Sample(input="Write 42 into the file answer.", files={"given/deep/file": "given"}, setup="echo set up >ready")


@scorer(metrics=[mean()])
def outcome() -> Scorer:
    """Whether the answer is right; along the way, whether the sandbox is as scorers expect it."""

    async def scored(state: TaskState, target: Target) -> Score:
        running = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 99[9]'"
        seen = await sandbox().exec(["sh", "-c", f"cat answer; {running}; echo 42 >answer"])
        assert seen.stdout.endswith("0\n"), seen
        for path, kind in (("none", FileNotFoundError), ("given", IsADirectoryError)):
            try:
                await sandbox().read_file(path)
            except kind:
                continue
            raise AssertionError(path)
        await sandbox().write_file("made/by/the/scorer", "x")
        assert await sandbox().read_file("made/by/the/scorer") == "x"
        return Score(value=float(seen.stdout.startswith("42\n")))

    return scored


@task
def tiny() -> Task:
    """As harnesses usually have it."""
    return Task(dataset=[SAMPLE], solver=react(tools=[bash(timeout=30)]), scorer=outcome(), sandbox=SANDBOX)


@task
def asking() -> Task:
    """With a model for what runs in the sandbox."""
    sandbox = SandboxEnvironmentSpec("affidavit", AffidavitConfig(task=TINY, models=("model-1",)))
    return Task(dataset=[SAMPLE], solver=react(tools=[bash(timeout=60)]), scorer=outcome(), sandbox=sandbox)


@solver
def scores_itself() -> Solver:
    """Runs the scorer before the agent's work is over."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        await sandbox().exec(["sh", "-c", "echo 42 >answer"])
        state.scores = {"early": (await score(state))[0]}
        return state

    return solve


@task
def early() -> Task:
    """A solver that scores."""
    return Task(dataset=[SAMPLE], solver=scores_itself(), scorer=outcome(), sandbox=SANDBOX)


@task
def unhooked() -> Task:
    """Affidavit's hook is there and is not asked."""
    from affidavit.integrations.inspect import AffidavitHooks

    AffidavitHooks.on_sample_scoring = Hooks.on_sample_scoring
    return tiny()


@task
def without_hooks() -> Task:
    """Affidavit's hooks are switched off."""
    from affidavit.integrations.inspect import AffidavitHooks

    AffidavitHooks.enabled = lambda self: False
    return tiny()
