"""Trials and runs: the only room that knows all the others."""

from affidavit.evaluation.agent_check import check_agent
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import choose_runtime, examine
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.places import check_places
from affidavit.evaluation.planning import Job
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.retention import ExpiredRun, expired_runs, remove_run
from affidavit.evaluation.run import Progress, RunOptions, load_tasks, plan_suite, prepare, run_jobs, run_suite
from affidavit.evaluation.sandbox_capture import Capture, capture
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.task_images import with_images, with_known_workdirs

__all__ = [
    "Agent",
    "Capture",
    "ExpiredRun",
    "Job",
    "Progress",
    "RunError",
    "RunOptions",
    "RunResult",
    "TrialResult",
    "agent_spec",
    "capture",
    "check_agent",
    "check_places",
    "choose_runtime",
    "examine",
    "expired_runs",
    "load_tasks",
    "plan_suite",
    "prepare",
    "remove_run",
    "run_jobs",
    "run_suite",
    "with_images",
    "with_known_workdirs",
]
