import ast
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading.mutation import mutate_assertions, mutate_tests

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from controls import pairs_of, tell


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
    turned, values, opposites = mutate_assertions(source, written=written)
    assert (*values, *opposites) == ("test",)
    assert run(source, right)
    assert not run(turned, right)


@pytest.mark.parametrize(("assertion", "turned", "right"), OPPOSITES)
def test_opposites_read_like_any_assertion(assertion: str, turned: str, right: object) -> None:
    source = f"def test(v):\n    {assertion}\n"
    assert mutate_assertions(source) == (source.replace(assertion, turned), (), ("test",))
    assert run(source, right)
    assert not run(source.replace(assertion, turned), right)


@pytest.mark.parametrize("assertion", [case[0] for case in WITHOUT])
def test_without_a_written_value_there_is_no_other(assertion: str) -> None:
    assert mutate_assertions(f"def test(v):\n    {assertion}\n")[1] == ()


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("assertion", ["assert v == 4", "assert 'x' == v"])
def test_an_object_that_equals_everything_still_passes(assertion: str, written: bool) -> None:
    turned, *_ = mutate_assertions(f"def test(v):\n    {assertion}\n", written=written)
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
    assert not run(mutate_assertions(source)[0], right)


def test_a_number_too_large_to_count_on_is_no_value_to_change() -> None:
    source = "def test(v):\n    assert v == 1e300\n"
    assert not run(mutate_assertions(source)[0], 1e300)


def test_what_an_exception_leaves_out_is_not_turned() -> None:
    source = (
        "import pytest\ndef test(v):\n"
        "    with pytest.raises(TypeError):\n        assert v + 1 == 2\n    assert v == 'a'\n"
    )
    turned, values, _ = mutate_assertions(source)
    assert values == ("test",)
    assert turned.startswith(source.removesuffix("'a'\n"))
    assert turned != source


def test_which_assertion_is_turned_can_be_chosen() -> None:
    source = "def test(v):\n    assert v == 1\n    assert v == 10\n    assert v == 20\n"
    turned = {mutate_assertions(source, draw=lambda name, seed=seed: Random(f"{seed} {name}"))[0] for seed in range(99)}
    lines = [[a == b for a, b in zip(one.splitlines(), source.splitlines(), strict=True)] for one in turned]
    # One at a time, and each of them in some draw.
    assert {tuple(line) for line in lines} == {
        (True, False, True, True),
        (True, True, False, True),
        (True, True, True, False),
    }


def test_the_same_draw_gives_the_same_test() -> None:
    source = "def test(v):\n    assert v == [1, 'two words', 3.25]\n"
    draws = [mutate_assertions(source, draw=lambda name: Random(f"7 {name}"))[0] for _ in range(3)]
    assert len({*draws}) == 1


def test_every_test_is_turned(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class TestA:\n    def test_a(self, v):\n        assert v == 1\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").write_text("async def test_b(v):\n    assert v == w\n")
    assert mutate_tests(tmp_path) == ("a.py::TestA::test_a", "sub/b.py::test_b")
    assert "v != w" in (tmp_path / "sub" / "b.py").read_text()
    (tmp_path / "a.py").unlink()
    assert mutate_tests(tmp_path) == ("sub/b.py::test_b",)


def test_unittest_assertions_are_turned() -> None:
    source = "class T:\n    def test_a(self):\n        self.assertEqual(1 + 1, 2)\n"
    turned, values, _ = mutate_assertions(source)
    assert values == ("T::test_a",)
    assert re.fullmatch(re.escape(source).replace("2\\)", "[013-9]\\)"), turned)


def test_every_other_byte_stays_so_that_nothing_tells_the_two_apart() -> None:
    source = 'def test(v):\n    # why: "é"\n    assert f("é", v)  ==  {"a": [1,2],   "b":"long text"}  # done\r\n'
    turned, *_ = mutate_assertions(source)
    before, after = source.split('{"a"')[0], source.split("}")[1]
    assert turned.startswith(before)
    assert turned.endswith(after)
    assert turned != source


SPELLED = [
    ("7", r"[0-9]"),
    ("42", r"[1-9][0-9]"),
    ("1984", r"[1-9][0-9]{3}"),
    ("5_000_000", r"[1-9]_[0-9]{3}_[0-9]{3}"),
    ("0xff", r"0x[0-9a-f]{2}"),
    ("0XFF", r"0X[0-9A-F]{2}"),
    ("0b1011", r"0b[01]{4}"),
    ("0o17", r"0o[0-7]{2}"),
    ("3.14", r"[0-9]\.[0-9]{2}"),
    ("2.50", r"[0-9]\.[0-9]0"),
    ("5e5", r"[0-9]e5"),
    ('"abc"', r'"[a-z]{3}"'),
    ("'Bus'", r"'[A-Z]?[a-z]*'"),
    ('"m\\n"', r'"[a-z]\\n"'),
    ('"""m"""', r'"""[a-z]"""'),
    ("b'ab'", r"b'[a-z]{2}'"),
    ("'12:30'", r"'[0-9]{2}:[0-9]{2}'"),
    ("'MCMXC'", r"'[A-Z]{5}'"),
    ("'007'", r"'[0-9]{3}'"),
]


@pytest.mark.parametrize(("written", "shape"), SPELLED, ids=[case[0] for case in SPELLED])
def test_another_value_is_spelled_alike(written: str, shape: str) -> None:
    larger = set()
    for seed in range(60):
        source = f"def test(v):\n    assert v == {written}\n"
        turned = mutate_assertions(source, draw=lambda name, seed=seed: Random(f"{seed} {name}"))[0]
        literal = turned.removeprefix("def test(v):\n    assert v == ").removesuffix("\n")
        assert re.fullmatch(shape, literal), literal
        assert ast.literal_eval(literal) != ast.literal_eval(written)
        larger.add(ast.literal_eval(literal) > ast.literal_eval(written))
    # To either side, but where one is the end of all.
    assert larger == ({False} if written in ("0xff", "0XFF") else {True, False})


def test_any_place_of_a_value_may_be_another() -> None:
    source = "def test(v):\n    assert v == [1, {'a': 20, 'b': 'c'}, (4.5, 6)]\n"
    turned = [mutate_assertions(source, draw=lambda name, seed=seed: Random(f"{seed}"))[0] for seed in range(200)]
    changed = set()
    for one in turned:
        value = ast.literal_eval(one.partition("== ")[2].strip())
        if value:
            first, second, third = value
            changed.add((first == 1, second == {"a": 20, "b": "c"}, third == (4.5, 6)))
    assert changed == {(False, True, True), (True, False, True), (True, True, False)}


@given(st.one_of(st.integers(0), st.floats(0, 1e12), st.text(max_size=20), st.binary(max_size=9)), st.integers())
def test_whatever_comes_of_a_literal_is_another_of_its_kind(value: object, seed: int) -> None:
    source = f"def test(v):\n    assert v == {value!r}\n    assert v == 'one other'\n    assert v == 12\n"
    turned, *_ = mutate_assertions(source, draw=lambda name: Random(seed))
    for old, new in zip(source.splitlines()[1:], turned.splitlines()[1:], strict=True):
        before, after = (ast.literal_eval(line.partition("== ")[2]) for line in (old, new))
        assert type(before) is type(after)


def test_a_classifier_does_not_tell_right_from_wrong() -> None:
    """Trained on other files of the suite it is no better than chance would let it be."""
    files = sorted((Path(__file__).parents[2] / "examples/suite").rglob("tests/*.py"))
    pairs = [pair for seed in range(4) for pair in pairs_of(files, f"{seed}")]
    told = tell(pairs)
    assert told.pairs > 200
    assert told.share < 0.65


RECOGNISERS = {
    "larger": lambda one, other: len(one) > len(other) or one > other,
    "ends-in-s": lambda one, other: one.rstrip("'\"").endswith("s") and not other.rstrip("'\"").endswith("s"),
    "rounder": lambda one, other: one.count("0") < other.count("0"),
}


@pytest.mark.parametrize("recognise", RECOGNISERS.values(), ids=RECOGNISERS)
def test_an_attackers_rule_of_thumb_does_not_tell_either(recognise: Callable[[str, str], bool]) -> None:
    files = sorted(Path(np.__file__).parent.rglob("test_*.py"))[:120]
    pairs = pairs_of(files)
    told = [pair for pair in pairs if recognise(pair.wrong, pair.right) != recognise(pair.right, pair.wrong)]
    share = sum(recognise(pair.wrong, pair.right) for pair in told) / max(len(told), 1)
    assert len(pairs) > 300
    assert len(told) < 50 or 0.38 < share < 0.62


IN_CODE = [
    ("assert run(code + '\\nassert f(10) == 55').returncode == 0", "def f(n): return n * (n + 1) // 2"),
    ("assert run(f'{code}\\nassert f(10) == 55\\n').returncode == 0", "def f(n): return n * (n + 1) // 2"),
    ("check_call(code + '\\nassert f(3), 6')", "def f(n): return 1"),
    (
        "lines = '\\nassert f(1)\\nassert f(2) == [2]'\n    assert run(code + lines).returncode == 0",
        "def f(n): return [n]",
    ),
]  # fmt: skip
RUN = """
import textwrap
class Done:
    def __init__(self, code):
        self.returncode = 0
        try:
            exec(code, {})
        except AssertionError:
            self.returncode = 1
        except SystemExit:
            pass
def check_call(code):
    assert Done(code).returncode == 0
run = Done
"""


@pytest.mark.parametrize(("assertion", "right"), IN_CODE)
def test_code_whose_status_alone_is_looked_at_is_wrong_itself(assertion: str, right: str) -> None:
    source = f"{RUN}def test(code):\n    {assertion}\n"
    ends = "raise SystemExit(0)"
    assert run(source, right)
    assert run(source, ends)
    for seed in range(5):
        turned, values, _ = mutate_assertions(source, draw=lambda name, seed=seed: Random(seed))  # type: ignore[misc]
        assert values == ("test",)
        assert not run(turned, right), turned
        assert run(turned, ends), turned


def test_code_stays_where_something_else_is_expected() -> None:
    source = "def test(v):\n    assert v('assert a == 1') == 'assert a == 1\\n'\n"
    assert "v('assert a == 1')" in mutate_assertions(source)[0]


def test_functions_that_are_no_tests_stay() -> None:
    source = "def load():\n    assert True\n"
    assert mutate_assertions(source) == (source, (), ())


def test_what_is_not_python_stays(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def test(:")
    (tmp_path / "b.py").write_bytes(b"\xff\xfe")
    (tmp_path / "c.py").symlink_to("/etc/passwd")
    assert mutate_tests(tmp_path) == ()
    assert (tmp_path / "a.py").read_text() == "def test(:"


def test_right_and_wrong_tests_can_be_mixed(tmp_path: Path) -> None:
    source = "".join(f"def test_{name}(v):\n    assert v == 1\n    assert v == w\n\n\n" for name in "abc")
    for half in ("one", "other", "whole"):
        (tmp_path / half).mkdir()
        (tmp_path / half / "test_x.py").write_text(source + "def test_d(v):\n    assert v == w\n")
    assert mutate_tests(tmp_path / "one", wanted=lambda name: name[-1] in "ad") == (
        "test_x.py::test_a",
        "test_x.py::test_d",
    )
    assert mutate_tests(tmp_path / "other", wanted=lambda name: name[-1] in "bc") == (
        "test_x.py::test_b",
        "test_x.py::test_c",
    )
    assert len(mutate_tests(tmp_path / "whole")) == 4
    one, other, whole = ((tmp_path / half / "test_x.py").read_text() for half in ("one", "other", "whole"))
    # Each test is turned in one of them, and at the same place as where all are.
    was = (source + "def test_d(v):\n    assert v == w\n").splitlines()
    for line, first, second, both in zip(was, one.splitlines(), other.splitlines(), whole.splitlines(), strict=True):
        assert line in (first, second)
        assert (first == second) == (both == line)


NUMERALS = "".join(
    f"def test_{number}():\n    assert roman({number}) == {text!r}\n\n\n"
    for number, text in {
        4: "IV",
        9: "IX",
        40: "XL",
        49: "XLIX",
        90: "XC",
        444: "CDXLIV",
        3888: "MMMDCCCLXXXVIII",
    }.items()
)


@pytest.mark.parametrize("seed", range(30))
def test_no_value_is_there_twice_that_was_not_before(seed: int) -> None:
    def draw(name: str) -> Random:
        return Random(f"{seed} {name}")

    turned, values, _ = mutate_assertions(NUMERALS, draw=draw)
    texts = re.findall(r"'(\w+)'", turned)
    assert len(values) == len(set(texts)) == 7
    assert not any(line in NUMERALS for line in turned.splitlines() if "assert" in line)
    # So that most of them are right ones, of another test.
    assert len(set(texts) & set(re.findall(r"'(\w+)'", NUMERALS))) >= 6
    some, values, _ = mutate_assertions(NUMERALS, draw=draw, wanted=lambda name: name != "test_9")
    texts = re.findall(r"'(\w+)'", some)
    assert (len(values), len(set(texts))) == (6, 7)
