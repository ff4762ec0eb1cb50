"""Recorders: what a sandbox did, seen from outside, as batches of events."""

from affidavit.recorder.precedence import go_first
from affidavit.recorder.protocol import Availability, Recorder, RecorderError, Recording, RecordSummary
from affidavit.recorder.selection import Choice, choose, names, recorder

__all__ = [
    "Availability",
    "Choice",
    "RecordSummary",
    "Recorder",
    "RecorderError",
    "Recording",
    "choose",
    "go_first",
    "names",
    "recorder",
]
