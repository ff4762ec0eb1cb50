"""The grader ``test_run``: the hidden tests in the second sandbox.

``plan`` says which tests must report and what the sandbox gets; ``harness/`` runs in it; ``grader`` reads what it
left.
"""

from affidavit.grading.test_run.control_outcome import ReferenceRequest
from affidavit.grading.test_run.plan import (
    HARNESS,
    TESTS,
    VERIFIER_LOGS,
    Turned,
    VerifierPlan,
    harness_digest,
    plan_tests,
)
from affidavit.grading.test_run.reports import MOST_BYTES
from affidavit.grading.test_run.results import ResultsError, read_lines
from affidavit.grading.test_run.reward_grader import (
    Rerun,
    TestRunGrader,
    ToolsRequest,
    grade_run,
    grader,
    next_step,
    words_of,
)
from affidavit.grading.test_run.settings import RUN_HERE
from affidavit.grading.test_run.tool_check import missing_tools

__all__ = [
    "HARNESS",
    "MOST_BYTES",
    "RUN_HERE",
    "TESTS",
    "VERIFIER_LOGS",
    "ReferenceRequest",
    "Rerun",
    "ResultsError",
    "TestRunGrader",
    "ToolsRequest",
    "Turned",
    "VerifierPlan",
    "grade_run",
    "grader",
    "harness_digest",
    "missing_tools",
    "next_step",
    "plan_tests",
    "read_lines",
    "words_of",
]
