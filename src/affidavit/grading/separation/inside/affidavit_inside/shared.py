"""What the two ends of a Python session have to agree on."""

import types

from . import values

_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift")
ASKED = ("eq", "lt", "le", "gt", "ge", "contains", "bool", "hash")
"""What S says here is its word: nothing on the tests' side can check it."""

SPECIALS = (
    "call", "iter", "next", "len", "getitem", "setitem", "delitem", "enter", "exit", *ASKED, "int", "float", "index",
    "complex", "bytes", "abs", "neg", "pos", "invert", "round", "reversed", "fspath", "format",
    *_BINARY, *(f"r{name}" for name in _BINARY), *(f"i{name}" for name in _BINARY),
)  # fmt: skip
COMBINED = frozenset(prefix + name for name in _BINARY for prefix in ("", "r", "i"))
"""What S gives for these may follow from the other operand, which the tests know and S ought not to: a word, too."""

OF_TESTS = tuple(name for name in SPECIALS if name not in ("setitem", "delitem"))
"""What S may do with an object of the tests, beside getting plain attributes."""

HIDDEN = (types.FrameType, types.CodeType, types.TracebackType, types.ModuleType)
BUILTIN_TYPES = {
    kind.__name__: kind
    for kind in (
        int, float, complex, str, bytes, bytearray, bool, list, tuple, dict, set, frozenset, range, slice, object, type,
        type(None),
    )
}  # fmt: skip


class StandInError(Exception):
    """A test needs something of the solution that a stand-in can't do."""


def specials(kind, wanted=SPECIALS):
    """The special methods that a class has beyond what every object has."""
    found = []
    for name in wanted:
        # Not by `getattr`, which finds `__call__` of the class's own class as well.
        method = next((vars(base)[f"__{name}__"] for base in kind.__mro__ if f"__{name}__" in vars(base)), None)
        if method is not None and method is not vars(object).get(f"__{name}__"):
            found.append(name)
    if "contains" not in found and "contains" in wanted and ("iter" in found or "getitem" in found):
        found.append("contains")
    return found


def perform(name, thing, arguments):
    """Do what a special method is for, as the language would.

    Raises:
        Exception: whatever it raises.
    """
    import operator

    if name == "call":
        return thing(*arguments)
    if name in ("enter", "exit"):
        return getattr(type(thing), f"__{name}__")(thing, *arguments)
    simple = {
        "iter": iter, "next": next, "len": len, "bool": bool, "hash": hash, "int": int, "float": float, "bytes": bytes,
        "complex": complex, "round": round, "reversed": reversed, "format": format, "str": str, "repr": repr,
    }  # fmt: skip
    if name in simple:
        return simple[name](thing, *arguments)
    if name == "fspath":
        return type(thing).__fspath__(thing)
    if name in ("and", "or"):
        return getattr(operator, f"__{name}__")(thing, *arguments)
    if name == "pow" and len(arguments) == 2:
        return pow(thing, *arguments)
    if name[0] == "r" and name[1:] in _BINARY:
        (left,) = arguments
        return getattr(operator, f"__{name[1:]}__")(left, thing)
    return getattr(operator, f"__{name}__")(thing, *arguments)


def checked_name(name):
    """Raises: values.Refused: this is no name of an attribute."""
    if type(name) is not str or not name.isidentifier() or len(name) > 1000:
        raise values.Refused("no name")
    return name
