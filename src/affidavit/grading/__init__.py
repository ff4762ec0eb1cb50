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
from affidavit.grading.reward import Reward, RewardError, parse_reward, read_reward
from affidavit.grading.test_run import VERIFIER_LOGS, grade_run

__all__ = [
    "KINDS",
    "VERIFIER_LOGS",
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
    "Reward",
    "RewardError",
    "combine",
    "grade_run",
    "make_graders",
    "parse_reward",
    "read_reward",
    "turn_tests",
    "weighted",
]
