"""Errors in suite files."""

from affidavit.errors import AffidavitError


class SuiteError(AffidavitError):
    """A suite file or a profile can't be used: one line that names the file, the place and the fix."""
