"""Errors of a run."""

from affidavit.errors import AffidavitError


class RunError(AffidavitError):
    """The run can't be made as asked: wrong use, or a task or contract that can't be used. One clear line."""
