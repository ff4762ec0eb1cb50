"""The recorder ``ptrace``: strace from outside the sandbox, the floor that works anywhere."""

from affidavit.recorder.ptrace.recorder import PtraceRecorder, PtraceRecording

__all__ = ["PtraceRecorder", "PtraceRecording"]
