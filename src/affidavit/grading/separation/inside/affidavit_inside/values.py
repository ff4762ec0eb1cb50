"""Plain data as bytes, in a format that runs no code: what may pass between the sandboxes by value.

Only exact built-in types are written by value; an instance of a subclass of `int` is none, whatever it says of itself.
Reading makes built-in objects and nothing else. All that is not plain is left to the two ends' `other` and `special`.
"""

import datetime
import decimal
import fractions
import pathlib
import struct
import uuid
from collections import Counter, OrderedDict, defaultdict, deque

MOST_DEPTH = 100
MOST_BYTES = 64 << 20
MOST_ITEMS = 2_000_000
_MOST_DIGITS = 1 << 20

_LENGTH = struct.Struct(">I")
_ID = struct.Struct(">Q")
_FLOAT = struct.Struct(">d")
_FACTORIES = {
    "int": int,
    "float": float,
    "str": str,
    "list": list,
    "dict": dict,
    "set": set,
    "bool": bool,
    "tuple": tuple,
}
_FACTORY_NAMES = {factory: name for name, factory in _FACTORIES.items()}


class Refused(Exception):
    """This can't pass: malformed, or beyond the bounds."""


ATOMS = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, type(Ellipsis), datetime.date, datetime.time,
        datetime.datetime, datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction,
        pathlib.PurePosixPath, pathlib.PosixPath, uuid.UUID, range,
    )
)  # fmt: skip


def fixed(value):
    """Whether a date's or time's zone, if any, is a fixed offset."""
    return value.tzinfo is None or type(value.tzinfo) is datetime.timezone


class Writer:
    """Values into bytes.

    Attributes:
        known: by `id`, the number of an object that the other end has got as well.
        mutables: what was written by value and may be changed by whoever gets it, in order.
    """

    def __init__(self, known=None):
        self.out = bytearray()
        self.known = known or {}
        self.mutables = []
        self.open = set()
        self.items = 0
        self.shallow = None

    def other(self, value, depth):
        """Write what is no plain data: each end has its own way."""
        raise Refused(f"a {type(value).__name__} can't pass")

    def is_key(self, value):
        """Whether this may be a key of a dict: hashed by the other end without asking back."""
        kind = type(value)
        if kind in (tuple, frozenset):
            return all(self.is_key(item) for item in value)
        return kind in ATOMS

    def count(self, number):
        self.out += _LENGTH.pack(number)

    def raw(self, data):
        self.count(len(data))
        self.out += data

    def text(self, value):
        self.raw(value.encode("utf-8", "surrogatepass"))

    def number(self, value):
        size = value.bit_length() // 8 + 1
        if size > _MOST_DIGITS:
            raise Refused("an integer is too long to pass")
        self.raw(value.to_bytes(size, "big", signed=True))

    def id(self, tag, number):
        self.out += tag + _ID.pack(number)

    def put(self, value, depth=0):
        """Write a value.

        Raises:
            Refused: it is too large, or can't pass.
        """
        self.items += 1
        if len(self.out) > MOST_BYTES or self.items > MOST_ITEMS:
            raise Refused("more than 64 MiB or 2,000,000 items can't pass")
        if id(value) in self.known and id(value) != self.shallow:
            self.out += b"m"
            self.count(self.known[id(value)])
            return
        write = _WRITERS.get(type(value))
        if write is None or depth >= MOST_DEPTH or id(value) in self.open:
            self.other(value, depth)
        else:
            write(self, value, depth + 1)

    def _constant(tag):
        def write(self, value, depth):
            self.out += tag

        return write

    def _bool(self, value, depth):
        self.out += b"T" if value else b"F"

    def _int(self, value, depth):
        self.out += b"i"
        self.number(value)

    def _float(self, value, depth):
        self.out += b"f" + _FLOAT.pack(value)

    def _complex(self, value, depth):
        self.out += b"c" + _FLOAT.pack(value.real) + _FLOAT.pack(value.imag)

    def _str(self, value, depth):
        self.out += b"s"
        self.text(value)

    def _bytes(self, value, depth):
        self.out += b"b"
        self.raw(value)

    def _bytearray(self, value, depth):
        self.mutables.append(value)
        self.out += b"y"
        self.raw(value)

    def sequence(self, tag, value, items, depth):
        self.out += tag
        items = list(items)
        self.count(len(items))
        self.open.add(id(value))
        for item in items:
            self.put(item, depth)
        self.open.discard(id(value))

    def _list(self, value, depth):
        self.mutables.append(value)
        self.sequence(b"l", value, value, depth)

    def _tuple(self, value, depth):
        self.sequence(b"t", value, value, depth)

    def _set(self, value, depth):
        if not all(self.is_key(item) for item in value):
            self.other(value, depth)
            return
        self.mutables.append(value)
        self.sequence(b"S", value, value, depth)

    def _frozenset(self, value, depth):
        if not all(self.is_key(item) for item in value):
            self.other(value, depth)
            return
        self.sequence(b"Z", value, value, depth)

    def _dict(self, value, depth, tag=b"d"):
        if not all(self.is_key(key) for key in value):
            self.other(value, depth)
            return
        self.mutables.append(value)
        self.sequence(tag, value, [part for pair in dict.items(value) for part in pair], depth)

    def _ordered(self, value, depth):
        self._dict(value, depth, b"o")

    def _counter(self, value, depth):
        self._dict(value, depth, b"u")

    def _default(self, value, depth):
        factory = value.default_factory
        if factory is not None and (not isinstance(factory, type) or factory not in _FACTORY_NAMES):
            self.other(value, depth)
            return
        self._dict(
            value,
            depth,
            b"a" + bytes((len(_FACTORY_NAMES.get(factory, "")),)) + _FACTORY_NAMES.get(factory, "").encode(),
        )

    def _deque(self, value, depth):
        self.sequence(b"q", value, [value.maxlen, *value], depth)

    def _range(self, value, depth):
        self.out += b"r"
        for number in (value.start, value.stop, value.step):
            self.number(number)

    def _slice(self, value, depth):
        self.sequence(b"L", value, (value.start, value.stop, value.step), depth)

    def _date(self, value, depth):
        self.out += b"D" + struct.pack(">HBB", value.year, value.month, value.day)

    def _time(self, value, depth):
        if not fixed(value):
            self.other(value, depth)
            return
        self.out += b"h" + struct.pack(">BBBIB", value.hour, value.minute, value.second, value.microsecond, value.fold)
        self.put(value.tzinfo, depth)

    def _datetime(self, value, depth):
        if not fixed(value):
            self.other(value, depth)
            return
        self.out += b"W" + struct.pack(">HBB", value.year, value.month, value.day)
        self.out += struct.pack(">BBBIB", value.hour, value.minute, value.second, value.microsecond, value.fold)
        self.put(value.tzinfo, depth)

    def _timedelta(self, value, depth):
        self.out += b"w" + struct.pack(">iII", value.days, value.seconds, value.microseconds)

    def _timezone(self, value, depth):
        self.out += b"z"
        self._timedelta(value.utcoffset(None), depth)
        name = value.tzname(None)
        self.text("" if name == datetime.timezone(value.utcoffset(None)).tzname(None) else name)

    def _decimal(self, value, depth):
        self.out += b"e"
        self.text(str(value))

    def _fraction(self, value, depth):
        self.out += b"/"
        self.number(int(value.numerator))
        self.number(int(value.denominator))

    def _path(self, value, depth):
        self.out += b"P"
        self.text(str(value))

    def _pure_path(self, value, depth):
        self.out += b"p"
        self.text(str(value))

    def _uuid(self, value, depth):
        self.out += b"U" + value.bytes

    TYPES = {  # noqa: RUF012
        type(None): _constant(b"N"), type(Ellipsis): _constant(b"E"), bool: _bool, int: _int, float: _float,
        complex: _complex, str: _str, bytes: _bytes, bytearray: _bytearray, list: _list, tuple: _tuple, set: _set,
        frozenset: _frozenset, dict: _dict, OrderedDict: _ordered, Counter: _counter, defaultdict: _default,
        deque: _deque, range: _range, slice: _slice, datetime.date: _date, datetime.time: _time,
        datetime.datetime: _datetime, datetime.timedelta: _timedelta, datetime.timezone: _timezone,
        decimal.Decimal: _decimal, fractions.Fraction: _fraction, pathlib.PosixPath: _path,
        pathlib.PurePosixPath: _pure_path, uuid.UUID: _uuid,
    }  # fmt: skip


_WRITERS = Writer.TYPES


class Reader:
    """Bytes into values.

    Attributes:
        known: what `m` numbers stand for.
        mutables: the containers that were made, in the order in which `Writer.mutables` has them.
        nan: whether what was read holds a number that is none.
    """

    def __init__(self, data, known=()):
        if len(data) > MOST_BYTES + (1 << 20):
            raise Refused("too long")
        self.data = data
        self.at = 0
        self.known = known
        self.mutables = []
        self.items = 0
        self.nan = False

    def special(self, tag, depth):
        """What a tag stands for that is no plain data."""
        raise Refused(f"tag {tag!r}")

    def is_key(self, value):
        kind = type(value)
        if kind in (tuple, frozenset):
            return all(self.is_key(item) for item in value)
        return kind in ATOMS

    def bytes(self, count):
        if count > len(self.data) - self.at:
            raise Refused("it breaks off")
        self.at += count
        return self.data[self.at - count : self.at]

    def count(self):
        return _LENGTH.unpack(self.bytes(4))[0]

    def raw(self):
        return self.bytes(self.count())

    def text(self):
        return bytes(self.raw()).decode("utf-8", "surrogatepass")

    def number(self):
        data = self.raw()
        if not 0 < len(data) <= _MOST_DIGITS:
            raise Refused("an integer's length")
        return int.from_bytes(data, "big", signed=True)

    def id(self):
        return _ID.unpack(self.bytes(8))[0]

    def float(self):
        value = _FLOAT.unpack(self.bytes(8))[0]
        self.nan = self.nan or value != value
        return value

    def read(self):
        """The one value that it all is.

        Raises:
            Refused: it is none.
        """
        try:
            value = self.get(0)
        except (ValueError, TypeError, OverflowError, KeyError, ArithmeticError, struct.error, RecursionError) as error:
            raise Refused(f"{type(error).__name__}") from None
        if self.at != len(self.data):
            raise Refused("something follows")
        return value

    def get(self, depth):
        self.items += 1
        if self.items > MOST_ITEMS or depth > MOST_DEPTH + 1:
            raise Refused("too many, or too deep")
        tag = bytes(self.bytes(1))
        read = _READERS.get(tag)
        return self.special(tag, depth + 1) if read is None else read(self, depth + 1)

    def list(self, depth, into=None):
        count = self.count()
        if count > len(self.data) - self.at:
            raise Refused("it breaks off")
        into = [] if into is None else into
        for _ in range(count):
            into.append(self.get(depth))
        return into

    def _mutable_list(self, depth):
        into = []
        self.mutables.append(into)
        return self.list(depth, into)

    def keys(self, values):
        if not all(self.is_key(value) for value in values):
            raise Refused("no such keys")
        return values

    def _set(self, depth):
        into = set()
        self.mutables.append(into)
        into.update(self.keys(self.list(depth)))
        return into

    def _dict(self, depth, into=None):
        into = {} if into is None else into
        self.mutables.append(into)
        items = self.list(depth)
        if len(items) % 2:
            raise Refused("half a pair")
        for key, value in zip(self.keys(items[::2]), items[1::2]):  # noqa: B905 (3.8)
            dict.__setitem__(into, key, value) if type(into) is not OrderedDict else into.__setitem__(key, value)
        return into

    def _default(self, depth):
        name = bytes(self.bytes(self.bytes(1)[0])).decode()
        return self._dict(depth, defaultdict(_FACTORIES[name] if name else None))

    def _deque(self, depth):
        most, *items = self.list(depth)
        return deque(items, most)

    def _bytearray(self, depth):
        into = bytearray(self.raw())
        self.mutables.append(into)
        return into

    def _slice(self, depth):
        start, stop, step = self.list(depth)
        return slice(start, stop, step)

    def _timedelta(self, depth):
        return datetime.timedelta(*struct.unpack(">iII", self.bytes(12)))

    def _zone(self, depth):
        zone = self.get(depth)
        if zone is not None and type(zone) is not datetime.timezone:
            raise Refused("no zone")
        return zone

    def _time(self, depth):
        hour, minute, second, micro, fold = struct.unpack(">BBBIB", self.bytes(8))
        return datetime.time(hour, minute, second, micro, self._zone(depth), fold=fold)

    def _datetime(self, depth):
        day = struct.unpack(">HBB", self.bytes(4))
        hour, minute, second, micro, fold = struct.unpack(">BBBIB", self.bytes(8))
        return datetime.datetime(*day, hour, minute, second, micro, self._zone(depth), fold=fold)

    def _timezone(self, depth):
        if self.bytes(1) != b"w":
            raise Refused("no offset")
        offset, name = self._timedelta(depth), self.text()
        if name == "" and not offset:
            return datetime.timezone.utc
        return datetime.timezone(offset, name) if name else datetime.timezone(offset)

    def _fraction(self, depth):
        top, bottom = self.number(), self.number()
        return fractions.Fraction(top, bottom)

    def _decimal(self, depth):
        text = self.text()
        if len(text) > _MOST_DIGITS:
            raise Refused("too many digits")
        value = decimal.Decimal(text)
        self.nan = self.nan or value.is_nan()
        return value

    def _known(self, depth):
        number = self.count()
        if number >= len(self.known):
            raise Refused("nothing of that number")
        return self.known[number]

    TAGS = {  # noqa: RUF012
        b"N": lambda self, depth: None, b"E": lambda self, depth: Ellipsis, b"T": lambda self, depth: True,
        b"F": lambda self, depth: False, b"i": lambda self, depth: self.number(),
        b"f": lambda self, depth: self.float(), b"c": lambda self, depth: complex(self.float(), self.float()),
        b"s": lambda self, depth: self.text(), b"b": lambda self, depth: bytes(self.raw()), b"y": _bytearray,
        b"l": _mutable_list, b"t": lambda self, depth: tuple(self.list(depth)), b"S": _set,
        b"Z": lambda self, depth: frozenset(self.keys(self.list(depth))), b"d": _dict,
        b"o": lambda self, depth: self._dict(depth, OrderedDict()),
        b"u": lambda self, depth: self._dict(depth, Counter()), b"a": _default, b"q": _deque,
        b"r": lambda self, depth: range(self.number(), self.number(), self.number()), b"L": _slice,
        b"D": lambda self, depth: datetime.date(*struct.unpack(">HBB", self.bytes(4))), b"h": _time, b"W": _datetime,
        b"w": _timedelta, b"z": _timezone, b"e": _decimal, b"/": _fraction,
        b"P": lambda self, depth: pathlib.PosixPath(self.text()),
        b"p": lambda self, depth: pathlib.PurePosixPath(self.text()),
        b"U": lambda self, depth: uuid.UUID(bytes=bytes(self.bytes(16))), b"m": _known,
    }  # fmt: skip


_READERS = Reader.TAGS
