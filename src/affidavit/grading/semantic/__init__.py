"""The ``semantic`` grader: whether free text says what it should, by an embedding model on this machine.

It needs ``affidavit[semantic]``. The same machine gives the same score; another kind of processor may round otherwise,
so that ``verify`` does not grade again, and a grader that needs no model has to stand beside it.
"""

from dataclasses import dataclass

from affidavit.grading.grader import Component, Evidence, Grade, Material, weighted
from affidavit.grading.reference import ReferenceFault, read_reference
from affidavit.grading.semantic.embedding import MODEL, MODEL_SHA256, missing
from affidavit.grading.semantic.meaning import MOST_SENTENCES, compare, sentences
from affidavit.grading.semantic.settings import Settings
from affidavit.grading.semantic.wordpiece import words
from affidavit.grading.settings import read_settings
from affidavit.tasks import GraderSpec

_MOST_BYTES = 64 << 10
_ROOM = 40  # words that any answer may have beyond what is expected


@dataclass(frozen=True)
class SemanticGrader:
    """Grades by its settings."""

    settings: Settings
    deterministic: bool = False

    def grade(self, material: Material) -> Grade:
        settings = self.settings
        try:
            expected = settings.expected or read_reference(material, settings.expected_file or "").decode()
        except (ReferenceFault, UnicodeDecodeError) as error:
            return Grade(None, error=f"{settings.expected_file}: {error}")
        reference = sentences(expected)
        if not reference:
            return Grade(None, error=f"tests/{settings.expected_file}: holds no sentence")
        files = () if settings.answer == "stdout" else (settings.answer,)
        text = material.text(settings.answer, _MOST_BYTES)
        if text is None or not text.strip():
            return Grade(0.0, f"{settings.answer} is not there, or is too long", evidence=Evidence(files=files))
        most = settings.max_ratio * _length(expected) + _ROOM
        answer, length = sentences(text), _length(text)
        if length > most or len(answer) > MOST_SENTENCES:
            message = f"{settings.answer} has {length} words, where {most:.0f} may be"
            return Grade(0.0, message, evidence=Evidence(files=files))
        told = compare(reference, answer)
        components = tuple(
            Component(
                f"sentence {number}",
                float(one.says(settings.threshold)),
                f"{'denied' if one.denies else 'nearest'}, by {one.similarity:.3f}: {one.nearest[:120]!r}",
            )
            for number, one in enumerate(told, 1)
        )
        score = weighted(components)
        details = {"model": MODEL, "model_sha256": MODEL_SHA256, "threshold": settings.threshold}
        return Grade(
            score if settings.partial else float(score == 1),
            f"{sum(component.score == 1 for component in components)} of {len(components)} sentences are said",
            components,
            Evidence(files=files, details=details),
        )


def _length(text: str) -> int:
    """How many words a text has, for the model, to which ``one/two`` are two."""
    return sum(word[0].isalnum() for word in words(text))


def grader(spec: GraderSpec) -> SemanticGrader:
    """Raises TaskError for wrong settings, or where the model is not installed."""
    if name := missing():
        raise spec.error("kind", f"needs the package {name}: install affidavit[semantic]")
    return SemanticGrader(read_settings(spec, Settings))
