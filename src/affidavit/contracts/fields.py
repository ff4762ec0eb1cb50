"""The kinds of text that stand in a contract, checked."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from affidavit.contracts.endpoints import Endpoint, EndpointError
from affidavit.contracts.name_patterns import check_name_pattern
from affidavit.contracts.packs import PACKS, PATTERN_LISTS
from affidavit.contracts.patterns import PathMatcher, PatternError
from affidavit.contracts.suggestions import did_you_mean
from affidavit.events import SYSTEM_CALLS

# https://semver.org/spec/v2.0.0.html, 2 and 9-10: numbers without leading zeros, then pre-release and build.
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_PRE = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# RFC 3339, 5.6, in UTC and without fractions; or the date alone, which is its end.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(rf"{_DATE.pattern}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z")
MAX_ENTRIES = 2000


class Section(BaseModel):
    """A mapping of a contract: frozen, no unknown keys, no conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


def check_pattern(text: str) -> str:
    """A pattern of a list, or the name of a built-in one. Raises ValueError, as pydantic wants it."""
    name = text.removeprefix("!")
    if name.startswith("affidavit:"):
        if name not in PATTERN_LISTS:
            raise ValueError(f"there is no built-in list {name!r}{did_you_mean(name, PATTERN_LISTS)}")
        return text
    try:
        PathMatcher([text])
    except PatternError as error:
        raise ValueError(f"the pattern {text[:200]!r} {error}") from None
    return text


def _program(text: str) -> str:
    if not text.startswith("sha256:"):
        return check_pattern(text)
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"a digest is 'sha256:' and 64 digits 0-9a-f, not {text[:80]!r}")
    return text


def _version(text: Any) -> Any:
    if isinstance(text, int | float) and not isinstance(text, bool):
        # A ValueError is what pydantic takes for a finding; a TypeError would pass through.
        raise ValueError(f"must be a semantic version such as '1.0.0', not the number {text}")  # noqa: TRY004
    if isinstance(text, str) and (len(text) > 128 or not _SEMVER.fullmatch(text)):
        raise ValueError(f"must be a semantic version such as '1.0.0', not {text[:60]!r}")
    return text


def check_id(text: str) -> str:
    """A contract's name. Raises ValueError."""
    if not _ID.fullmatch(text):
        raise ValueError(f"must be 1 to 128 letters, digits, '-', '_', '.', '/', not {text[:60]!r}")
    return text


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(f"must be 1 to 63 letters, digits, '-', '_', not {text[:80]!r}")
    return text


def check_endpoint(text: str) -> str:
    """An entry of ``network.endpoints``. Raises ValueError."""
    try:
        Endpoint.parse(text)
    except EndpointError as error:
        raise ValueError(str(error)) from None
    return text


def _system_call(text: str) -> str:
    if text not in SYSTEM_CALLS:
        raise ValueError(f"there is no system call {text[:60]!r}{did_you_mean(text, SYSTEM_CALLS)}")
    return text


def _pack(text: str) -> str:
    if text not in PACKS:
        known = ", ".join(PACKS)
        raise ValueError(f"{text[:60]!r}: only built-in packs ({known}) are supported yet{did_you_mean(text, PACKS)}")
    return text


def _moment(text: str) -> str:
    try:
        moment_of(text)
    except ValueError:
        raise ValueError(f"must be a date such as '2027-01-31' or '2027-01-31T12:00:00Z', not {text[:60]!r}") from None
    return text


def moment_of(text: str) -> datetime:
    """The moment that a date (its end) or a time in UTC names.

    Raises:
        ValueError: it is neither.
    """
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(hour=23, minute=59, second=59, tzinfo=UTC)
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _schema(description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, **more})


_PATTERN_TEXT = (
    "A path pattern: '*', '?', '[…]' inside a component, '**' across components, '{a,b}' for one of several; a leading "
    "'!' takes away from the list; 'affidavit:NAME' is a built-in list."
)

Pattern = Annotated[str, AfterValidator(check_pattern), _schema(_PATTERN_TEXT)]
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=MAX_ENTRIES)]
Program = Annotated[str, AfterValidator(_program), _schema(_PATTERN_TEXT + " Or 'sha256:…', an executable's digest.")]
Programs = Annotated[tuple[Program, ...], Field(max_length=MAX_ENTRIES)]
EndpointText = Annotated[
    str,
    AfterValidator(check_endpoint),
    _schema("HOST, *.DOMAIN, ADDRESS or CIDR, then :PORT or :FIRST-LAST, then /tcp or /udp; [IPV6]:PORT."),
]
Endpoints = Annotated[tuple[EndpointText, ...], Field(max_length=MAX_ENTRIES)]
SystemCall = Annotated[
    str,
    AfterValidator(_system_call),
    _schema("The name of a Linux system call (x86-64).", enum=sorted(SYSTEM_CALLS)),
]
PackName = Annotated[str, AfterValidator(_pack), _schema("A built-in pack.", enum=sorted(PACKS))]
Version = Annotated[
    str, BeforeValidator(_version), _schema("A semantic version.", pattern=f"^{_SEMVER.pattern}$", examples=["1.0.0"])
]
ContractId = Annotated[str, AfterValidator(check_id), _schema("The contract's name.", pattern=f"^{_ID.pattern}$")]
Label = Annotated[str, AfterValidator(_label), _schema("A name of its own.", pattern=f"^{_LABEL.pattern}$")]
Moment = Annotated[
    str,
    AfterValidator(_moment),
    _schema(
        "A date, which counts to its end, or a time, both in UTC.", examples=["2027-01-31", "2027-01-31T12:00:00Z"]
    ),
]
NamePattern = Annotated[
    str,
    AfterValidator(check_name_pattern),
    _schema("A name; '*' stands for any run of characters.", maxLength=200),
]
NamePatterns = Annotated[tuple[NamePattern, ...], Field(max_length=200)]
Bound = Annotated[int, Field(ge=1, le=2**40)]
Action = Literal["flag", "halt", "alert"]
Mode = Literal["strict", "audit"]
Actions = Annotated[tuple[Action, ...], Field(min_length=1)]
Attempts = Literal["violation", "record"]
SeverityName = Literal["low", "medium", "high", "critical"]
