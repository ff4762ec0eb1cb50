"""Reports of test frameworks: JUnit XML, TAP, ``go test -json``, ``cargo test``, CTest.

A report is hostile: the code under test may have had a hand in it. Each reader is strict. A report that contradicts
itself, breaks off or counts wrongly is refused as a whole; a test that is told of twice has not passed.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from affidavit.grading.test_run.results import ResultsError, TestResult

MOST_BYTES = 16 << 20
_MOST_TESTS = 20_000
_MOST_LETTERS = 300
_MOST_NAMED = 20


@dataclass(frozen=True)
class Told:
    """What a report says of one test; `passed`: without any ifs."""

    name: str
    passed: bool
    message: str


def judge_report(framework: str, raw: bytes, expected: Sequence[str]) -> tuple[list[TestResult], tuple[str, ...]]:
    """What became of each expected test.

    Args:
        framework: ``junit``, ``tap``, ``go``, ``cargo`` or ``ctest``.
        raw: the report.
        expected: names.

    Returns:
        The results, and the names of tests that nobody expected, twenty at most.

    Raises:
        ResultsError: it is no such report.
    """
    if len(raw) > MOST_BYTES:
        raise ResultsError(f"the report is larger than {MOST_BYTES >> 20} MiB")
    told: dict[str, list[Told]] = {}
    for number, test in enumerate(_READERS[framework](raw)):
        if number >= _MOST_TESTS:
            raise ResultsError(f"the report tells of more than {_MOST_TESTS} tests")
        told.setdefault(test.name, []).append(test)
    results = [_result(name, told.get(name, [])) for name in expected]
    return results, tuple(sorted(told.keys() - set(expected))[:_MOST_NAMED])


def _result(name: str, told: Sequence[Told]) -> TestResult:
    if len(told) != 1:
        return TestResult(name, False, f"is told of {len(told)} times" if told else "did not report")
    return TestResult(name, told[0].passed, " ".join(told[0].message.split())[:_MOST_LETTERS])


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ResultsError(f"the report is no {what}: it is not UTF-8") from None


def _xml(raw: bytes, what: str) -> Element:
    try:
        root: Element = fromstring(raw, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ResultsError(f"the report is no {what}: {str(error)[:_MOST_LETTERS]}") from None
    return root


def read_junit(raw: bytes) -> Iterable[Told]:
    """JUnit XML as pytest, Gradle, Jest and others write it: ``testcase`` elements in ``testsuite`` elements. A name is
    ``CLASSNAME::NAME``, or ``NAME`` where there is no ``classname``."""
    root = _xml(raw, "JUnit XML")
    if root.tag not in ("testsuites", "testsuite"):
        raise ResultsError(f"the report is no JUnit XML: its root is <{root.tag[:60]}>")
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        wanted = suite.get("tests")
        nested = suite.find("testsuite") is not None
        if wanted is not None and not nested and wanted != str(len(cases)):
            raise ResultsError(f"the report's suite {suite.get('name', '')[:60]!r} has {len(cases)} of {wanted} tests")
        yield from map(_junit_case, cases)
    if root.tag == "testsuites" and root.find("testcase") is not None:
        raise ResultsError("the report is no JUnit XML: a testcase stands outside of any testsuite")


def _junit_case(case: Element) -> Told:
    name, group = case.get("name"), case.get("classname")
    if not name:
        raise ResultsError("the report has a testcase without a name")
    if case.find("testcase") is not None or case.find("testsuite") is not None:
        raise ResultsError(f"the report's testcase {name[:60]!r} holds another one")
    full = f"{group}::{name}" if group else name
    for kind in ("error", "failure", "skipped", "rerunFailure", "flakyFailure"):
        if (found := case.find(kind)) is not None:
            return Told(full, False, f"{kind}: {found.get('message') or found.text or ''}")
    # CTest and GoogleTest say it in an attribute.
    status = (case.get("status") or "run").lower()
    return Told(full, status in ("run", "passed"), "passed" if status in ("run", "passed") else status)


def read_ctest(raw: bytes) -> Iterable[Told]:
    """What CTest writes: JUnit XML (``--output-junit``, whose class names repeat the names) or ``Test.xml`` (``-T
    Test``)."""
    root = _xml(raw, "CTest report")
    if root.tag != "Site":
        yield from (Told(told.name.rpartition("::")[2], told.passed, told.message) for told in read_junit(raw))
        return
    testing = root.find("Testing")
    if testing is None:
        raise ResultsError("the report is no CTest report: it has no <Testing>")
    listed = [(test.text or "").rpartition("/")[2] for test in testing.findall("TestList/Test")]
    tests = testing.findall("Test")
    if len(listed) != len(tests):
        raise ResultsError(f"the report lists {len(listed)} tests and tells of {len(tests)}")
    for test in tests:
        name = test.findtext("Name")
        if not name:
            raise ResultsError("the report has a test without a name")
        status = test.get("Status", "")
        yield Told(name, status == "passed", status or "no status")


_PLAN = re.compile(r"1\.\.([0-9]{1,6})(?:\s+#.*)?")
_TEST_LINE = re.compile(r"(not )?ok\b(?:\s+([0-9]{1,6})\b)?(?:\s+-)?\s*(.*)")
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(skip\S*|todo)\b\s*(.*)$", re.IGNORECASE)


def read_tap(raw: bytes) -> Iterable[Told]:
    """The Test Anything Protocol, versions 12 to 14 (https://testanything.org/tap-version-14-specification.html). A
    name is a test's description; what is indented (subtests, YAML blocks) is left out, a subtest's own line counts."""
    tests: list[Told] = []
    plan: int | None = None
    for line in _text(raw, "TAP").splitlines():
        if match := _PLAN.fullmatch(line):
            if plan is not None:
                raise ResultsError("the report has two TAP plans")
            plan = int(match[1])
        elif line.startswith("Bail out!"):
            raise ResultsError(f"the tests bailed out: {line[9:].strip()[:_MOST_LETTERS]}")
        elif match := _TEST_LINE.fullmatch(line):
            if match[2] is not None and int(match[2]) != len(tests) + 1:
                raise ResultsError(f"the report has test {match[2]} in place of {len(tests) + 1}")
            tests.append(_tap_test(match[1] is None, match[3]))
    if plan is None:
        raise ResultsError("the report is no TAP: it has no plan")
    if plan != len(tests):
        raise ResultsError(f"the report's TAP plan has {plan} tests, and it tells of {len(tests)}")
    return tests


def _tap_test(ok: bool, rest: str) -> Told:
    directive = _DIRECTIVE.search(rest)
    name = (rest[: directive.start()] if directive else rest).strip()
    if directive:
        return Told(name, False, f"{directive[1].lower()}: {directive[2]}")
    return Told(name, ok, "passed" if ok else "failed")


def read_go(raw: bytes) -> Iterable[Told]:
    """``go test -json`` (``go doc test2json``). A name is ``PACKAGE::TEST``, subtests as ``TestA/b``."""
    begun: dict[str, int] = {}
    ended: dict[str, list[str]] = {}
    packages: dict[str, list[str]] = {}
    for line in _text(raw, "go test -json").splitlines():
        if not line.startswith("{"):
            # The go tool's own words (a build that failed) are no JSON where standard error is in the report.
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            raise ResultsError(f"the report is no go test -json: {line[:60]!r}") from None
        match event:
            case {"Action": str(action), "Package": str(package), "Test": str(test)}:
                name = f"{package}::{test}"
                if action == "run":
                    begun[name] = begun.get(name, 0) + 1
                elif action in ("pass", "fail", "skip"):
                    ended.setdefault(name, []).append(action)
            case {"Action": str(action), "Package": str(package)}:
                if action in ("pass", "fail", "skip"):
                    packages.setdefault(package, []).append(action)
    if not packages:
        raise ResultsError("the report is no go test -json: no package came to its end")
    for name in sorted(begun.keys() | ended.keys()):
        outcomes = ended.get(name, [])
        if begun.get(name, 0) != 1 or len(outcomes) != 1 or len(packages.get(name.partition("::")[0], [])) != 1:
            yield Told(name, False, "began, ended or reported other than once")
        else:
            yield Told(name, outcomes == ["pass"], "passed" if outcomes == ["pass"] else outcomes[0])


_RUNNING = re.compile(r"running ([0-9]{1,6}) tests?")
_CARGO_LINE = re.compile(r"test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored.*)")
_CARGO_RESULT = re.compile(
    r"test result: (?:ok|FAILED)\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored; ([0-9]+) measured; "
    r"([0-9]+) filtered out(?:; finished in .*)?"
)


def read_cargo(raw: bytes) -> Iterable[Told]:
    """What ``cargo test`` prints (libtest's plain format): sections from ``running N tests`` to ``test result: …``. The
    lines of a section must be as many as both say."""
    tests: list[Told] = []
    wanted: int | None = None
    section: list[Told] = []
    seen = 0
    for line in _text(raw, "cargo test output").splitlines():
        if match := _RUNNING.fullmatch(line):
            if wanted is not None:
                raise ResultsError("the report begins a section of tests before the last one has ended")
            wanted, section, seen = int(match[1]), [], seen + 1
        elif match := _CARGO_RESULT.fullmatch(line):
            counts = [int(match[group]) for group in (1, 2, 3)]
            told = [sum(test.message.startswith(kind) for test in section) for kind in ("ok", "FAILED", "ignored")]
            if wanted is None or wanted != len(section) or counts != told:
                raise ResultsError(f"the report counts {counts}, and tells of {told} of {wanted} tests")
            tests += section
            wanted = None
        elif wanted is not None and (match := _CARGO_LINE.fullmatch(line)):
            section.append(Told(match[1], match[2] == "ok", match[2]))
    if wanted is not None or not seen:
        raise ResultsError("the report breaks off" if seen else "the report is no cargo test output")
    return tests


_READERS: dict[str, Callable[[bytes], Iterable[Told]]] = {
    "junit": read_junit,
    "ctest": read_ctest,
    "tap": read_tap,
    "go": read_go,
    "cargo": read_cargo,
}
