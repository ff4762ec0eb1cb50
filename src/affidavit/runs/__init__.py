"""A run as evidence: its signed plan, the ledger of its trials, its statement, and checking them.

``docs/runs.md`` describes the documents. The room knows what is planned and what came of it, not how trials are made.
"""

from affidavit.runs.countersigning import countersign_plan, countersign_run
from affidavit.runs.ledger import LEDGER, Attempt, Checkpoint, History, Ledger, ReadLedger, TrialLog, read_ledger
from affidavit.runs.plan import (
    PLAN,
    PlannedAgent,
    PlannedJob,
    PlannedModel,
    PlannedNetwork,
    PlannedPrice,
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
from affidavit.runs.proofs import ProofVerification, prove_event, prove_trial, verify_proof
from affidavit.runs.statement import RUN_STATEMENT, RunFacts, RunStatement, read_run_statement, write_run_statement
from affidavit.runs.timestamps import PLAN_TOKEN, load_certificates, request_timestamp, token_beside
from affidavit.runs.verification import RunVerification, is_run, verify_run

__all__ = [
    "LEDGER",
    "PLAN",
    "PLAN_TOKEN",
    "RUN_STATEMENT",
    "Attempt",
    "Checkpoint",
    "History",
    "Ledger",
    "PlannedAgent",
    "PlannedJob",
    "PlannedModel",
    "PlannedNetwork",
    "PlannedPrice",
    "PlannedTask",
    "PlannedTrial",
    "ProofVerification",
    "ReadLedger",
    "RunFacts",
    "RunPlan",
    "RunStatement",
    "RunVerification",
    "SignedPlan",
    "Thresholds",
    "TrialLog",
    "Versioned",
    "countersign_plan",
    "countersign_run",
    "is_run",
    "load_certificates",
    "new_nonce",
    "new_seed",
    "prove_event",
    "prove_trial",
    "read_ledger",
    "read_plan",
    "read_run_statement",
    "request_timestamp",
    "sign_plan",
    "token_beside",
    "verify_proof",
    "verify_run",
    "write_run_statement",
]
