"""The ``ast`` grader: code compared with a reference, requirements and bans by its structure.

Python, JavaScript, Go, C and Rust, by tree-sitter.
"""

from dataclasses import dataclass

from affidavit.contracts import PathMatcher
from affidavit.grading.confined import Overrun, run_confined
from affidavit.grading.grader import Component, Evidence, FinalFiles, Grade, Material, weighted
from affidavit.grading.reference import ReferenceFault, read_reference
from affidavit.grading.settings import read_settings
from affidavit.grading.syntax.languages import GRAMMARS, language_of
from affidavit.grading.syntax.settings import BanCheck, CodeCheck, SameCheck, Settings
from affidavit.tasks import GraderSpec

_MOST_BYTES = 1 << 20
_MOST_FILES = 2000
_COMPARE = "affidavit.grading.syntax.compare"


@dataclass(frozen=True)
class SyntaxGrader:
    """Grades by the checks of its settings."""

    settings: Settings
    deterministic: bool = True

    def grade(self, material: Material) -> Grade:
        checks = self.settings.checks
        states = [check for check in checks if not isinstance(check, BanCheck)]
        bans = [check for check in checks if isinstance(check, BanCheck)]
        try:
            tasks = [_task(check, material) for check in states]
        except ReferenceFault as fault:
            return Grade(None, error=str(fault))
        written = [_written(ban, material) for ban in bans]
        try:
            told, found = run_confined(f"{_COMPARE}:judge_all", tasks, list(zip(bans, written, strict=True)))
        except Overrun as overrun:
            told, found = [(0.0, f"the code {overrun}")] * len(states), [[f"the code {overrun}"]] * len(bans)
        scores, breaches = iter(told), iter(found)
        components = []
        for number, check in enumerate(checks, 1):
            name = check.name or f"check {number}"
            if isinstance(check, BanCheck):
                breach = next(breaches)
                message = "; ".join(breach[:10]) or f"{check.feature.told} is nowhere"
                components.append(Component(name, float(not breach), message, 0.0))
            else:
                score, message = next(scores)
                components.append(Component(name, score, message, check.weight))
        kept = not any(found)
        right = sum(component.score == 1 for component in components)
        told = f"{right} of {len(components)} checks hold" if kept else "the code has what is banned"
        evidence = Evidence(files=tuple(dict.fromkeys(check.path for check in states)))
        return Grade(weighted(components) if kept else 0.0, told, tuple(components), evidence)


def grader(spec: GraderSpec) -> SyntaxGrader:
    """Raises TaskError for wrong settings."""
    return SyntaxGrader(read_settings(spec, Settings))


def _task(check: CodeCheck, material: Material) -> tuple[CodeCheck, bool, bytes | None, bytes | None, bytes | None]:
    """What `judge` takes. Raises ReferenceFault: the task's own file can't be read."""
    reference = before = None
    if isinstance(check, SameCheck):
        reference = read_reference(material, check.reference)
        before = _content(material.work.before, check.path)
    counts = check.path in material.work.rewritten or check.may_be_unchanged
    return check, counts, _content(material.work.files, check.path) if counts else None, reference, before


def _written(check: BanCheck, material: Material) -> list[tuple[str, bytes | None]]:
    """Path and content of the files that a ban is about; None for what is too large."""
    paths = sorted(
        change.path
        for change in material.work.changes
        if change.type in ("file", "symlink")
        and change.kind != "deleted"
        and change.path in material.work.rewritten
        and language_of(change.path) == check.language
        # A link to what is code by its own name leads to what is looked at itself, or was there before.
        and not (change.type == "symlink" and language_of(change.target or "") == check.language)
    )
    mask = PathMatcher(check.paths).mask(paths)
    chosen = [path for path, hit in zip(paths, mask, strict=True) if hit]
    # A file too many is one that can't be looked at, which breaks the ban.
    return [
        (path, _content(material.work.files, path) if number < _MOST_FILES else None)
        for number, path in enumerate(chosen)
    ]


def _content(files: FinalFiles, path: str) -> bytes | None:
    try:
        return files.read(path, _MOST_BYTES)
    except OSError:
        return None


__all__ = ["GRAMMARS", "SyntaxGrader", "grader"]
