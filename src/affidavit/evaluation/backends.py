"""Which runtime and recorder a run uses, and what works on this machine."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from affidavit.evaluation.errors import RunError
from affidavit.evaluation.interrupts import terminable
from affidavit.recorder import Recorder, RecorderError, choose, make_recorder, recorder_names
from affidavit.sandbox import Availability, Runtime, runtimes


@dataclass(frozen=True)
class Chosen:
    """A runtime and a recorder that go together and work here; `why`, in a clause; `second_best` where better ones do
    not work here."""

    runtime: Runtime
    recorder: Recorder
    runtime_detail: str
    why: str
    second_best: bool


ChooseRuntime = Callable[[str, str], Chosen]
"""What finds runtime and recorder of a run, by their names or ``auto``: `choose_runtime`, or what keeps its answers."""


def choose_runtime(runtime: str = "auto", wanted: str = "auto") -> Chosen:
    """The runtime and recorder for a run.

    Args:
        runtime: its name, or ``auto`` for the first that works and has a recorder that works.
        wanted: the recorder's name, or ``auto``.

    Raises:
        RunError: what is asked for does not work here; the text says how to get it.
    """
    known = runtimes()
    if runtime != "auto" and runtime not in known:
        raise RunError(f"--runtime {runtime}: no such runtime; use auto, {', '.join(known)}")
    failed: list[str] = []
    for name in [runtime] if runtime != "auto" else list(known):
        found = _tried(known[name].available)
        if not found.works:
            failed.append(f"{name} does not work here ({found.detail}): {found.fix}")
            continue
        try:
            choice = choose(name, wanted)
        except RecorderError as error:
            failed.append(str(error))
            continue
        why = "; ".join([choice.why, *failed])
        return Chosen(known[name], choice.recorder, found.detail, why, choice.second_best or bool(failed))
    raise RunError("; ".join(failed))


class ChosenOnce:
    """`choose_runtime`, which keeps its answers: what works here is tried once. All of them share one recorder of each
    name."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Chosen] = {}
        self._recorders: dict[str, Recorder] = {}
        self._lock = threading.Lock()

    def __call__(self, runtime: str, recorder: str) -> Chosen:
        """As `choose_runtime`."""
        with self._lock:
            asked = runtime, recorder
            if asked not in self._answers:
                chosen = choose_runtime(*asked)
                shared = self._recorders.setdefault(chosen.recorder.name, chosen.recorder)
                self._answers[asked] = replace(chosen, recorder=shared)
            return self._answers[asked]


@dataclass(frozen=True)
class AutoChoice:
    """What ``auto`` takes on this machine; ``none`` where nothing works, and why, a clause."""

    runtime: str
    recorder: str
    why: str


@dataclass(frozen=True)
class TriedBackends:
    """What ``affidavit doctor`` shows: every runtime and recorder by name, and what ``auto`` takes."""

    runtimes: Mapping[str, Availability]
    recorders: Mapping[str, Availability]
    auto: AutoChoice

    def to_json(self) -> dict[str, Any]:
        """As ``affidavit doctor --json`` prints it."""
        return asdict(self)


def try_backends() -> TriedBackends:
    """Try every runtime and recorder.

    Raises:
        KeyboardInterrupt: it was interrupted; no sandbox is left.
    """
    with terminable():
        return _try_backends()


def _try_backends() -> TriedBackends:
    found_runtimes = {name: _tried(runtime.available) for name, runtime in runtimes().items()}
    found_recorders = {name: make_recorder(name).available() for name in recorder_names()}
    try:
        chosen = choose_runtime()
        auto = AutoChoice(chosen.runtime.name, chosen.recorder.name, chosen.why)
    except RunError as error:
        auto = AutoChoice("none", "none", str(error))
    return TriedBackends(found_runtimes, found_recorders, auto)


def _tried(available: Callable[[], Availability]) -> Availability:
    """What a runtime's trial says. It is made in another thread: an interrupt, which only the main one gets, must not
    break into the removal of the sandbox."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(available).result()
