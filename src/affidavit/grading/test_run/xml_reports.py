"""Reports in XML: JUnit's and CTest's."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from affidavit.grading.test_run.results import ReportedTest, ResultsError

_MOST_ELEMENTS = 1_000_000
_MOST_LETTERS = 300
# What may stand in a testcase beside its outcome. Anything else there says that it did not simply pass: failure, error,
# skipped, flakyError, warning …
_BESIDE = ("properties", "system-out", "system-err")
# CTest, GoogleTest and others say it in an attribute as well, or there only.
_PASSED = ("run", "passed", "pass", "ok", "success", "completed")


def _xml(raw: bytes, what: str) -> Element:
    if raw.count(b"<") > _MOST_ELEMENTS:
        raise ResultsError(f"the report is no {what}: it has more than {_MOST_ELEMENTS:,} elements")
    try:
        root: Element = fromstring(raw, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ResultsError(f"the report is no {what}: {str(error)[:_MOST_LETTERS]}") from None
    return root


def read_junit(raw: bytes) -> Iterable[ReportedTest]:
    """JUnit XML as pytest, Gradle, Jest and others write it: ``testcase`` elements in ``testsuite`` elements, or, as
    Node does, in ``testsuites`` itself. A name is ``CLASSNAME::NAME``, or ``NAME`` where there is no ``classname``."""
    return _junit(_xml(raw, "JUnit XML"), _full_name)


def _full_name(case: Element) -> str:
    name, group = case.get("name", ""), case.get("classname")
    return f"{group}::{name}" if group else name


def _junit(root: Element, named: Callable[[Element], str]) -> list[ReportedTest]:
    if root.tag not in ("testsuites", "testsuite"):
        raise ResultsError(f"the report is no JUnit XML: its root is <{root.tag[:60]}>")
    tests: list[ReportedTest] = []
    seen = 0
    for suite in _suites(root):
        told = [_junit_case(case, named) for case in suite.findall("testcase")]
        _check_tests(suite, told)
        if suite.find("testsuite") is None:
            _check_failures(suite, told)
        tests += told
        seen += len(told) + _is(suite, "testsuite")
    _check_failures(root, tests)
    # One that stands elsewhere (in what a test printed, in another testcase) is not a framework's.
    if sum(_is(element, "testcase", "testsuite") for element in root.iter()) != seen:
        raise ResultsError("the report is no JUnit XML: a testcase or testsuite stands in what is no testsuite")
    return tests


def _suites(root: Element) -> Iterator[Element]:
    waiting = [root]
    while waiting:
        suite = waiting.pop()
        yield suite
        waiting += suite.findall("testsuite")


def _is(element: Element, *names: str) -> bool:
    """Whether it has one of these names, in whatever namespace."""
    return str(element.tag).rpartition("}")[2] in names


def _check_tests(suite: Element, told: Sequence[ReportedTest]) -> None:
    wanted = suite.get("tests")
    # A test of pytest's that fails, and fails again in its teardown, is told of twice and counted once; one that passes
    # and fails in its teardown is told of once and counted twice.
    least, most = len({test.name for test in told}), len(told) + sum(test.message.startswith("error:") for test in told)
    counts = {str(count) for count in range(least, most + 1)}
    if wanted is not None and suite.find("testsuite") is None and wanted not in counts:
        raise ResultsError(f"the report's suite {suite.get('name', '')[:60]!r} has {len(told)} of {wanted} tests")


def _check_failures(element: Element, told: Sequence[ReportedTest]) -> None:
    """Every counted failure must be reported."""
    counted = [element.get(kind, "0") for kind in ("failures", "errors")]
    if any(count.strip(" 0") for count in counted) and all(test.passed for test in told):
        raise ResultsError(
            f"the report counts {counted[0][:9]} failures and {counted[1][:9]} errors, and tells of none"
        )


def _junit_case(case: Element, named: Callable[[Element], str]) -> ReportedTest:
    if case.get("name") is None:
        raise ResultsError("the report has a testcase without a name")
    name = named(case)
    for child in case:
        if child.tag not in _BESIDE:
            return ReportedTest(name, False, f"{str(child.tag)[:60]}: {child.get('message') or child.text or ''}")
    for attribute in ("status", "result"):
        said = case.get(attribute, "run").lower()
        if said not in _PASSED:
            return ReportedTest(name, False, said)
    return ReportedTest(name, True, "passed")


def read_ctest(raw: bytes) -> Iterable[ReportedTest]:
    """What CTest writes: JUnit XML (``--output-junit``, whose class names repeat the names) or ``Test.xml`` (``-T
    Test``)."""
    root = _xml(raw, "CTest report")
    if root.tag != "Site":
        return _junit(root, lambda case: case.get("name", ""))
    testing = root.findall("Testing")
    if len(testing) != 1:
        raise ResultsError(f"the report is no CTest report: it has {len(testing) or 'no'} <Testing>")
    tests = testing[0].findall("Test")
    listed = [test.text or "" for test in testing[0].findall("TestList/Test")]
    if sorted(listed) != sorted(test.findtext("FullName", "") for test in tests):
        raise ResultsError(f"the report lists {len(listed)} tests and tells of {len(tests)}, or of others")
    return [_ctest_test(test) for test in tests]


def _ctest_test(test: Element) -> ReportedTest:
    name, status = test.findtext("Name"), test.get("Status", "")
    if not name:
        raise ResultsError("the report has a test without a name")
    return ReportedTest(name, status == "passed", status or "no status")
