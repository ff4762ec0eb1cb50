"""The ``state_diff`` grader: assertions over the final state, and over the change itself.

Checks of the state score; checks of the change are bounds, and where one is broken the score is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.grading.confined import Overrun, run_confined
from affidavit.grading.grader import Component, Evidence, FinalFiles, Grade, Material, weighted
from affidavit.grading.reference import ReferenceFault, read_reference
from affidavit.grading.settings import read_settings
from affidavit.grading.state_diff.changes import broken_by_paths, looked_at
from affidavit.grading.state_diff.compare import Found
from affidavit.grading.state_diff.settings import ChangeCheck, FileCheck, Settings, SqliteCheck, StateCheck
from affidavit.sandbox import Change
from affidavit.tasks import GraderSpec

_MOST_BYTES = 16 << 20
_MOST_COMPARED = 64 << 20
_BESIDE = ("-wal", "-journal")


@dataclass(frozen=True)
class StateDiffGrader:
    """Grades by the checks of its settings."""

    settings: Settings
    deterministic: bool = True

    def grade(self, material: Material) -> Grade:
        checks = self.settings.checks
        states = [check for check in checks if not isinstance(check, ChangeCheck)]
        try:
            tasks = [(check, _found(check, material)) for check in states]
        except ReferenceFault as error:
            return Grade(None, error=str(error))
        told = iter(_confined("compare:judge_all", [tasks], [(0.0, "the files {}")] * len(states)))
        components, bounds = [], []
        for number, check in enumerate(checks, 1):
            name = check.name or f"check {number}"
            if isinstance(check, ChangeCheck):
                broken = _broken(check, material)
                message = "; ".join(broken) or "the change keeps to its bounds"
                bounds.append(Component(name, float(not broken), message, 0.0))
                components.append(bounds[-1])
            else:
                score, message = next(told)
                components.append(Component(name, score, message, check.weight))
        kept = all(bound.score for bound in bounds)
        right = sum(component.score == 1 for component in components)
        message = f"{right} of {len(components)} checks hold" if kept else "the change goes beyond its bounds"
        files = tuple(dict.fromkeys(check.path for check in states))
        return Grade(weighted(components) if kept else 0.0, message, tuple(components), Evidence(files=files))


def grader(spec: GraderSpec) -> StateDiffGrader:
    """Raises TaskError for wrong settings."""
    return StateDiffGrader(read_settings(spec, Settings))


def _confined(function: str, arguments: Sequence[Any], failed: list[Any]) -> list[Any]:
    """What a function of this package says of hostile bytes; `failed`, with the reason filled in, where it is too much
    for it."""
    try:
        answer: list[Any] = run_confined(f"affidavit.grading.state_diff.{function}", *arguments)
        return answer
    except Overrun as overrun:
        return [(score, message.format(overrun)) for score, message in failed]


def _found(check: StateCheck, material: Material) -> Found:
    """What stands under the path of a check.

    Raises:
        ReferenceFault: the task's own file can't be read.
    """
    name = getattr(check, "equals_file", None)
    reference = None if name is None else read_reference(material, name)
    paths = [check.path]
    if isinstance(check, SqliteCheck):
        # A journal holds nothing that counts.
        paths.append(f"{check.path}-wal")
    # What only became another mode or owner is the same to a check of anything else.
    asks_mode = isinstance(check, FileCheck) and (check.mode is not None or check.executable is not None)
    changed = not (material.work.carried if asks_mode else material.work.rewritten).isdisjoint(paths)
    facts = _facts(material.work.files, check.path)
    if facts is None:
        return Found(None, changed=changed, reference=reference)
    reads = not isinstance(check, FileCheck) or check.reads
    content = material.bytes(check.path, _MOST_BYTES) if reads and facts.type == "file" else None
    beside = {}
    for end in _BESIDE if isinstance(check, SqliteCheck) else ():
        beside[end] = material.bytes(f"{check.path}{end}", _MOST_BYTES)
        if beside[end] is None and _facts(material.work.files, f"{check.path}{end}") is not None:
            # Without what stands beside it, a database is another one.
            content = None
    return Found(
        type=facts.type,
        mode=facts.mode,
        size=facts.size,
        target=facts.target,
        content=content,
        beside=beside,
        changed=changed,
        reference=reference,
    )


def _facts(files: FinalFiles, path: str) -> Any:
    try:
        return files.stat(path)
    except OSError:
        return None


def _broken(check: ChangeCheck, material: Material) -> list[str]:
    """What the change breaks of a check, a sentence each."""
    changes = looked_at(check, material.work.changes)
    broken = broken_by_paths(check, changes)
    if not check.compares or not changes:
        return broken
    versions, size = [], 0
    for change in changes:
        if change.type == "directory" or change.kind == "metadata":
            continue
        pair = _versions(change, material)
        size += 0 if pair is None else len(pair[0]) + len(pair[1])
        if pair is None or size > _MOST_COMPARED:
            return [*broken, f"{change.path} is too large to be compared, line by line, with what it was"]
        versions.append((change.path, *pair))
    lines = _confined("changes:broken_by_lines", [check, versions], [(0.0, "the change {}")])
    return [*broken, *(line if isinstance(line, str) else line[1] for line in lines)]


def _versions(change: Change, material: Material) -> tuple[bytes, bytes] | None:
    """Content before and after, empty where there is no file; None where one is too large."""
    before, after = _content(material.work.before, change.path), _content(material.work.files, change.path)
    return None if before is None or after is None else (before, after)


def _content(files: FinalFiles, path: str) -> bytes | None:
    facts = _facts(files, path)
    if facts is None or facts.type != "file":
        return b""
    try:
        return files.read(path, _MOST_BYTES)
    except OSError:
        return None
