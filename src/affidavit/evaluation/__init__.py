"""Trials and runs: the only room that knows all the others."""

from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import choose_runtime, examine
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.places import check_places
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.retention import ExpiredRun, expired_runs, remove_run
from affidavit.evaluation.run import (
    Job,
    Progress,
    RunOptions,
    load_tasks,
    prepare,
    prepare_run,
    run_jobs,
    run_suite,
    with_contract,
)
from affidavit.evaluation.sandbox_capture import Capture, RunningCapture, capture
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.stages import Stages
from affidavit.evaluation.trial import Trial, Work
from affidavit.evaluation.workplace import open_workplace

__all__ = [
    "Agent",
    "Capture",
    "ExpiredRun",
    "Job",
    "Progress",
    "RunError",
    "RunOptions",
    "RunResult",
    "RunningCapture",
    "Stages",
    "Trial",
    "TrialResult",
    "Work",
    "agent_spec",
    "capture",
    "check_places",
    "choose_runtime",
    "examine",
    "expired_runs",
    "load_tasks",
    "open_workplace",
    "prepare",
    "prepare_run",
    "remove_run",
    "run_jobs",
    "run_suite",
    "with_contract",
]
