"""Whether one list of path patterns matches more than another, decided by automata.

A pattern is a line of states, so that all states of all patterns fit into the bits of one number and a character moves
all of them with a few operations on it (the Shift-And algorithm: Baeza-Yates and Gonnet, A new approach to text
searching, 1992). The subsets that can be reached are searched breadth first for a name that the one list matches and
the other does not; characters that no pattern tells apart are tried once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from affidavit.contracts.packs import PATTERN_LISTS
from affidavit.contracts.patterns import class_end, class_ranges, expand_braces, with_merged_usr

# Enough for lists of some hundred patterns; a search takes about a second at most.
_MOST_STATES = 8_000
_MOST_BITS = 60_000
# Bits that a search may move, all of its steps together.
_MOST_WORK = 10**10

_SLASH = ord("/")
_BYTE = -1  # a byte that is not UTF-8: what only wildcards match
_LAST = 0x10FFFF


class Undecided(Exception):
    """The search would take too long."""


@dataclass(frozen=True)
class PathList:
    """A contract's list: what it names, without its exceptions.

    Attributes:
        include, exclude: patterns.
        included, excluded: built-in lists that it names.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    included: tuple["PathList", ...] = ()
    excluded: tuple["PathList", ...] = ()

    @classmethod
    def of(cls, written: Iterable[str], named: Mapping[str, Sequence[str]] = PATTERN_LISTS) -> "PathList":
        """A list as it is written: patterns, ``!`` exceptions, ``affidavit:NAME``."""
        patterns: dict[bool, list[str]] = {False: [], True: []}
        lists: dict[bool, list[PathList]] = {False: [], True: []}
        for text in written:
            exception = text.startswith("!")
            text = text.removeprefix("!")
            if text.startswith("affidavit:"):
                lists[exception].append(cls.of(named[text], named))
            else:
                patterns[exception].extend(expand_braces(with_merged_usr(text)))
        return cls(
            tuple(dict.fromkeys(patterns[False])),
            tuple(dict.fromkeys(patterns[True])),
            tuple(lists[False]),
            tuple(lists[True]),
        )

    @property
    def exceptions(self) -> "PathList":
        """What the exceptions name."""
        return PathList(self.exclude, (), self.excluded, ())

    def patterns(self) -> Iterable[str]:
        """The patterns one of which matches whatever the list does."""
        yield from self.include
        for inner in self.included:
            yield from inner.patterns()


EVERYTHING = PathList.of(("/**",))


def excess(new: Sequence[PathList], old: Sequence[PathList]) -> str | None:
    """A name that one of the lists of `new` matches and none of `old`; None where there is no such name.

    Args:
        new, old: as many of the one as of the other; the n-th list of `new` came of the n-th of `old`.

    Raises:
        Undecided: it would take too long to find out.
    """
    if any("/**" in before.include and not before.exclude and not before.excluded for before in old):
        return None
    leads: list[str] = []
    for after, before in zip(new, old, strict=True):
        # A name in excess is matched by a pattern that is new, or one that was an exception and is no more.
        plain = not (after.included or before.included)
        fresh = [pattern for pattern in after.include if pattern not in set(before.include)]
        if plain and fresh and _search(fresh, [PathList(tuple(fresh))], [PathList(before.include)]) is None:
            fresh = []
        for inner in after.included:
            fresh += [] if inner in before.included else inner.patterns()
        lifted = [pattern for pattern in before.exclude if pattern not in set(after.exclude)]
        for inner in before.excluded:
            lifted += [] if inner in after.excluded else inner.patterns()
        if lifted and _search(lifted, [PathList(tuple(lifted))], [after.exceptions]) is None:
            lifted = []
        leads += fresh + lifted
    return _search(leads, new, old) if leads else None


def _search(leads: Sequence[str], new: Sequence[PathList], old: Sequence[PathList]) -> str | None:
    """A name that one of `leads` matches, and one of `new`, and none of `old`."""
    automata = _Automata()
    lead_bits = lead_ends = 0
    for pattern in dict.fromkeys(leads):
        bits, end = automata.add(pattern)
        lead_bits |= bits
        lead_ends |= end
    wanted = [_matcher(one, automata) for one in new]
    unwanted = [_matcher(one, automata) for one in old]

    def found(states: int) -> bool:
        return (
            bool(states & lead_ends) and any(one(states) for one in wanted) and not any(one(states) for one in unwanted)
        )

    moves = automata.moves()
    start = automata.start()
    reached: dict[int, tuple[int, int] | None] = {start: None}
    queue = [start]
    work = 0
    for states in queue:
        work += len(moves) * automata.size
        if work > _MOST_WORK:
            raise Undecided
        for character, shifted, looped in moves:
            following = automata.close(((states << 1) & shifted) | (states & looped))
            if not following & lead_bits or following in reached:
                continue
            reached[following] = (states, character)
            if found(following):
                return _name(reached, following)
            queue.append(following)
            if len(reached) > _MOST_STATES:
                raise Undecided
    return None


def _matcher(one: PathList, automata: "_Automata") -> Callable[[int], bool]:
    """Whether a list matches the name that has led to a set of states."""
    include = exclude = 0
    for pattern in one.include:
        include |= automata.add(pattern)[1]
    for pattern in one.exclude:
        exclude |= automata.add(pattern)[1]
    included = [_matcher(inner, automata) for inner in one.included]
    excluded = [_matcher(inner, automata) for inner in one.excluded]

    def matches(states: int) -> bool:
        return (bool(states & include) or any(inner(states) for inner in included)) and not (
            bool(states & exclude) or any(inner(states) for inner in excluded)
        )

    return matches


def _name(reached: Mapping[int, tuple[int, int] | None], states: int) -> str:
    characters: list[str] = []
    while (step := reached[states]) is not None:
        states, character = step
        characters.append("\\xff" if character == _BYTE else chr(character))
    return "".join(reversed(characters))


@dataclass(frozen=True)
class _Set:
    """Characters of names: those in `ranges`, or those not in them where `negated`. ``/`` only where `slash`."""

    ranges: tuple[tuple[int, int], ...] = ()
    negated: bool = False
    slash: bool = False

    def __contains__(self, character: int) -> bool:
        if character == _SLASH:
            return self.slash
        if character == _BYTE:
            return self.negated
        return any(low <= character <= high for low, high in self.ranges) != self.negated


_ANY = _Set(negated=True)
_ALL = _Set(negated=True, slash=True)
_SEPARATOR = _Set(slash=True)


class _Automata:
    """The states of many patterns in the bits of one number."""

    def __init__(self) -> None:
        self._size = 0
        self._known: dict[str, tuple[int, int]] = {}
        # Bits that a character of the set leads to from the bit below, and bits that it leaves where they are.
        self._shifts: dict[_Set, int] = {}
        self._loops: dict[_Set, int] = {}
        # Bits of the states before a group "(/.*)?", of those inside it, and of the first ones.
        self._before = self._inside = self._first = 0

    def add(self, pattern: str) -> tuple[int, int]:
        """The bits of a pattern without braces, and the bit that says that it matches."""
        if pattern in self._known:
            return self._known[pattern]
        first = self._size
        self._first |= 1 << first
        self._size += 1
        parts = pattern.split("/")
        parts = parts[1:] if parts[0] == "" else parts
        group = False
        for index, part in enumerate(parts):
            if pattern == "/":
                self._step(_SEPARATOR)
            elif part == "**" and index == len(parts) - 1 and index == 0:
                self._step(_SEPARATOR)
                self._loop(_ALL)
            elif part == "**":
                if not group:
                    self._group()
                group = True
            else:
                group = False
                self._step(_SEPARATOR)
                self._component(part)
        self._known[pattern] = ((1 << self._size) - (1 << first), 1 << (self._size - 1))
        return self._known[pattern]

    @property
    def size(self) -> int:
        """How many states there are."""
        return self._size

    def _step(self, characters: _Set) -> None:
        if self._size > _MOST_BITS:
            raise Undecided
        self._shifts[characters] = self._shifts.get(characters, 0) | 1 << self._size
        self._size += 1

    def _loop(self, characters: _Set) -> None:
        self._loops[characters] = self._loops.get(characters, 0) | 1 << (self._size - 1)

    def _group(self) -> None:
        """``(/.*)?``: a state inside and one behind it, which can be had without a character from before and inside."""
        self._before |= 1 << (self._size - 1)
        self._step(_SEPARATOR)
        self._loop(_ALL)
        self._inside |= 1 << (self._size - 1)
        self._size += 1

    def _component(self, part: str) -> None:
        position = 0
        while position < len(part):
            match part[position]:
                case "*":
                    end = position
                    while part[end : end + 1] == "*":
                        end += 1
                    self._loop(_ANY if end - position == 1 else _ALL)
                    position = end
                    continue
                case "?":
                    self._step(_ANY)
                case "[" if (end_of_class := class_end(part, position)) is not None:
                    body = part[position + 1 : end_of_class - 1]
                    negated = body[:1] in ("!", "^")
                    ranges = class_ranges(body[1:] if negated else body)
                    self._step(_Set(tuple((ord(low), ord(high)) for low, high in ranges), negated))
                    position = end_of_class
                    continue
                case "\\":
                    position += 1
                    self._step(_Set(((ord(part[position]),) * 2,)))
                case character:
                    self._step(_Set(((ord(character),) * 2,)))
            position += 1

    def start(self) -> int:
        """Where all patterns begin."""
        return self.close(self._first)

    def close(self, states: int) -> int:
        """With the states that are had without a further character."""
        return states | (states & self._before) << 2 | (states & self._inside) << 1

    def moves(self) -> list[tuple[int, int, int]]:
        """One character of each kind that the patterns tell apart, with the bits it shifts to and leaves; what a person
        would write first."""
        kinds: dict[tuple[int, int], int] = {}
        for character in self._representatives():
            shifted = looped = 0
            for characters, bits in self._shifts.items():
                shifted |= bits if character in characters else 0
            for characters, bits in self._loops.items():
                looped |= bits if character in characters else 0
            kinds.setdefault((shifted, looped), character)
        return [(character, *bits) for bits, character in kinds.items()]

    def _representatives(self) -> list[int]:
        edges = {0, _SLASH, _SLASH + 1}
        for characters in (*self._shifts, *self._loops):
            for low, high in characters.ranges:
                edges |= {low, high + 1}
        bounds = [*sorted(edge for edge in edges if edge <= _LAST), _LAST + 1]
        found = [_readable(low, high - 1) for low, high in pairwise(bounds)]
        plain = [character for character in found if character is not None]
        return [*sorted(plain, key=lambda c: (not chr(c).isalnum(), c)), _BYTE]


def _readable(low: int, high: int) -> int | None:
    """A character of a range that a name can hold, best a letter; None where there is none."""
    for first, last in ((ord("a"), ord("z")), (ord("0"), ord("9")), (0x21, 0x7E), (0xA1, 0xD7FF), (1, 0xD7FF)):
        if max(low, first) <= min(high, last):
            return max(low, first)
    return max(low, 0xE000) if high >= 0xE000 else None
