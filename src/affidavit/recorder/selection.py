"""Selects the recorder: the best for a runtime that works here."""

from dataclasses import dataclass

from affidavit.plugins import Group, load_plugin, plugins
from affidavit.recorder.protocol import Recorder, RecorderError

# Best first.
_BY_RUNTIME = {"runc": ("ebpf", "ptrace"), "gvisor": ("gvisor",)}
_BUILT_IN = ("ebpf", "gvisor", "ptrace")


@dataclass(frozen=True)
class Choice:
    """A recorder and, in one clause, why it; `second_best` where a better one does not work here."""

    recorder: Recorder
    why: str
    second_best: bool = False


def make_recorder(name: str) -> Recorder:
    """The recorder of that name.

    Raises:
        RecorderError: there is none.
    """
    match name:
        case "ebpf":
            from affidavit.recorder.ebpf import EbpfRecorder

            return EbpfRecorder()
        case "gvisor":
            from affidavit.recorder.gvisor import GvisorRecorder

            return GvisorRecorder()
        case "ptrace":
            from affidavit.recorder.ptrace import PtraceRecorder

            return PtraceRecorder()
        case _:
            if entry := plugins(Group.RECORDERS).get(name):
                plugged_in: Recorder = load_plugin(entry)()
                return plugged_in
            *others, last = recorder_names()
            raise RecorderError(f"--recorder {name}: no such recorder; use auto, {', '.join(others)} or {last}")


def recorder_names() -> tuple[str, ...]:
    """Every recorder's name; those of plug-ins last."""
    return tuple(dict.fromkeys((*_BUILT_IN, *plugins(Group.RECORDERS))))


def _fitting(runtime: str) -> tuple[str, ...]:
    """The recorders for a runtime, best first. A plug-in's says in `runtimes` which ones it is for."""
    plugged_in = {name: entry for name, entry in plugins(Group.RECORDERS).items() if name not in _BUILT_IN}
    for_it = [name for name, entry in plugged_in.items() if runtime in load_plugin(entry).runtimes]
    return (*_BY_RUNTIME.get(runtime, ()), *for_it)


def choose(runtime: str, wanted: str = "auto") -> Choice:
    """The recorder for a runtime.

    Args:
        runtime: ``runc`` or ``gvisor``.
        wanted: its name, or ``auto`` for the best that works here, one that is not proven here last.

    Raises:
        RecorderError: the one wanted doesn't go with the runtime, or none works here.
    """
    fitting = _fitting(runtime)
    if wanted != "auto":
        asked = make_recorder(wanted)
        if wanted not in fitting:
            raise RecorderError(f"--recorder {wanted} does not go with --runtime {runtime}; use {' or '.join(fitting)}")
        if not (found := asked.available()).works:
            raise RecorderError(f"--recorder {wanted} does not work here ({found.detail}): {found.fix}")
        return Choice(asked, "asked for")
    failed: list[str] = []
    unproven: Recorder | None = None
    for name in fitting:
        candidate = make_recorder(name)
        found = candidate.available()
        if found.works and not found.unproven:
            instead = f", since {'; '.join(failed)}" if failed else ""
            return Choice(candidate, f"the best for {runtime} that works here{instead}", bool(failed))
        if found.works:
            unproven = unproven or candidate
            failed.append(f"{name} is not proven here ({found.unproven}); --recorder {name} takes it")
        else:
            failed.append(f"{name} does not work ({found.detail}): {found.fix}")
    if unproven:
        return Choice(unproven, f"the only one for {runtime} that works here: {'; '.join(failed)}", True)
    raise RecorderError(f"no recorder for {runtime} works here: {'; '.join(failed)}")
