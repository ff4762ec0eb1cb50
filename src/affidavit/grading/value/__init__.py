"""The ``value`` grader: an answer compared with the right one.

Numbers with a tolerance and units, texts, lists, sets, JSON and dates. What is no such thing scores 0.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.grading.confined import Overrun, run_confined
from affidavit.grading.grader import Component, Evidence, Grade, Material, weighted
from affidavit.grading.reference import ReferenceFault, read_reference
from affidavit.grading.settings import read_settings
from affidavit.grading.value.settings import Check, CollectionCheck, JsonCheck, Settings
from affidavit.tasks import GraderSpec

_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class ValueGrader:
    """Grades by the checks of its settings."""

    settings: Settings
    deterministic: bool = True

    def grade(self, material: Material) -> Grade:
        checks = self.settings.checks
        try:
            whole = [_with_expected(check, material) for check in checks]
        except ReferenceFault as error:
            return Grade(None, error=str(error))
        answers = [material.bytes(check.answer, _MOST_BYTES) for check in checks]
        try:
            told: Sequence[tuple[float, str]] = run_confined(
                "affidavit.grading.value.compare:judge_all", list(zip(whole, answers, strict=True))
            )
        except Overrun as overrun:
            told = [(0.0, f"the answers {overrun}")] * len(checks)
        components = tuple(
            Component(check.name or f"check {number}", score, message, check.weight)
            for number, (check, (score, message)) in enumerate(zip(checks, told, strict=True), 1)
        )
        right = sum(component.score == 1 for component in components)
        files = tuple(dict.fromkeys(check.answer for check in checks if check.answer != "stdout"))
        return Grade(
            weighted(components), f"{right} of {len(components)} answers are right", components, Evidence(files=files)
        )


def grader(spec: GraderSpec) -> ValueGrader:
    """Raises TaskError for wrong settings."""
    return ValueGrader(read_settings(spec, Settings))


def _with_expected(check: Check, material: Material) -> Check:
    """The check with what its ``expected_file`` holds.

    Raises:
        ReferenceFault: the file can't be read, or holds something else.
    """
    if not isinstance(check, CollectionCheck | JsonCheck) or check.expected_file is None:
        return check
    raw = read_reference(material, check.expected_file)
    try:
        expected: Any = json.loads(raw)
        if isinstance(check, CollectionCheck):
            check.check_expected(expected)
            expected = tuple(expected)
        elif isinstance(expected, dict | list | str) and not expected:
            raise ValueError("what is expected is empty, so that an empty answer would be right")
    except (ValueError, RecursionError) as error:
        raise ReferenceFault(f"tests/{check.expected_file}: {error}") from None
    return check.model_copy(update={"expected": expected, "expected_file": None})
