"""Grading: the graders of a task, the hidden tests in a second sandbox, and who wrote their result."""

from affidavit.grading.combination import Assessment, Graded, combine
from affidavit.grading.control import turn_tests
from affidavit.grading.grader import (
    ASSURANCES,
    Assurance,
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
from affidavit.grading.publication import published_grades
from affidavit.grading.reward import Reward, RewardError, parse_reward, read_left, read_reward, read_words
from affidavit.grading.separation import Relay, Separation
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
    harness_digest,
    next_step,
    plan_tests,
    read_lines,
    words_of,
)

__all__ = [
    "ASSURANCES",
    "HARNESS",
    "KINDS",
    "RUN_HERE",
    "TESTS",
    "VERIFIER_LOGS",
    "Again",
    "Ask",
    "Assessment",
    "Assurance",
    "Component",
    "Evidence",
    "FinalFiles",
    "Finding",
    "Grade",
    "Graded",
    "Grader",
    "Material",
    "NamedGrader",
    "Relay",
    "ResultsError",
    "Reward",
    "RewardError",
    "RunPlan",
    "Separation",
    "combine",
    "grade_run",
    "harness_digest",
    "make_graders",
    "next_step",
    "parse_reward",
    "plan_tests",
    "published_grades",
    "read_left",
    "read_lines",
    "read_reward",
    "read_words",
    "turn_tests",
    "weighted",
    "words_of",
]
