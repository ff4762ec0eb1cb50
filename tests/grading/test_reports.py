"""Reports of test frameworks: what the frameworks wrote, and what a cheat might."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading import ResultsError
from affidavit.grading.test_run.reports import judge_report

DATA = Path(__file__).with_name("data")
FRAMEWORKS = ("junit", "tap", "go", "cargo", "ctest")


def judged(framework: str, raw: bytes, *expected: str) -> dict[str, str]:
    """Message of each expected test, ``+`` before those that passed."""
    results, _ = judge_report(framework, raw, expected)
    return {result.name: f"{'+' if result.passed else ''}{result.message}" for result in results}


def recorded(framework: str, file: str, *expected: str) -> dict[str, str]:
    return judged(framework, (DATA / file).read_bytes(), *expected)


def test_junit_of_pytest() -> None:
    names = ["test_x::test_a", "test_x::test_b", "test_x::test_c[2]", "test_x::test_d", "test_x.T::test_e", "test_x::z"]
    told = recorded("junit", "pytest-junit.xml", *names)
    assert list(told.values()) == [
        "+passed",
        "failure: assert 1 == 2",
        "+passed",
        "skipped: no",
        "+passed",
        "did not report",
    ]
    _, unexpected = judge_report("junit", (DATA / "pytest-junit.xml").read_bytes(), names)
    assert unexpected == ("test_x::test_c[1]",)


def test_junit_of_node() -> None:
    assert recorded("junit", "node-junit.xml", "test::adds", "test::breaks", "test::deep") == {
        "test::adds": "+passed",
        "test::breaks": "failure: 1 == 2",
        "test::deep": "+passed",
    }


def test_go_as_it_is_written() -> None:
    names = ["TestSum", "TestSum/two", "TestSum/wrong", "TestFine", "TestSkip", "TestLate"]
    told = recorded("go", "go-test.txt", *(f"example.com/sum::{name}" for name in names))
    # Code under test printed that the last one had passed, before it failed.
    odd = "began, ended or reported other than once"
    assert list(told.values()) == ["fail", "+passed", "fail", "+passed", "skip", odd]


@pytest.mark.parametrize("file", ["ctest-junit.xml", "ctest-Test.xml"])
def test_ctest(file: str) -> None:
    told = recorded("ctest", file, "adds", "breaks", "left_out")
    assert [text.startswith("+") for text in told.values()] == [True, False, False]


def test_tap_of_perl_and_node() -> None:
    told = recorded("tap", "perl.tap", "adds", "breaks", "inner", "deep", "unfinished", "")
    assert list(told.values()) == ["+passed", "failed", "+passed", "did not report", "todo: later", "skip: no network"]
    assert recorded("tap", "node.tap", "adds", "breaks") == {"adds": "+passed", "breaks": "failed"}


def test_cargo() -> None:
    names = [
        "tests::adds",
        "tests::breaks",
        "tests::slow",
        "tests::panics",
        "adds_outside",
        "src/lib.rs - add (line 2)",
    ]
    told = recorded("cargo", "cargo.txt", *names)
    assert list(told.values()) == ["+ok", "FAILED", "ignored, slow", "+ok", "+ok", "+ok"]


def go(*events: tuple[str, str] | str) -> bytes:
    """``go test -json`` of the package p, in the form that ``go doc test2json`` describes; an action alone is the
    package's."""
    lines = [{"Action": "start", "Package": "p"}]
    for event in events:
        action, test = event if isinstance(event, tuple) else (event, None)
        lines.append({"Time": "2026-01-01T00:00:00Z", "Action": action, "Package": "p", "Elapsed": 0.1})
        if test:
            lines[-1]["Test"] = test
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_go() -> None:
    raw = go(
        ("run", "A"),
        ("output", "A"),
        ("pass", "A"),
        ("run", "B"),
        ("run", "B/x"),
        ("fail", "B/x"),
        ("fail", "B"),
        "fail",
    )
    assert judged("go", raw, "p::A", "p::B", "p::B/x", "p::C") == {
        "p::A": "+passed",
        "p::B": "fail",
        "p::B/x": "fail",
        "p::C": "did not report",
    }
    assert judged("go", go(("run", "A"), ("skip", "A"), "pass"), "p::A") == {"p::A": "skip"}


@pytest.mark.parametrize(
    "raw",
    [
        go(("pass", "A"), "pass"),
        go(("run", "A"), "pass"),
        go(("run", "A"), ("pass", "A"), ("fail", "A"), "fail"),
        go(("run", "A"), ("pass", "A"), ("run", "A"), ("pass", "A"), "pass"),
        go(("run", "A"), ("pass", "A"), "pass", "pass"),
    ],
)
def test_a_go_test_that_began_or_ended_oddly(raw: bytes) -> None:
    assert judged("go", raw, "p::A")["p::A"] in ("began, ended or reported other than once", "did not report")


RESULT = b"test result: %b. %d passed; %d failed; 0 ignored; 0 measured; 0 filtered out\n"
REFUSED = {
    "junit": [
        b"",
        b"<testsuite",
        b"<html/>",
        b"<testsuite tests='2'><testcase name='a'/></testsuite>",
        b"<testsuite><testcase/></testsuite>",
        b"<testsuite><testcase name='a'><testcase name='b'/></testcase></testsuite>",
        b'<!DOCTYPE x [<!ENTITY a "aa">]><testsuite><testcase name="&a;"/></testsuite>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        b"<a>" * 100_000,
        b"<testsuite>" + b"<a/>" * 1_000_001 + b"</testsuite>",
        b'<testsuite><system-out><testsuite><testcase name="a"/></testsuite></system-out></testsuite>',
        b'<testsuite><properties><testcase name="a"/></properties></testsuite>',
        b'<testsuite><x xmlns="y"><testcase name="a"/></x></testsuite>',
        b'<testsuite tests="1" failures="1"><testcase name="a"/></testsuite>',
        b'<testsuites errors="2"><testsuite><testcase name="a"/></testsuite></testsuites>',
        b'<?xml version="1.0" encoding="zlib"?><testsuite><testcase name="a"/></testsuite>',
    ],
    "ctest": [
        b"<Site/>",
        b"<Site><Testing><TestList><Test>./a</Test></TestList></Testing></Site>",
        b"<Site><Testing><TestList><Test>./b</Test></TestList>"
        b'<Test Status="passed"><Name>a</Name><FullName>./a</FullName></Test></Testing></Site>',
        b"<Site><Testing/><Testing/></Site>",
    ],
    "tap": [
        b"",
        b"ok 1 - a\n",
        b"1..2\nok 1 - a\n",
        b"1..1\n1..1\nok 1 - a\n",
        b"1..1\nok 2 - a\n",
        b"1..1\nok 1 - a\nBail out! no\n",
        b"\xff1..0\n",
        b"ok 1 - b\n1..2\nok 2 - a\n",
        "1..2\nok 1 - b\n# got x\u2028ok 2 - a\n".encode(),
        b"1..2\nok 1 - b\n# got x\x0bok 2 - a\n",
    ],
    "go": [
        b"",
        b"{",
        b'{"Action": "pass", "Package": "p", "Test": 3}\n',
        b'{"Action": "fail", "Action": "pass", "Package": "p", "Test": "A"}\n{"Action": "pass", "Package": "p"}\n',
        b'{"Action": "run", "Package": "p", "Test": "A"}\n',
        b"{" * 100_000,
    ],
    "cargo": [
        b"",
        b"test a ... ok\n",
        b"running 1 test\ntest a ... ok\n",
        b"running 2 tests\ntest a ... ok\n" + RESULT % (b"ok", 2, 0),
        b"running 1 test\ntest a ... FAILED\n" + RESULT % (b"ok", 1, 0),
        b"running 1 test\nrunning 1 test\n",
        b"running 1 test\ntest a ... ok\n" + RESULT % (b"FAILED", 1, 0),
        b"running 1 test\x0ctest a ... ok\x0c" + RESULT % (b"ok", 1, 0),
        b"running 2 tests\ntest b ... ok\nfailures:\ntest a ... ok\n" + RESULT % (b"ok", 2, 0),
    ],
}


@pytest.mark.parametrize(("framework", "raw"), [(name, raw) for name, raws in REFUSED.items() for raw in raws])
def test_a_report_that_contradicts_itself_is_refused(framework: str, raw: bytes) -> None:
    with pytest.raises(ResultsError):
        judge_report(framework, raw, ["a"])


def test_a_test_that_is_told_of_twice_has_not_passed() -> None:
    suite = b"<testsuite><testcase name='a'/><testcase name='a'/></testsuite>"
    assert judged("junit", suite, "a") == {"a": "is told of 2 times"}
    assert judged("tap", b"1..2\nok - a\nok - a\n", "a") == {"a": "is told of 2 times"}


KINDS = ["error", "failure", "skipped", "rerunFailure", "flakyFailure", "flakyError", "warning", "Failure", "whatever"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_plain_pass_is_none(kind: str) -> None:
    suite = f"<testsuite><testcase name='a'><system-out/><{kind}/></testcase></testsuite>"
    assert judged("junit", suite.encode(), "a") == {"a": f"{kind}:"}


def test_a_giant_is_not_read() -> None:
    with pytest.raises(ResultsError, match="larger than 16 MiB"):
        judge_report("tap", b" " * (16 << 20) + b"1..0\n", ["a"])
    with pytest.raises(ResultsError, match="more than 20000 tests"):
        judge_report("tap", b"1..20001\n" + b"ok\n" * 20_001, ["a"])


@pytest.mark.parametrize("framework", FRAMEWORKS)
@given(raw=st.one_of(st.binary(max_size=200), st.text('ok nt1.2<>/{}":#-\n', max_size=200).map(str.encode)))
def test_rubbish_is_refused_or_leaves_out_what_was_expected(framework: str, raw: bytes) -> None:
    try:
        results, _ = judge_report(framework, raw, ["expected name"])
    except ResultsError:
        return
    assert not results[0].passed


def test_a_failure_in_a_namespace_is_a_failure() -> None:
    suite = b'<testsuite><testcase name="a"><failure xmlns="x"/></testcase></testsuite>'
    assert judged("junit", suite, "a") == {"a": "{x}failure:"}


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ('status="run" result="completed"', "+passed"),
        ('status="run" result="skipped"', "skipped"),
        ('status="notrun" result="suppressed"', "notrun"),
        ('status="disabled"', "disabled"),
    ],
)
def test_what_googletest_says_in_attributes(attributes: str, told: str) -> None:
    suite = f'<testsuites tests="1"><testsuite tests="1"><testcase name="a" {attributes}/></testsuite></testsuites>'
    assert judged("junit", suite.encode(), "a") == {"a": told}


def test_junit_of_failures_outside_of_a_test() -> None:
    # pytest tells of a test that fails, and fails again in its teardown, twice, and counts one.
    twice = '<testcase classname="m" name="a"><failure/></testcase><testcase classname="m" name="a"><error/></testcase>'
    suite = f'<testsuite tests="1" failures="1" errors="1">{twice}</testsuite>'
    assert judged("junit", suite.encode(), "m::a") == {"m::a": "is told of 2 times"}
    # And one that fails in its teardown alone once, and counts two.
    suite = '<testsuite tests="3" errors="1"><testcase name="a"><error/></testcase><testcase name="b"/></testsuite>'
    assert judged("junit", suite.encode(), "b") == {"b": "+passed"}
    # Surefire gives what failed before the tests of a class no name.
    suite = '<testsuite tests="2" errors="1"><testcase name="" classname="C"><error/></testcase>'
    suite += '<testcase name="a" classname="C"/></testsuite>'
    assert judged("junit", suite.encode(), "C::a") == {"C::a": "+passed"}


def test_junit_of_suites_in_suites() -> None:
    inner = '<testsuite tests="1" failures="1"><testcase name="b"><failure message="no"/></testcase></testsuite>'
    outer = f'<testsuite tests="2" failures="1"><testcase name="a"/>{inner}</testsuite>'
    raw = f'<testsuites tests="2" failures="1">{outer}</testsuites>'.encode("utf-16")
    assert judged("junit", raw, "a", "b") == {"a": "+passed", "b": "failure: no"}


def test_a_ctest_name_with_colons() -> None:
    suite = b'<testsuite tests="1"><testcase name="x::a" classname="x::a" status="run"/></testsuite>'
    assert judged("ctest", suite, "a", "x::a") == {"a": "did not report", "x::a": "+passed"}


def test_tap_beside_what_only_looks_like_it() -> None:
    raw = b"1..2 \r\nok 1 - a\r\nok, fine\nok: said the code\n    not ok 1 - in\n# \xff\nnot ok 2 - b\n"
    assert judged("tap", raw, "a", "b") == {"a": "+passed", "b": "failed"}


def test_a_go_test_whose_subtest_or_package_failed() -> None:
    raw = go(("run", "A"), ("run", "A/b"), ("run", "A/b/c"), ("fail", "A/b/c"), ("pass", "A/b"), ("pass", "A"), "fail")
    assert not any(told.startswith("+") for told in judged("go", raw, "p::A", "p::A/b").values())
    raw = go(("run", "A"), ("run", "A/b"), ("skip", "A/b"), ("pass", "A"), "pass")
    assert judged("go", raw, "p::A") == {"p::A": "+passed"}
    raw = go(("run", "A"), ("pass", "A"), "fail")
    assert judged("go", raw, "p::A") == {"p::A": "passed, but its package failed, and no test of it did"}
    raw = go(("run", "A"), ("pass", "A"), ("run", "B"), "fail")
    assert judged("go", raw, "p::A") == {"p::A": "+passed"}


def test_a_go_test_from_the_cache_did_not_run() -> None:
    cached = json.dumps({"Action": "output", "Package": "p", "Output": "ok  \tp\t(cached)\n"}).encode() + b"\n"
    told = judged("go", cached + go(("run", "A"), ("pass", "A"), "pass"), "p::A")["p::A"]
    assert "-count=1" in told


def test_cargo_beside_what_tests_printed() -> None:
    printed = "---- b stdout ----\nrunning 3 tests\ntest a ... FAILED\ntest c ... ok\n\ufffd\u2028test c ... ok\n"
    result = (RESULT % (b"FAILED", 1, 1)).decode()
    raw = f"running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n{printed}\nfailures:\n    b\n\n{result}"
    assert judged("cargo", raw.encode() + b"\xff\n", "a", "b", "c") == {
        "a": "+ok",
        "b": "FAILED",
        "c": "did not report",
    }


def test_names_that_nobody_expected_are_kept_short_and_writable() -> None:
    _, unexpected = judge_report("junit", b"<testsuite><testcase name='%s'/></testsuite>" % (b"x" * 100_000), ["a"])
    assert [len(name) for name in unexpected] == [300]
    _, unexpected = judge_report("go", go(("run", "\ud800"), ("pass", "\ud800"), "pass"), ["a"])
    assert unexpected == ("p::?",)


def test_a_deep_name_does_not_take_long() -> None:
    name = "/" * (4 << 20)
    assert judged("go", go(("run", name), ("fail", name), "fail"), "p::A") == {"p::A": "did not report"}
