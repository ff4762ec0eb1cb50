"""The eBPF recorder: programs in the kernel, a loader of its own for each record, columns all the way to Arrow."""

from affidavit.recorder.ebpf.recording import EbpfRecorder, EbpfRecording

__all__ = ["EbpfRecorder", "EbpfRecording"]
