"""Settings of the ``test_run`` grader."""

from typing import Annotated, Literal

from pydantic import Field

from affidavit.grading.settings import AbsolutePath, GraderSettings, ReferencePath

Framework = Literal["reward", "pytest", "unittest", "script", "junit", "tap", "go", "cargo", "ctest"]

RUN_HERE = ("pytest", "unittest", "script")
"""Frameworks whose tests are run one by one; with the others tests/test.sh runs them and leaves a report."""

REPORTED = ("junit", "tap", "go", "cargo", "ctest")
"""Frameworks whose report tests/test.sh leaves in /logs/verifier."""

SEPARABLE = ("reward", "pytest", "unittest", "script", "junit", "tap")
"""Frameworks whose tests may run in another sandbox than the solution; the others build the two into one program."""

_Name = Annotated[str, Field(min_length=1, max_length=1000)]


class Turn(GraderSettings):
    """An edit that makes tests wrong, for the control: a right solution fails there.

    Attributes:
        file: below tests/.
        find: what stands in it exactly once.
        replace: what is to stand there.
        tests: the expected tests that must fail then; where none are named, the score must sink.
    """

    file: ReferencePath
    find: Annotated[str, Field(min_length=1)]
    replace: str
    tests: tuple[_Name, ...] = ()


class TestRunSettings(GraderSettings):
    """Settings of the grader ``test_run``.

    Attributes:
        framework: ``reward``: tests/test.sh runs the tests and writes the reward. ``pytest``, ``unittest``, ``script``:
            each test is run in a process of its own and every expected one must report. The others: tests/test.sh runs
            the tests and leaves a report in that format.
        expected: names of the tests that must report; where there are none, tests/expected.txt has one a line, or else
            they are read from the tests' source (pytest, unittest) or are the files tests/test_* (script).
        reward: where ``reward.json`` holds several rewards, the name of the one that is the score (``reward``).
        report: name of the report in /logs/verifier; ``junit.xml`` and the like where it is left out.
        credit: ``each``: the share of expected tests that passed; ``all``: 1 where all of them passed, else 0.
        test_timeout_sec: for one test, seconds (pytest, unittest, script).
        pythonpath: folders that tests import the solution from (pytest, unittest); the working directory and ``src`` in
            it where it is left out.
        turn: edits for the control, beside those that are made in Python tests anyway.
        rounds: how many times tests that load the agent's code are run, each time beside a control, before a score is
            believed; see `VerifierPlan.rounds` for what holds where it is left out.
        separate: whether tests and solution run in two sandboxes; where it is left out, they do if the task's own
            solution passes that way.
    """

    framework: Framework = "reward"
    expected: tuple[_Name, ...] = ()
    reward: _Name | None = None
    report: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    credit: Literal["each", "all"] = "each"
    test_timeout_sec: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    pythonpath: tuple[AbsolutePath, ...] | None = None
    turn: tuple[Turn, ...] = ()
    rounds: Annotated[int, Field(ge=1, le=20)] | None = None
    separate: bool | None = None

    @property
    def report_file(self) -> str:
        """Name of the report in /logs/verifier."""
        default = {"junit": "junit.xml", "ctest": "junit.xml", "tap": "report.tap", "go": "report.json"}
        return self.report or default.get(self.framework, "report.txt")
