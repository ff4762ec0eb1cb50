"""What ends a trial without a reward."""


class AffidavitError(Exception):
    """A trial can't be held or credited; the text says why. Harbor does not retry it."""


class NotCredited(AffidavitError):
    """The evidence is incomplete, or grading failed: nobody can know what the trial is worth."""


class SecondTry(AffidavitError):
    """The agent has already begun this task as often as the job allows."""


NOT_RETRIED = frozenset(one.__name__ for one in (AffidavitError, NotCredited, SecondTry))
"""Names of these, as Harbor's retry policy has them."""
