"""Trials and runs: the only room that knows all the others."""

from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evaluation.agent_check import check_agent
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import ChooseRuntime, Chosen, ChosenOnce, TriedBackends, choose_runtime, try_backends
from affidavit.evaluation.entered import EnteredSandbox
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.exec_log import Entry, ExecLog
from affidavit.evaluation.failures import what_failed
from affidavit.evaluation.grading_run import Work
from affidavit.evaluation.health import CheckRun, await_health
from affidavit.evaluation.places import check_places
from affidavit.evaluation.planning import Job
from affidavit.evaluation.predictions import Predictions
from affidavit.evaluation.preflight import (
    Preparation,
    check_has_no_services,
    check_has_no_steps,
    load_tasks,
    plan_suite,
    prepared_run,
)
from affidavit.evaluation.reproduction import ReproductionResult, reproduce
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.retention import ExpiredRun, expired_runs, remove_run
from affidavit.evaluation.run import Progress, run_jobs, run_suite
from affidavit.evaluation.run_options import AccessOptions, PlanOptions, PolicyOptions, RunOptions
from affidavit.evaluation.sandbox_capture import Capture, RunningCapture, capture
from affidavit.evaluation.specs import agent_spec
from affidavit.evaluation.stages import Stage, Stages, take_over
from affidavit.evaluation.task_base import prepare
from affidavit.evaluation.task_images import with_images, with_known_workdirs
from affidavit.evaluation.text_changes import changed_texts
from affidavit.evaluation.trial import Trial
from affidavit.evaluation.verifier_web import kept_cache, kept_caches, remove_caches
from affidavit.evaluation.warming import Warmed, warm_tasks
from affidavit.evaluation.workplace import clean_workplaces, open_workplace

__all__ = [
    "AccessOptions",
    "Agent",
    "Capture",
    "CheckRun",
    "ChooseRuntime",
    "Chosen",
    "ChosenOnce",
    "EnteredSandbox",
    "Entry",
    "ExecLog",
    "ExpiredRun",
    "Interrupted",
    "Job",
    "PlanOptions",
    "PolicyOptions",
    "Predictions",
    "Preparation",
    "Progress",
    "ReproductionResult",
    "RunError",
    "RunOptions",
    "RunResult",
    "RunningCapture",
    "Stage",
    "Stages",
    "Trial",
    "TrialResult",
    "TriedBackends",
    "Warmed",
    "Work",
    "agent_spec",
    "await_health",
    "capture",
    "changed_texts",
    "check_agent",
    "check_has_no_services",
    "check_has_no_steps",
    "check_places",
    "choose_runtime",
    "clean_workplaces",
    "expired_runs",
    "kept_cache",
    "kept_caches",
    "load_tasks",
    "open_workplace",
    "plan_suite",
    "prepare",
    "prepared_run",
    "remove_caches",
    "remove_run",
    "reproduce",
    "run_jobs",
    "run_suite",
    "take_over",
    "try_backends",
    "warm_tasks",
    "what_failed",
    "with_images",
    "with_known_workdirs",
]
