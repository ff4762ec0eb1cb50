"""Whether one checked expression can be true only where another is: shown, or not shown.

What is not shown may still hold: only the structure of ``&&``, ``||`` and ``!``, bounds of whole numbers, patterns of
paths, endpoints, and words within words are looked at, and no longer than some moments.
"""

import math
from collections.abc import Sequence

from affidavit.contracts import cel
from affidavit.contracts.endpoints import Endpoint
from affidavit.contracts.implied import same_programs
from affidavit.contracts.languages import PathList, Undecided, excess

_MOST_STEPS = 5_000
_MOST_LISTS = 40


def implies(one: cel.Node, other: cel.Node) -> bool:
    """Whether it is shown that `other` is true wherever `one` is."""
    return _Proof().shows(one, other)


def covers(wide: Endpoint, narrow: Endpoint) -> bool:
    """Whether an endpoint allows all that another does."""
    if wide.ports and not (narrow.ports and wide.ports[0] <= narrow.ports[0] <= narrow.ports[1] <= wide.ports[1]):
        return False
    if wide.protocol and wide.protocol != narrow.protocol:
        return False
    if wide.host is None or narrow.host is None:
        within, around = narrow.addresses, wide.addresses
        if within is None or around is None or within.version != around.version:
            return False
        return within.subnet_of(around)  # type: ignore[arg-type]
    if wide.host.startswith("*."):
        return narrow.host.removeprefix("*").endswith(wide.host[1:])
    return wide.host == narrow.host


class _Proof:
    """One question, bounded in what it may cost."""

    def __init__(self) -> None:
        self._steps = 0
        self._lists = 0

    def shows(self, one: cel.Node, other: cel.Node) -> bool:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            return False
        one, other = _plain(one), _plain(other)
        if one in (other, _FALSE) or other == _TRUE:
            return True
        # What must be taken apart in any case comes first.
        if (parts := _sides(one, "||")) is not None:
            return all(self.shows(part, other) for part in parts)
        if (parts := _sides(other, "&&")) is not None:
            return all(self.shows(one, part) for part in parts)
        if (parts := _sides(one, "&&")) is not None and any(self.shows(part, other) for part in parts):
            return True
        if (parts := _sides(other, "||")) is not None and any(self.shows(one, part) for part in parts):
            return True
        return self._of_leaves(one, other)

    def _of_leaves(self, one: cel.Node, other: cel.Node) -> bool:
        bounds, wider = _bounds(one), _bounds(other)
        if bounds is not None and wider is not None:
            return self._within(*bounds, *wider)
        match one, other:
            case cel.Not(first), cel.Not(second):
                return self.shows(second, first)
            case cel.Text(), cel.Text() if one.operand == other.operand and one.function == other.function:
                return self._text(one.function, one.arguments, other.arguments)
            case cel.OverWords("exists" | "all", words, predicate), cel.OverWords():
                same = (one.quantifier, words) == (other.quantifier, other.words)
                return same and self.shows(predicate, other.predicate)
            case cel.OverRecord("exists" | "all", source, predicate), cel.OverRecord():
                same = (one.quantifier, source) == (other.quantifier, other.source)
                return same and self.shows(predicate, other.predicate)
            case cel.Reaches(endpoints), cel.Reaches(others):
                wide = [Endpoint.parse(text) for text in others]
                return all(any(covers(each, Endpoint.parse(text)) for each in wide) for text in endpoints)
        options, more = _options(one), _options(other)
        if options is None or more is None or options[0] != more[0]:
            return False
        (_, values, excluded), (_, others_, without) = options, more
        if not excluded:
            return values.isdisjoint(others_) if without else values <= others_
        return without and others_ <= values

    def _within(self, term: cel.Node, low: float, high: float, of: cel.Node, least: float, most: float) -> bool:
        if term == of:
            return least <= low and high <= most
        if not (isinstance(term, cel.OverRecord) and isinstance(of, cel.OverRecord) and term.source == of.source):
            return False
        # A count of more events is at least as high.
        if high == most == math.inf:
            return least <= low and self.shows(term.predicate, of.predicate)
        if least <= 0 and low <= 0:
            return high <= most and self.shows(of.predicate, term.predicate)
        return False

    def _text(self, function: str, arguments: Sequence[str], others: Sequence[str]) -> bool:
        match function:
            case "glob":
                return self._lists_within(arguments, others)
            case "program":
                return self._lists_within(same_programs(arguments), same_programs(others))
            case "startsWith":
                return arguments[0].startswith(others[0])
            case "endsWith":
                return arguments[0].endswith(others[0])
            case "contains":
                return others[0] in arguments[0]
        return False

    def _lists_within(self, patterns: Sequence[str], others: Sequence[str]) -> bool:
        self._lists += 1
        if self._lists > _MOST_LISTS:
            return False
        try:
            return excess([PathList.of(patterns)], [PathList.of(others)]) is None
        except Undecided:
            return False


_TRUE, _FALSE = cel.Constant(True, "bool"), cel.Constant(False, "bool")


def _plain(node: cel.Node) -> cel.Node:
    """Without two negations that undo each other."""
    while isinstance(node, cel.Not) and isinstance(node.operand, cel.Not):
        node = node.operand.operand
    return node


def _sides(node: cel.Node, op: str) -> tuple[cel.Node, cel.Node] | None:
    """What an expression joins by an operator, a negation of the other one included."""
    match node:
        case cel.Binary(found, left, right) if found == op:
            return left, right
        case cel.Not(cel.Binary("&&" | "||" as found, left, right)) if found != op:
            return cel.Not(left), cel.Not(right)
    return None


_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def _bounds(node: cel.Node) -> tuple[cel.Node, float, float] | None:
    """What a comparison of whole numbers with a constant is about, and from where to where it lies then."""
    negated = isinstance(node, cel.Not)
    match node.operand if isinstance(node, cel.Not) else node:
        case cel.Binary(found, left, cel.Constant(int() as value, "int")) if found in _FLIPPED:
            term, op = left, found
        case cel.Binary(found, cel.Constant(int() as value, "int"), right) if found in _FLIPPED:
            term, op = right, _FLIPPED[found]
        case _:
            return None
    if negated and op not in _NEGATED:
        return None
    op = _NEGATED[op] if negated else op
    # A count is never below nothing.
    floor = 0 if isinstance(term, cel.OverRecord) else -math.inf
    low, high = {
        "<": (-math.inf, value - 1),
        "<=": (-math.inf, value),
        ">": (value + 1, math.inf),
        ">=": (value, math.inf),
        "==": (value, value),
    }[op]
    return term, max(low, floor), high


def _options(node: cel.Node) -> tuple[cel.Node, frozenset[int | str], bool] | None:
    """What is one of some constants, or (True) none of them."""
    match node:
        case cel.Not(operand):
            found = _options(operand)
            return None if found is None else (found[0], found[1], not found[2])
        case cel.OneOf(item, options):
            return item, frozenset(options), False
        case cel.Binary("==" | "!=" as op, left, cel.Constant(str() | int() as value)):
            return left, frozenset([value]), op == "!="
        case cel.Binary("==" | "!=" as op, cel.Constant(str() | int() as value), right):
            return right, frozenset([value]), op == "!="
    return None
