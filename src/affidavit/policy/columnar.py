"""Checked CEL over the columns of a batch: each question is asked once of each distinct name, never of a row alone.

A field that an event does not have is the empty string, 0 or the empty list, as an unset field of a message is in CEL.
Whole numbers keep to 64 bits: a sum or product beyond them is the outermost number.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.contracts import cel, matcher, same_programs
from affidavit.policy.columns import Batch, Names, Words
from affidavit.policy.endpoint_match import reaches
from affidavit.policy.lineage import Images, Lineage

Mask = npt.NDArray[np.bool_]
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


class Frame(Protocol):
    """Rows that an expression is asked of."""

    @property
    def rows(self) -> int: ...

    def leaf(self, node: cel.Node) -> Any:
        """The value of a Column, Element, Has or Reaches: a mask, numbers, Names or Words."""


class EventFrame:
    """The events of a batch.

    Args:
        batch: the events.
        began_ns: when the record began.
        lineage, images: what their processes were.
    """

    def __init__(self, batch: Batch, began_ns: int, lineage: Lineage, images: Images | None) -> None:
        self.rows = batch.rows
        self._batch = batch
        self._began_ns = began_ns
        self._lineage = lineage
        self._images = images

    def leaf(self, node: cel.Node) -> Any:
        match node:
            case cel.Column("event", name):
                return self._of_event(name)
            case cel.Column("process", name):
                return self._of_process(name)
            case cel.Has(column):
                return self._has(column.name)
            case cel.Reaches(endpoints):
                return reaches(self._batch, endpoints)
        raise TypeError(f"no event has a {node}")

    def _of_event(self, name: str) -> Any:
        batch = self._batch
        match name:
            case "op" | "path" | "path2" | "addr" | "proto" | "exe" | "comm" | "source":
                return batch.names(name)
            case "ok":
                return batch.numbers("ret") >= 0
            case "time_ms":
                return (batch.numbers("ts_ns") - self._began_ns) // 1_000_000
            case "port":
                return np.maximum(batch.numbers("port"), 0).astype(np.int64)
            case "argv":
                return batch.words("argv")
        return batch.numbers(name).astype(np.int64)

    def _of_process(self, name: str) -> Any:
        if name in ("pid", "ppid", "uid", "gid", "comm"):
            return self._of_event(name)
        assert self._images is not None
        used, of_row = np.unique(self._images, return_inverse=True)
        images = [self._lineage.images[number] for number in used.tolist()]
        match name:
            case "argv":
                return Words.of([image.argv for image in images], of_row)
            case "ancestors":
                return Words.of([self._lineage.ancestors(number) for number in used.tolist()], of_row)
            case "parent_exe":
                images = [self._lineage.images[image.parent] for image in images]
        return Names.of([image.exe for image in images], of_row)

    def _has(self, name: str) -> Mask:
        match name:
            case "argv":
                return np.asarray(self._batch.words("argv").sizes() > 0)
            case "port":
                return self._batch.numbers("port") >= 0
        return self._batch.names(name).codes >= 0


class ChangeFrame:
    """The changes of the diff."""

    def __init__(self, changes: Sequence[Any]) -> None:
        self.rows = len(changes)
        self._changes = changes

    def leaf(self, node: cel.Node) -> Any:
        match node:
            case cel.Column("change", "mode"):
                return np.array([change.mode for change in self._changes], np.int64)
            case cel.Column("change", name):
                return Names(pa.array([getattr(change, name) for change in self._changes], pa.utf8()))
            case cel.Has(column):
                return np.array([getattr(change, column.name) is not None for change in self._changes], np.bool_)
        raise TypeError(f"no change has a {node}")


class _WordFrame:
    """Distinct words, one a row."""

    def __init__(self, words: pa.Array) -> None:
        self.rows = len(words)
        self._names = Names.of(words, np.arange(len(words)))

    def leaf(self, node: cel.Node) -> Any:
        return self._names


class Evaluation:
    """Expressions over one frame. What several of them share is asked once.

    Args:
        frame: the rows.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._known: dict[cel.Node, Any] = {}

    def mask(self, node: cel.Node) -> Mask:
        """For each row whether a bool is true."""
        value = np.asarray(self._value(node), np.bool_)
        # What is of constants only is one value for all rows.
        return value if value.ndim else np.full(self._frame.rows, value)

    def _value(self, node: cel.Node) -> Any:
        if isinstance(node, cel.Constant):
            return node.value
        if node not in self._known:
            self._known[node] = self._compute(node)
        return self._known[node]

    def _compute(self, node: cel.Node) -> Any:
        match node:
            case cel.Column() | cel.Element() | cel.Has() | cel.Reaches():
                return self._frame.leaf(node)
            case cel.Binary("&&" | "||", left, right):
                first = self.mask(left)
                stops = node.op == "||"
                # Nothing that the other side says changes the outcome.
                if (first.all() if stops else not first.any()) and len(first):
                    return first
                return first | self.mask(right) if stops else first & self.mask(right)
            case cel.Binary("==" | "!=", left, right):
                same = self._same(left, right)
                return same if node.op == "==" else np.logical_not(same)
            case cel.Binary(op, left, right):
                return _ARITHMETIC[op](self._value(left), self._value(right))
            case cel.Not(operand):
                return ~self.mask(operand)
            case cel.Negative(operand):
                return _saturated(lambda a, b: a - b, 0, self._value(operand))
            case cel.Conditional(test, yes, no):
                return self._choose(self.mask(test), yes, no)
            case cel.OneOf(item, options):
                return self._one_of(item, options)
            case cel.Text(function, operand, arguments):
                return self._of_text(operand, lambda texts: _TEXT[function](texts, arguments), np.bool_)
            case cel.Size(operand):
                if operand.type == "strings":
                    return self._value(operand).sizes()
                return self._of_text(operand, _lengths, np.int64)
            case cel.OverWords(quantifier, words, predicate):
                return _quantified(quantifier, self._value(words), predicate)
        raise TypeError(f"{node} is no question on a row")

    def _of_text(self, operand: cel.Node, function: Callable[[pa.Array], npt.NDArray[Any]], kind: Any) -> Any:
        value = self._value(operand)
        if isinstance(value, str):
            return function(pa.array([value], pa.utf8()))[0].item()
        of_distinct = function(value.distinct) if len(value.distinct) else np.zeros(0, kind)
        return value.spread(of_distinct, function(pa.array([""], pa.utf8()))[0])

    def _same(self, left: cel.Node, right: cel.Node) -> Any:
        if left.type == "bool":
            return self.mask(left) == self.mask(right)
        one, other = self._value(left), self._value(right)
        if left.type == "int":
            return one == other
        if isinstance(one, str) and isinstance(other, str):
            return one == other
        if isinstance(one, str):
            one, other = other, one
        if isinstance(other, str):
            equal = pc.equal(one.distinct, other).to_numpy(zero_copy_only=False)
            return one.spread(equal, other == "")
        return _numbered(one, one.distinct) == _numbered(other, one.distinct)

    def _one_of(self, item: cel.Node, options: tuple[int | str, ...]) -> Any:
        value = self._value(item)
        if item.type == "int":
            return np.isin(value, np.array(options, np.int64)) if not isinstance(value, int) else value in options
        if isinstance(value, str):
            return value in options
        among = pc.is_in(value.distinct, value_set=pa.array(options, pa.utf8())).to_numpy(zero_copy_only=False)
        return value.spread(among, "" in options)

    def _choose(self, test: Mask, yes: cel.Node, no: cel.Node) -> Any:
        if yes.type == "bool":
            return np.where(test, self.mask(yes), self.mask(no))
        one, other = self._value(yes), self._value(no)
        if yes.type == "int":
            return np.where(test, one, other)
        return Names.chosen(test, _as_names(one, len(test)), _as_names(other, len(test)))


def _quantified(quantifier: str, words: Words, predicate: cel.Node) -> Any:
    distinct = words.words.distinct
    true = (
        Evaluation(_WordFrame(distinct)).mask(predicate)[words.words.codes] if len(distinct) else np.zeros(0, np.bool_)
    )
    hits = np.bincount(words.parents[true], minlength=words.lists)
    match quantifier:
        case "exists":
            return words.spread(hits > 0)
        case "exists_one":
            return words.spread(hits == 1)
    return words.spread(hits == np.bincount(words.parents, minlength=words.lists))


def _as_names(value: Any, rows: int) -> Names:
    return Names.of([value], np.zeros(rows, np.int32)) if isinstance(value, str) else value


def _numbered(names: Names, of: pa.Array) -> npt.NDArray[np.int64]:
    """For each row the place of its name in `of`; -1 for the empty string and none, -2 for others."""
    places = pc.fill_null(pc.index_in(names.distinct, value_set=of), -2).to_numpy(zero_copy_only=False).astype(np.int64)
    places[pc.equal(names.distinct, "").to_numpy(zero_copy_only=False)] = -1
    return names.spread(places, -1)


def _lengths(texts: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(pc.utf8_length(texts).to_numpy(zero_copy_only=False), np.int64)


def _kernel(function: Callable[..., Any]) -> Callable[[pa.Array, tuple[str, ...]], Mask]:
    return lambda texts, arguments: function(texts, pattern=arguments[0]).to_numpy(zero_copy_only=False)


_TEXT: dict[str, Callable[[pa.Array, tuple[str, ...]], Mask]] = {
    "startsWith": _kernel(pc.starts_with),
    "endsWith": _kernel(pc.ends_with),
    "contains": _kernel(pc.match_substring),
    "matches": _kernel(pc.match_substring_regex),
    "glob": lambda texts, patterns: matcher(patterns).mask(texts),
    "program": lambda texts, patterns: matcher(same_programs(patterns)).mask(texts),
}


def _saturated(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    left, right = np.asarray(left, np.int64), np.asarray(right, np.int64)
    near = function(left.astype(np.float64), right.astype(np.float64))
    with np.errstate(over="ignore"):
        exact = function(left, right)
    # The product or sum of two 64-bit numbers is known to far better than a factor of two.
    if (np.abs(near) < 2.0**62).all():
        return exact
    wide = function(left.astype(object), right.astype(object))
    return np.clip(wide, _INT_MIN, _INT_MAX).astype(np.int64)


def _divided(left: Any, right: Any) -> Any:
    # CEL's division goes towards zero, numpy's down.
    left = np.asarray(left, np.int64)
    quotient = left // right
    return quotient + ((left < 0) & (quotient * right != left))


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: np.asarray(a < b),
    "<=": lambda a, b: np.asarray(a <= b),
    ">": lambda a, b: np.asarray(a > b),
    ">=": lambda a, b: np.asarray(a >= b),
    "+": lambda a, b: _saturated(lambda x, y: x + y, a, b),
    "-": lambda a, b: _saturated(lambda x, y: x - y, a, b),
    "*": lambda a, b: _saturated(lambda x, y: x * y, a, b),
    "/": _divided,
    "%": lambda a, b: np.asarray(a, np.int64) - _divided(a, b) * b,
}
