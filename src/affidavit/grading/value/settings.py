"""Settings of the ``value`` grader."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from affidavit.grading.fields import Place
from affidavit.grading.numbers import Distance
from affidavit.grading.settings import AnswerPath, GraderSettings, ReferencePath, Tolerant, distinct_names
from affidavit.grading.value.texts import FORGIVABLE, Forgivable, normalised

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Check(GraderSettings):
    """What every check has.

    Attributes:
        name: unique in the grader; the number of the check where it is left out.
        weight: against the other checks.
        answer: the agent's file, or ``stdout``.
        at: where in that file, which is JSON then, the value stands.
    """

    name: str | None = None
    weight: PositiveFloat = 1.0
    answer: AnswerPath
    at: Place | None = None


class NumberCheck(Tolerant, Check):
    """A number.

    Attributes:
        expected: the right one, in `unit` where there is one.
        unit: one that pint knows; an answer in another unit of the same dimension is converted.
        unit_required: a number without a unit is wrong.
        tolerance, relative: see Tolerance.
        zero_at: the distance at which the score is 0, which falls evenly from where the tolerance ends. None: what is
            not within the tolerance scores 0.
    """

    type: Literal["number"]
    expected: Finite
    unit: str | None = None
    unit_required: bool = True
    zero_at: Distance | None = None

    @model_validator(mode="after")
    def _falls(self) -> "NumberCheck":
        if self.zero_at is not None and self.zero_at <= max(self.tolerance, abs(self.expected) * self.relative):
            raise ValueError("zero_at must be farther away than the tolerance")
        if self.unit is not None:
            from affidavit.grading.value.units import known_unit

            if not known_unit(self.unit):
                raise ValueError(f"unit {self.unit[:60]!r} is unknown")
        return self


class TextCheck(Check):
    """A text.

    Attributes:
        expected: the right one, or several of which each is right.
        forgive: what does not matter: ``case``, ``quotes``, ``space``.
    """

    type: Literal["text"]
    expected: str | tuple[str, ...]
    forgive: tuple[Forgivable, ...] = FORGIVABLE

    @property
    def accepted(self) -> tuple[str, ...]:
        return (self.expected,) if isinstance(self.expected, str) else self.expected

    @model_validator(mode="after")
    def _says_something(self) -> "TextCheck":
        if not self.accepted or not all(normalised(text, self.forgive) for text in self.accepted):
            raise ValueError("expected is empty, so that an empty answer would be right")
        return self


class CollectionCheck(Tolerant, Check):
    """A list, or a set: then neither order nor repetition matters.

    Attributes:
        expected: the items; or
        expected_file: below tests/, a JSON list of them.
        items: what they are: ``text`` (forgiving case, quotes and space) or ``number``.
        separator: between the items of an answer that is no JSON list; line ends where it is left out.
        partial: a part of the items is a part of the score.
        tolerance, relative: of numbers.
    """

    type: Literal["list", "set"]
    expected: tuple[str | Finite, ...] | None = None
    expected_file: ReferencePath | None = None
    items: Literal["text", "number"] = "text"
    separator: Annotated[str, Field(min_length=1)] = "\n"
    partial: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> "CollectionCheck":
        _one(self.expected, self.expected_file)
        if self.expected is not None:
            self.check_expected(self.expected)
        return self

    def check_expected(self, expected: Any) -> None:
        """Raises ValueError where the expected items can't be what they should be."""
        if not isinstance(expected, list | tuple) or not expected:
            raise ValueError("what is expected must be a list that is not empty")
        for item in expected:
            right = isinstance(item, str) if self.items == "text" else type(item) in (int, float)
            if not right:
                raise ValueError(f"what is expected holds {item!r}, which is no {self.items}")


class JsonCheck(Tolerant, Check):
    """A JSON document.

    Attributes:
        expected: the right one (a table or a list, or a single value); or
        expected_file: below tests/, a file that holds it.
        partial: the part of the values that are right is the score.
        tolerance, relative: of numbers.
    """

    type: Literal["json"]
    expected: Any = None
    expected_file: ReferencePath | None = None
    partial: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> "JsonCheck":
        _one(self.expected, self.expected_file)
        if isinstance(self.expected, Mapping | tuple | str) and not self.expected:
            raise ValueError("expected is empty, so that an empty answer would be right")
        return self


class DateCheck(Check):
    """A day, or a moment.

    Attributes:
        expected: a date or a date with a time, as TOML has it. A moment without an offset is in UTC.
        formats: how an answer may be written, as strptime has it; ISO 8601 is always right.
        tolerance_s: seconds that a moment may be off.
    """

    type: Literal["date"]
    expected: date | datetime
    formats: tuple[str, ...] = ()
    tolerance_s: Annotated[float, Field(ge=0, le=timedelta(days=36_500).total_seconds())] = 0.0


class Settings(GraderSettings):
    """A ``value`` grader: the mean of its checks by their weights."""

    checks: Annotated[
        tuple[
            Annotated[NumberCheck | TextCheck | CollectionCheck | JsonCheck | DateCheck, Field(discriminator="type")],
            ...,
        ],
        Field(min_length=1, max_length=200),
        AfterValidator(distinct_names),
    ]


def _one(expected: object, file: object) -> None:
    if (expected is None) == (file is None):
        raise ValueError("give either expected or expected_file")


MOST_ITEMS: PositiveInt = 10_000
