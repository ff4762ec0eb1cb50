"""The contract as it is written: schema ``affidavit.contract/v1``."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import rfc8785
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from affidavit.contracts.fields import (
    Actions,
    Attempts,
    Bound,
    ContractId,
    Endpoints,
    Label,
    Mode,
    Moment,
    NamePatterns,
    PackName,
    Patterns,
    Programs,
    Section,
    SystemCall,
    Version,
)
from affidavit.contracts.operations import BUILT_IN, OPERATIONS
from affidavit.contracts.rules import Rule, unique_ids
from affidavit.contracts.suggestions import did_you_mean

SCHEMA = "affidavit.contract/v1"
_MAX_RULES = 200
_MAX_SCOPES = 32


def check_operation(text: str) -> str:
    """The name of an operation. Raises ValueError."""
    if text not in OPERATIONS:
        raise ValueError(f"there is no operation {text[:60]!r}{did_you_mean(text, OPERATIONS)}")
    # What an installed distribution brings must be there to be promised.
    OPERATIONS.detector(text)
    return text


_OwnActions = Annotated[Actions | None, Field(description="In place of the contract's.")]
_OwnAttempts = Annotated[Attempts | None, Field(description="In place of the contract's.")]


class Files(Section):
    """What may be done to which files.

    Attributes:
        read: may be read; None: anything. What may be written may be read too.
        write: may be created, changed, renamed, removed.
        deny: may not be touched in any way, attempts included, whatever the other lists say.
    """

    read: Patterns | None = Field(
        default=None, description="May be read, as may what may be written; unwritten: anything."
    )
    write: Patterns = Field(default=(), description="May be created, changed, renamed, removed.")
    deny: Patterns = Field(default=(), description="May not be touched in any way, whatever the other lists say.")
    actions: _OwnActions = None
    attempts: _OwnAttempts = None


class Network(Section):
    """What may be reached: ``HOST``, ``HOST:PORT``, ``*.DOMAIN:PORT``, ``ADDRESS:PORT``, ``CIDR:FIRST-LAST/udp``."""

    endpoints: Endpoints = Field(default=(), description="May be reached; all else may not be tried.")
    actions: _OwnActions = None
    attempts: _OwnAttempts = None


class Processes(Section):
    """Which executables may run, by path or by digest (None: any), and how many processes at the same time (None: as
    many as fit)."""

    exec: Programs | None = Field(
        default=None, description="May be executed, by path or by digest; unwritten: anything."
    )
    max_processes: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Processes at the same time."
    )
    actions: _OwnActions = None
    attempts: _OwnAttempts = None


class Syscalls(Section):
    """System calls that may not be made."""

    deny: tuple[SystemCall, ...] = Field(default=(), description="May not be made; see attempts.")
    actions: _OwnActions = None
    attempts: _OwnAttempts = None


class Operations(Section):
    """Operations (see :data:`affidavit.contracts.OPERATIONS`) that may not take place."""

    forbid: tuple[
        Annotated[
            str,
            AfterValidator(check_operation),
            WithJsonSchema(
                {
                    "description": "A detector; an installed one may bring further names.",
                    "anyOf": [
                        {"const": name, "description": f"{operation.sees} Not seen: {operation.misses}".strip()}
                        for name, operation in BUILT_IN.items()
                    ]
                    + [{"type": "string"}],
                }
            ),
        ],
        ...,
    ] = Field(default=(), description="Named operations that may not take place.")
    actions: _OwnActions = None
    attempts: _OwnAttempts = None


class ModelSection(Section):
    """What may be asked of a model, through the gateway.

    Attributes:
        requests: that a model is to answer, at most; None: as many as the run's budget lets through.
        models: the names that may be asked for; None: any that the run grants.
        tools: that the model may call in its answers; None: any.
    """

    requests: Bound | None = Field(default=None, description="Requests for an answer of a model, at most.")
    models: NamePatterns | None = Field(
        default=None, min_length=1, description="Names of models that may be asked for; unwritten: any."
    )
    tools: NamePatterns | None = Field(
        default=None, description="Names of tools that a model may call; unwritten: any."
    )
    actions: _OwnActions = None
    attempts: _OwnAttempts = None


class LimitsSection(Section):
    """Bounds: wall time and CPU time of a process in milliseconds, memory of the sandbox in MiB. None: the task's."""

    wall_ms: Bound | None = Field(default=None, description="Wall time of the whole, milliseconds.")
    cpu_ms: Bound | None = Field(default=None, description="CPU time of one process, milliseconds.")
    memory_mb: Bound | None = Field(default=None, description="Memory of the whole sandbox, MiB.")
    actions: _OwnActions = None


class ScopeFiles(Section):
    """The lists of :class:`Files`, each of which, where it is written, stands in place of the contract's."""

    read: Patterns | None = Field(default=None, description="May be read, in place of the contract's list.")
    write: Patterns | None = Field(default=None, description="May be written, in place of the contract's list.")
    deny: Patterns = Field(default=(), description="May not be touched, beside what the contract denies.")


class ScopeNetwork(Section):
    """What the scope's processes may reach, in place of the contract's list."""

    endpoints: Endpoints | None = Field(default=None, description="May be reached, in place of the contract's list.")


class ScopeProcesses(Section):
    """What the scope's processes may execute, in place of the contract's list."""

    exec: Programs | None = Field(default=None, description="May be executed, in place of the contract's list.")


class Scope(Section):
    """What holds for some programs and what they start."""

    id: Label = Field(description="Its name: what breaks it is reported as scopes.ID.….")
    for_: Annotated[Patterns, Field(alias="for", min_length=1, description="Programs whose processes it is about.")]
    children: bool = Field(default=True, description="It is about all that these start, too, whatever program that is.")
    files: ScopeFiles = ScopeFiles()
    network: ScopeNetwork = ScopeNetwork()
    processes: ScopeProcesses = ScopeProcesses()
    actions: _OwnActions = None
    attempts: Annotated[
        Attempts | None, Field(description="In place of what the section, else the contract, says.")
    ] = None


class ContractDocument(Section):
    """A contract of Affidavit: what an agent may do."""

    schema_: Annotated[Literal["affidavit.contract/v1"], Field(alias="schema", description="This language.")]
    id: ContractId
    version: Version
    mode: Mode = Field(default="strict", description="audit: what is broken is recorded, and counts not.")
    actions: Actions = Field(default=("flag",), description="What happens on a violation.")
    # Contracts that were written, and signed, before there was this key mean what they meant then.
    attempts: Attempts = Field(
        default="violation",
        description="Whether an act that was refused, so that nothing came of it, is a violation or only recorded.",
    )
    files: Files = Files()
    network: Network = Network()
    processes: Processes = Processes()
    syscalls: Syscalls = Syscalls()
    operations: Operations = Operations()
    limits: LimitsSection = LimitsSection()
    model: ModelSection = ModelSection()
    scopes: Annotated[
        tuple[Scope, ...],
        AfterValidator(unique_ids),
        Field(max_length=_MAX_SCOPES, description="What holds for some programs and what they start."),
    ] = ()
    extends: tuple[PackName, ...] = Field(default=(), description="Built-in packs.")
    rules: Annotated[
        tuple[Rule, ...],
        AfterValidator(unique_ids),
        Field(max_length=_MAX_RULES, description="Order, time and counts, and CEL for the rest."),
    ] = ()
    expires: Moment | None = Field(default=None, description="No run may begin under it afterwards.")

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
        if isinstance(part, str):
            model = _model_in(_annotation(model, part)) if model else None
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _annotation(model: type[BaseModel], part: str) -> Any:
    return next((f.annotation for name, f in model.model_fields.items() if (f.alias or name) == part), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a section, or of the entries of a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _model_in(argument))), None)
