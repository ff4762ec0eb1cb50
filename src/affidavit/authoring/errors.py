"""Errors of learning contracts."""

from affidavit.errors import AffidavitError


class LearningError(AffidavitError):
    """No contract can be learned from these runs: one line that says which run, and why."""
