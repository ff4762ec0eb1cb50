"""Grading: the graders of a task, the hidden tests in a second sandbox, and who wrote their result."""

from affidavit.grading.combination import Assessment, Graded, combine
from affidavit.grading.control import turn_tests
from affidavit.grading.grader import (
    Component,
    Evidence,
    FinalFiles,
    Finding,
    Grade,
    Grader,
    Material,
    weighted,
)
from affidavit.grading.graders import KINDS, NamedGrader, make_graders
from affidavit.grading.reward import Reward, RewardError, parse_reward, read_left, read_reward
from affidavit.grading.test_run import (
    HARNESS,
    RUN_HERE,
    TESTS,
    VERIFIER_LOGS,
    Again,
    Ask,
    ResultsError,
    RunPlan,
    grade_run,
    next_step,
    plan_tests,
    read_lines,
)

__all__ = [
    "HARNESS",
    "KINDS",
    "RUN_HERE",
    "TESTS",
    "VERIFIER_LOGS",
    "Again",
    "Ask",
    "Assessment",
    "Component",
    "Evidence",
    "FinalFiles",
    "Finding",
    "Grade",
    "Graded",
    "Grader",
    "Material",
    "NamedGrader",
    "ResultsError",
    "Reward",
    "RewardError",
    "RunPlan",
    "combine",
    "grade_run",
    "make_graders",
    "next_step",
    "parse_reward",
    "plan_tests",
    "read_left",
    "read_lines",
    "read_reward",
    "turn_tests",
    "weighted",
]
