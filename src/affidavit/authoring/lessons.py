"""Recorded runs, read from their bundles and checked before anything is learned from them."""

import posixpath
from collections.abc import Iterable
from pathlib import Path

from affidavit.authoring.errors import LearningError
from affidavit.authoring.learning import Lesson
from affidavit.evidence import (
    BundleReader,
    EvidenceError,
    read_environment,
    read_network,
    read_task,
)
from affidavit.trace import TraceError
from affidavit.verification import given_to, read_agent_record, verify

_STATEMENT = "statement.dsse.json"
_MOST_RUNS = 200


def read_lessons(paths: Iterable[Path], key: Path | None = None) -> tuple[str, list[Lesson]]:
    """The runs in bundles, or in folders of runs.

    Args:
        paths: bundles, or folders that hold bundles at any depth.
        key: the public key that must have signed; the user's own where None.

    Returns:
        The task's name, and the runs.

    Raises:
        LearningError: there is none; one can't be verified, did not pass, or is of another task or profile than the
            rest.
    """
    bundles = list(dict.fromkeys(bundle for path in paths for bundle in _bundles(path)))
    if len(bundles) > _MOST_RUNS:
        raise LearningError(f"{len(bundles)} runs are more than the {_MOST_RUNS} that can be learned from at once")
    lessons = []
    tasks: dict[str, Path] = {}
    profiles: dict[str, Path] = {}
    for bundle in bundles:
        try:
            lesson, task = _lesson(bundle, key)
        except (EvidenceError, TraceError, KeyError, TypeError, ValueError) as error:
            raise LearningError(f"{bundle}: can't be read: {' '.join(str(error).split())}") from error
        lessons.append(lesson)
        tasks.setdefault(task, bundle)
        profiles.setdefault(lesson.profile, bundle)
    if len(tasks) > 1:
        (one, place), (other, other_place), *_ = tasks.items()
        raise LearningError(
            f"{place} is of the task {one}, {other_place} of {other}: learn from runs of one task at a time"
        )
    if len(profiles) > 1:
        (one, place), (other, other_place) = profiles.items()
        raise LearningError(
            f"{place} ran in the profile {one}, {other_place} in {other}: learn from runs of one profile at a time"
        )
    return next(iter(tasks)), lessons


def _bundles(path: Path) -> list[Path]:
    if not path.is_dir():
        raise LearningError(f"{path}: no such folder; give a bundle, or the folder of a run")
    if (path / _STATEMENT).is_file():
        return [path]
    found = sorted(statement.parent for statement in path.rglob(_STATEMENT) if statement.is_file())
    if not found:
        raise LearningError(f"{path}: holds no bundle")
    return found


def _lesson(bundle: Path, key: Path | None) -> tuple[Lesson, str]:
    verification = verify(bundle, key)
    if wrong := next((check for check in verification.checks if not check.ok), None):
        raise LearningError(f"{bundle}: can't be verified: {wrong.name}: {wrong.detail}")
    with BundleReader(bundle) as reader:
        verdict = reader.verdict["verdict"]
        if verdict != "pass":
            raise LearningError(f"{bundle}: its verdict is {verdict}; learn from runs that passed")
        if reader.verdict["violations"]:
            rule = reader.verdict["violations"][0]["rule"]
            raise LearningError(f"{bundle}: broke its contract in mode audit ({rule}); learn from honest runs only")
        task = read_task(reader)
        environment = read_environment(reader)
        record, network = read_agent_record(reader), read_network(reader)
        connections = () if network is None else network.connections
        lesson = Lesson(
            name=posixpath.join(*bundle.absolute().parts[-4:]),
            workdir=task.workdir,
            timeout_s=task.agent_timeout_s,
            # Of commands of the harness, health checks say, nothing is to be learned.
            events=record.events(),
            given=given_to(environment.agent),
            counts=record.counts,
            diff=record.changes,
            duration_ms=record.exit.duration_ms,
            profile=task.profile,
            reachable=() if network is None else network.endpoints,
            reached=tuple(f"{one.name}:{one.port}" for one in connections if one.outcome == "passed"),
        )
        return lesson, task.id
