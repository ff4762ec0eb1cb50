"""Running the hidden tests in the second sandbox, and the control at the same time."""

import base64
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from affidavit.evaluation.specs import Verifier, copy_readable
from affidavit.grading import (
    RUN_HERE,
    VERIFIER_LOGS,
    ResultsError,
    RewardError,
    RunPlan,
    read_left,
    read_lines,
    read_reward,
)
from affidavit.sandbox import Limits, OciSandbox
from affidavit.tasks import Task
from affidavit.trace import Capture

_Item = TypeVar("_Item")

# Makes everything ready for the verifier of a stage, and gives what runs it; its frozen remains are there inside of the
# ``with``.
ReadyVerifier = Callable[[str, Verifier], Callable[[], AbstractContextManager[tuple[Capture, OciSandbox]]]]


def run_tests(task: Task, plan: RunPlan, place: Path, submission: str, ready: ReadyVerifier) -> dict[str, Any]:
    """Run the hidden tests, and the control at the same time.

    What the agent brought must not know which of the two it runs under: not by the clock, for they begin together in an
    order that nobody can foretell; not by a name, a time or a number that the one shows and the other does not.

    Args:
        task: whose tests.
        plan: how they are run.
        place: a private folder.
        submission: a digest of what the agent brought; the same gets the same control.
        ready: makes the stages ``grader`` and ``control`` ready to run.

    Returns:
        ``verifier`` of ``grade.json``, see :func:`affidavit.grading.grade_run`.

    Raises:
        SandboxError, RecorderError, TraceError, EvidenceError, OSError: the machinery failed.
    """
    sources = {"grader": task.tests_dir}
    seed = hashlib.sha256(f"{task.digest} {submission}".encode()).digest()
    turned = None
    if task.control:
        sources["control"] = place / "turned"
        copy_readable(task.tests_dir, sources["control"])
        turned = plan.turn(sources["control"], seed)
        if not turned:
            del sources["control"]
    verifiers: dict[str, Verifier] = {}
    for stage, source in shuffled(sources.items()):
        # The names of these folders are seen in the sandbox (/proc/self/mountinfo), and when they were made.
        folder = place / secrets.token_hex(8)
        copy_readable(source, folder / "tests")
        verifiers[stage] = Verifier(folder / "tests", plan.argv, plan.write_harness(place / secrets.token_hex(8)))
    for _, verifier in shuffled(verifiers.items()):
        for made in filter(None, (verifier.tests, verifier.harness)):
            same_times(made)

    # Both, before either begins: what takes time here would make one of them the second.
    run = {stage: ready(stage, verifier) for stage, verifier in verifiers.items()}

    def verify(stage: str) -> dict[str, Any]:
        with run[stage]() as (captured, sandbox):
            return {**left(plan, captured, sandbox.scratch(VERIFIER_LOGS)), "exit": asdict(captured.exit)}

    with ThreadPoolExecutor(len(run)) as pool:
        runs = {stage: pool.submit(verify, stage) for stage in shuffled(run)}
    control = {**runs["control"].result(), **turned} if turned else None
    settings = plan.settings
    planned = {"framework": settings.framework, "credit": settings.credit, "expected": list(plan.expected)}
    return {**planned, **runs["grader"].result(), "control": control}


def left(plan: RunPlan, captured: Capture, logs: Path) -> dict[str, Any]:
    """What a verifier left: a reward, a report, or what the harness told."""
    nothing: dict[str, Any] = {"reward": None, "report": None, "tests": None, "forged": 0, "error": None}
    try:
        if plan.settings.framework == "reward":
            reward = read_reward(logs)
            return {**nothing, "reward": {"file": reward.file, "raw": base64.b64encode(reward.raw).decode()}}
        if plan.settings.framework in RUN_HERE:
            whole = len(captured.output.stdout) < Limits.output_bytes
            lines, forged = read_lines(captured.output.stdout, whole=whole)
            return {**nothing, "tests": lines, "forged": forged}
        raw = read_left(logs, plan.settings.report_file)
        if raw is None:
            raise ResultsError(f"tests/test.sh left no {VERIFIER_LOGS}/{plan.settings.report_file}")
        return {**nothing, "report": {"file": plan.settings.report_file, "raw": base64.b64encode(raw).decode()}}
    except (RewardError, ResultsError) as error:
        return {**nothing, "error": str(error)}


def shuffled(items: Iterable[_Item]) -> list[_Item]:
    """The items in an order that can't be foretold."""
    return sorted(items, key=lambda _: secrets.token_bytes(16))


def same_times(folder: Path) -> None:
    """Give everything in a folder the same times, which then tell nothing of what was written later."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (0, 0), follow_symlinks=False)
