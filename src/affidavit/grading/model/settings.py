"""Settings of the ``model`` grader."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from affidavit.grading.rubric import Rubric, Words
from affidavit.grading.settings import AnswerPath, GraderSettings


class Settings(GraderSettings):
    """A ``model`` grader: one dimension of an answer, judged by models.

    Attributes:
        dimension: the one thing that is judged, as a question.
        answers: the agent's files, or ``stdout``.
        rubric: what the scores look like.
        judges: names of models as the endpoint knows them; a name may stand there more than once.
        quorum: how many of them must have an opinion; more than half of them where it is left out.
        max_spread: how far apart the highest and the lowest of their scores may be.
        max_bytes: of all answers together; a longer one scores 0.
        timeout_s: for each judge, in all.
        temperature, max_tokens, seed: as the endpoint takes them.
    """

    dimension: Words
    answers: Annotated[tuple[AnswerPath, ...], Field(min_length=1, max_length=20)]
    rubric: Rubric
    judges: Annotated[tuple[Words, ...], Field(min_length=1, max_length=15)]
    quorum: PositiveInt | None = None
    max_spread: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 64 << 10
    timeout_s: Annotated[PositiveFloat, Field(le=3600)] = 60.0
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[PositiveInt, Field(le=100_000)] = 1000
    seed: int | None = 7

    @model_validator(mode="after")
    def _enough(self) -> "Settings":
        if self.quorum is not None and self.quorum > len(self.judges):
            raise ValueError(f"quorum is {self.quorum}, but there are {len(self.judges)} judges")
        return self

    @property
    def needed(self) -> int:
        return self.quorum or len(self.judges) // 2 + 1
