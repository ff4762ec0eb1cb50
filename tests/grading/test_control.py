import types
from pathlib import Path

import pytest

from affidavit.grading.control import turn_assertions, turn_tests


class Everything:
    """Claims to equal everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def run(source: str, value: object) -> bool:
    """Whether the test function of `source` passes with `value` under test."""
    module = types.ModuleType("test")
    exec(source, module.__dict__)
    try:
        module.test(value)
    except AssertionError:
        return False
    return True


WITH_VALUE = [
    ("assert v == 4", 4),
    ("assert 4 == v", 4),
    ("assert v == -2.5", -2.5),
    ("assert v == 'abc'", "abc"),
    ("assert v == ''", ""),
    ("assert v == []", []),
    ("assert v == [1, {'a': None, 'b': 2}]", [1, {"a": None, "b": 2}]),
    ("assert v == {}", {}),
    ("assert v == {1}", {1}),
    ("assert v == (1, 'x')", (1, "x")),
    ("assert v == True", True),
    ("assert v == set([3])", {3}),
    ("assert v\n    assert v == 4", 4),
]
WITHOUT = [
    ("expected = [3]\n    assert v == expected", [3]),
    ("e = 7\n    for _ in [1, 1]:\n        assert v == e", 7),
    ("assert v", 1),
    ("assert not v", 0),
    ("assert 'a' in v, 'message'", "abc"),
    ("assert v > 3", 4),
]


@pytest.mark.parametrize(
    ("assertion", "right", "opposite"),
    [(*case, False) for case in WITH_VALUE] + [(*case, True) for case in WITH_VALUE + WITHOUT],
)
def test_what_was_right_is_wrong_once_turned(assertion: str, right: object, opposite: bool) -> None:
    source = f"def test(v):\n    {assertion}\n"
    turned, count = turn_assertions(source, opposite=opposite)
    assert count == 1
    assert run(source, right)
    assert not run(turned, right)


@pytest.mark.parametrize("assertion", [case[0] for case in WITHOUT])
def test_without_a_written_value_there_is_no_other(assertion: str) -> None:
    assert turn_assertions(f"def test(v):\n    {assertion}\n")[1] == 0


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("assertion", ["assert v == 4", "assert 'x' == v"])
def test_an_object_that_equals_everything_still_passes(assertion: str, opposite: bool) -> None:
    turned, _ = turn_assertions(f"def test(v):\n    {assertion}\n", opposite=opposite)
    assert run(turned, Everything())


def test_only_tests_with_a_written_value_are_turned_where_there_are_any(tmp_path: Path) -> None:
    other = "def test_b(v):\n    assert v\n"
    (tmp_path / "a.py").write_text("def test_a(v):\n    assert v == 1\n")
    (tmp_path / "b.py").write_text(other)
    assert turn_tests(tmp_path) == 1
    assert (tmp_path / "b.py").read_text() == other
    (tmp_path / "a.py").unlink()
    assert turn_tests(tmp_path) == 1
    assert "not (v)" in (tmp_path / "b.py").read_text()


def test_unittest_assertions_are_turned() -> None:
    source = "class T:\n    def test_a(self):\n        self.assertEqual(1 + 1, 2)\n"
    turned, count = turn_assertions(source)
    assert (count, turned) == (1, source.replace("2)", "3)"))


def test_every_other_byte_stays_so_that_nothing_tells_the_two_apart() -> None:
    source = 'def test(v):\n    # why: "é"\n    assert f("é", v)  ==  {"a": [1,2],   "b":"long text"}  # done\r\n'
    turned, _ = turn_assertions(source)
    assert turned == source.replace("[1,2]", "[2,2]")


@pytest.mark.parametrize(
    ("written", "turned"),
    [
        ('"abc"', '"abs"'),
        ("'bus'", "'but'"),
        ('"a\\n"', '"a\\ns"'),
        ('"""x"""', '"""xs"""'),
        ("b'ab'", "b'as'"),
        ('""', '"s"'),
    ],
)
def test_strings_change_by_a_letter(written: str, turned: str) -> None:
    assert (
        turn_assertions(f"def test(v):\n    assert v == {written}\n")[0] == f"def test(v):\n    assert v == {turned}\n"
    )


def test_functions_that_are_no_tests_stay() -> None:
    source = "def load():\n    assert True\n"
    assert turn_assertions(source) == (source, 0)


def test_what_is_not_python_stays(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def test(:")
    (tmp_path / "b.py").write_bytes(b"\xff\xfe")
    (tmp_path / "c.py").symlink_to("/etc/passwd")
    assert turn_tests(tmp_path) == 0
    assert (tmp_path / "a.py").read_text() == "def test(:"
