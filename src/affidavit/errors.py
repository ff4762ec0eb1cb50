"""The base of the errors that Affidavit raises on purpose."""


class AffidavitError(Exception):
    """Something can't be done as asked. The text is one line for the user: what is wrong, where, and what to do."""
