"""What became of each hidden test, from the harness's lines or a report."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.grading.verifier_record import HarnessLine
from affidavit.signing import EvidenceError, strict_json

_MOST_LETTERS = 300


@dataclass(frozen=True)
class TestResult:
    """One test.

    Attributes:
        name: as expected.
        passed: it ran to its end and said so, and nothing contradicts.
        message: a sentence.
        changed: functions of the framework that were others afterwards.
        unread: it did not report, because nothing could be read of any test.
        words: how often it took something on the word of the solution's sandbox, where that is another one.
    """

    name: str
    passed: bool
    message: str
    changed: tuple[str, ...] = ()
    unread: bool = False
    words: int = 0


@dataclass(frozen=True)
class ReportedTest:
    """What a report says of one test; `passed`: without any ifs."""

    name: str
    passed: bool
    message: str


class ResultsError(Exception):
    """The tests could not be run, or their report can't be read; the text says why."""


def read_lines(stdout: bytes, *, whole: bool) -> tuple[list[HarnessLine], int]:
    """What the harness reported of each test; see ``harness/runner.py``.

    A harness that was ended early has reported the tests before; the rest did not report.

    Args:
        stdout: standard output of the grading sandbox.
        whole: all of it was kept.

    Returns:
        The objects, and how many lines somebody else has put between them.

    Raises:
        ResultsError: the harness's lines can't be read.
    """
    first, *raw = stdout.split(b"\n")
    if not raw:
        return [], 0
    try:
        key = bytes.fromhex(first.decode("ascii").removeprefix("key "))
    except ValueError:
        raise ResultsError(f"the harness's standard output begins with something else: {first[:60]!r}") from None
    lines: list[HarnessLine] = []
    forged = 0
    for line in raw[:-1]:
        signature, _, data = line.partition(b" ")
        expected = hmac.new(key, b"%d %b" % (len(lines), data), "sha256").hexdigest().encode()
        if hmac.compare_digest(signature, expected):
            lines.append(_line(data))
        else:
            forged += 1
    if not whole and not forged:
        raise ResultsError("the harness told more than is kept; the task has too many tests")
    return [line for line in lines if "end" not in line], forged


def _line(data: bytes) -> HarnessLine:
    """What a line of the harness says: it quotes what the code under test gave it, which may be anything."""
    try:
        value = strict_json(data)
    except EvidenceError as error:
        raise ResultsError(f"the harness told what can't be read: it {str(error)[:_MOST_LETTERS]}") from None
    if not isinstance(value, dict):
        raise ResultsError("the harness told what can't be read: it is no JSON object")
    return value


def judge_lines(framework: str, expected: Sequence[str], lines: Sequence[HarnessLine]) -> list[TestResult]:
    """What became of each expected test.

    Args:
        framework: ``pytest``, ``unittest`` or ``script``.
        expected: names.
        lines: what the harness reported of each test, see ``harness/runner.py``.

    Raises:
        ResultsError: the tests' framework can't be loaded.
    """
    told: dict[str, list[HarnessLine]] = {}
    for line in lines:
        told.setdefault(str(line.get("test")), []).append(line)
    return [_judge(framework, name, told.get(name, [])) for name in expected]


def _judge(framework: str, name: str, lines: Sequence[HarnessLine]) -> TestResult:
    def failed(message: str, changed: Sequence[str] = ()) -> TestResult:
        return TestResult(name, False, " ".join(message.split())[:_MOST_LETTERS], tuple(changed))

    if len(lines) != 1:
        return failed("did not report" if not lines else "reported more than once")
    match lines[0]:
        case {
            "status": int() | None as status,
            "signal": int() | None as signal,
            "timed_out": bool(timed_out),
            "reports": list(reports),
            "odd": str() | None as odd,
        }:
            pass
        case _:
            return failed("what the harness told of it can't be read")
    if timed_out:
        return failed("was still running when its time was up")
    ended = f"with exit status {status}" if signal is None else f"by signal {signal}"
    if framework == "script":
        return TestResult(name, True, "passed") if status == 0 else failed(f"ended {ended}")
    if odd:
        return failed(odd)
    if not reports:
        return failed(f"ended {ended} before it reported")
    if len(reports) > 1:
        return failed("reported more than once")
    match reports[0]:
        case {"fault": str(fault)}:
            raise ResultsError(f"{framework} can't be loaded in the grading sandbox: {fault[:_MOST_LETTERS]}")
        case {
            "exit": int(code),
            "items": int(items),
            "passed": int(passed),
            "others": list(others),
            "errors": list(errors),
            "changed": list(changed),
            **more,
        }:
            words = more.get("words", 0)
        case _:
            return failed("its report is none of this framework's")
    names = tuple(str(function)[:_MOST_LETTERS] for function in changed[:10])
    if names:
        return failed(f"the code under test changed {framework}: {', '.join(names)}", names)
    if errors or others or code or not items or passed != items:
        return failed(_why(others, errors, items))
    if status != 0:
        return failed(f"ended oddly, {ended}, after it had reported success")
    if not isinstance(words, int):
        return failed("its report is none of this framework's")
    return TestResult(name, True, "passed" if items == 1 else f"passed, {items} times", words=words)


def _why(others: Sequence[Any], errors: Sequence[Any], items: int) -> str:
    match [*others, *errors]:
        case [[_, str(outcome), str(message)], *_]:
            return f"{outcome}: {message}" if message else outcome
        case [str(error), *_]:
            return f"could not be loaded: {error}"
    return "no such test was found" if not items else "failed"
