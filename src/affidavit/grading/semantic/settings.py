"""Settings of the ``semantic`` grader."""

from typing import Annotated

from pydantic import Field, model_validator

from affidavit.grading.semantic.meaning import THRESHOLD, sentences
from affidavit.grading.settings import AnswerPath, GraderSettings, ReferencePath


class Settings(GraderSettings):
    """A ``semantic`` grader: whether free text says what it should.

    Attributes:
        answer: the agent's file, or ``stdout``.
        expected: what it should say, in sentences; or
        expected_file: below tests/, a file that holds it.
        threshold: the cosine from which on a sentence says what another says.
        partial: the part of the sentences that are said is the score.
        max_ratio: how many times as long as what is expected an answer may be: one that says everything says nothing.
    """

    answer: AnswerPath
    expected: str | None = None
    expected_file: ReferencePath | None = None
    threshold: Annotated[float, Field(ge=0.3, le=0.99)] = THRESHOLD
    partial: bool = True
    max_ratio: Annotated[float, Field(ge=1, le=100)] = 5.0

    @model_validator(mode="after")
    def _one(self) -> "Settings":
        if (self.expected is None) == (self.expected_file is None):
            raise ValueError("give either expected or expected_file")
        if self.expected is not None and not sentences(self.expected):
            raise ValueError("expected holds no sentence")
        return self
