"""Trials and runs: the only room that knows all the others."""

from affidavit.evaluation.agent_check import check_agent
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.choosing import choose_runtime, examine
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.places import check_places
from affidavit.evaluation.rechecking import change_of, verify
from affidavit.evaluation.result import Judgement, RunResult, TrialResult, Verdict
from affidavit.evaluation.retention import ExpiredRun, expired_runs, remove_run
from affidavit.evaluation.run import Job, Progress, RunOptions, load_tasks, prepare, run_jobs, run_suite
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.standing import given_to

__all__ = [
    "Agent",
    "ExpiredRun",
    "Job",
    "Judgement",
    "Progress",
    "RunError",
    "RunOptions",
    "RunResult",
    "TrialResult",
    "Verdict",
    "agent_spec",
    "change_of",
    "check_agent",
    "check_places",
    "choose_runtime",
    "examine",
    "expired_runs",
    "given_to",
    "load_tasks",
    "prepare",
    "remove_run",
    "run_jobs",
    "run_suite",
    "verify",
]
