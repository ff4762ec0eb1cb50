"""Reading a grader's settings from its table in ``task.toml``."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from affidavit.grading.fields import Part
from affidavit.grading.numbers import Distance, Tolerance
from affidavit.tasks import GraderSpec, TaskError


class GraderSettings(BaseModel):
    """Base of every kind's settings: unknown keys are errors, and numbers are not made from text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tolerant(GraderSettings):
    """A check that compares numbers.

    Attributes:
        tolerance, relative: see `Tolerance`.
    """

    tolerance: Distance = 0.0
    relative: Part = 0.0

    @property
    def bound(self) -> Tolerance:
        """How far a number may be from the expected one."""
        return Tolerance(tolerance=self.tolerance, relative=self.relative)


class _Check(Protocol):
    @property
    def name(self) -> str | None: ...


_Checks = TypeVar("_Checks", bound=Sequence[_Check])


def distinct_names(checks: _Checks) -> _Checks:
    """The checks themselves. Raises ValueError if two have the same name."""
    names = [check.name for check in checks if check.name is not None]
    if len(set(names)) != len(names):
        raise ValueError("two checks have the same name")
    return checks


def _absolute(path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or "." in parts or ".." in parts or "\0" in path:
        raise ValueError(f"must be an absolute path without '.' and '..', not {path[:60]!r}")
    return "/" + "/".join(part for part in parts if part)


def _answer(path: str) -> str:
    return path if path == "stdout" else _absolute(path)


def _relative(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/") or {"", ".", ".."} & set(parts) or "\0" in path:
        raise ValueError(f"must be a path below tests/, without '.' and '..', not {path[:60]!r}")
    return path


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
"""A path in the sandbox."""

AnswerPath = Annotated[str, AfterValidator(_answer)]
"""A path in the sandbox, or ``stdout``."""

ReferencePath = Annotated[str, AfterValidator(_relative)]
"""A path below the task's tests/."""

_Settings = TypeVar("_Settings", bound=GraderSettings)


def read_settings(spec: GraderSpec, model: type[_Settings]) -> _Settings:
    """The settings of a grader.

    Raises:
        TaskError: they are wrong; one line with file, line and key of the first error.
    """
    try:
        # A list in TOML is a tuple here.
        return model.model_validate(_frozen(dict(spec.settings)))
    except ValidationError as error:
        raise _told(spec, model, error) from None


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value


def _told(spec: GraderSpec, model: type[GraderSettings], error: ValidationError) -> TaskError:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key, rest = (place[0], place[1:]) if place else (None, [])
    inner = f"({'.'.join(rest)}) " if rest else ""
    match first["type"]:
        case "missing":
            return spec.error(key, f"{inner}is missing; a grader of kind {spec.kind} needs it")
        case "extra_forbidden":
            known = "" if rest else f"; it knows {', '.join(sorted(model.model_fields))}"
            return spec.error(key, f"{inner}is unknown to a grader of kind {spec.kind}{known}")
        case "value_error":
            return spec.error(key, f"{inner}{first['ctx']['error']}")
    return spec.error(key, f"{inner}is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}")
