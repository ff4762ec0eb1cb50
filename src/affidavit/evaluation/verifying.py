"""Running the hidden tests in the second sandbox, and the control at the same time."""

import base64
import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from affidavit.evaluation.specs import copy_readable
from affidavit.grading import VERIFIER_LOGS, RewardError, read_reward, turn_tests
from affidavit.sandbox import OciSandbox
from affidavit.tasks import Task
from affidavit.trace import Capture

_Item = TypeVar("_Item")

# Runs the verifier of a stage over a copy of the tests; its frozen remains are there inside the ``with``.
RunVerifier = Callable[[str, Path], AbstractContextManager[tuple[Capture, OciSandbox]]]


def run_tests(task: Task, place: Path, run: RunVerifier) -> dict[str, Any]:
    """Run the hidden tests, and the control at the same time.

    What the agent brought must not know which of the two it runs under, not even by the clock: they begin together,
    in an order that nobody can foretell.

    Args:
        task: whose tests.
        place: a private folder.
        run: runs the stages ``grader`` and ``control``.

    Returns:
        ``verifier`` of ``grade.json``, see :func:`affidavit.grading.grade_run`.

    Raises:
        SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
    """
    tests, turned_tests = place / "tests", place / "tests-turned"
    for folder in shuffled((tests, turned_tests)):
        copy_readable(task.tests_dir, folder)
    turned = turn_tests(turned_tests) if task.control else 0
    stages = {"grader": tests, **({"control": turned_tests} if turned else {})}
    for folder in stages.values():
        same_times(folder)

    def verify(stage: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        with run(stage, folder) as (captured, sandbox):
            return reward_json(sandbox.scratch(VERIFIER_LOGS)), asdict(captured.exit)

    with ThreadPoolExecutor(len(stages)) as pool:
        runs = {stage: pool.submit(verify, stage, folder) for stage, folder in shuffled(stages.items())}
    reward, exit_facts = runs["grader"].result()
    control = {**runs["control"].result()[0], "turned": turned} if turned else None
    return {**reward, "exit": exit_facts, "control": control}


def shuffled(items: Iterable[_Item]) -> list[_Item]:
    """The items in an order that can't be foretold."""
    return sorted(items, key=lambda _: secrets.token_bytes(16))


def same_times(folder: Path) -> None:
    """Give everything in a folder the same times, which then tell nothing of what was written later."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (0, 0), follow_symlinks=False)


def reward_json(logs: Path) -> dict[str, Any]:
    """The reward in a verifier's logs as it stands in ``grade.json``."""
    try:
        reward = read_reward(logs)
    except RewardError as error:
        return {"reward": None, "error": str(error)}
    return {"reward": {"file": reward.file, "raw": base64.b64encode(reward.raw).decode()}, "error": None}
