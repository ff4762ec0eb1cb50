"""Recorders: what a sandbox did, seen from outside, as batches of events."""

from affidavit.recorder.protocol import (
    LATER_MS,
    LIVE_MS,
    Availability,
    KeepsReady,
    Recorder,
    RecorderError,
    Recording,
    RecordSummary,
    kept_ready,
)
from affidavit.recorder.selection import Choice, choose, make_recorder, recorder_names
from affidavit.recorder.thread_priority import raise_thread_priority

__all__ = [
    "LATER_MS",
    "LIVE_MS",
    "Availability",
    "Choice",
    "KeepsReady",
    "RecordSummary",
    "Recorder",
    "RecorderError",
    "Recording",
    "choose",
    "kept_ready",
    "make_recorder",
    "raise_thread_priority",
    "recorder_names",
]
