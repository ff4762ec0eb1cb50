"""From a bundle to its verdict, by one path: a run decides by it, and ``verify`` decides again."""

from affidavit.verification.bundle_checks import Check, Verification, verify_bundle
from affidavit.verification.documents import agent_counts, agent_events, given_to, new_judge, programs_json, read_decoys
from affidavit.verification.observed_files import WatchedFiles
from affidavit.verification.regrade import grade_all, stored_grades
from affidavit.verification.verdict import (
    Judgement,
    Verdict,
    decide,
    diff_gaps,
    grading_failed,
    in_order,
    stage_gaps,
    stopped_at,
    violation_json,
)
from affidavit.verification.verify_trial import change_of, own_keys, verify, verify_signed_by

__all__ = [
    "Check",
    "Judgement",
    "Verdict",
    "Verification",
    "WatchedFiles",
    "agent_counts",
    "agent_events",
    "change_of",
    "decide",
    "diff_gaps",
    "given_to",
    "grade_all",
    "grading_failed",
    "in_order",
    "new_judge",
    "own_keys",
    "programs_json",
    "read_decoys",
    "stage_gaps",
    "stopped_at",
    "stored_grades",
    "verify",
    "verify_bundle",
    "verify_signed_by",
    "violation_json",
]
