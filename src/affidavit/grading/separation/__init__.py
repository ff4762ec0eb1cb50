"""Hidden tests in one sandbox, the solution that they test in another, and a narrow channel between the two."""

from affidavit.grading.separation.relay import Relay
from affidavit.grading.separation.separation import LAUNCHER, SCRIPT, Separation

__all__ = ["LAUNCHER", "SCRIPT", "Relay", "Separation"]
