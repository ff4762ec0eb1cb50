"""Settings of the ``human`` grader."""

from typing import Annotated

from pydantic import Field, PositiveInt

from affidavit.grading.rubric import Rubric, Words
from affidavit.grading.settings import AnswerPath, GraderSettings


class Settings(GraderSettings):
    """A ``human`` grader: one dimension of an answer, judged by people.

    Attributes:
        dimension: the one thing that is judged, as a question.
        answers: the agent's files, or ``stdout``.
        rubric: what the scores look like.
        raters: how many people are to judge each answer.
    """

    dimension: Words
    answers: Annotated[tuple[AnswerPath, ...], Field(min_length=1, max_length=20)]
    rubric: Rubric
    raters: Annotated[PositiveInt, Field(le=100)] = 1
