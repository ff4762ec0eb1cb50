"""From a bundle to its verdict, by one path: a run decides by it, and ``verify`` decides again."""

from affidavit.verification.agent_record import AgentFindings, AgentRecord, examine, given_to, new_judge
from affidavit.verification.bundle_checks import Check, Verification, verify_bundle
from affidavit.verification.case import Case
from affidavit.verification.observed_files import WatchedFiles
from affidavit.verification.regrade import grade_all
from affidavit.verification.verdict import Judgement, Verdict, decide, grading_failed, violation_json
from affidavit.verification.verify_trial import agent_record, own_keys, verify, verify_signed_by

__all__ = [
    "AgentFindings",
    "AgentRecord",
    "Case",
    "Check",
    "Judgement",
    "Verdict",
    "Verification",
    "WatchedFiles",
    "agent_record",
    "decide",
    "examine",
    "given_to",
    "grade_all",
    "grading_failed",
    "new_judge",
    "own_keys",
    "verify",
    "verify_bundle",
    "verify_signed_by",
    "violation_json",
]
