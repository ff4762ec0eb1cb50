"""Settings of the ``execution_trace`` grader."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from affidavit.grading.fields import PathPattern, Place
from affidavit.grading.settings import AbsolutePath, AnswerPath, GraderSettings, distinct_names

Word = Annotated[str, Field(min_length=1, max_length=200)]


class Program(GraderSettings):
    """A program that runs.

    Attributes:
        exe: its executable, as the kernel tells it: patterns of which one matches.
        argv: the words that its command line begins with, after the program's name: each may hold ``*`` and ``?``.
        reads: files that it, or what it started, opened for reading: one at least for each pattern.
        writes: likewise for writing.
        exit_code: what it must have ended with; any, and none, where it is left out.
    """

    exe: Annotated[tuple[PathPattern, ...], Field(min_length=1)]
    argv: tuple[Word, ...] = ()
    reads: tuple[PathPattern, ...] = ()
    writes: tuple[PathPattern, ...] = ()
    exit_code: NonNegativeInt | None = None


class TraceCheck(GraderSettings):
    """What every check has.

    Attributes:
        name: unique in the grader; the number of the check where it is left out.
        weight: against the other checks.
    """

    name: str | None = None
    weight: PositiveFloat = 1.0


class RanCheck(TraceCheck):
    """A program ran.

    Attributes:
        program: which.
        min, max: how many times.
    """

    type: Literal["ran"]
    program: Program
    min: PositiveInt = 1
    max: PositiveInt | None = None

    @model_validator(mode="after")
    def _possible(self) -> "RanCheck":
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max}, below min")
        return self


class WrittenCheck(TraceCheck):
    """A file was written by a program, or by what that started, and by nothing else that could have written after it.

    The program must open the file itself: a shell that redirects its output is what wrote it.

    Attributes:
        path: of the file.
        by: the program.
        after_reading: files that it had opened for reading before: one at least for each pattern.
    """

    type: Literal["written"]
    path: AbsolutePath
    by: Program
    after_reading: tuple[PathPattern, ...] = ()


class OrderCheck(TraceCheck):
    """A program ran, and after it had ended another one began.

    Attributes:
        first, then: the two.
    """

    type: Literal["order"]
    first: Program
    then: Program


class ClaimCheck(TraceCheck):
    """The agent says how many times something ran; that is believed only as far as the record shows it.

    Attributes:
        answer: the file that holds the claim, or ``stdout``.
        at: where in that file, which is JSON then.
        program: what it claims to have run.
        min: the least claim that is worth something.
    """

    type: Literal["claim"]
    answer: AnswerPath
    at: Place | None = None
    program: Program
    min: PositiveInt = 1


class SqlCheck(TraceCheck):
    """Anything else that the record can be asked.

    Attributes:
        query: one SELECT of DuckDB that gives one row of one column: true, false, or a number from 0 to 1. Tables:
            ``events`` (the record), ``counts`` (system calls), ``processes`` (process, parent, pid, started, ended,
            exe, argv, exit_code: one row for each program that a process ran).
    """

    type: Literal["sql"]
    query: Annotated[str, Field(min_length=1)]


AnyCheck = Annotated[RanCheck | WrittenCheck | OrderCheck | ClaimCheck | SqlCheck, Field(discriminator="type")]


class Settings(GraderSettings):
    """An ``execution_trace`` grader: the mean of its checks by weight."""

    checks: Annotated[tuple[AnyCheck, ...], Field(min_length=1, max_length=100), AfterValidator(distinct_names)]
