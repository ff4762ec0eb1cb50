"""Recorders: what a sandbox did, seen from outside, as batches of events."""

from affidavit.recorder.precedence import go_first
from affidavit.recorder.protocol import (
    LATER_MS,
    LIVE_MS,
    Availability,
    Recorder,
    RecorderError,
    Recording,
    RecordSummary,
)
from affidavit.recorder.selection import Choice, choose, names, recorder

__all__ = [
    "LATER_MS",
    "LIVE_MS",
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
