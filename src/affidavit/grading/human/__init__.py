"""The ``human`` grader: one dimension of an answer, judged by people, blind to whose answer it is.

In a trial it has no opinion: the others decide, and what a person is to see goes into the bundle. ``affidavit grade
human`` takes it from there into a queue, and tells afterwards what the score comes to with what they said.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from affidavit.grading.grader import Evidence, Grade, Material
from affidavit.grading.human.agreement import Agreement, cohen_kappa, krippendorff_alpha, rater_agreement
from affidavit.grading.human.queue import Item, Queue, QueueError, Score, items_of, with_humans
from affidavit.grading.human.settings import Settings
from affidavit.grading.settings import read_settings
from affidavit.tasks import GraderSpec

_MOST_BYTES = 256 << 10


@dataclass(frozen=True)
class HumanGrader:
    """Puts what a person is to see into the evidence."""

    settings: Settings
    deterministic: bool = False

    def grade(self, material: Material) -> Grade:
        settings = self.settings
        files = tuple(path for path in settings.answers if path != "stdout")
        answers: list[dict[str, Any]] = []
        for path in settings.answers:
            raw = material.bytes(path, _MOST_BYTES)
            if raw is not None and raw.strip():
                text = raw.decode("utf-8-sig", "replace")
                answers.append({"name": path, "sha256": hashlib.sha256(raw).hexdigest(), "text": text})
        if not answers:
            return Grade(0.0, "there is no answer of a size that can be judged", evidence=Evidence(files=files))
        details = {
            "dimension": settings.dimension,
            "rubric": [[score, words] for score, words in settings.rubric.anchors()],
            "raters": settings.raters,
            "answers": answers,
        }
        waits = "it waits for a person: affidavit grade human add"
        return Grade(None, abstained=waits, evidence=Evidence(files=files, details=details))


def grader(spec: GraderSpec) -> HumanGrader:
    """Raises TaskError for wrong settings."""
    return HumanGrader(read_settings(spec, Settings))


__all__ = [
    "Agreement",
    "HumanGrader",
    "Item",
    "Queue",
    "QueueError",
    "Score",
    "cohen_kappa",
    "grader",
    "items_of",
    "krippendorff_alpha",
    "rater_agreement",
    "with_humans",
]
