"""Errors in contracts."""

from affidavit.errors import AffidavitError


class ContractError(AffidavitError):
    """A contract can't be used: one line that names the file, line and column, the place and the fix.

    Attributes:
        problems: every problem found, a line each; the text of the error is the first of them.
    """

    def __init__(self, *problems: str) -> None:
        more = len(problems) - 1
        super().__init__(problems[0] + (f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""))
        self.problems = problems
