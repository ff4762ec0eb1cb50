"""The contract as it is written: schema ``affidavit.contract/v1``."""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from affidavit.contracts.endpoints import Endpoint, EndpointError
from affidavit.contracts.operations import OPERATIONS
from affidavit.contracts.packs import PACKS, PATTERN_LISTS
from affidavit.contracts.patterns import PathMatcher, PatternError
from affidavit.contracts.suggestions import did_you_mean
from affidavit.contracts.system_calls import SYSTEM_CALLS

SCHEMA = "affidavit.contract/v1"

# https://semver.org/spec/v2.0.0.html, 2 and 9-10: numbers without leading zeros, then pre-release and build.
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_PRE = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
_MAX_ENTRIES = 2000


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


def _version(text: str) -> str:
    if len(text) > 128 or not _SEMVER.fullmatch(text):
        raise ValueError(f"must be a semantic version such as '1.0.0', not {text[:60]!r}")
    return text


def check_id(text: str) -> str:
    """A contract's name. Raises ValueError."""
    if not _ID.fullmatch(text):
        raise ValueError(f"must be 1 to 128 letters, digits, '-', '_', '.', '/', not {text[:60]!r}")
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


def check_operation(text: str) -> str:
    """The name of an operation. Raises ValueError."""
    if text not in OPERATIONS:
        raise ValueError(f"there is no operation {text[:60]!r}{did_you_mean(text, OPERATIONS)}")
    return text


def _pack(text: str) -> str:
    if text not in PACKS:
        known = ", ".join(PACKS)
        raise ValueError(f"{text[:60]!r}: only built-in packs ({known}) are supported yet{did_you_mean(text, PACKS)}")
    return text


def _no_rules(value: Any) -> Any:
    if value not in (None, [], {}):
        raise ValueError("rules in CEL are not supported yet; remove them, for what is promised must be checked")
    return ()


def _version_text(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A ValueError is what pydantic takes for a finding; a TypeError would pass through.
        raise ValueError(f"must be a semantic version such as '1.0.0', not the number {value}")  # noqa: TRY004
    return value


Patterns = Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], Field(max_length=_MAX_ENTRIES)]
_Bound = Annotated[int, Field(ge=1, le=2**40)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Files(_Section):
    """What may be done to which files.

    Attributes:
        read: may be read; None: anything. What may be written may be read too.
        write: may be created, changed, renamed, removed.
        deny: may not be touched in any way, attempts included, whatever the other lists say.
    """

    read: Patterns | None = None
    write: Patterns = ()
    deny: Patterns = ()


class Network(_Section):
    """What may be reached: ``HOST``, ``HOST:PORT``, ``*.DOMAIN:PORT``, ``ADDRESS:PORT``, ``CIDR:PORT``."""

    endpoints: Annotated[
        tuple[Annotated[str, AfterValidator(check_endpoint)], ...], Field(max_length=_MAX_ENTRIES)
    ] = ()


class Processes(_Section):
    """Which executables may run (None: any), and how many processes at the same time (None: as many as fit)."""

    exec: Patterns | None = None
    max_processes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Syscalls(_Section):
    """System calls that may not be made; an attempt is a violation."""

    deny: tuple[Annotated[str, AfterValidator(_system_call)], ...] = ()


class Operations(_Section):
    """Operations (see :data:`affidavit.contracts.OPERATIONS`) that may not take place."""

    forbid: tuple[Annotated[str, AfterValidator(check_operation)], ...] = ()


class LimitsSection(_Section):
    """Bounds: wall time and CPU time of a process in milliseconds, memory of the sandbox in MiB. None: the task's."""

    wall_ms: _Bound | None = None
    cpu_ms: _Bound | None = None
    memory_mb: _Bound | None = None


class ContractDocument(_Section):
    """A contract as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)

    schema_: Annotated[Literal["affidavit.contract/v1"], Field(alias="schema")]
    id: Annotated[str, AfterValidator(check_id)]
    version: Annotated[str, BeforeValidator(_version_text), AfterValidator(_version)]
    mode: Literal["strict", "audit"] = "strict"
    actions: Annotated[tuple[Literal["flag", "halt", "alert"], ...], Field(min_length=1)] = ("flag",)
    files: Files = Files()
    network: Network = Network()
    processes: Processes = Processes()
    syscalls: Syscalls = Syscalls()
    operations: Operations = Operations()
    limits: LimitsSection = LimitsSection()
    extends: tuple[Annotated[str, AfterValidator(_pack)], ...] = ()
    rules: Annotated[tuple[()], BeforeValidator(_no_rules)] = ()

    def canonical_bytes(self) -> bytes:
        """The RFC 8785 form of what is written, no more: a default that is not written is not in it."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude_unset=True))

    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the canonical form in hex."""
        return "sha256:" + hashlib.sha256(self.canonical_bytes()).hexdigest()


def known_keys(place: Sequence[str | int], document: type[BaseModel] = ContractDocument) -> list[str]:
    """The keys that may stand at a place of a document."""
    model: type[BaseModel] | None = document
    for part in place:
        field = _field(model, part) if model else None
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _field(model: type[BaseModel], part: str | int) -> Any:
    return next((f for name, f in model.model_fields.items() if (f.alias or name) == part), None)
