"""Grading: the hidden tests in a second sandbox, and who wrote their result."""

from affidavit.grading.assessment import VERIFIER_LOGS, Assessment, Finding, assess
from affidavit.grading.control import turn_tests
from affidavit.grading.reward import Reward, RewardError, parse_reward, read_reward

__all__ = [
    "VERIFIER_LOGS",
    "Assessment",
    "Finding",
    "Reward",
    "RewardError",
    "assess",
    "parse_reward",
    "read_reward",
    "turn_tests",
]
