"""A task's own quality: what can be seen in its folder, what shows when it is run, and a template that has it."""

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
