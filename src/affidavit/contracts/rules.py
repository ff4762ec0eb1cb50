"""``rules`` of a contract: order, time and counts by selectors of events; CEL for the rest."""

from collections.abc import Sequence
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from affidavit.contracts import cel
from affidavit.contracts.fields import Actions, Bound, Endpoints, Label, Patterns, Section, SeverityName
from affidavit.events import OPS

_Count = Annotated[int, Field(ge=0, le=2**40)]
_Word = Annotated[str, Field(min_length=1, max_length=4096)]


def _expression(text: str) -> str:
    cel.compile_cel(text)
    return text


def _condition(text: str) -> str:
    cel.compile_condition(text)
    return text


_Text = Field(min_length=1, max_length=4096)
_Expression = Annotated[str, _Text, AfterValidator(_expression)]
_Condition = Annotated[str, _Text, AfterValidator(_condition)]


class Selector(Section):
    """Which events: all that is written must hold of one."""

    op: tuple[Literal[OPS], ...] | None = Field(  # type: ignore[valid-type]
        None, min_length=1, description="Its operation is one of these."
    )
    path: Patterns | None = Field(default=None, description="Its path, or its second path, is matched by the list.")
    exe: Patterns | None = Field(default=None, description="The executable of its process is matched by the list.")
    argv: tuple[_Word, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="exec: each of these stands among the arguments as a whole word.",
    )
    addr: Endpoints | None = Field(
        default=None, min_length=1, description="Its address, or the name asked for, is one of these endpoints."
    )
    ok: bool | None = Field(default=None, description="true: it succeeded; false: it failed.")
    where: _Condition | None = Field(
        default=None, description="CEL over the event e and its process that must be true."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "Selector":
        if not self.model_fields_set:
            raise ValueError("selects every event; write at least one of op, path, exe, argv, addr, ok, where")
        return self

    def node(self) -> cel.Node:
        """The same as a checked expression."""
        parts: list[cel.Node] = []
        if self.op is not None:
            parts.append(cel.OneOf(cel.Column("event", "op", "string"), self.op))
        if self.path is not None:
            one, two = (cel.Text("glob", cel.Column("event", name, "string"), self.path) for name in ("path", "path2"))
            parts.append(cel.Binary("||", one, two, "bool"))
        if self.exe is not None:
            parts.append(cel.Text("program", cel.Column("event", "exe", "string"), self.exe))
        for word in self.argv or ():
            same = cel.Binary("==", cel.Element(), cel.Constant(word, "string"), "bool")
            parts.append(cel.OverWords("exists", cel.Column("event", "argv", "strings"), same))
        if self.addr is not None:
            parts.append(cel.Reaches(self.addr))
        if self.ok is not None:
            succeeded = cel.Column("event", "ok", "bool")
            parts.append(succeeded if self.ok else cel.Not(succeeded))
        if self.where is not None:
            parts.append(cel.compile_condition(self.where))
        return reduce(lambda left, right: cel.Binary("&&", left, right, "bool"), parts)


_FORMS: dict[str, tuple[str, ...]] = {
    "forbid": (),
    "require": (),
    "never": ("after", "until"),
    "each": ("after", "before"),
    "count": ("at_least", "at_most", "exactly", "within_ms"),
}


class Rule(Section):
    """One rule: exactly one of forbid, require, never, each, count."""

    id: Label = Field(description="Its name: what breaks it is reported as rules.ID.")
    severity: SeverityName = Field(default="high", description="Of what breaks it.")
    actions: Actions | None = Field(default=None, description="In place of the contract's.")
    message: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        default=None, description="The message if it is broken."
    )
    forbid: _Expression | None = Field(
        default=None, description="CEL that must never be true, of any event e or of the whole record."
    )
    require: _Expression | None = Field(
        default=None, description="CEL that must be true, of every event e or of the whole record."
    )
    never: Selector | None = Field(
        default=None,
        description="These events may not occur; from an 'after' on only, 'until' another only, where written.",
    )
    each: Selector | None = Field(
        default=None,
        description="Each of these needs an 'after' event somewhere before it, or a 'before' event after it.",
    )
    count: Selector | None = Field(default=None, description="How many of these there may or must be.")
    after: Selector | None = Field(
        default=None, description="With never: what opens it. With each: what must have come earlier."
    )
    until: Selector | None = Field(default=None, description="With never: what closes it.")
    before: Selector | None = Field(default=None, description="With each: what must come later.")
    at_least: _Count | None = Field(default=None, description="With count.")
    at_most: _Count | None = Field(default=None, description="With count.")
    exactly: _Count | None = Field(default=None, description="With count.")
    within_ms: Bound | None = Field(default=None, description="With at_most: in any stretch of so many milliseconds.")

    @model_validator(mode="after")
    def _is_one_form(self) -> "Rule":
        written = {name for name in self.model_fields_set if getattr(self, name) is not None}
        forms = [name for name in _FORMS if name in written]
        if len(forms) != 1:
            found = f"not {' and '.join(forms)}" if forms else "and has none"
            raise ValueError(f"a rule has exactly one of {', '.join(_FORMS)}, {found}")
        form = forms[0]
        others = {name for names in _FORMS.values() for name in names}
        for name in sorted(written & others - set(_FORMS[form])):
            fitting = ", ".join(key for key, names in _FORMS.items() if name in names)
            raise ValueError(f"{name} goes with {fitting}, not with {form}")
        if form == "each" and ("after" in written) == ("before" in written):
            raise ValueError("each needs either after or before")
        if form == "count":
            self._check_bounds(written)
        return self

    def _check_bounds(self, written: set[str]) -> None:
        if not written & {"at_least", "at_most", "exactly"}:
            raise ValueError("count needs at_least, at_most or exactly")
        if "exactly" in written and written & {"at_least", "at_most"}:
            raise ValueError("exactly stands alone, without at_least and at_most")
        if "within_ms" in written and "at_most" not in written:
            raise ValueError("within_ms goes with at_most")
        if "within_ms" in written and "at_least" in written:
            raise ValueError("at_least and within_ms don't go together; make two rules of it")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}")


def compile_rule_nodes(rules: Sequence[Rule]) -> list[cel.Node]:
    """All expressions of some rules, checked."""
    found: list[cel.Node] = []
    for rule in rules:
        selectors = (rule.never, rule.each, rule.count, rule.after, rule.until, rule.before)
        found += [cel.compile_cel(text).node for text in (rule.forbid, rule.require) if text is not None]
        found += [one.node() for one in selectors if one is not None]
    return found


def unique_ids(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """Entries with an ``id``, each of which occurs once.

    Raises:
        ValueError: one occurs twice.
    """
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise ValueError(f"the id {entry.id!r} stands here a second time; each needs its own")
        seen.add(entry.id)
    return entries
