"""Exploit agents, played against a suite, and the plain outcome grading that they are made for."""

from affidavit.redteam.outcome import outcome_score

__all__ = ["outcome_score"]
