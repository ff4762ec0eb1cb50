"""Errors that end a trial without a reward."""


class AffidavitError(Exception):
    """A trial can't run or be credited; the text says why. Harbor does not retry it."""


class NotCredited(AffidavitError):
    """The evidence is incomplete, or grading failed, so the score of the trial is unknown."""


class SecondTry(AffidavitError):
    """The agent has already begun this task as often as the job allows."""


NOT_RETRIED = frozenset(one.__name__ for one in (AffidavitError, NotCredited, SecondTry))
"""Their names, for Harbor's retry policy."""
