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


OPPOSITES = [
    ("assert v > 3 and v", "assert not (v > 3 and v)", 4),
    ("assert v >3", "assert v <=3", 4),
    ('assert (v) == len("abc")', 'assert (v) != len("abc")', 3),
    ("assert v  not   in [1]", "assert v  in [1]", 4),
    ("assert v in [4]", "assert v not in [4]", 4),
    ("assert v is not None", "assert v is None", 4),
    ("assert not v", "assert v", 0),
    ("assert str(v)", "assert not str(v)", 4),
    ("assert 0 < v < 9", "assert not (0 < v < 9)", 4),
]


@pytest.mark.parametrize(
    ("assertion", "right", "written"),
    [(*case, False) for case in WITH_VALUE] + [(*case, w) for case in WITH_VALUE + WITHOUT for w in (True, False)],
)
def test_what_was_right_is_wrong_once_turned(assertion: str, right: object, written: bool) -> None:
    source = f"def test(v):\n    {assertion}\n"
    turned, values, opposites = turn_assertions(source, written=written)
    assert (*values, *opposites) == ("test",)
    assert run(source, right)
    assert not run(turned, right)


@pytest.mark.parametrize(("assertion", "turned", "right"), OPPOSITES)
def test_opposites_read_like_any_assertion(assertion: str, turned: str, right: object) -> None:
    source = f"def test(v):\n    {assertion}\n"
    assert turn_assertions(source) == (source.replace(assertion, turned), (), ("test",))
    assert run(source, right)
    assert not run(source.replace(assertion, turned), right)


@pytest.mark.parametrize("assertion", [case[0] for case in WITHOUT])
def test_without_a_written_value_there_is_no_other(assertion: str) -> None:
    assert turn_assertions(f"def test(v):\n    {assertion}\n")[1] == ()


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("assertion", ["assert v == 4", "assert 'x' == v"])
def test_an_object_that_equals_everything_still_passes(assertion: str, written: bool) -> None:
    turned, *_ = turn_assertions(f"def test(v):\n    {assertion}\n", written=written)
    assert run(turned, Everything())


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("approx(3.0)", 3.0),
        ("approx(1e9)", 1e9 + 100),
        ("approx(100.0, abs=2)", 101.5),
        ("approx(3, rel=0.5)", 3.5),
        ("approx(0.0, abs=1e-6)", 0.0),
        ("approx(-3.0, abs=tolerance)", -3.0),
        ("approx([1.0, 2.0])", [1.0, 2.0]),
    ],
)
def test_another_value_is_beyond_the_tolerance(written: str, right: object) -> None:
    source = f"from pytest import approx\ntolerance = 9\ndef test(v):\n    assert v == {written}\n"
    assert run(source, right)
    assert not run(turn_assertions(source)[0], right)


def test_a_number_too_large_to_count_on_is_no_value_to_change() -> None:
    source = "def test(v):\n    assert v == 1e300\n"
    assert not run(turn_assertions(source)[0], 1e300)


def test_what_an_exception_leaves_out_is_not_turned() -> None:
    source = (
        "import pytest\ndef test(v):\n"
        "    with pytest.raises(TypeError):\n        assert v + 1 == 2\n    assert v == 'a'\n"
    )
    turned, values, _ = turn_assertions(source)
    assert (turned, values) == (source.replace("'a'", "'as'"), ("test",))


def test_which_assertion_is_turned_can_be_chosen() -> None:
    source = "def test(v):\n    assert v == 1\n    assert v == 10\n    assert v == 20\n"
    asked = []

    def last(name: str, number: int) -> int:
        asked.append((name, number))
        return number - 1

    assert turn_assertions(source, choose=last)[0] == source.replace("20", "21")
    assert asked == [("test", 3)]


def test_every_test_is_turned(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class TestA:\n    def test_a(self, v):\n        assert v == 1\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").write_text("async def test_b(v):\n    assert v == w\n")
    assert turn_tests(tmp_path) == ("a.py::TestA::test_a", "sub/b.py::test_b")
    assert "v != w" in (tmp_path / "sub" / "b.py").read_text()
    (tmp_path / "a.py").unlink()
    assert turn_tests(tmp_path) == ("sub/b.py::test_b",)


def test_unittest_assertions_are_turned() -> None:
    source = "class T:\n    def test_a(self):\n        self.assertEqual(1 + 1, 2)\n"
    turned, values, _ = turn_assertions(source)
    assert (values, turned) == (("T::test_a",), source.replace("2)", "3)"))


def test_every_other_byte_stays_so_that_nothing_tells_the_two_apart() -> None:
    source = 'def test(v):\n    # why: "é"\n    assert f("é", v)  ==  {"a": [1,2],   "b":"long text"}  # done\r\n'
    turned, *_ = turn_assertions(source)
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
    assert turn_assertions(source) == (source, (), ())


def test_what_is_not_python_stays(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def test(:")
    (tmp_path / "b.py").write_bytes(b"\xff\xfe")
    (tmp_path / "c.py").symlink_to("/etc/passwd")
    assert turn_tests(tmp_path) == ()
    assert (tmp_path / "a.py").read_text() == "def test(:"


def test_right_and_wrong_tests_can_be_mixed(tmp_path: Path) -> None:
    source = "".join(f"def test_{name}(v):\n    assert v == 1\n    assert v == w\n\n\n" for name in "abc")
    for half in ("one", "other", "whole"):
        (tmp_path / half).mkdir()
        (tmp_path / half / "test_x.py").write_text(source + "def test_d(v):\n    assert v == w\n")
    assert turn_tests(tmp_path / "one", wanted=lambda name: name[-1] in "ad") == (
        "test_x.py::test_a",
        "test_x.py::test_d",
    )
    assert turn_tests(tmp_path / "other", wanted=lambda name: name[-1] in "bc") == (
        "test_x.py::test_b",
        "test_x.py::test_c",
    )
    assert len(turn_tests(tmp_path / "whole")) == 4
    one, other, whole = ((tmp_path / half / "test_x.py").read_text() for half in ("one", "other", "whole"))
    # Each test is turned in one of them, and in the same way as where all are.
    for first, second, both in zip(one.splitlines(), other.splitlines(), whole.splitlines(), strict=True):
        assert both in (first, second)
        assert (first == second) == (first == both == second)
