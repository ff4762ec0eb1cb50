"""The format of what passes between the sandboxes: whatever bytes come, they are plain data or refused."""

import importlib
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from separated import INSIDE


def load() -> ModuleType:
    sys.path.insert(0, str(INSIDE))
    try:
        return importlib.import_module("affidavit_inside.values")
    finally:
        sys.path.remove(str(INSIDE))


values = load()
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.dates() | st.timedeltas() | st.uuids()
PLAIN = st.recursive(
    KEYS | st.floats(allow_nan=False) | st.decimals(allow_nan=False) | st.fractions() | st.datetimes() | st.times(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) | st.frozensets(KEYS),
)


@given(PLAIN)
def test_plain_data_comes_back(value: object) -> None:
    writer = values.Writer()
    writer.put(value)
    back = values.Reader(bytes(writer.out)).read()
    assert (back, type(back)) == (value, type(value))


@given(st.lists(st.sampled_from([*values.Reader.TAGS, b"\0\0\0\1", b"\0\0\0\2", b"\xff\xff\xff\xff", b"R", b"x"])))
def test_any_bytes_are_plain_data_or_refused(parts: list[bytes]) -> None:
    try:
        value = values.Reader(b"".join(parts)).read()
    except values.Refused:
        return
    assert type(value).__module__ in ("builtins", "datetime", "decimal", "fractions", "pathlib", "uuid", "collections")


@pytest.mark.parametrize("kind", [int, str, float, list, dict, tuple, bytes, set, frozenset])
def test_an_instance_of_a_subclass_is_no_plain_data(kind: type) -> None:
    with pytest.raises(values.Refused):
        values.Writer().put(type("Own", (kind,), {})())


@pytest.mark.parametrize(
    "data",
    [
        b"l\0\0\0\1" * 200 + b"N",
        b"l\xff\xff\xff\xff",
        b"t" + (3_000_000).to_bytes(4, "big") + b"N" * 3_000_000,
        b"i" + (2 << 20).to_bytes(4, "big") + b"\1" * (2 << 20),
        b"S\0\0\0\1l\0\0\0\0",
        b"m\0\0\0\0",
        b"NN",
        b"",
    ],
    ids=["deep", "long", "many", "digits", "unhashable", "unknown", "two", "none"],
)
def test_bounds(data: bytes) -> None:
    with pytest.raises(values.Refused):
        values.Reader(data).read()
