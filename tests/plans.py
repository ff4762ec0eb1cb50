"""Small plans for tests."""

import hashlib
from typing import Any

from affidavit.runs import PlannedAgent, PlannedJob, PlannedTask, RunPlan, Versioned


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def make_plan(signer: str, *, tasks: tuple[str, ...] = ("a", "b"), trials: int = 2, **changed: Any) -> RunPlan:
    agent = PlannedAgent.of("cmd", "echo 42 >answer", False)
    contract = Versioned(id="tiny", version="1.0.0", digest=digest_of("contract"))
    said: dict[str, Any] = {
        "made": "2026-11-27T08:00:00Z",
        "affidavit": "0.1.0",
        "signer": signer,
        "runtime": "auto",
        "recorder": "auto",
        "tasks": [PlannedTask(id=name, digest=digest_of(name), contract=contract, passing_score=1) for name in tasks],
        "agents": {agent.digest: agent},
        "jobs": [PlannedJob(task=name, agent=agent.digest) for name in tasks],
        "trials": trials,
        "seed": 7,
        "nonce": "0" * 64,
    }
    return RunPlan(**{**said, **changed})
