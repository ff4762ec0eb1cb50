"""The recorder ``gvisor``: what runsc's sentry says of the programs that it runs."""

from affidavit.recorder.gvisor.recorder import GvisorRecorder, GvisorRecording

__all__ = ["GvisorRecorder", "GvisorRecording"]
