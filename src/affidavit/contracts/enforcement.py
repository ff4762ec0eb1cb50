"""What of a contract a sandbox makes impossible, and what the record only shows, under each runtime and recorder."""

from dataclasses import dataclass, replace
from typing import Literal

from affidavit.contracts.contract import Contract
from affidavit.contracts.operations import OPERATIONS
from affidavit.contracts.rules import Rule

Prevented = Literal["yes", "partly", "no"]
Detected = Literal["live", "end", "no"]

COMBINATIONS: tuple[tuple[str, str], ...] = (("runc", "ebpf"), ("runc", "ptrace"), ("gvisor", "gvisor"))
"""Runtimes and the recorders that go with them."""


@dataclass(frozen=True)
class Treatment:
    """What becomes of one construct of a contract.

    Attributes:
        construct: its place, as a violation's rule: ``files.write``, ``operations.system``, ``rules.forbid`` …
        prevented: whether the sandbox makes what it forbids impossible; ``partly``: see `note`.
        detected: whether the record shows what it forbids, attempts included, while the agent works or at its end only.
        note: a sentence on how, and on what is not seen.
    """

    construct: str
    prevented: Prevented
    detected: Detected
    note: str


_ORDINARY: tuple[Treatment, ...] = (
    Treatment("files.read", "no", "live", "The sandbox shows its whole root file system; each opening is recorded."),
    Treatment(
        "files.write",
        "partly",
        "live",
        "Outside of the folders that the list writes to, the file system is read-only; what the list leaves out inside "
        "of them is recorded, and the changed layer is compared at the end.",
    ),
    Treatment(
        "files.deny",
        "partly",
        "live",
        "Hidden tests and the solution are not in the sandbox; all else that is denied is there, and touching it is "
        "recorded, whether it is there or not.",
    ),
    Treatment(
        "network.endpoints", "yes", "live", "The sandbox has no network but its own loopback; attempts are recorded."
    ),
    Treatment("processes.exec", "no", "live", "Any executable in the sandbox can run; each start is recorded."),
    Treatment(
        "processes.max_processes",
        "yes",
        "live",
        "The cgroup refuses more processes and threads together; processes are counted in the record.",
    ),
    Treatment("syscalls.deny", "yes", "live", "The filter refuses the call; the attempt is recorded."),
    Treatment("limits.wall_ms", "yes", "end", "The sandbox is killed when the time is up."),
    Treatment("limits.cpu_ms", "yes", "live", "The kernel ends a process that has used up its time."),
    Treatment("limits.memory_mb", "yes", "end", "The cgroup's bound ends what is over it."),
    Treatment("scopes.files", "no", "live", "One process tree apart from others is told by the record only."),
    Treatment("scopes.network", "yes", "live", "As network.endpoints, told apart by the record."),
    Treatment("scopes.processes", "no", "live", "One process tree apart from others is told by the record only."),
    Treatment("rules.forbid", "no", "live", "Over an event: at once; over the trace: as soon as nothing can mend it."),
    Treatment("rules.require", "no", "end", "Over the trace: at the end; over every event, or trace.all: at once."),
    Treatment("rules.never", "no", "live", "Judged with each batch of events."),
    Treatment("rules.each", "no", "live", "With after: at once; with before: at the end."),
    Treatment("rules.count", "no", "live", "at_most, and exactly when there are more: at once; at_least: at the end."),
    Treatment("expires", "yes", "no", "No run begins under an expired contract."),
)

_PREVENTED_OPERATIONS: dict[str, tuple[Prevented, str]] = {
    "clock_change": ("yes", "The kernel refuses the calls."),
    "process_injection": ("partly", "The filter refuses the calls; /proc/PID/mem of one's own processes is there."),
    "unexpected_network": ("yes", "The sandbox has no network but its own loopback."),
    "privilege_change": ("partly", "No process has, or can get, a capability or another user's rights."),
    "write_outside_workspace": ("partly", "What no list lets it write is read-only."),
    "self_modifying_record": ("yes", "The record lies outside of the sandbox."),
    "modify_test_runner": ("partly", "What lies in no writable folder is read-only."),
    "tool_replacement": ("partly", "What lies in no writable folder is read-only."),
    "persistence": ("partly", "What lies in no writable folder is read-only; nothing lives on after the trial."),
    "read_answer_key": ("partly", "Hidden tests and the solution are not in the sandbox."),
}

# What holds under one runtime or recorder only. gVisor's sentry asks the filter before it tells anyone of a call.
_FILTERED_UNSEEN = "gVisor's sentry says nothing of a call that the filter refused."
_APART: dict[tuple[str, str], Treatment] = {
    ("gvisor", "syscalls.deny"): Treatment(
        "syscalls.deny", "yes", "no", f"The filter refuses the call. {_FILTERED_UNSEEN}"
    ),
    ("gvisor", "network.endpoints"): Treatment(
        "network.endpoints",
        "yes",
        "live",
        "The sandbox has no network but its own loopback; attempts are recorded, but neither messages of sendmsg and "
        "sendmmsg nor the names that are asked for.",
    ),
    ("gvisor", "operations.process_injection"): Treatment(
        "operations.process_injection",
        "yes",
        "live",
        "The filter refuses the calls, and a process' memory can't be opened for writing, which is recorded. "
        f"{_FILTERED_UNSEEN}",
    ),
}


def _operation(name: str) -> Treatment:
    operation = OPERATIONS[name]
    prevented, how = _PREVENTED_OPERATIONS.get(name, ("no", ""))
    parts = (how, operation.sees, f"Not seen: {operation.misses}")
    return Treatment(f"operations.{name}", prevented, "live", " ".join(part for part in parts if part))


def constructs() -> tuple[str, ...]:
    """Every construct that a treatment is known for."""
    return (*(treatment.construct for treatment in _ORDINARY), *(f"operations.{name}" for name in OPERATIONS))


def treatment(construct: str, runtime: str, recorder: str) -> Treatment:
    """What becomes of a construct.

    Args:
        construct: one of `constructs`.
        runtime, recorder: one of COMBINATIONS.

    Raises:
        KeyError: there is no such construct or combination.
    """
    if (runtime, recorder) not in COMBINATIONS:
        raise KeyError((runtime, recorder))
    if (apart := _APART.get((recorder, construct))) is not None:
        return apart
    found = next((one for one in _ORDINARY if one.construct == construct), None)
    if found is None:
        return _operation(construct.removeprefix("operations."))
    return found


def treatments(contract: Contract, runtime: str, recorder: str) -> tuple[Treatment, ...]:
    """What becomes of each construct that a contract uses; those of scopes and rules are named by their ids.

    Raises:
        KeyError: there is no such combination.
    """
    document = contract.document
    used = ["files.write", "network.endpoints"]
    used += ["files.read"] if document.files.read is not None else []
    used += ["files.deny"] if document.files.deny else []
    used += ["processes.exec"] if document.processes.exec is not None else []
    used += ["processes.max_processes"] if document.processes.max_processes is not None else []
    used += ["syscalls.deny"] if document.syscalls.deny else []
    used += [f"operations.{name}" for name in document.operations.forbid]
    used += [f"limits.{name}" for name in ("wall_ms", "cpu_ms", "memory_mb") if getattr(document.limits, name)]
    used += ["expires"] if document.expires else []
    order = {name: place for place, name in enumerate(constructs())}
    found = [treatment(name, runtime, recorder) for name in sorted(dict.fromkeys(used), key=order.__getitem__)]
    for scope in document.scopes:
        for section in ("files", "network", "processes"):
            for name in getattr(scope, section).model_fields_set:
                of = treatment(f"scopes.{section}", runtime, recorder)
                found.append(replace(of, construct=f"scopes.{scope.id}.{section}.{name}"))
    for rule in document.rules:
        of = treatment(f"rules.{form_of(rule)}", runtime, recorder)
        found.append(replace(of, construct=f"rules.{rule.id}"))
    return tuple(found)


def form_of(rule: Rule) -> str:
    """Which of the five forms a rule has."""
    return next(form for form in ("forbid", "require", "never", "each", "count") if getattr(rule, form) is not None)
