"""Code in canonical form: without names of variables, order of definitions, formatting and comments.

Each top-level definition, and each member of a class, becomes a text in which its own variables are numbered as they
come; a variable of the module is named by what it is set to, so that two of them are not mistaken for one another.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from affidavit.grading.syntax.brought import python_names
from affidavit.grading.syntax.languages import GRAMMARS, Grammar
from affidavit.grading.syntax.tree import Node

_MODULE, _CLASS, _FUNCTION = "module", "class", "function"
_ROUNDS = 3
_LEAST = 4  # nodes of a subtree that counts in `likeness`


@dataclass(frozen=True)
class Form:
    """A source's canonical form.

    Attributes:
        definitions: digests of what may stand in any order, with how often.
        statements: digests of the rest, in order.
        parts: digests of all subtrees of some size, with variables that are not told apart.
    """

    definitions: Counter[str]
    statements: tuple[str, ...]
    parts: Counter[str] = field(compare=False)


def canonical(top: Node, language: str) -> Form:
    """The canonical form of a source."""
    grammar = GRAMMARS[language]
    units = [_unwrapped(child) for child in top.children if not _is_docstring(child)]
    own = {name for unit in units for name in bound_names(unit, grammar, inside=False)}
    meanings = dict(pair for unit in units for pair in python_names(unit)) if language == "python" else {}
    colours = dict.fromkeys(own, "variable")
    for _ in range(_ROUNDS):
        writer = _Writer(grammar, colours, meanings)
        texts: dict[str, list[str]] = {}
        for unit in units:
            for name in bound_names(unit, grammar, inside=False):
                texts.setdefault(name, []).append(writer.digest(unit, itself=name))
        colours = {name: _hashed(sorted(texts.get(name, []))) for name in own}
    writer = _Writer(grammar, colours, meanings)
    free: list[str] = []
    ordered: list[str] = []
    for unit in units:
        (free if _is_free(unit, grammar) else ordered).append(writer.digest(unit))
    parts: Counter[str] = Counter()
    for unit in units:
        _Parts(grammar, parts).add(unit)
    return Form(Counter(free), tuple(ordered), parts)


def likeness(found: Form, expected: Form) -> float:
    """How much two sources have in common: subtrees of both among those of either (Dice), from 0 to 1."""
    both = (found.parts & expected.parts).total()
    return 2 * both / max(1, found.parts.total() + expected.parts.total())


def bound_names(unit: Node, grammar: Grammar, *, inside: bool = True) -> set[str]:
    """The variables that are bound in a unit: inside of its functions, or (not `inside`) outside of any.

    What is bound in a class itself is an attribute, and keeps its name.
    """
    names: set[str] = set()
    wanted = _FUNCTION if inside else _MODULE
    waiting = [(unit, _MODULE)]
    while waiting:
        node, around = waiting.pop()
        scope = _FUNCTION if node.kind in grammar.functions else _CLASS if node.kind in grammar.classes else around
        if scope == wanted:
            for child in node.children:
                if (node.kind, child.role) in grammar.binds or (node.kind, None) in grammar.binds:
                    names |= _pattern_names(child, grammar)
        name = node.at("name")
        if inside and around == _FUNCTION and node.kind in grammar.functions and name is not None:
            names.add(name.text)
        waiting += [(child, scope) for child in node.children]
    return names


def _pattern_names(node: Node, grammar: Grammar) -> set[str]:
    names: set[str] = set()
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if here.kind == "identifier":
            names.add(here.text)
        elif here.kind in grammar.patterns:
            roles = grammar.patterns[here.kind]
            # Of a pattern that names a type or has a value of its own, only what it binds.
            waiting += [
                child
                for child in here.children
                if (child.role in roles if roles is not None else child.role not in ("type", "value", "condition"))
            ]
        elif here.kind == "function_declarator" and here.children[0].kind == "parenthesized_declarator":
            waiting.append(here.children[0])
    if node.role == "pattern":
        # Rust's: a name with a capital is a constant or a variant there.
        return {name for name in names if not name[:1].isupper()}
    return names


def _unwrapped(node: Node) -> Node:
    while node.kind == "parenthesized_expression" and len(node.children) == 1:
        node = node.children[0]
    return node


def _is_free(unit: Node, grammar: Grammar) -> bool:
    return grammar.unordered is None or unit.kind in grammar.unordered


def _is_docstring(node: Node) -> bool:
    return node.kind == "expression_statement" and len(node.children) == 1 and node.children[0].kind == "string"


_NONE: frozenset[str] = frozenset()


@dataclass
class _Writer:
    """Writes a unit as a digest.

    Attributes:
        grammar: of its language.
        colours: what stands for each variable of the module.
        meanings: what stands for each imported name.
    """

    grammar: Grammar
    colours: Mapping[str, str]
    meanings: Mapping[str, str]

    def digest(self, unit: Node, itself: str | None = None) -> str:
        """The digest of a unit; `itself`: the name of the module's whose meaning this makes."""
        made = _Unit(bound_names(unit, self.grammar), itself)
        self._write(unit, made)
        return _hashed(made.words)

    def _write(self, node: Node, unit: "_Unit", members: frozenset[str] | None = _NONE) -> None:
        """Write a node; of its children those of the kinds `members` (None: all) stand in any order."""
        role, node = node.role, _unwrapped(node)
        if not node.children:
            unit.words.append(f"{role}={self._leaf(node, unit)}")
            return
        unit.words.append(f"{role}=({node.kind}")
        loose = [child for child in node.children if members is None or child.kind in members]
        for child in node.children:
            if any(child is one for one in loose) or (_is_docstring(child) and node.kind == "block"):
                continue
            if child.role == "alias" and node.kind == "aliased_import":
                continue
            if child.role == "name" and node.kind == "keyword_argument":
                unit.words.append(child.text)
                continue
            body = child.role == "body" and node.kind in self.grammar.members
            self._write(child, unit, self.grammar.members[node.kind] if body else _NONE)
        unit.words += sorted(self.digest(child, unit.itself) for child in loose)
        unit.words.append(")")

    def _leaf(self, node: Node, unit: "_Unit") -> str:
        text = node.text
        if node.kind != "identifier" or node.role == "attribute":
            return f"{node.kind}:{text}"
        if text == unit.itself:
            return "itself"
        if text in unit.local:
            return unit.numbers.setdefault(text, f"local {len(unit.numbers)}")
        if text in self.colours:
            return f"module {self.colours[text]}"
        return f"name {self.meanings.get(text, text)}"


@dataclass
class _Unit:
    """A unit while it is written."""

    local: set[str]
    itself: str | None
    numbers: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


@dataclass
class _Parts:
    """Counts subtrees, variables not told apart."""

    grammar: Grammar
    into: Counter[str]

    def add(self, unit: Node) -> None:
        local = bound_names(unit, self.grammar) | bound_names(unit, self.grammar, inside=False)
        self._add(unit, local)

    def _add(self, node: Node, local: set[str]) -> tuple[str, int]:
        node = _unwrapped(node)
        if not node.children:
            variable = node.kind == "identifier" and node.role != "attribute" and node.text in local
            return ("variable" if variable else f"{node.kind}:{node.text}"), 1
        below = [self._add(child, local) for child in node.children]
        digest, size = _hashed([node.kind, *(text for text, _ in below)]), 1 + sum(number for _, number in below)
        if size >= _LEAST:
            self.into[digest] += 1
        return digest, size


def _hashed(words: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "backslashreplace")).hexdigest()[:24]
