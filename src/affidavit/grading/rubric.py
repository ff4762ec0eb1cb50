"""A rubric: what is judged, and what each score looks like. Models and humans judge by the same."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from affidavit.grading.settings import GraderSettings

Words = Annotated[str, Field(min_length=1, max_length=2000)]
ANCHORS = (0.0, 0.3, 0.5, 0.8, 1.0)


class Rubric(GraderSettings):
    """What an answer looks like that is worth 0, 0.3, 0.5, 0.8 and 1, each in words."""

    nothing: Words = Field(alias="0")
    little: Words = Field(alias="0.3")
    half: Words = Field(alias="0.5")
    much: Words = Field(alias="0.8")
    all: Words = Field(alias="1")

    def anchors(self) -> Iterator[tuple[float, str]]:
        """Score and words, from 0 to 1."""
        words = (self.nothing, self.little, self.half, self.much, self.all)
        return zip(ANCHORS, words, strict=True)
