"""From a syntax tree to a checked expression: names, types, constants and bounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from affidavit.contracts.cel import nodes as n
from affidavit.contracts.cel.grammar import CelError, parse, unquoted
from affidavit.contracts.patterns import PathMatcher, PatternError, expand_braces
from affidavit.contracts.suggestions import did_you_mean
from affidavit.events import OPS

About = Literal["event", "record", "turn"]

_MOST_NODES = 500
_MOST_EXPANDED = 1 << 14
_DEEPEST = 60
_INT64 = 2**63

_PROCESS: dict[str, n.Type] = {
    "pid": "int",
    "ppid": "int",
    "uid": "int",
    "gid": "int",
    "comm": "string",
    "exe": "string",
    "argv": "strings",
    "parent_exe": "string",
    "ancestors": "strings",
}
FIELDS: Mapping[n.Of, Mapping[str, n.Type]] = {
    "event": {
        **dict.fromkeys(("seq", "ts_ns", "time_ms", "pid", "tid", "ppid", "flags", "mode", "ret", "port"), "int"),
        **dict.fromkeys(("uid", "gid"), "int"),
        **dict.fromkeys(("op", "path", "path2", "addr", "proto", "exe", "comm", "source"), "string"),
        "argv": "strings",
        "ok": "bool",
    },
    "process": _PROCESS,
    "change": {**dict.fromkeys(("path", "kind", "type", "target"), "string"), "mode": "int"},
    "turn": {
        **dict.fromkeys(("number", "status", "input_tokens", "output_tokens", "duration_ms"), "int"),
        **dict.fromkeys(("dialect", "operation", "method", "path", "model", "wire_model", "outcome"), "string"),
        "reason": "string",
        **dict.fromkeys(("tools", "stripped"), "strings"),
    },
}
"""The fields of an event, of its process before it, of a change in the diff, and of an exchange with a model, with
their types."""

# What a null may stand for; the others are always there.
_OPTIONAL = frozenset(("path", "path2", "addr", "port", "proto", "exe", "argv", "comm", "target"))
_TEXT_FUNCTIONS = ("startsWith", "endsWith", "contains", "matches", "glob")
_QUANTIFIERS = ("exists", "all", "exists_one")
_RECORD_METHODS = (*_QUANTIFIERS, "count", "filter", "size")


@dataclass(frozen=True)
class Expression:
    """A checked expression of a rule.

    Attributes:
        node: a bool.
        about: ``event``: to be asked of every event; ``turn``: of every exchange with a model; ``record``: to be asked
            once of trace, diff and turns.
        text: as it is written.
    """

    node: n.Node
    about: About
    text: str


@dataclass(frozen=True)
class _Source:
    """The trace, the diff or the turns, perhaps filtered."""

    name: Literal["trace", "diff", "turns"]
    kept: n.Node | None = None


@dataclass(frozen=True)
class _Row:
    """A variable that stands for an event, its process, a change, or an exchange with a model."""

    of: n.Of


@lru_cache(1024)
def compile_cel(text: str) -> Expression:
    """Parse and check an expression.

    Raises:
        CelError: it is no CEL, is wrong in names or types, holds what is not taken, or is too large.
    """
    checker = _Checker()
    node = checker.node(parse(text), {}, 0)
    if node.type != "bool":
        raise CelError(f"must be true or false in the end, not {_a(node.type)}")
    over_record = any(isinstance(one, n.OverRecord) for one in n.walk(node))
    if len(checker.asked) + over_record > 1:
        asked = [_ASKED[one] for one in sorted(checker.asked)] + ["the record (trace, diff, turns)"] * over_record
        raise CelError(f"asks both of {' and of '.join(asked)}; make two rules of it")
    if over_record:
        return Expression(node, "record", text)
    if not checker.asked:
        raise CelError("asks nothing of an event (e), its process, a turn, the trace, the diff or the turns")
    return Expression(node, checker.asked.pop(), text)


def compile_condition(text: str) -> n.Node:
    """Parse and check an expression over one event.

    Raises:
        CelError: as `compile_cel`; or it asks of something else.
    """
    expression = compile_cel(text)
    if expression.about != "event":
        raise CelError("may only ask of the event e and its process here")
    return expression.node


class _Checker:
    def __init__(self) -> None:
        # Of what the rule is asked: what is named outside of any macro.
        self.asked: set[About] = set()
        self._nodes = 0
        # Characters that its path patterns have without braces.
        self._expanded = 0

    def node(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        """A value; anything else is an error."""
        found = self._any(tree, names, depth)
        if isinstance(found, _Source):
            raise _error(tree, f"needs a question on {found.name}: {', '.join(_RECORD_METHODS[:4])}, or filter")
        if isinstance(found, _Row):
            raise _error(tree, f"needs a field of the {found.of}: {', '.join(FIELDS[found.of])}")
        node: n.Node = found
        return node

    def _any(self, tree: Any, names: Mapping[str, Any], depth: int) -> Any:
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise _error(tree, f"is too large: more than {_MOST_NODES} parts, or nested deeper than {_DEEPEST}")
        kind = str(tree.data)
        if (refusal := _REFUSED.get(kind)) is not None:
            raise _error(tree, refusal)
        handler = getattr(self, f"_{kind.strip('_')}")
        return handler(tree, names, depth + 1)

    # --- constants and names ---

    def _int(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        value = int(str(tree.children[0]), 0 if str(tree.children[0])[:2] == "0x" else 10)
        if value >= _INT64:
            raise _error(tree, "is a number of more than 64 bits")
        return n.Constant(value, "int")

    def _string(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        try:
            return n.Constant(unquoted(str(tree.children[0])), "string")
        except ValueError as error:
            raise _error(tree, f"holds the escape {error}, which is none; a backslash is '\\\\'") from None

    def _true(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        return n.Constant(True, "bool")

    def _false(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        return n.Constant(False, "bool")

    def _name(self, tree: Any, names: Mapping[str, Any], depth: int) -> Any:
        name = str(tree.children[0])
        if name in names:
            return names[name]
        match name:
            case "trace" | "diff" | "turns":
                return _Source(name)
            case "e" | "event":
                return self._asked_of(tree, names, _Row("event"), "event")
            case "process":
                return self._asked_of(tree, names, _Row("process"), "event")
            case "turn":
                return self._asked_of(tree, names, _Row("turn"), "turn")
        known = sorted({*names, "e", "process", "turn", "trace", "diff", "turns"} - {""})
        raise _error(tree, f"there is no {name[:40]!r} here, only {', '.join(known)}{did_you_mean(name, known)}")

    def _asked_of(self, tree: Any, names: Mapping[str, Any], row: _Row, about: About) -> _Row:
        # The name "" marks a macro over the record: which event its content is of.
        around = names.get("")
        if around is None:
            self.asked.add(about)
        elif around != "trace" or row.of != "process":
            raise _error(tree, "is not to be had inside of a question on the record: use the variable that it names")
        return row

    def _select(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        of, name = self._any(tree.children[0], names, depth), str(tree.children[1])
        if not isinstance(of, _Row):
            raise _error(tree, f"has no field {name[:40]!r}: only events, processes, changes and turns have fields")
        known = FIELDS[of.of]
        if name not in known:
            known_names = ", ".join(known)
            fix = did_you_mean(name, known) or f"; there are {known_names}"
            raise _error(tree.children[1], f"{_an(of.of)} has no field {name[:40]!r}{fix}")
        return n.Column(of.of, name, known[name])

    # --- operators ---

    def _or(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        return self._logic("||", tree, names, depth)

    def _and(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        return self._logic("&&", tree, names, depth)

    def _logic(self, op: str, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        left, right = (self._typed(child, names, depth, "bool", op) for child in tree.children)
        return n.Binary(op, left, right, "bool")

    def _not(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        return n.Not(self._typed(tree.children[0], names, depth, "bool", "!"))

    def _sign(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        if str(tree.children[0]) == "+":
            raise _error(tree, "has a '+' in front of it, which CEL does not know")
        operand = self._typed(tree.children[1], names, depth, "int", "-")
        if isinstance(operand, n.Constant):
            return n.Constant(-int(operand.value), "int")
        return n.Negative(operand)

    def _conditional(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        test = self._typed(tree.children[0], names, depth, "bool", "?:")
        yes, no = (self.node(child, names, depth) for child in tree.children[1:])
        if yes.type != no.type or yes.type == "strings":
            raise _error(tree, f"is {_a(yes.type)} or {_a(no.type)}; both must be bool, int or string alike")
        return n.Conditional(test, yes, no, yes.type)

    def _binary(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        left, op = self.node(tree.children[0], names, depth), str(tree.children[1])
        right = self.node(tree.children[2], names, depth)
        if op in ("==", "!="):
            if left.type != right.type or left.type == "strings":
                raise _error(tree, f"compares {_a(left.type)} with {_a(right.type)}")
            self._check_op(tree, left, right)
            return n.Binary(op, left, right, "bool")
        if left.type != "int" or right.type != "int":
            raise _error(tree, f"'{op}' is for whole numbers, not for {_a(left.type)} and {_a(right.type)}")
        if op in ("/", "%") and (not isinstance(right, n.Constant) or int(right.value) <= 0):
            raise _error(tree, f"'{op}' wants a number above 0 written on its right")
        of_record = any(isinstance(one, n.OverRecord) for side in (left, right) for one in n.walk(side))
        if of_record and op not in ("+", "-", "<", "<=", ">", ">="):
            raise _error(tree, f"'{op}' is not taken with counts of the record; use +, - and comparisons")
        return n.Binary(op, left, right, "bool" if op in ("<", "<=", ">", ">=") else "int")

    @staticmethod
    def _check_op(tree: Any, left: n.Node, right: n.Node) -> None:
        """An event's op compared with what no op is called is a slip."""
        for one, other in ((left, right), (right, left)):
            if one == n.Column("event", "op", "string") and isinstance(other, n.Constant):
                _known_op(tree, str(other.value))

    def _in(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        left_tree, right_tree = tree.children
        item = self.node(left_tree, names, depth)
        if str(right_tree.data) == "list":
            options = [self.node(child, names, depth) for child in _arguments(right_tree.children[0])]
            for option in options:
                if not isinstance(option, n.Constant) or option.type != item.type or item.type not in ("int", "string"):
                    raise _error(right_tree, "a list after 'in' holds strings, or numbers, as they are written")
                if item == n.Column("event", "op", "string"):
                    _known_op(right_tree, str(option.value))
            return n.OneOf(item, tuple(option.value for option in options if isinstance(option, n.Constant)))
        words = self.node(right_tree, names, depth)
        if words.type != "strings" or not isinstance(item, n.Constant) or item.type != "string":
            raise _error(tree, "'in' is for VALUE in [LIST] and for \"WORD\" in e.argv")
        return n.OverWords("exists", words, n.Binary("==", n.Element(), item, "bool"))

    def _typed(self, tree: Any, names: Mapping[str, Any], depth: int, wanted: n.Type, op: str) -> n.Node:
        node = self.node(tree, names, depth)
        if node.type != wanted:
            raise _error(tree, f"'{op}' is for {_a(wanted)}, not for {_a(node.type)}")
        return node

    # --- functions ---

    def _call(self, tree: Any, names: Mapping[str, Any], depth: int) -> n.Node:
        name, arguments = str(tree.children[0]), _arguments(tree.children[1])
        if name == "has" and len(arguments) == 1:
            column = self.node(arguments[0], names, depth)
            if not isinstance(column, n.Column):
                raise _error(tree, "has() is for a field, as in has(e.path)")
            return n.Has(column) if column.name in _OPTIONAL else n.Constant(True, "bool")
        if name == "size" and len(arguments) == 1:
            return self._size(tree, self._any(arguments[0], names, depth))
        raise _error(tree, f"there is no function {name[:40]}() with {len(arguments)} arguments, only has() and size()")

    def _method(self, tree: Any, names: Mapping[str, Any], depth: int) -> Any:
        target, name = self._any(tree.children[0], names, depth), str(tree.children[1])
        arguments = _arguments(tree.children[2])
        if isinstance(target, _Row):
            raise _error(tree, f"{_an(target.of)} has fields only, no {name[:40]}()")
        if isinstance(target, _Source):
            return self._over_record(tree, target, name, arguments, names, depth)
        if name == "size" and not arguments:
            return self._size(tree, target)
        if target.type == "strings" and name in _QUANTIFIERS:
            if len(arguments) != 2 or str(arguments[0].data) != "name":
                raise _error(tree, f"must be {name}(VARIABLE, CONDITION)")
            variable = str(arguments[0].children[0])
            # Nothing else is known inside: each word is looked at once, whatever event it is of.
            predicate = self._typed(arguments[1], {variable: n.Element(), "": "words"}, depth, "bool", name)
            return n.OverWords(name, target, predicate)  # type: ignore[arg-type]
        if target.type == "string" and name in _TEXT_FUNCTIONS:
            return self._text(tree, name, target, arguments, names, depth)
        known = {"string": (*_TEXT_FUNCTIONS, "size"), "strings": (*_QUANTIFIERS, "size")}.get(target.type, ())
        fix = did_you_mean(name, known) or (f"; there are {', '.join(known)}" if known else "")
        raise _error(tree, f"{_a(target.type)} has no {name[:40]}(){fix}")

    def _text(
        self, tree: Any, name: str, target: n.Node, arguments: list[Any], names: Mapping[str, Any], depth: int
    ) -> n.Node:
        values = [self.node(argument, names, depth) for argument in arguments]
        if len(values) != 1 or not isinstance(values[0], n.Constant) or values[0].type != "string":
            raise _error(tree, f"{name}() takes one string as it is written")
        value = str(values[0].value)
        if name == "matches":
            _check_regex(tree, value)
        if name == "glob":
            try:
                PathMatcher([value])
            except (PatternError, KeyError) as error:
                raise _error(tree, f"the pattern {value[:100]!r} {error}") from None
            self._expanded += sum(map(len, expand_braces(value.removeprefix("!"))))
            if self._expanded > _MOST_EXPANDED:
                raise _error(tree, f"the braces of its patterns stand for more than {_MOST_EXPANDED} characters")
        return n.Text(name, target, (value,))

    def _size(self, tree: Any, of: Any) -> n.Node:
        if isinstance(of, _Source):
            return n.OverRecord("count", of.name, of.kept or n.Constant(True, "bool"), "int")
        if isinstance(of, _Row) or of.type not in ("string", "strings"):
            raise _error(tree, "size() is for strings, lists, trace, diff and turns")
        return n.Size(of)

    def _over_record(
        self, tree: Any, source: _Source, name: str, arguments: list[Any], names: Mapping[str, Any], depth: int
    ) -> Any:
        if name not in _RECORD_METHODS:
            raise _error(
                tree, f"{source.name} has no {name[:40]}(){did_you_mean(name, _RECORD_METHODS)}; there are "
                f"{', '.join(_RECORD_METHODS)}"
            )  # fmt: skip
        if names.get("") is not None:
            raise _error(tree, "is a question on the record inside of another: it would compare all events with all")
        if name == "size" and not arguments:
            return self._size(tree, source)
        if len(arguments) != 2 or str(arguments[0].data) != "name":
            raise _error(tree, f"must be {source.name}.{name}(VARIABLE, CONDITION)")
        row = _Row(_ROWS[source.name])
        inside = {str(arguments[0].children[0]): row, "": source.name}
        predicate = self._typed(arguments[1], inside, depth, "bool", name)
        kept = source.kept
        if name == "all" and kept is not None:
            predicate = n.Binary("||", n.Not(kept), predicate, "bool")
        elif kept is not None:
            predicate = n.Binary("&&", kept, predicate, "bool")
        if name == "filter":
            return _Source(source.name, predicate)
        return n.OverRecord(name, source.name, predicate, "int" if name == "count" else "bool")  # type: ignore[arg-type]


_ROWS: dict[str, n.Of] = {"trace": "event", "diff": "change", "turns": "turn"}
_ASKED = {"event": "one event (e)", "turn": "one turn"}

_REFUSED = {
    "map": "maps and messages ({…}) are not taken",
    "list": "a list stands only after 'in'",
    "number": "only whole numbers are taken, without 'u', point or exponent",
    "bytes": "byte strings are not taken",
    "null": "null is not taken; has(e.path) tells whether a field is there, and one that is not is empty or 0",
    "index": 'an index is not taken, which may lie outside of the list; use exists(), or "WORD" in e.argv',
}


def _arguments(tree: Any) -> list[Any]:
    return [] if tree is None else list(tree.children)


def _known_op(tree: Any, op: str) -> None:
    if op not in OPS:
        raise _error(tree, f"there is no op {op[:40]!r}{did_you_mean(op, OPS)}")


def _check_regex(tree: Any, regex: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern=regex)
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise _error(tree, f"{regex[:60]!r} is not a regular expression (RE2): {reason[:80]}") from None


def _error(tree: Any, message: str) -> CelError:
    place = getattr(tree, "meta", tree)
    return CelError(message, getattr(place, "line", None) or 1, getattr(place, "column", None) or 1)


def _a(kind: str) -> str:
    return {"bool": "a bool", "int": "a whole number", "string": "a string", "strings": "a list of strings"}[kind]


def _an(of: str) -> str:
    return "an event" if of == "event" else f"a {of}"
