"""Finding out whether a task's hidden tests can run in another sandbox than the solution, once for each task."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from affidavit.grading import HARNESS, LAUNCHER, TESTS, VERIFIER_LOGS, Separation, VerifierPlan, harness_digest
from affidavit.signing import write_whole
from affidavit.tasks import Task

_logger = logging.getLogger(__name__)

_TEMPORARY = ("/tmp", "/var/tmp")


def find_separation(
    task: Task, plan: VerifierPlan, where: str, state: Path, attempt: Callable[[], Separation]
) -> Separation:
    """Whether the tests run apart from the solution.

    Args:
        task: the one whose tests run.
        plan: how they are run.
        where: what else decides: digests of the root file system and the contract, the runtime.
        state: the state folder, where what was found is kept.
        attempt: runs the task's own solution so.

    Raises:
        EvidenceError, OSError: what was found can't be kept; and what `attempt` raises.
    """
    if why := _why_not(task, plan):
        return Separation(False, why)
    solved = (task.solution.folder / "solve.sh").is_file()
    if plan.settings.separate:
        tried = _kept(task, where, state, attempt) if solved else None
        if tried is None:
            return Separation(True, "task.toml says so")
        return Separation(True, "task.toml says so", tried.words, tried.ways)
    if not solved:
        return Separation(False, "the task has no solution to try it with")
    return _kept(task, where, state, attempt)


def _why_not(task: Task, plan: VerifierPlan) -> str | None:
    settings, workdir = plan.settings, task.environment.workdir.rstrip("/")
    if settings.separate is False:
        return "task.toml says so"
    if not LAUNCHER.is_file():
        return "the program that stands for the solution's is not built (make setup)"
    if not plan.separable:
        return f"tests of the framework {settings.framework} are built into one program with the solution"
    if task.tests.writable:
        return "the verifier may write to the tests"
    if any(f"{folder}/".startswith(f"{workdir}/") for folder in (TESTS, HARNESS, VERIFIER_LOGS)):
        return f"the working directory {task.environment.workdir} holds what the tests are given"
    if any(f"{workdir}/".startswith(f"{folder}/") for folder in _TEMPORARY):
        return f"the working directory {task.environment.workdir} is a temporary one"
    return None


def _kept(task: Task, where: str, state: Path, attempt: Callable[[], Separation]) -> Separation:
    key = hashlib.sha256(json.dumps([task.digest, where, harness_digest()]).encode()).hexdigest()
    path = state / "separation" / f"{key}.json"
    try:
        return Separation.from_json(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        found = attempt()
        apart = "run apart from the solution" if found.separate else "do not run apart from the solution"
        _logger.info("%s: its tests %s: %s", task.id, apart, found.why)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(found.to_json()).encode())
    return found
