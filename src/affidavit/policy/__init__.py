"""Contract × record → violations, live and after the fact by the same code."""

from affidavit.policy.diff_coverage import unexplained
from affidavit.policy.engine import Judge, judge
from affidavit.policy.violation import Severity, Violation

__all__ = ["Judge", "Severity", "Violation", "judge", "unexplained"]
