"""A contract as it applies: the document, with what it extends."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from affidavit.contracts import cel
from affidavit.contracts.behavioral import BehavioralDocument, is_behavioral
from affidavit.contracts.document import ContractDocument, known_keys
from affidavit.contracts.endpoints import Endpoint
from affidavit.contracts.errors import ContractError
from affidavit.contracts.fields import Action, Attempts, Mode, moment_of
from affidavit.contracts.packs import PACKS, PATTERN_LISTS
from affidavit.contracts.patterns import PathMatcher, PatternError, expand_braces
from affidavit.contracts.signature import load_signature, signature_path
from affidavit.contracts.suggestions import did_you_mean
from affidavit.contracts.yaml import MAX_BYTES, Place, Positions, read_yaml
from affidavit.signing import Envelope, Examination, TrustDocument, now

if TYPE_CHECKING:
    from affidavit.contracts.registry.publication import Publication

# Far more than any contract says; a list of so much is compiled in about a second.
_MOST_EXPANDED = 1 << 20

_Model = TypeVar("_Model", bound=BaseModel)

ATTEMPT_SECTIONS = ("files", "network", "processes", "syscalls", "operations", "model")
"""The sections whose rules know attempts."""

_ACTION_SECTIONS = (*ATTEMPT_SECTIONS, "limits")


@dataclass(frozen=True)
class Contract:
    """A contract that can be applied.

    Attributes:
        document: as it is written.
        signature: the signatures beside it; None where there are none.
        examined: what they are worth by the trust that it was loaded with, which they satisfy; None without one.
        publication: that it is published in a registry; None where it is a file.
        warnings: what it says that is not checked or can't be honoured yet, a sentence each.
        positions: where its parts stand in the text that it was read from; None where it was not read from one.
    """

    document: ContractDocument
    signature: Envelope | None = None
    examined: Examination | None = None
    publication: "Publication | None" = None
    warnings: tuple[str, ...] = ()
    positions: Positions | None = field(default=None, compare=False, repr=False)

    @property
    def signed_by(self) -> str | None:
        """Id of the first trusted key whose signature beside it is good; None where there is none."""
        return self.examined.good[0] if self.examined and self.examined.good else None

    @property
    def id(self) -> str:
        return self.document.id

    @property
    def version(self) -> str:
        return self.document.version

    @property
    def mode(self) -> Mode:
        return self.document.mode

    @property
    def actions(self) -> tuple[Action, ...]:
        return self.document.actions

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the canonical form."""
        return self.document.digest()

    @property
    def packs(self) -> dict[str, str]:
        """Digests of the built-in packs it rests on, by name and version."""
        document = self.document
        lists = [document.files.read, document.files.write, document.files.deny, document.processes.exec]
        for scope in document.scopes:
            lists += [scope.for_, scope.files.read, scope.files.write, scope.files.deny, scope.processes.exec]
        named = {pattern.removeprefix("!") for patterns in lists for pattern in patterns or ()}
        used = (pack for pack in PACKS.values() if pack.name in document.extends or pack.name in named)
        return {f"{pack.name}@{pack.version}": pack.digest for pack in used}

    @property
    def read(self) -> tuple[str, ...] | None:
        """Patterns of what may be read beside what may be written; None: everything. Packs included."""
        own = self.document.files.read
        return None if own is None else self.with_read_of_packs(own)

    @property
    def write(self) -> tuple[str, ...]:
        """Patterns of what may be written. Packs included."""
        return self.with_write_of_packs(self.document.files.write)

    def with_read_of_packs(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """A list of what may be read, with what the contract's packs add to it."""
        return patterns + tuple(pattern for name in self.document.extends for pattern in PACKS[name].read)

    def with_write_of_packs(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """A list of what may be written, with what the contract's packs add to it and take from it."""
        packs = [PACKS[name] for name in self.document.extends]
        added = tuple(pattern for pack in packs for pattern in pack.write)
        return patterns + added + tuple(f"!{pack.name}" for pack in packs if pack.patterns)

    @property
    def names_digests(self) -> bool:
        """Whether it names a program by its digest."""
        lists = [self.document.processes.exec, *(scope.processes.exec for scope in self.document.scopes)]
        return any(program.startswith("sha256:") for programs in lists for program in programs or ())

    def enforced_as(
        self, mode: Mode | None, actions: tuple[Action, ...] | None, attempts: Attempts | None = None
    ) -> "Contract":
        """This contract in another mode, with other actions or another word on attempts; None: its own."""
        changed: dict[str, Any] = {}
        if mode is not None:
            changed["mode"] = mode
        if actions is not None:
            changed["actions"] = tuple(actions)
        if attempts is not None:
            document, unsaid = self.document, {"attempts": None}
            changed["attempts"] = attempts
            changed |= {name: getattr(document, name).model_copy(update=unsaid) for name in ATTEMPT_SECTIONS}
            changed["scopes"] = tuple(scope.model_copy(update=unsaid) for scope in document.scopes)
        return replace(self, document=self.document.model_copy(update=changed)) if changed else self

    def actions_for(self, rule: str) -> tuple[str, ...]:
        """What happens when a rule is broken.

        Args:
            rule: as a violation names it: ``files.write``, ``operations.system``, ``scopes.ID.…``, ``rules.ID``.
        """
        document = self.document
        section, _, rest = rule.partition(".")
        own: tuple[str, ...] | None = None
        match section:
            case _ if section in _ACTION_SECTIONS:
                own = getattr(document, section).actions
            case "scopes":
                own = next((scope.actions for scope in document.scopes if scope.id == rest.partition(".")[0]), None)
            case "rules":
                own = next((one.actions for one in document.rules if one.id == rest), None)
        return document.actions if own is None else own

    def attempts_for(self, rule: str) -> Attempts:
        """What an act is that breaks a rule and that the sandbox refused.

        Args:
            rule: as a violation names it: ``files.write``, ``operations.system``, ``scopes.ID.files.write``.

        Returns:
            ``violation``, or ``record``. Limits and the contract's own rules know no attempts.
        """
        document = self.document
        section, _, rest = rule.partition(".")
        own: Attempts | None = None
        if section == "scopes":
            scope, _, rest = rest.partition(".")
            own = next((one.attempts for one in document.scopes if one.id == scope), None)
            section = rest.partition(".")[0]
        if section not in ATTEMPT_SECTIONS:
            return "violation"
        own = own or getattr(document, section).attempts
        return document.attempts if own is None else own

    @property
    def written_attempts(self) -> dict[str, Attempts]:
        """What the contract says of attempts (under ``""``), and what a part of it says in its place, by the part's
        name."""
        document = self.document
        own = {section: getattr(document, section).attempts for section in ATTEMPT_SECTIONS}
        own |= {f"scopes.{scope.id}": scope.attempts for scope in document.scopes}
        return {"": document.attempts, **{place: said for place, said in own.items() if said is not None}}

    @property
    def written_actions(self) -> dict[str, tuple[str, ...]]:
        """The contract's actions (under ``""``), and those that a part of it has in their place, by the part's name."""
        document = self.document
        own = {section: getattr(document, section).actions for section in _ACTION_SECTIONS}
        own |= {f"scopes.{scope.id}": scope.actions for scope in document.scopes}
        own |= {f"rules.{rule.id}": rule.actions for rule in document.rules}
        return {"": document.actions, **{place: actions for place, actions in own.items() if actions is not None}}

    @property
    def acts(self) -> bool:
        """Whether a violation may have consequences while the agent still works."""
        return any({"halt", "alert"} & {*actions} for actions in self.written_actions.values())

    def expired(self, at: datetime) -> bool:
        """Whether no run may begin under it any more.

        Args:
            at: when, with its time zone.
        """
        expires = self.document.expires
        return expires is not None and at > moment_of(expires)

    @property
    def deny(self) -> tuple[str, ...]:
        """Patterns of what may not be touched."""
        return self.document.files.deny


def matcher(patterns: tuple[str, ...]) -> PathMatcher:
    """A matcher of a contract's list, which may name built-in lists."""
    return PathMatcher(patterns, PATTERN_LISTS)


def load_contract(path: Path, trust: TrustDocument | None = None) -> Contract:
    """Read a contract, and the signatures beside it where there are any.

    Args:
        path: the YAML file.
        trust: who may sign.

    Raises:
        ContractError: it can't be read, says something wrong, or has signatures that are not what `trust` asks for.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ContractError(f"{path}: can't be read: {error.strerror}") from error
    contract = parse_contract(data, str(path))
    signature = load_signature(path, contract.document)
    if signature is None:
        return contract
    name = signature_path(path)
    if trust is None:
        warning = f"{name.name}: no public key is known to check the signature with"
        return replace(contract, signature=signature, warnings=(*contract.warnings, warning))
    examined = trust.examine(signature, now())
    if not examined.met:
        raise ContractError(f"{name}: {examined}; say whose signatures count with --trust FILE")
    return replace(contract, signature=signature, examined=examined)


def parse_contract(data: bytes, name: str = "contract.yaml") -> Contract:
    """Read a contract from its text: YAML, or its canonical form.

    Args:
        data: the text.
        name: the file's, for errors.

    Raises:
        ContractError: it says something wrong; one line with line, column, place and fix.
    """
    value, positions = read_mapping(data, name)
    if is_behavioral(value):
        written = validated(value, positions, name, BehavioralDocument)
        document = validated(written.translated(), Positions(), name, ContractDocument)
        places = written.translated_positions(positions)
        return Contract(document, warnings=written.warnings(_warnings(document)), positions=places)
    document = validated(value, positions, name, ContractDocument)
    return Contract(document, warnings=_warnings(document), positions=positions)


def contract_of(value: Mapping[str, Any], name: str) -> Contract:
    """A contract from plain values.

    Raises:
        ContractError: it says something wrong.
    """
    document = validated(dict(value), Positions(), name, ContractDocument)
    return Contract(document, warnings=_warnings(document))


def canonical_bytes(contract: Contract) -> bytes:
    """The RFC 8785 form of a contract; `parse_contract` reads it back."""
    return contract.document.canonical_bytes()


def read_mapping(data: bytes, name: str) -> tuple[dict[str, Any], Positions]:
    """The values of a text that is a mapping, YAML or JSON, and where each stands.

    Raises:
        ContractError: it is none.
    """
    value, positions = read_yaml(data, name)
    if not isinstance(value, dict):
        raise ContractError(f"{name}:1:1: must be a mapping with the keys schema, id and version")
    return value, positions


def validated(value: dict[str, Any], positions: Positions, name: str, model: type[_Model]) -> _Model:
    """Plain values as a model.

    Args:
        value: the values.
        positions: where each stands.
        name: the file's, for errors.
        model: frozen and strict.

    Raises:
        ContractError: they are none; a line for each problem, with its place and fix.
    """
    _check_braces(value, positions, name)
    try:
        text = json.dumps(value)
        # JSON mode: lists stand for tuples although the model is strict.
        return model.model_validate_json(text)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A list all of whose entries are wrong is too short besides.
        wrong = {detail["loc"][:-1] for detail in details}
        details = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in wrong]
        problems = [_problem(detail, positions, name, model) for detail in details]
        raise ContractError(*dict.fromkeys(line for _, line in sorted(problems))) from None


def _check_braces(value: Any, positions: Positions, name: str) -> None:
    """Refuse patterns whose braces stand for so much together that matching them would be an attack."""
    waiting: list[tuple[Place, Any]] = [((), value)]
    size = 0
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, dict):
            waiting += [((*place, key), inner) for key, inner in one.items()]
        elif isinstance(one, list):
            waiting += [((*place, index), inner) for index, inner in enumerate(one)]
        elif isinstance(one, str) and "{" in one and one.removeprefix("!").startswith(("/", "**")):
            # What is malformed is refused with its own words.
            with suppress(PatternError):
                size += sum(map(len, expand_braces(one.removeprefix("!"))))
            if size > _MOST_EXPANDED:
                line, column = positions.of(place)
                raise ContractError(
                    f"{name}:{line}:{column}: the braces of all patterns together stand for more than {_MOST_EXPANDED} "
                    "characters"
                )


def _problem(detail: Any, positions: Positions, name: str, model: type[BaseModel]) -> tuple[tuple[int, int], str]:
    place: Place = detail["loc"]
    kind: str = detail["type"]
    unknown = kind == "extra_forbidden"
    line, column = positions.of(place, key=unknown)
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    if unknown:
        message = "unknown key" + did_you_mean(str(place[-1]), known_keys(place[:-1], model))
    elif kind == "missing":
        line, column = positions.of(place[:-1])
        message = f"is missing{_MENDS.get(str(place[-1]), '')}"
    elif kind == "value_error":
        problem = detail["ctx"]["error"]
        message = str(problem)
        if isinstance(problem, cel.CelError):
            line, column = positions.inside(place, problem.line, problem.column)
    else:
        message = _said(kind, detail)
    return (line, column), f"{name}:{line}:{column}: {shown}: {message}"


_MENDS = {
    "schema": "; add schema: affidavit.contract/v1",
    "id": "; add id: and a name for the contract",
    "version": "; add version: 1.0.0",
    "contractId": "; add contractId and a name for the contract",
    "allowedPaths": "; list the folders that the agent may use",
}


def _said(kind: str, detail: Any) -> str:
    context = detail.get("ctx", {})
    given = repr(detail["input"])
    given = given if len(given) <= 60 else given[:60] + "…"
    match kind:
        case "literal_error":
            suggestion = did_you_mean(str(detail["input"]), context["expected"].replace("'", "").split())
            return f"must be {context['expected']}, not {given}{suggestion}"
        case "string_type":
            return f"must be text, not {given}"
        case "int_type" | "int_from_float" | "int_parsing":
            return f"must be a whole number, not {given}"
        case "tuple_type":
            return f"must be a list, not {given}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping, not {given}"
        case "float_type" | "float_parsing":
            return f"must be a number, not {given}"
        case "bool_type" | "bool_parsing":
            return f"must be true or false, not {given}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {given}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {given}"
        case "too_long":
            return f"has more than {context['max_length']} entries"
        case "too_short":
            return "must have an entry at least"
        case _:
            return str(detail["msg"])


def _warnings(document: ContractDocument) -> tuple[str, ...]:
    found = []
    if addresses := [text for text in document.network.endpoints if Endpoint.parse(text).host is None]:
        found.append(f"network.endpoints: {', '.join(addresses)}: hosts are reached by name only, never by address")
    if document.files.read is not None and "affidavit:base" not in document.extends:
        found.append(
            "files.read: without extends: [affidavit:base] even starting a program reads what the list must name"
        )
    return tuple(found)
