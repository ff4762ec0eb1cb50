"""Sessions: one recorded sandbox in which many commands run, from opening to sealed bundle."""

from affidavit.session.result import ExecResult
from affidavit.session.session import Session, SessionError, open_session

__all__ = ["ExecResult", "Session", "SessionError", "open_session"]
