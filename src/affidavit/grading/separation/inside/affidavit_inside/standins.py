"""T: what stands for the solution's modules, classes, objects and exceptions in a test's process.

Everything here is made from descriptions that S sends and may lie in: names are checked, bases come from a list, and
what decides equality, hashes, truth and order of what passes by value is generated here.
"""

import builtins
import collections
import dataclasses
import enum
import functools
import json
import keyword
import sys
import types
from contextlib import suppress

from . import shared, values
from .shared import StandInError

_MOST_NAMES = 1000
# Exceptions of the standard library that arrive as themselves, where the test has loaded their module.
_EXCEPTION_MODULES = frozenset(
    (
        "json.decoder", "decimal", "subprocess", "configparser", "socket", "struct", "binascii", "zipfile", "tarfile",
        "tomllib", "xml.etree.ElementTree", "asyncio.exceptions", "concurrent.futures._base", "queue", "_queue",
        "sqlite3", "_csv", "ipaddress", "urllib.error", "zlib", "lzma", "dataclasses", "sre_constants", "re",
        "http.client", "ssl", "statistics", "shutil", "argparse", "zoneinfo._common",
    )
)  # fmt: skip
_NOT_ASKED = frozenset(
    (
        "__path__", "__test__", "__wrapped__", "__signature__", "__class__", "__mro_entries__", "__set_name__",
        "__bases__", "__code__", "__func__", "__self__", "__spec__", "__loader__", "__isabstractmethod__",
        "__get__", "__set__", "__delete__", "__await__", "__aiter__", "__anext__", "__slots__", "__reduce__",
        "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__", "__getinitargs__",
        "__instancecheck__", "__subclasscheck__", "__subclasshook__", "__array__", "__array_interface__",
        "__array_struct__", "__array_function__", "__array_ufunc__", "__dataclass_fields__", "__dataclass_params__",
        "__unittest_skip__", "__unittest_expecting_failure__", "__tracebackhide__", "__builtins__", "__conform__",
        "__replace__", "__origin__", "__args__", "__parameters__", "__notes__", "pytestmark", "pytest_plugins",
        "_pytestfixturefunction", "__pytest_wrapped__", "load_tests", "setUpModule", "tearDownModule",
    )
)  # fmt: skip

current = None
"""The process's client."""

_making = False

# By the `id` of a module's names, those that a star import has brought there.
_brought = {}


class ById:
    """An object of S by its number."""

    def __init__(self, number):
        self.number = number


def json_bytes(value):
    return json.dumps(value).encode("ascii")


def asked(name):
    """Raises: AttributeError: an attribute that S is not asked for."""
    if name in _NOT_ASKED or name.startswith(("pytest_", "_pytest", "_affidavit")):
        raise AttributeError(name)
    return name


class Guarded(type):
    """Classes that only this module makes."""

    def __new__(mcs, name, bases, namespace, **options):
        if not _making:
            raise StandInError(f"class {name} of the tests can't derive from a class of the solution")
        return super().__new__(mcs, name, bases, namespace, **options)

    def __init__(cls, name, bases, namespace, **options):
        super().__init__(name, bases, namespace)

    def __getattr__(cls, name):
        if current is None or cls not in current.numbers_of_kinds:
            raise AttributeError(name)
        return current.request("get", [cls, asked(name)])

    def __setattr__(cls, name, value):
        if current is None or cls not in current.numbers_of_kinds:
            super().__setattr__(name, value)
        else:
            current.request("set", [cls, name, value])

    def __delattr__(cls, name):
        if current is None or cls not in current.numbers_of_kinds:
            super().__delattr__(name)
        else:
            current.request("del", [cls, name])


class Meta(Guarded):
    """Classes whose instances are references."""

    def __call__(cls, *arguments, **named):
        return current.request("call", [cls, tuple(arguments), named])


class ExceptionMeta(Guarded):
    """Exception classes of S: S makes the instances, since it alone has their code."""

    def __call__(cls, *arguments, **named):
        return current.request("call", [cls, tuple(arguments), named])


class _Making:
    def __enter__(self):
        global _making
        _making = True

    def __exit__(self, *_):
        global _making
        _making = False


with _Making():

    class Reference(metaclass=Meta):
        """An object that stays in S."""

        __slots__ = ("__weakref__", "_affidavit_number")

        def __getattr__(self, name):
            return current.request("get", [self, asked(name)])

        def __setattr__(self, name, value):
            current.request("set", [self, name, value])

        def __delattr__(self, name):
            current.request("del", [self, name])

        def __dir__(self):
            return names(current.request("dir", [self]))

        def __eq__(self, other):
            # Never asked about a value of the tests: S would see it, and could make it equal.
            if self is other:
                return True
            if not isinstance(type(other), Meta) or "eq" not in type(self)._affidavit_specials:
                return False
            return _word(self, "eq", other)

        def __ne__(self, other):
            equal = self.__eq__(other)
            return not equal if isinstance(equal, bool) else _word(self, "ne", other)

        def __hash__(self):
            return hash(_number(self))

        def __repr__(self):
            return _text(self, "repr")

        def __str__(self):
            return _text(self, "str")

        def __copy__(self):
            return current.request("copy", [self, False])

        def __deepcopy__(self, memo):
            return current.request("copy", [self, True])

        def __reduce_ex__(self, protocol):
            raise StandInError("an object of the solution can't be pickled")


_number = Reference._affidavit_number.__get__


class Module(types.ModuleType):
    """A module of S."""

    def __getattr__(self, name):
        if vars(self).get("_affidavit_number") is None:
            raise AttributeError(name)
        if name == "__all__":
            return _exported(self)
        return current.request("get", [self, asked(name)])

    def __setattr__(self, name, value):
        if name in ("__spec__", "__loader__", "__path__", "__package__", "__file__", "__name__", "__cached__"):
            super().__setattr__(name, value)
        elif not isinstance(value, Module):
            # The import system sets submodules; S has done so already.
            current.request("set", [self, name, value])

    def __delattr__(self, name):
        current.request("del", [self, name])

    def __dir__(self):
        return names(current.request("dir", [self]))

    def __repr__(self):
        return f"<module {self.__name__!r} of the solution>"


def _exported(module):
    """What ``from MODULE import *`` brings. What the importing module has already stays as it is. A built-in name that
    becomes the solution's may decide in place of what the tests meant: that is its word."""
    told = names(current.request("all", [module]))
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in (__file__, "<frozen importlib._bootstrap>"):
        frame = frame.f_back
    if frame is None:
        return told
    there = frame.f_globals
    brought = _brought.setdefault(id(there), set())
    told = [name for name in told if name not in there or name in brought]
    for name in told:
        if hasattr(builtins, name):
            current.word()
    brought.update(told)
    return told


def names(told):
    """A list of names, as S tells it; others are left out."""
    if type(told) is not list:
        raise StandInError("no list of names")
    return [name for name in told if type(name) is str and name.isidentifier()]


def number_of(value):
    return vars(value).get("_affidavit_number") if type(value) is Module else _number(value)


def number_of_exception(value):
    number = getattr(value, "__dict__", {}).get("_affidavit_number")
    return number if type(number) is int else 0


def _text(thing, how):
    try:
        text = current.request("text", [thing, how])
    except StandInError:
        text = None
    return text if type(text) is str else f"<{type(thing).__name__} of the solution>"


def _word(thing, name, *arguments):
    current.word()
    return current.request("special", [thing, name, tuple(arguments)])


def _method(name):
    """A special method that asks S."""
    if name == "call":

        def method(self, *arguments, **named):
            return current.request("call", [self, tuple(arguments), named])

    elif name in ("lt", "le", "gt", "ge"):

        def method(self, other):
            return _word(self, name, other) if isinstance(type(other), Meta) else NotImplemented

    elif name in ("contains", "bool"):

        def method(self, *arguments):
            result = _word(self, name, *arguments)
            if type(result) is not bool:
                raise StandInError(f"{name} is {type(result).__name__}")
            return result

    elif name == "exit":

        def method(self, kind, error, traceback):
            # Frames don't pass. Whoever keeps an exception from going on says that it was none.
            result = current.request("special", [self, name, (kind, error, None)])
            if kind is not None and result:
                current.word()
            return result

    elif name == "hash" or name in shared.COMBINED:

        def method(self, *arguments):
            return _word(self, name, *arguments)

    else:

        def method(self, *arguments):
            return current.request("special", [self, name, tuple(arguments)])

    return method


def _remote(self, name):
    return current.request("get", [self, asked(name)])


def _member(self, name):
    """An attribute that a value made here does not have: a method's function gets the value as an argument."""
    told = current.request("member", [self, asked(name)])
    if type(told) is not tuple or len(told) != 2:
        raise StandInError("no attribute")
    return functools.partial(told[1], self) if told[0] == "method" else told[1]


def checked(name, what="name"):
    """Raises: values.Refused: it is no plain name."""
    if type(name) is not str or not name.isidentifier() or keyword.iskeyword(name) or len(name) > 200:
        raise values.Refused(f"no {what}")
    return name


def _field(name):
    if checked(name, "field").startswith("__") or name.startswith("_affidavit"):
        raise values.Refused("no field")
    return name


def _class_name(name):
    return name if type(name) is str and name.isidentifier() and len(name) <= 200 else "Anonymous"


def _module_name(told):
    module = told.get("module")
    plain = type(module) is str and all(part.isidentifier() for part in module.split(".")) and module != "builtins"
    return module if plain else "solution"


def make_kind(client, number, told):
    """A class from its description.

    Returns:
        The class, the tag of its values, their fields, and whether they are hashed by them. The tag is None where
        the class is not S's.

    Raises:
        values.Refused: there is no such class.
    """
    if type(told) is not dict or type(told.get("bases")) is not list or len(told["bases"]) > 50:
        raise values.Refused("no description")
    make = {"exception": _exception, "record": _record, "namedtuple": _namedtuple, "enum": _enum}.get(told.get("kind"))
    if make is None:
        return _reference_kind(client, told), b"I", (), False
    try:
        return make(client, told)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise values.Refused(f"a class: {error}") from None


def plain_kind(client, number, name):
    """A class of references for objects of a class whose values pass otherwise."""
    told = {"name": name, "specials": ["eq"], "bases": []}
    made = client.kinds.get(("plain", number))
    if made is None:
        made = client.kinds["plain", number] = _reference_kind(client, told)
    return made


def _reference_kind(client, told):
    specials = told.get("specials")
    if type(specials) is not list:
        raise values.Refused("no methods")
    specials = [name for name in shared.SPECIALS if name in specials]
    bases = [client.kind(base) for base in told["bases"] if type(base) is int]
    bases = tuple(base for base in bases if isinstance(base, Meta)) or (Reference,)
    namespace = {f"__{name}__": _method(name) for name in specials if name != "eq"}
    if "eq" in specials and "hash" not in specials:
        namespace["__hash__"] = None
    namespace.update(
        __slots__=(),
        __module__=_module_name(told),
        __doc__=property(lambda self: _remote(self, "__doc__")),
        _affidavit_specials=frozenset(specials),
    )
    return _made(Meta, _class_name(told.get("name")), bases, namespace, (Reference,))


def _made(meta, name, bases, namespace, otherwise):
    with _Making():
        try:
            return meta(name, bases, namespace)
        except TypeError:
            return meta(name, otherwise, namespace)


def make_reference(kind, number):
    made = object.__new__(kind)
    Reference._affidavit_number.__set__(made, number)
    return made


def make_module(client, number, name):
    made = Module(name if type(name) is str else "solution")
    vars(made)["_affidavit_number"] = number
    vars(made)["__path__"] = []
    return made


def _exception(client, told):
    name, module = told.get("name"), told.get("module")
    if module in _EXCEPTION_MODULES and type(name) is str:
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found, None, (), False
    from .client import builtin_exception

    bases = []
    for base in told["bases"]:
        kind = (
            client.kind(base)
            if type(base) is int
            else builtin_exception(base if base != "BaseException" else "Exception")
        )
        if isinstance(kind, type) and issubclass(kind, BaseException):
            bases.append(kind)
    namespace = {
        "__module__": _module_name(told),
        "__getattr__": _exception_attribute,
        "__str__": _exception_text,
    }
    return (
        _made(ExceptionMeta, _class_name(name), tuple(bases) or (Exception,), namespace, (Exception,)),
        b"x",
        (),
        False,
    )


def _exception_attribute(self, name):
    number = number_of_exception(self)
    if not number or name in ("__notes__",):
        raise AttributeError(name)
    return current.request("get", [ById(number), asked(name)])


def _exception_text(self):
    text = vars(self).get("_affidavit_text")
    return text if text is not None else super(type(self), self).__str__()


def make_exception(client, kind, number, arguments, named, text, cause):
    """An exception as S tells it."""
    own = isinstance(kind, ExceptionMeta)
    if own or kind.__module__ != "builtins":
        try:
            made = kind.__new__(kind, *arguments)
        except Exception:
            made = kind.__new__(kind)
        made.args = arguments
    else:
        try:
            made = kind(*arguments)
        except Exception:
            made = RuntimeError(text)
    for name, value in named.items():
        if type(name) is str and name.isidentifier() and not name.startswith(("__", "_affidavit")):
            with suppress(AttributeError, TypeError):
                setattr(made, name, value)
    if own:
        vars(made)["_affidavit_text"] = text
    vars(made)["_affidavit_number"] = number
    made.__cause__ = cause
    return made


def raisable(error):
    """The exception that may be raised here: one that ends a process only within a test, which fails by it."""
    if isinstance(error, SystemExit) and not _within_test():
        return RuntimeError(f"the solution ends its process: {error.code!r}"[:1000])
    return error


def _within_test():
    frame = sys._getframe(1)
    while frame is not None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if name in ("pytest_runtest_call", "pytest_runtest_setup") and "pytest" in file:
            return True
        if name in ("_callTestMethod", "_callSetUp") and file.endswith("case.py"):
            return True
        frame = frame.f_back
    return False


with _Making():

    class Record(metaclass=Guarded):
        """A dataclass of S, made again here."""

        def __getattr__(self, name):
            return _member(self, name)


def _record(client, told):
    fields, listed = [], told.get("fields")
    if type(listed) is not list or len(listed) > _MOST_NAMES:
        raise values.Refused("no fields")
    for entry in listed:
        name, how, default = entry
        if how == "factory":
            field = dataclasses.field(default_factory={"list": list, "dict": dict, "set": set}[default])
        elif how == "default":
            field = dataclasses.field(default=default)
        else:
            field = dataclasses.field()
        fields.append((_field(name), object, field))
    bases = [client.kind(base) for base in told["bases"] if type(base) is int]
    bases = tuple(base for base in bases if isinstance(base, Guarded) and issubclass(base, Record)) or (Record,)
    frozen = told.get("frozen") is True
    with _Making():
        made = dataclasses.make_dataclass(
            _class_name(told.get("name")),
            fields,
            bases=bases,
            namespace={"__doc__": None},
            frozen=frozen,
            order=told.get("order") is True,
        )
    type.__setattr__(made, "__module__", _module_name(told))
    return made, b"R", tuple(name for name, _, _ in fields), frozen


def _namedtuple(client, told):
    fields, defaults = told.get("fields"), told.get("defaults")
    if type(fields) is not list or len(fields) > _MOST_NAMES or type(defaults) is not dict:
        raise values.Refused("no fields")
    name = _class_name(told.get("name"))
    fields = [_field(field) for field in fields]
    given = [defaults[field] for field in fields if field in defaults]
    plain = collections.namedtuple(name, fields, defaults=given, module=_module_name(told))
    with _Making():
        made = Guarded(name, (plain,), {"__slots__": (), "__getattr__": _member, "__module__": _module_name(told)})
    return made, b"n", tuple(fields), True


class _Member:
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _member(self, name)


class _Plain(_Member, enum.Enum):
    pass


class _Int(_Member, enum.IntEnum):
    pass


class _Str(_Member, str, enum.Enum):
    pass


class _Flag(_Member, enum.Flag):
    pass


class _IntFlag(_Member, enum.IntFlag):
    pass


def _enum(client, told):
    members, mixin, flag = told.get("members"), told.get("mixin"), told.get("flag") is True
    if type(members) is not list or not 0 < len(members) <= _MOST_NAMES or mixin not in ("", "int", "str"):
        raise values.Refused("no members")
    if flag:
        base = _IntFlag if mixin == "int" else _Flag
    else:
        base = {"": _Plain, "int": _Int, "str": _Str}[mixin]
    wanted = {"int": int, "str": str}.get(mixin, int if flag else None)
    pairs = []
    for name, value in members:
        if (
            checked(name, "member").startswith("_")
            or name == "mro"
            or (wanted is not None and type(value) is not wanted)
        ):
            raise values.Refused("no member")
        pairs.append((name, value))
    return base(_class_name(told.get("name")), pairs, module=_module_name(told)), b"v", (), True
