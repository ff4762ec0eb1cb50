"""A checked expression: what is left of CEL once names, types and constants are known."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, Protocol

Type = Literal["bool", "int", "string", "strings"]
Quantifier = Literal["exists", "all", "exists_one", "count"]
Of = Literal["event", "process", "change", "turn"]


class Node(Protocol):
    """An expression."""

    @property
    def type(self) -> Type: ...


@dataclass(frozen=True)
class Constant:
    """A value that is written down."""

    value: bool | int | str
    type: Type


@dataclass(frozen=True)
class Column:
    """A field of the event, its process, the change or the turn in question."""

    of: Of
    name: str
    type: Type


@dataclass(frozen=True)
class Has:
    """Whether a field is there: ``has(e.path)``."""

    column: Column
    type: Type = "bool"


@dataclass(frozen=True)
class Element:
    """The variable of a macro over a list of strings."""

    type: Type = "string"


@dataclass(frozen=True)
class Not:
    operand: Node
    type: Type = "bool"


@dataclass(frozen=True)
class Negative:
    operand: Node
    type: Type = "int"


@dataclass(frozen=True)
class Binary:
    """``&& || == != < <= > >= + - * / %``."""

    op: str
    left: Node
    right: Node
    type: Type


@dataclass(frozen=True)
class Conditional:
    test: Node
    yes: Node
    no: Node
    type: Type


@dataclass(frozen=True)
class OneOf:
    """``x in […]``, the list of constants."""

    item: Node
    options: tuple[int | str, ...]
    type: Type = "bool"


@dataclass(frozen=True)
class Text:
    """A question on a string: startsWith, endsWith, contains, matches, glob (which takes several patterns)."""

    function: str
    operand: Node
    arguments: tuple[str, ...]
    type: Type = "bool"


@dataclass(frozen=True)
class Size:
    """Characters of a string, entries of a list."""

    operand: Node
    type: Type = "int"


@dataclass(frozen=True)
class OverWords:
    """exists, all, exists_one over a list of strings; `predicate` is about an :class:`Element`."""

    quantifier: Quantifier
    words: Node
    predicate: Node
    type: Type = "bool"


@dataclass(frozen=True)
class Reaches:
    """Whether the event's address, or the name that it asks for, is one of the endpoints."""

    endpoints: tuple[str, ...]
    type: Type = "bool"


@dataclass(frozen=True)
class OverRecord:
    """exists, all, exists_one or count over the events of the trace, the changes of the diff, or the model's turns."""

    quantifier: Quantifier
    source: Literal["trace", "diff", "turns"]
    predicate: Node
    type: Type


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for field in fields(node):  # type: ignore[arg-type]
        value = getattr(node, field.name)
        if hasattr(value, "type"):
            yield from walk(value)
