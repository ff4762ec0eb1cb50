"""Reports of test frameworks: JUnit XML, TAP, ``go test -json``, ``cargo test``, CTest.

A report is hostile: the code under test may have had a hand in it. Each reader is strict. A report that contradicts
itself, breaks off or counts wrongly is refused as a whole; a test that is reported twice has not passed.
"""

from collections.abc import Callable, Iterable, Sequence

from affidavit.grading.test_run.line_reports import read_cargo, read_go, read_tap
from affidavit.grading.test_run.results import ReportedTest, ResultsError, TestResult
from affidavit.grading.test_run.xml_reports import read_ctest, read_junit
from affidavit.grading.text_sanitizing import storable

MOST_BYTES = 16 << 20
_MOST_TESTS = 20_000
_MOST_LETTERS = 300
_MOST_NAMED = 20


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
    told: dict[str, list[ReportedTest]] = {}
    for number, test in enumerate(_READERS[framework](raw)):
        if number >= _MOST_TESTS:
            raise ResultsError(f"the report tells of more than {_MOST_TESTS} tests")
        told.setdefault(test.name, []).append(test)
    results = [_result(name, told.get(name, [])) for name in expected]
    return results, tuple(_shown(name) for name in sorted(told.keys() - set(expected))[:_MOST_NAMED])


def _shown(text: str) -> str:
    """Text as it may stand in ``grade.json``."""
    return storable(text[:_MOST_LETTERS])


def _result(name: str, told: Sequence[ReportedTest]) -> TestResult:
    if len(told) != 1:
        return TestResult(name, False, f"is told of {len(told)} times" if told else "did not report")
    return TestResult(name, told[0].passed, " ".join(_shown(told[0].message).split())[:_MOST_LETTERS])


_READERS: dict[str, Callable[[bytes], Iterable[ReportedTest]]] = {
    "junit": read_junit,
    "ctest": read_ctest,
    "tap": read_tap,
    "go": read_go,
    "cargo": read_cargo,
}
