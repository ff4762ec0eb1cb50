"""Settings of the ``state_diff`` grader."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, model_validator

from affidavit.grading.fields import PathPattern, Place, Regex
from affidavit.grading.settings import AbsolutePath, GraderSettings, ReferencePath, Tolerant, distinct_names

# What programs leave behind by the way. Code that stands in such a folder for another reason is looked at.
BY_THE_WAY = (
    "/tmp/**",
    "**/__pycache__/*.pyc",
    "**/__pycache__",
    "**/.pytest_cache/v/**",
    "**/.pytest_cache/.gitignore",
    "**/.pytest_cache/CACHEDIR.TAG",
    "**/.pytest_cache/README.md",
    "**/.pytest_cache",
)


class StateCheck(GraderSettings):
    """What every check of a file has.

    Attributes:
        name: unique in the grader; the number of the check where it is left out.
        weight: against the other checks.
        path: of the file.
        may_be_unchanged: the check scores also where the agent did not change the file, which it otherwise does not:
            what holds before any work is no result.
    """

    name: str | None = None
    weight: PositiveFloat = 1.0
    path: AbsolutePath
    may_be_unchanged: bool = False


class FileCheck(StateCheck):
    """A file, folder or symlink as it is: all that is asked must hold.

    Attributes:
        exists: false: nothing is to be there.
        is_a: what it is to be; a file, where something is asked that only files have.
        mode: permission bits, octal, as in "0644".
        executable: whether its owner may run it.
        target: of a symlink.
        equals: its text; white space at the end does not matter.
        equals_file: below tests/, a file of the same bytes.
        contains, lacks: texts that are to be, or not to be, in it. What holds a NUL is no text, and lacks none.
        matches: a regular expression (Python's, ``^`` and ``$`` at line ends) that is to be found in it.
        lines: how many it has.
        min_bytes, max_bytes: its size.
        sha256: of its content, hexadecimal.
    """

    type: Literal["file"]
    exists: bool = True
    is_a: Literal["file", "directory", "symlink"] | None = None
    mode: Annotated[str, Field(pattern=r"^0?[0-7]{3,4}$")] | None = None
    executable: bool | None = None
    target: str | None = None
    equals: str | None = None
    equals_file: ReferencePath | None = None
    contains: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    lacks: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    matches: Regex | None = None
    lines: NonNegativeInt | None = None
    min_bytes: NonNegativeInt | None = None
    max_bytes: NonNegativeInt | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "FileCheck":
        own = self.model_fields_set - {"name", "weight", "path", "type", "may_be_unchanged", "exists"}
        if not self.exists and own:
            raise ValueError(f"exists is false, so that {sorted(own)[0]} can't hold")
        return self

    @property
    def kind(self) -> str | None:
        """What it must be: what only a file has makes it one; None where anything will do."""
        if self.is_a is not None or self.target is not None:
            return self.is_a or "symlink"
        sized = self.min_bytes is not None or self.max_bytes is not None
        return "file" if self.reads or sized or self.executable is not None else None

    @property
    def reads(self) -> bool:
        """Whether the content matters."""
        return bool(self.contains or self.lacks) or any(
            asked is not None for asked in (self.equals, self.equals_file, self.matches, self.lines, self.sha256)
        )


class JsonCheck(Tolerant, StateCheck):
    """A value in a JSON file.

    Attributes:
        at: where: a JSON Pointer or JSONPath.
        equals: the value there, one and no more; or
        equals_file: below tests/, a JSON file of it; or
        count: how many values are there (JSONPath).
        tolerance, relative: of numbers.
    """

    type: Literal["json"]
    at: Place = ""
    equals: Any = None
    equals_file: ReferencePath | None = None
    count: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _one_question(self) -> "JsonCheck":
        if sum(asked is not None for asked in (self.equals, self.equals_file, self.count)) != 1:
            raise ValueError("give one of equals, equals_file and count")
        return self


Cell = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool


class RowsCheck(Tolerant, StateCheck):
    """What is asked of rows: all of it must hold.

    Attributes:
        columns: their names, in order.
        count: how many rows.
        equals: the rows; or
        equals_file: below tests/, a CSV file with a header that holds them.
        ordered: whether their order matters.
        sorted_by: columns by which they are sorted; one with ``-`` before it goes down.
        unique: columns that together are different in each row.
        partial: the part of the rows that are right is the score.
        tolerance, relative: of numbers.
    """

    columns: tuple[str, ...] | None = None
    count: NonNegativeInt | None = None
    equals: tuple[tuple[Cell, ...], ...] | None = None
    equals_file: ReferencePath | None = None
    ordered: bool = True
    sorted_by: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    partial: bool = False

    @model_validator(mode="after")
    def _asks_something(self) -> "RowsCheck":
        if self.equals is not None and self.equals_file is not None:
            raise ValueError("give either equals or equals_file")
        if all(asked is None for asked in (self.columns, self.count, self.equals, self.equals_file)):
            raise ValueError("asks nothing that a file without rows would not hold; add columns, count or equals")
        return self


class TableCheck(RowsCheck):
    """A table in a file.

    Attributes:
        format: ``csv`` and ``tsv`` (with a header, RFC 4180), ``jsonl`` (an object a line), ``json`` (a list of
            objects); by the file's suffix where it is left out.
    """

    type: Literal["table"]
    format: Literal["csv", "tsv", "jsonl", "json"] | None = None

    @model_validator(mode="after")
    def _known_format(self) -> "TableCheck":
        if self.format is None and self.path.rpartition(".")[2] not in ("csv", "tsv", "jsonl", "json"):
            raise ValueError('format is needed for a file of that name: "csv", "tsv", "jsonl" or "json"')
        return self

    @property
    def kind(self) -> str:
        return self.format or self.path.rpartition(".")[2]


class SqliteCheck(RowsCheck):
    """The answer of an SQLite database to a query.

    Attributes:
        query: one SELECT. Views that the agent made are not looked through, nor are virtual tables.
        views: views may be looked through.
    """

    type: Literal["sqlite"]
    query: Annotated[str, Field(min_length=1)]
    views: bool = False


class ChangeCheck(GraderSettings):
    """A bound on what the agent changed. It gives no score; where it is broken, the grader's score is 0.

    Attributes:
        name: unique in the grader; the number of the check where it is left out.
        paths: the changed files that it is about.
        ignore: changed files that it is not about.
        only: no other files than these may have changed.
        keep: none of these may have changed.
        no_deletion: none of these may be gone, by another name neither.
        keep_lines: a regular expression; lines of the changed files in which it is found must all still be there.
        max_files: how many files may have changed.
        max_lines: how many lines may have been added and removed together.
    """

    type: Literal["change"]
    name: str | None = None
    paths: tuple[PathPattern, ...] = ("/**",)
    ignore: tuple[PathPattern, ...] = BY_THE_WAY
    only: tuple[PathPattern, ...] | None = None
    keep: tuple[PathPattern, ...] = ()
    no_deletion: tuple[PathPattern, ...] = ()
    keep_lines: Regex | None = None
    max_files: NonNegativeInt | None = None
    max_lines: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "ChangeCheck":
        bounds = (self.only, self.keep_lines, self.max_files, self.max_lines)
        if all(bound is None for bound in bounds) and not self.keep and not self.no_deletion:
            raise ValueError("bounds nothing; add only, keep, no_deletion, keep_lines, max_files or max_lines")
        return self

    @property
    def compares(self) -> bool:
        """Whether contents before and after matter."""
        return self.keep_lines is not None or self.max_lines is not None


AnyCheck = Annotated[FileCheck | JsonCheck | TableCheck | SqliteCheck | ChangeCheck, Field(discriminator="type")]


class Settings(GraderSettings):
    """A ``state_diff`` grader: the mean of its checks of the state by weight, 0 where a change check is broken."""

    checks: Annotated[tuple[AnyCheck, ...], Field(min_length=1, max_length=200), AfterValidator(distinct_names)]

    @model_validator(mode="after")
    def _pays_for_something(self) -> "Settings":
        if all(isinstance(check, ChangeCheck) for check in self.checks):
            raise ValueError("only bounds the change, which doing nothing keeps; add a check of what is to be there")
        return self
