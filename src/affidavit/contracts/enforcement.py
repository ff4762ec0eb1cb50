"""What of a contract a sandbox makes impossible, and what the record only shows, under each runtime and recorder."""

from dataclasses import dataclass, replace
from typing import Literal

from affidavit.contracts import cel
from affidavit.contracts.contract import Contract
from affidavit.contracts.operations import OPERATIONS
from affidavit.contracts.rules import Rule

Prevented = Literal["yes", "partly", "no"]
Detected = Literal["live", "end", "partly", "no"]

COMBINATIONS: tuple[tuple[str, str], ...] = (("runc", "ebpf"), ("runc", "ptrace"), ("gvisor", "gvisor"))
"""Runtimes and the recorders that go with them."""


@dataclass(frozen=True)
class Treatment:
    """What becomes of one construct of a contract.

    Attributes:
        construct: its place, as a violation's rule: ``files.write``, ``operations.system``, ``rules.forbid`` …
        prevented: whether the sandbox makes what it forbids impossible; ``partly``: see `note`.
        detected: whether the record shows what it forbids, attempts included, while the agent works or at its end only;
            ``partly``: some of it while the agent works, and some not, see `note`.
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
        "network.endpoints",
        "yes",
        "live",
        "The sandbox has no network but its own loopback, and, where the run says so, listeners that lead to the "
        "list's hosts by name; attempts are recorded.",
    ),
    Treatment("processes.exec", "no", "live", "Any executable in the sandbox can run; each start is recorded."),
    Treatment(
        "processes.max_processes",
        "yes",
        "live",
        "The cgroup refuses more processes and threads together, which is recorded; the record counts processes.",
    ),
    Treatment("syscalls.deny", "yes", "live", "The filter refuses the call; the attempt is recorded."),
    Treatment("limits.wall_ms", "yes", "end", "The sandbox is killed when the time is up."),
    Treatment(
        "limits.cpu_ms",
        "yes",
        "live",
        "The kernel ends a process that has used up its time, which is recorded; one that ignores the signal (SIGXCPU) "
        "is killed a second later, which the record does not tell from another kill.",
    ),
    Treatment("limits.memory_mb", "yes", "end", "The cgroup's bound ends what is over it."),
    Treatment(
        "model.requests",
        "yes",
        "end",
        "The gateway refuses more, and the decision log shows that they were asked for. It is whole when the agent has "
        "ended.",
    ),
    Treatment(
        "model.models",
        "yes",
        "end",
        "The gateway refuses requests for others, and the decision log shows them when the agent has ended.",
    ),
    Treatment(
        "model.tools", "no", "end", "Answers pass through as they are; the decision log shows which tools they call."
    ),
    Treatment("scopes.files", "no", "live", "One process tree apart from others is told by the record only."),
    Treatment("scopes.network", "yes", "live", "As network.endpoints, told apart by the record."),
    Treatment("scopes.processes", "no", "live", "One process tree apart from others is told by the record only."),
    Treatment("rules.forbid.event", "no", "live", "Judged with each batch of events."),
    Treatment(
        "rules.forbid.record", "no", "live", "As soon as nothing can fix it: what waits for the end shows at the end."
    ),
    Treatment(
        "rules.forbid.turn", "no", "end", "Judged with the decision log, which is whole when the agent has ended."
    ),
    Treatment(
        "rules.require.turn", "no", "end", "Judged with the decision log, which is whole when the agent has ended."
    ),
    Treatment("rules.require.event", "no", "live", "Judged with each batch of events."),
    Treatment("rules.require.record", "no", "end", "At the end; trace.all and the like as soon as nothing can fix it."),
    *(
        Treatment(f"rules.{form}", "no", "live", "Judged with each batch of events.")
        for form in ("never", "never.after", "never.until", "each.after", "count.at_most", "count.within_ms")
    ),
    Treatment("rules.count.exactly", "no", "live", "Too many: at once; too few: at the end."),
    Treatment("rules.each.before", "no", "end", "What was to follow and did not shows at the end."),
    Treatment("rules.count.at_least", "no", "end", "Too few shows at the end."),
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
    ("gvisor", "processes.max_processes"): Treatment(
        "processes.max_processes", "no", "live", "Processes are counted in the record; the sentry bounds none."
    ),
    ("gvisor", "limits.cpu_ms"): Treatment(
        "limits.cpu_ms", "no", "no", "The sentry bounds the time only of a process that asks for it by itself."
    ),
    ("gvisor", "syscalls.deny"): Treatment(
        "syscalls.deny", "yes", "no", f"The filter refuses the call. {_FILTERED_UNSEEN}"
    ),
    ("gvisor", "network.endpoints"): Treatment(
        "network.endpoints",
        "yes",
        "live",
        "The sandbox has no network but its own loopback, and, where the run says so, listeners that lead to the "
        "list's hosts by name; attempts are recorded, but neither messages of sendmsg and sendmmsg nor the names that "
        "are asked for.",
    ),
    ("gvisor", "operations.process_injection"): Treatment(
        "operations.process_injection",
        "yes",
        "partly",
        "The filter refuses the calls, and a process' memory can't be opened for writing, which is recorded. "
        f"{_FILTERED_UNSEEN}",
    ),
    ("gvisor", "operations.privilege_change"): Treatment(
        "operations.privilege_change",
        "partly",
        "end",
        "No process has, or can get, a capability or another user's rights. Calls that were refused show at the end, "
        "in the counts; the rest while the agent works.",
    ),
}


# Names that stand for more than any record shows.
_PARTLY_SEEN = ("eval", "exec")


def _operation(name: str) -> Treatment:
    operation = OPERATIONS[name]
    prevented, how = _PREVENTED_OPERATIONS.get(name, ("no", ""))
    note = " ".join(part for part in (how, operation.sees, f"Not seen: {operation.misses}") if part)
    return Treatment(f"operations.{name}", prevented, "partly" if name in _PARTLY_SEEN else "live", note)


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
    used += [f"model.{name}" for name in ("requests", "models", "tools") if getattr(document.model, name) is not None]
    used += ["expires"] if document.expires else []
    order = {name: place for place, name in enumerate(constructs())}
    found = [treatment(name, runtime, recorder) for name in sorted(dict.fromkeys(used), key=order.__getitem__)]
    for scope in document.scopes:
        for section in ("files", "network", "processes"):
            for name in getattr(scope, section).model_fields_set:
                of = treatment(f"scopes.{section}", runtime, recorder)
                found.append(replace(of, construct=f"scopes.{scope.id}.{section}.{name}"))
    for rule in document.rules:
        of = treatment(_construct_of(rule), runtime, recorder)
        found.append(replace(of, construct=f"rules.{rule.id}"))
    return tuple(found)


def _construct_of(rule: Rule) -> str:
    """Its form, and what decides when it shows that it is broken."""
    match form_of(rule):
        case "forbid" | "require" as form:
            text = rule.forbid if form == "forbid" else rule.require
            assert text is not None
            return f"rules.{form}.{cel.compile_cel(text).about}"
        case "never":
            return "rules.never.after" if rule.after else "rules.never.until" if rule.until else "rules.never"
        case "each":
            return "rules.each.after" if rule.after else "rules.each.before"
    if rule.within_ms is not None:
        return "rules.count.within_ms"
    bounds = ("exactly", "at_most", "at_least")
    return "rules.count." + next(name for name in bounds if getattr(rule, name) is not None)


def form_of(rule: Rule) -> str:
    """Which of the five forms a rule has."""
    return next(form for form in ("forbid", "require", "never", "each", "count") if getattr(rule, form) is not None)
