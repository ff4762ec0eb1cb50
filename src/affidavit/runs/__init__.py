"""A run as evidence: its signed plan, and what it can show.

``docs/runs.md`` describes the documents. The room knows what is planned and what came of it, not how trials are made.
"""

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
    "PLAN",
    "DetectableEffect",
    "Interval",
    "PlannedAgent",
    "PlannedJob",
    "PlannedTask",
    "PlannedTrial",
    "RunPlan",
    "SignedPlan",
    "Thresholds",
    "Versioned",
    "clustered_mean",
    "detectable_effect",
    "new_nonce",
    "new_seed",
    "read_plan",
    "sign_plan",
    "wilson",
]
