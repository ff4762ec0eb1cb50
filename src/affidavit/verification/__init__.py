"""From a bundle to its verdict, by one path: a run decides by it, and ``verify`` decides again."""

from affidavit.verification.agent_record import FOOTPRINT, AgentFindings, AgentRecord, examine, given_to, new_judge
from affidavit.verification.bundle_checks import Verification, verify_bundle
from affidavit.verification.case import AFTER_STEPS, Case
from affidavit.verification.checked import Check, Checked
from affidavit.verification.expectations import ANYTHING, Expected
from affidavit.verification.observed_files import WatchedFiles
from affidavit.verification.regrade import grade_all
from affidavit.verification.reproductions import check_reproductions
from affidavit.verification.step_chain import check_chain
from affidavit.verification.verdict import (
    SERVICE,
    Judgement,
    Verdict,
    decide,
    grading_failed,
    stage_gaps,
    violation_json,
)
from affidavit.verification.verify_trial import (
    enforced_contract,
    kept_footprint,
    own_keys,
    read_agent_record,
    read_case,
    verify,
    verify_signed_by,
)

__all__ = [
    "AFTER_STEPS",
    "ANYTHING",
    "FOOTPRINT",
    "SERVICE",
    "AgentFindings",
    "AgentRecord",
    "Case",
    "Check",
    "Checked",
    "Expected",
    "Judgement",
    "Verdict",
    "Verification",
    "WatchedFiles",
    "check_chain",
    "check_reproductions",
    "decide",
    "enforced_contract",
    "examine",
    "given_to",
    "grade_all",
    "grading_failed",
    "kept_footprint",
    "new_judge",
    "own_keys",
    "read_agent_record",
    "read_case",
    "stage_gaps",
    "verify",
    "verify_bundle",
    "verify_signed_by",
    "violation_json",
]
