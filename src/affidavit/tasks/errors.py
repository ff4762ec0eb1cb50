"""Errors in tasks."""

from affidavit.errors import AffidavitError


class TaskError(AffidavitError):
    """A task can't be used: one line that names the file, the place in it and the fix."""
