"""Whether an agent works on this machine: a small task, with a scripted model."""

import json
from pathlib import Path

from affidavit.agents import AgentDefinition
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.result import TrialResult
from affidavit.evaluation.run import Progress, run_suite
from affidavit.evaluation.run_options import AccessOptions, RunOptions
from affidavit.gateway import GatewaySettings

_MODEL = {"openai": "gpt-5", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
_INSTRUCTION = "Write the word hello into the file hello.txt in the working directory.\n"
_TASK = """version = "1.0"
[agent]
timeout_sec = 300.0
[verifier]
timeout_sec = 60.0
[environment]
memory_mb = 2048
storage_mb = 512
[affidavit]
rootfs = "host"
"""
_TEST = """#!/bin/bash
[ "$(cat /workspace/hello.txt)" = hello ] && reward=1 || reward=0
echo $reward >/logs/verifier/reward.txt
"""
_CONTRACT = {
    "schema": "affidavit.contract/v1",
    "id": "agent-check",
    "version": "1.0.0",
    "extends": ["affidavit:base"],
    "files": {"read": ["/**"], "write": ["/workspace/**", "/tmp/**"], "deny": ["/tests/**", "/solution/**"]},
    "limits": {"wall_ms": 300_000},
}


def check_agent(
    agent: AgentDefinition, place: Path, out: Path, runtime: str, recorder: str, progress: Progress
) -> TrialResult:
    """Install an agent, and have it write a file as a scripted model says.

    Args:
        agent: with a script of its own.
        place: a folder for the task.
        out: gets the run.
        runtime, recorder: names, or ``auto``.
        progress: receives the progress.

    Raises:
        RunError: it can't be installed or run, or has no script.
    """
    if not agent.check:
        raise RunError(f"{agent.name}: has no [[check]], so what it would do with a scripted model is not known")
    task = place / "hello"
    for name, text in {
        "task.toml": _TASK,
        "instruction.md": _INSTRUCTION,
        "tests/test.sh": _TEST,
        "contract.yaml": json.dumps(_CONTRACT),
    }.items():
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).write_text(text)
    settings = GatewaySettings("script", (_MODEL[agent.dialect],), script=agent.script())
    options = RunOptions(runtime, recorder, 1, 1, out, access=AccessOptions(model=settings))
    return run_suite(task, Agent.defined(agent), options, progress).trials[0]
