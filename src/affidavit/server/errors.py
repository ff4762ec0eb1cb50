"""Errors of the server, and refusals of requests."""

from affidavit.errors import AffidavitError


class ServerError(AffidavitError):
    """The server can't begin as asked; the text says what to do."""


class Refusal(AffidavitError):
    """A request that is not carried out.

    Args:
        status: of the answer (RFC 9110).
        message: one line for whoever asked.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
