"""A run as evidence: its signed plan, the ledger of its trials, and what it can show.

``docs/runs.md`` describes the documents. The room knows what is planned and what came of it, not how trials are made.
"""

from affidavit.runs.ledger import LEDGER, Attempt, Checkpoint, History, Ledger, ReadLedger, TrialLog, read_ledger
from affidavit.runs.plan import (
    PLAN,
    PlannedAgent,
    PlannedJob,
    PlannedTask,
    PlannedTrial,
    RunPlan,
    SignedPlan,
    Thresholds,
    Versioned,
    new_nonce,
    new_seed,
    read_plan,
    sign_plan,
)
from affidavit.runs.statistics import DetectableEffect, Interval, clustered_mean, detectable_effect, wilson

__all__ = [
    "LEDGER",
    "PLAN",
    "Attempt",
    "Checkpoint",
    "DetectableEffect",
    "History",
    "Interval",
    "Ledger",
    "PlannedAgent",
    "PlannedJob",
    "PlannedTask",
    "PlannedTrial",
    "ReadLedger",
    "RunPlan",
    "SignedPlan",
    "Thresholds",
    "TrialLog",
    "Versioned",
    "clustered_mean",
    "detectable_effect",
    "new_nonce",
    "new_seed",
    "read_ledger",
    "read_plan",
    "sign_plan",
    "wilson",
]
