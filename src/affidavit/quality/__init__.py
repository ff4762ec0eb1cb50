"""A task's own quality: checks of its folder, checks by running it, and a template for new tasks."""

from affidavit.quality.check import CHECKS, TaskReport, check_tasks
from affidavit.quality.finding import Part, TaskFinding
from affidavit.quality.lint import lint_task
from affidavit.quality.reach import reachable_parts
from affidavit.quality.template import new_task

__all__ = [
    "CHECKS",
    "Part",
    "TaskFinding",
    "TaskReport",
    "check_tasks",
    "lint_task",
    "new_task",
    "reachable_parts",
]
