"""Reports line by line: TAP, ``go test -json``, ``cargo test``."""

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from affidavit.grading.test_run.results import ReportedTest, ResultsError
from affidavit.signing import EvidenceError, strict_json

_MOST_LETTERS = 300
# How deep subtests are looked at.
_DEEPEST = 100


def _lines(raw: bytes) -> list[str]:
    """The lines of a report. Nothing but a newline ends one: U+2028 and the like are letters that a test may print, and
    so are bytes that are not UTF-8."""
    return [line.removesuffix("\r") for line in raw.decode("utf-8-sig", "replace").split("\n")]


_PLAN = re.compile(r"1\.\.([0-9]{1,6})[ \t]*(?:#.*)?")
_TEST_LINE = re.compile(r"(not )?ok(?:[ \t]+([0-9]{1,6})\b)?(?:[ \t]+-)?(?:[ \t]+(.*))?")
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(skip\S*|todo)\b\s*(.*)$", re.IGNORECASE)


def read_tap(raw: bytes) -> Iterable[ReportedTest]:
    """The Test Anything Protocol, versions 12 to 14 (https://testanything.org/tap-version-14-specification.html). A
    name is a test's description; what is indented (subtests, YAML blocks) is left out, a subtest's own line counts."""
    tests: list[ReportedTest] = []
    plan: int | None = None
    before = 0
    for line in _lines(raw):
        if match := _PLAN.fullmatch(line):
            if plan is not None:
                raise ResultsError("the report has two TAP plans")
            plan, before = int(match[1]), len(tests)
        elif line.startswith("Bail out!"):
            raise ResultsError(f"the tests bailed out: {line[9:].strip()[:_MOST_LETTERS]}")
        elif match := _TEST_LINE.fullmatch(line):
            if match[2] is not None and int(match[2]) != len(tests) + 1:
                raise ResultsError(f"the report has test {match[2]} in place of {len(tests) + 1}")
            tests.append(_tap_test(match[1] is None, match[3] or ""))
    if plan is None:
        raise ResultsError("the report is no TAP: it has no plan")
    if plan != len(tests):
        raise ResultsError(f"the report's TAP plan has {plan} tests, and it tells of {len(tests)}")
    if before not in (0, plan):
        raise ResultsError("the report's TAP plan stands between tests")
    return tests


def _tap_test(ok: bool, rest: str) -> ReportedTest:
    directive = _DIRECTIVE.search(rest)
    name = (rest[: directive.start()] if directive else rest).strip()
    if directive:
        return ReportedTest(name, False, f"{directive[1].lower()}: {directive[2]}")
    return ReportedTest(name, ok, "passed" if ok else "failed")


_ENDS = ("pass", "fail", "skip")
_CACHED = re.compile(r"ok\s+\S+\s+\(cached\)")


class _Package:
    """What ``go test -json`` tells of a package."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.ended: dict[str, list[str]] = {}
        self.outcomes: list[str] = []
        self.cached = False

    def hear(self, event: dict[str, Any]) -> None:
        match event:
            case {"Action": "run", "Test": str(test)}:
                self.begun[test] = self.begun.get(test, 0) + 1
            case {"Action": str(action), "Test": str(test)}:
                if action in _ENDS:
                    self.ended.setdefault(test, []).append(action)
            case {"Test": _}:
                raise ResultsError("the report is no go test -json: a test's name is no text")
            case {"Action": "output", "Output": str(output)}:
                self.cached |= _CACHED.match(output) is not None
            case {"Action": str(action)} if action in _ENDS:
                self.outcomes.append(action)

    def tests(self) -> Iterator[tuple[str, bool, str]]:
        """Name, whether it passed, and a word on it."""
        told = {name: self._outcome(name) for name in sorted(self.begun.keys() | self.ended.keys())}
        failed = {name for name, outcome in told.items() if outcome not in ("pass", "skip")}
        # A test fails where one of its subtests does.
        above = {name for low in failed for name in accumulate(low.split("/", _DEEPEST)[:-1], "{}/{}".format)}
        why = self._odd(bool(failed))
        for name, outcome in told.items():
            if outcome != "pass":
                yield name, False, outcome
            elif name in above:
                yield name, False, "passed, though one of its subtests did not"
            else:
                yield name, not why, why or "passed"

    def _outcome(self, name: str) -> str:
        outcomes = self.ended.get(name, [])
        if self.begun.get(name, 0) != 1 or len(outcomes) != 1 or len(self.outcomes) != 1:
            return "began, ended or reported other than once"
        return outcomes[0]

    def _odd(self, failed: bool) -> str:
        """Why no test of this package has passed; empty where nothing speaks against it."""
        if self.cached:
            return "did not run: go test tells what it remembers; give it -count=1"
        if self.outcomes == ["fail"] and not failed:
            return "passed, but its package failed, and no test of it did"
        return "passed, but its package was skipped" if self.outcomes == ["skip"] else ""


def read_go(raw: bytes) -> Iterable[ReportedTest]:
    """``go test -json`` (``go doc test2json``). A name is ``PACKAGE::TEST``, subtests as ``TestA/b``."""
    packages: dict[str, _Package] = {}
    for line in _lines(raw):
        if not line.startswith("{"):
            # The go tool's own words (a build that failed) are no JSON where standard error is in the report.
            continue
        try:
            event = strict_json(line.encode())
        except EvidenceError:
            raise ResultsError(f"the report is no go test -json: {line[:60]!r}") from None
        match event:
            case {"Package": str(package)}:
                packages.setdefault(package, _Package()).hear(event)
    if not any(package.outcomes for package in packages.values()):
        raise ResultsError("the report is no go test -json: no package came to its end")
    for name in sorted(packages):
        for test, passed, message in packages[name].tests():
            yield ReportedTest(f"{name}::{test}", passed, message)


_RUNNING = re.compile(r"running ([0-9]{1,6}) tests?")
_CARGO_LINE = re.compile(r"test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored.*)")
_CARGO_RESULT = re.compile(
    r"test result: (ok|FAILED)\. ([0-9]{1,6}) passed; ([0-9]{1,6}) failed; ([0-9]{1,6}) ignored; "
    r"([0-9]{1,6}) measured; ([0-9]{1,6}) filtered out(?:; finished in .*)?"
)
# After every test has ended, what they printed follows; it may look like anything.
_PRINTED = ("failures:", "successes:")


def read_cargo(raw: bytes) -> Iterable[ReportedTest]:
    """What ``cargo test`` prints (libtest's plain format): sections from ``running N tests`` to ``test result: …``. The
    lines of a section must be as many as both say."""
    tests: list[ReportedTest] = []
    wanted: int | None = None
    section: list[ReportedTest] = []
    seen, printed = 0, False
    for line in _lines(raw):
        if match := _CARGO_RESULT.fullmatch(line):
            counts = [int(match[group]) for group in (2, 3, 4)]
            told = [sum(test.message.startswith(kind) for test in section) for kind in ("ok", "FAILED", "ignored")]
            if wanted is None or wanted != len(section) or counts != told or (match[1] == "ok") != (not counts[1]):
                raise ResultsError(f"the report counts {counts}, {match[1]}, and tells of {told} of {wanted} tests")
            tests += section
            wanted, printed = None, False
        elif wanted is not None and line in _PRINTED:
            printed = True
        elif printed:
            continue
        elif match := _RUNNING.fullmatch(line):
            if wanted is not None:
                raise ResultsError("the report begins a section of tests before the last one has ended")
            wanted, section, seen = int(match[1]), [], seen + 1
        elif wanted is not None and (match := _CARGO_LINE.fullmatch(line)):
            section.append(ReportedTest(match[1], match[2] == "ok", match[2]))
    if wanted is not None or not seen:
        raise ResultsError("the report breaks off" if seen else "the report is no cargo test output")
    return tests
