"""Contract × record → violations, live and after the fact by the same code."""

from affidavit.policy.attempts import ON_THE_EVALUATION, Attempt, Target, summed
from affidavit.policy.decoys import DECOY_RULE
from affidavit.policy.diff_coverage import unexplained
from affidavit.policy.engine import Judge, judge
from affidavit.policy.footprint import Footprint
from affidavit.policy.model_traffic import ModelLogReader
from affidavit.policy.sentences import event_sentence
from affidavit.policy.violation import Severity, Violation

__all__ = [
    "DECOY_RULE",
    "ON_THE_EVALUATION",
    "Attempt",
    "Footprint",
    "Judge",
    "ModelLogReader",
    "Severity",
    "Target",
    "Violation",
    "event_sentence",
    "judge",
    "summed",
    "unexplained",
]
