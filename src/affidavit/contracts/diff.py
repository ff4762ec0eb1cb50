"""What changed between two versions of a contract: does it admit more (loosening), less (tightening), or the same?

Whatever is not shown to admit no more counts as loosening: fields that this module does not know, lists too intricate
to compare.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.contracts.changes import ContractChange, Kind, listed, reactions
from affidavit.contracts.contract import ATTEMPT_SECTIONS, Contract, matcher
from affidavit.contracts.document import Scope
from affidavit.contracts.endpoints import Endpoint
from affidavit.contracts.errors import ContractError
from affidavit.contracts.fields import Attempts, moment_of
from affidavit.contracts.implication import covers
from affidavit.contracts.implied import folders_above, same_programs
from affidavit.contracts.languages import EVERYTHING, PathList, Undecided, excess
from affidavit.contracts.name_patterns import uncovered
from affidavit.contracts.rule_changes import rule_changes
from affidavit.contracts.versions import Step, least_version, step


@dataclass(frozen=True)
class ContractDiff:
    """Two versions of a contract, compared.

    Attributes:
        old, new: compared.
        changes: found; empty where they say the same.
    """

    old: Contract
    new: Contract
    changes: tuple[ContractChange, ...]

    @property
    def needed(self) -> Step:
        """The least step that the version must make."""
        steps = {Kind.LOOSENING: Step.MAJOR, Kind.TIGHTENING: Step.MINOR, Kind.NEUTRAL: Step.PATCH}
        return max((steps[change.kind] for change in self.changes), default=Step.NONE)

    @property
    def least(self) -> str:
        """The least version that the new one may have."""
        return least_version(self.old.version, self.needed)

    @property
    def fits(self) -> bool:
        """Whether the new version says what the changes are."""
        made = step(self.old.version, self.new.version)
        return made is not None and made >= self.needed


def diff_contracts(old: Contract, new: Contract) -> ContractDiff:
    """Compare two versions of a contract.

    Raises:
        ContractError: they are of different contracts.
    """
    if old.id != new.id:
        raise ContractError(f"{new.id} is not a version of {old.id}: a contract keeps its id")
    comparison = _Comparison(old, new)
    changes = tuple(comparison.changes())
    if not changes and comparison.written_otherwise:
        changes = (ContractChange("document", Kind.NEUTRAL, "says the same in other words"),)
    return ContractDiff(old, new, changes)


class _Comparison:
    def __init__(self, old: Contract, new: Contract) -> None:
        self._old, self._new = old, new
        self._before, self._after = (_fields(contract) for contract in (old, new))
        self._known: set[str] = {"schema", "id", "version"}

    @property
    def written_otherwise(self) -> bool:
        """Whether anything but the version is."""
        return {**self._before, "version": ""} != {**self._after, "version": ""}

    def _changed(self, *places: str) -> bool:
        """Whether one of some places says something else; they need not be looked at any more."""
        self._known.update(places)
        return any(self._before.get(place) != self._after.get(place) for place in places)

    def changes(self) -> Iterator[ContractChange]:
        old, new = self._old.document, self._new.document
        if self._changed("mode"):
            kind = Kind.LOOSENING if new.mode == "audit" else Kind.TIGHTENING
            kind = Kind.NEUTRAL if new.mode == old.mode else kind
            yield ContractChange("mode", kind, f"{old.mode} → {new.mode}")
        yield from self._actions()
        yield from self._attempts()
        files = list(self._files())
        yield from files
        loosened = {change.place for change in files if change.kind is Kind.LOOSENING}
        yield from (change for change in self._folders() if change.place not in loosened)
        if self._changed("network.endpoints"):
            yield from _endpoints(old.network.endpoints, new.network.endpoints)
        if self._changed("processes.exec"):
            yield from _programs("processes.exec", old.processes.exec, new.processes.exec)
        for place, before, after in (
            ("syscalls.deny", old.syscalls.deny, new.syscalls.deny),
            ("operations.forbid", old.operations.forbid, new.operations.forbid),
        ):
            if self._changed(place):
                yield from _forbidden(place, before, after)
        for name in ("models", "tools"):
            if self._changed(f"model.{name}"):
                yield from _names(f"model.{name}", getattr(old.model, name), getattr(new.model, name))
        bounds = [("processes.max_processes", old.processes.max_processes, new.processes.max_processes)]
        bounds.append(("model.requests", old.model.requests, new.model.requests))
        for name in ("wall_ms", "cpu_ms", "memory_mb"):
            bounds.append((f"limits.{name}", getattr(old.limits, name), getattr(new.limits, name)))
        for place, most_before, most_after in bounds:
            if self._changed(place):
                yield from _bound(place, most_before, most_after)
        yield from self._extends()
        if self._changed("scopes"):
            yield from _scopes(old.scopes, new.scopes)
        if self._changed("rules"):
            yield from rule_changes(self._old, self._new)
        if self._changed("expires"):
            yield _expiry(old.expires, new.expires)
        for place in sorted({*self._before, *self._after} - self._known):
            if self._before.get(place) != self._after.get(place):
                yield ContractChange(place, Kind.LOOSENING, "changed; what that admits is not known")

    def _actions(self) -> Iterator[ContractChange]:
        for section in ("", *ATTEMPT_SECTIONS, "limits"):
            place = f"{section}.actions".lstrip(".")
            if self._changed(place):
                before, after = (
                    contract.actions_for(f"{section}.any") if section else contract.actions
                    for contract in (self._old, self._new)
                )
                yield reactions(place, before, after)

    def _attempts(self) -> Iterator[ContractChange]:
        old, new = self._old, self._new
        if self._changed("attempts"):
            yield _attempts("attempts", old.document.attempts, new.document.attempts)
        for section in ATTEMPT_SECTIONS:
            if self._changed(f"{section}.attempts"):
                rule = f"{section}.any"
                yield _attempts(f"{section}.attempts", old.attempts_for(rule), new.attempts_for(rule))

    def _files(self) -> Iterator[ContractChange]:
        old, new = self._old, self._new
        packs = self._changed("extends")
        write_changed, read_changed = self._changed("files.write") or packs, self._changed("files.read")
        if self._changed("files.deny"):
            yield from _lists("files.deny", [PathList.of(new.deny)], [PathList.of(old.deny)], denies=True)
        before, after = PathList.of(old.write), PathList.of(new.write)
        if write_changed and old.write != new.write:
            found = list(_lists("files.write", [before], [after]))
            if not found:
                # An exception forbids attempts, too, that are let pass elsewhere.
                found = list(_lists("files.write", [after.exceptions], [before.exceptions], denies=True))
            elif all(change.kind is not Kind.LOOSENING for change in found):
                exceptions = _lists("files.write", [after.exceptions], [before.exceptions], denies=True)
                found += (change for change in exceptions if change.kind is Kind.LOOSENING)
            yield from found or [ContractChange("files.write", Kind.NEUTRAL, "admits the same")]
        if write_changed or read_changed:
            lists = [
                [EVERYTHING if contract.read is None else PathList.of(contract.read), writable]
                for contract, writable in ((old, before), (new, after))
            ]
            found = list(_lists("files.read", lists[0], lists[1]))
            yield from found if old.read != new.read else (c for c in found if c.kind is Kind.LOOSENING)
            if read_changed and not found:
                yield ContractChange("files.read", Kind.NEUTRAL, "admits the same")

    def _folders(self) -> Iterator[ContractChange]:
        """The folders above what a list names may be listed, and attempts to make those above what may be written."""
        old, new = self._old, self._new
        writable, readable = matcher(old.write), None if old.read is None else matcher(old.read)
        for folder in sorted(folders_above(new.write) - folders_above(old.write)):
            if not writable.matches(folder):
                yield ContractChange("files.write", Kind.LOOSENING, f"lets one try to make the folder {folder}")
        if readable is None:
            return
        above = folders_above((*(new.read or ()), *new.write)) - folders_above((*(old.read or ()), *old.write))
        for folder in sorted(above):
            if not readable.matches(folder) and not writable.matches(folder):
                yield ContractChange("files.read", Kind.LOOSENING, f"lets one list the folder {folder}")

    def _extends(self) -> Iterator[ContractChange]:
        old, new = set(self._old.document.extends), set(self._new.document.extends)
        if self._changed("extends"):
            # What a pack adds shows in the lists; a scope's lists rest on packs too.
            scoped = bool(self._new.document.scopes) and bool(new - old)
            kind = Kind.LOOSENING if scoped else Kind.NEUTRAL
            yield ContractChange("extends", kind, f"{listed(old)} → {listed(new)}")


def _fields(contract: Contract) -> dict[str, Any]:
    """What is written, by place: ``mode``, ``files.write``."""
    found: dict[str, Any] = {}
    for name, value in contract.document.model_dump(mode="json", exclude_unset=True).items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            found[name] = value
    return found


def _lists(
    place: str, old: Sequence[PathList], new: Sequence[PathList], denies: bool = False
) -> Iterator[ContractChange]:
    """Compare what is admitted by lists; `denies`: `old` and `new` stand for each other, for they take away."""
    says_more, says_less = ("no longer denies", "now denies") if denies else ("now admits", "no longer admits")
    more, witness = _beyond(new, old)
    if more:
        yield ContractChange(place, Kind.LOOSENING, f"{says_more} {witness}")
    less, witness = _beyond(old, new)
    if less:
        yield ContractChange(place, Kind.TIGHTENING, f"{says_less} {witness}")


def _beyond(one: Sequence[PathList], other: Sequence[PathList]) -> tuple[bool, str]:
    """Whether `one` matches a name that `other` does not, as far as can be found out, and which."""
    try:
        witness = excess(one, other)
    except Undecided:
        return True, "something, for all that can be shown: the lists are too intricate"
    return witness is not None, witness or ""


def _endpoints(old: Iterable[str], new: Iterable[str]) -> Iterator[ContractChange]:
    before, after = ({text: Endpoint.parse(text) for text in texts} for texts in (old, new))
    yield from _members(
        "network.endpoints",
        [text for text, one in after.items() if not any(covers(other, one) for other in before.values())],
        [text for text, one in before.items() if not any(covers(other, one) for other in after.values())],
    )


def _names(place: str, old: Sequence[str] | None, new: Sequence[str] | None) -> Iterator[ContractChange]:
    before, after = (("*",) if names is None else tuple(names) for names in (old, new))
    yield from _members(place, uncovered(after, before), uncovered(before, after))


def _members(place: str, more: Sequence[str], less: Sequence[str]) -> Iterator[ContractChange]:
    if more:
        yield ContractChange(place, Kind.LOOSENING, f"now admits {listed(more)}")
    if less:
        yield ContractChange(place, Kind.TIGHTENING, f"no longer admits {listed(less)}")
    if not more and not less:
        yield ContractChange(place, Kind.NEUTRAL, "admits the same")


def _programs(place: str, old: Sequence[str] | None, new: Sequence[str] | None) -> Iterator[ContractChange]:
    digests_before, digests_after = ({p for p in programs or () if p.startswith("sha256:")} for programs in (old, new))
    before, after = (
        EVERYTHING
        if programs is None
        else PathList.of(same_programs(p for p in programs if not p.startswith("sha256:")))
        for programs in (old, new)
    )
    found = list(_lists(place, [before], [after]))
    if old is not None and new is not None and digests_before != digests_after:
        found += _members(place, sorted(digests_after - digests_before), sorted(digests_before - digests_after))
    yield from found or [ContractChange(place, Kind.NEUTRAL, "admits the same")]


def _forbidden(place: str, old: Iterable[str], new: Iterable[str]) -> Iterator[ContractChange]:
    before, after = set(old), set(new)
    if before - after:
        yield ContractChange(place, Kind.LOOSENING, f"no longer forbids {listed(before - after)}")
    if after - before:
        yield ContractChange(place, Kind.TIGHTENING, f"now forbids {listed(after - before)}")
    if before == after:
        yield ContractChange(place, Kind.NEUTRAL, "forbids the same")


def _bound(place: str, old: int | None, new: int | None) -> Iterator[ContractChange]:
    if old == new:
        return
    looser = new is None or (old is not None and new > old)
    shown = " → ".join("no bound of its own" if bound is None else str(bound) for bound in (old, new))
    yield ContractChange(place, Kind.LOOSENING if looser else Kind.TIGHTENING, shown)


def _attempts(place: str, old: Attempts | None, new: Attempts | None) -> ContractChange:
    """What it means that refused acts count otherwise; None: what stands above decides, which may say anything."""
    shown = f"{old or 'as above'} → {new or 'as above'}"
    if old == new:
        return ContractChange(place, Kind.NEUTRAL, shown)
    return ContractChange(place, Kind.TIGHTENING if new == "violation" else Kind.LOOSENING, shown)


def _scopes(old: Sequence[Scope], new: Sequence[Scope]) -> Iterator[ContractChange]:
    if [scope.id for scope in new[: len(old)]] != [scope.id for scope in old]:
        yield ContractChange("scopes", Kind.LOOSENING, "removed or in another order; what that admits is not known")
        return
    for before, after in zip(old, new, strict=False):
        if before != after:
            yield from _scope(f"scopes.{after.id}", before, after)
    for scope in new[len(old) :]:
        lists = (scope.files.read, scope.files.write, scope.network.endpoints, scope.processes.exec, scope.actions)
        only_denies = all(one is None for one in lists) and scope.attempts != "record"
        kind = Kind.TIGHTENING if only_denies else Kind.LOOSENING
        yield ContractChange(f"scopes.{scope.id}", kind, f"new{'' if only_denies else ': it has lists of its own'}")


def _scope(place: str, old: Scope, new: Scope) -> Iterator[ContractChange]:
    if (old.for_, old.children) != (new.for_, new.children):
        yield ContractChange(place, Kind.LOOSENING, "is about other programs; what that admits is not known")
        return
    if old.actions != new.actions:
        yield ContractChange(f"{place}.actions", Kind.LOOSENING, "changed")
    if old.attempts != new.attempts:
        yield _attempts(f"{place}.attempts", old.attempts, new.attempts)
    compared: tuple[tuple[str, Any, Any, Callable[..., Iterator[ContractChange]]], ...] = (
        ("files.read", old.files.read, new.files.read, _same_list),
        ("files.write", old.files.write, new.files.write, _same_list),
        ("processes.exec", old.processes.exec, new.processes.exec, _programs),
        ("network.endpoints", old.network.endpoints, new.network.endpoints, lambda _, *lists: _endpoints(*lists)),
    )
    for name, before, after, compare in compared:
        if before == after:
            continue
        if before is None or after is None:
            yield ContractChange(
                f"{place}.{name}", Kind.LOOSENING, "the contract's list and the scope's own change places"
            )
            continue
        for change in compare(f"{place}.{name}", before, after):
            yield ContractChange(f"{place}.{name}", change.kind, change.detail)
    if old.files.deny != new.files.deny:
        denied = [PathList.of(new.files.deny)], [PathList.of(old.files.deny)]
        yield from _lists(f"{place}.files.deny", *denied, denies=True)


def _same_list(place: str, old: Sequence[str], new: Sequence[str]) -> Iterator[ContractChange]:
    """A list that only tightens where everything that it implies does: its patterns are the old ones or fewer."""
    includes = [{p for p in patterns if not p.startswith("!")} for patterns in (old, new)]
    exceptions = [{p for p in patterns if p.startswith("!")} for patterns in (old, new)]
    if includes[1] <= includes[0] and exceptions[1] >= exceptions[0]:
        yield ContractChange(place, Kind.TIGHTENING, "names less")
    else:
        yield ContractChange(place, Kind.LOOSENING, "names something else; what that admits is not known")


def _expiry(old: str | None, new: str | None) -> ContractChange:
    later = new is None or (old is not None and moment_of(new) > moment_of(old))
    same = old is not None and new is not None and moment_of(old) == moment_of(new)
    kind = Kind.NEUTRAL if same else Kind.LOOSENING if later else Kind.TIGHTENING
    return ContractChange("expires", kind, f"{old or 'never'} → {new or 'never'}")
