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
        b"<testsuites><testcase name='a'/></testsuites>",
        b"<testsuite tests='2'><testcase name='a'/></testsuite>",
        b"<testsuite><testcase/></testsuite>",
        b"<testsuite><testcase name='a'><testcase name='b'/></testcase></testsuite>",
        b'<!DOCTYPE x [<!ENTITY a "aa">]><testsuite><testcase name="&a;"/></testsuite>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        b"<a>" * 100_000,
    ],
    "ctest": [b"<Site/>", b"<Site><Testing><TestList><Test>./a</Test></TestList></Testing></Site>"],
    "tap": [
        b"",
        b"ok 1 - a\n",
        b"1..2\nok 1 - a\n",
        b"1..1\n1..1\nok 1 - a\n",
        b"1..1\nok 2 - a\n",
        b"1..1\nok 1 - a\nBail out! no\n",
        b"\xff1..0\n",
    ],
    "go": [b"", b"{", b'{"Action": "run", "Package": "p", "Test": "A"}\n', b"{" * 100_000],
    "cargo": [
        b"",
        b"test a ... ok\n",
        b"running 1 test\ntest a ... ok\n",
        b"running 2 tests\ntest a ... ok\n" + RESULT % (b"ok", 2, 0),
        b"running 1 test\ntest a ... FAILED\n" + RESULT % (b"ok", 1, 0),
        b"running 1 test\nrunning 1 test\n",
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


@pytest.mark.parametrize("kind", ["error", "failure", "skipped", "rerunFailure", "flakyFailure"])
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
