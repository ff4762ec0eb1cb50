"""Contract × record → violations, live and after the fact by the same code."""

from affidavit.policy.attempts import ON_THE_EVALUATION, Attempt, Target, summed
from affidavit.policy.explaining import unexplained
from affidavit.policy.judge import Judge, judge
from affidavit.policy.violation import Severity, Violation

__all__ = [
    "ON_THE_EVALUATION",
    "Attempt",
    "Judge",
    "Severity",
    "Target",
    "Violation",
    "judge",
    "summed",
    "unexplained",
]
