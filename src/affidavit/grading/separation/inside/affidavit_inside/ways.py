"""T: ways in which a solution has a say in a test beside its results, compared with those of the task's own solution.

None of them is a lie by itself: a function may change its arguments, and two constants may be equal. But where the
task's own solution has no need of it, it decides what the tests compare with, and counts as the solution's word.
"""

import hashlib
import json

from . import standins, values

_MOST = 500
_MOST_LETTERS = 120
# What plain data is asked, and what answers by what it is given: an object in its place would see the answer.
_OF_PLAIN_DATA = frozenset(
    name
    for kind in (str, bytes, int, float, list, tuple, set, frozenset, values.pathlib.PurePosixPath)
    for name in dir(kind)
    if not name.startswith("_")
)


class Ways:
    """What was taken, and what may be.

    Attributes:
        known: the ways of the task's own solution; None where those are found out now.
    """

    def __init__(self, client, told):
        self.client = client
        self.known = None if told is None else frozenset(json.loads(told))
        self.taken = set()
        self.names = {}
        self.asked = set()
        self.constants = {}
        for way in self.known or ():
            what, *rest = way.split(" ")
            if what == "constant" and len(rest) == 3:
                owner, name, value = rest
                self.constants.setdefault(owner, {}).setdefault(name, set()).add(value)
        self.looking = False

    def take(self, *words):
        """Note a way; where the task's own solution does without it, it is the solution's word."""
        way = " ".join(word[:_MOST_LETTERS] for word in words)
        if self.known is None:
            # Nothing is compared with an incomplete list of ways.
            self.taken.add(way if len(self.taken) < _MOST else "more")
        elif way not in self.known:
            self.client.word()

    def note(self, *words):
        """Note what others are compared with, and what is no say of the solution's."""
        if self.known is None:
            self.take(*words)

    def changed(self, parts, before, after):
        """An argument became another in the tests' process: what they compare with may be made of it."""
        if type(before) is list and _counted(before) == _counted(after):
            # In another order, as whoever sorts a list leaves it.
            return
        self.take("changes", self.called(parts[0]))

    def called(self, thing):
        """What is called, as the tests named it."""
        number = self.client.number(thing)
        return self.names.get(number) or getattr(type(thing), "__name__", "")

    def got(self, thing, name, result):
        """An attribute of something of the solution's was asked for."""
        number = self.client.number(result)
        if number is not None:
            self.names[number] = name
        if isinstance(type(thing), standins.Meta):
            if number is not None and name in _OF_PLAIN_DATA:
                self.asked.add(number)
            return
        if isinstance(result, type):
            self.note("class", name)
        elif not self.looking and not name.startswith("_"):
            owner = thing.__name__
            value = self._value(result)
            if value is not None:
                self.note("constant", owner, name, value)
                self._compare(owner, name, value, lambda other: self._value(self._look(thing, other)))

    def members(self, kind):
        """An enumeration was described."""
        members = {name: member.name for name, member in kind.__members__.items()}
        for name, value in members.items():
            self.note("constant", kind.__name__, name, value)
        for name, value in members.items():
            self._compare(kind.__name__, name, value, members.get)

    def made(self, thing, arguments, result, before):
        """Something was called. A method that plain data has sees what the tests ask it about; and what the task's own
        solution has as a class has to make objects, and new ones."""
        number = self.client.number(thing)
        if number in self.asked and arguments:
            self.take("asks", self.names[number])
        name = thing.__name__ if isinstance(thing, type) else self.names.get(number)
        if name is None or (not isinstance(thing, type) and f"class {name}" not in (self.known or ())):
            return
        kind = type(result)
        if isinstance(kind, standins.Meta):
            if self.client.order[standins.number_of(result)] < before:
                self.take("again", name)
        elif kind is not thing:
            # Also a value of another class: whoever makes it may leave out what it was given.
            self.take("plain", name)

    def _look(self, thing, name):
        self.looking = True
        try:
            return self.client.request("get", [thing, name])
        except Exception:
            return None
        finally:
            self.looking = False

    def _compare(self, owner, name, value, other_value):
        """Constants that the task's own solution keeps apart are to be kept apart."""
        own = self.constants.get(owner, {})
        for other in sorted(own)[:50]:
            apart = len(own.get(name, ())) == len(own[other]) == 1 and own[name] != own[other]
            if apart and other_value(other) == value:
                self.client.word()
                return

    def _value(self, value):
        """What a constant is, in a word; None where it is none."""
        kind = type(value)
        if isinstance(kind, standins.Meta):
            return None if "call" in kind._affidavit_specials else f"reference{standins.number_of(value)}"
        if value is None or isinstance(value, type) or kind not in values.ATOMS | {tuple, frozenset}:
            return None
        return hashlib.sha256(_written(value)).hexdigest()[:16]


def _counted(items):
    return sorted(_written(item) for item in items)


def _written(value):
    writer = values.Writer()
    try:
        writer.put(value)
    except values.Refused:
        return b"%d" % id(value)
    return bytes(writer.out)
