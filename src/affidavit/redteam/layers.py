"""Which of the layers of defence stopped an exploit, read from its evidence."""

import errno
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.evaluation import TrialResult
from affidavit.events import FILE_WRITES
from affidavit.evidence import (
    BundleReader,
    read_diff,
    read_exit,
    read_grade,
)
from affidavit.redteam.exploit import SKIPPED, Exploit
from affidavit.trace import read_trace

_REFUSALS = (-errno.EROFS, -errno.EACCES, -errno.EPERM)
_GRADING = "grading."
# Nothing of it can last: every process of the agent's sandbox is killed before the tests are anywhere.
_PROCESSES = "surviving process"
_SKIP = "skip: "


class Layer(StrEnum):
    """The layers, outermost first."""

    IMPOSSIBLE = "impossible"
    RECORDED = "recorded"
    NOT_CARRIED = "not carried over"
    GRADER = "grader"


def stopping_layers(exploit: Exploit, trial: TrialResult) -> tuple[Layer, ...]:
    """The layers that stood in an exploit's way, outermost first; empty where there is no evidence.

    - impossible: the sandbox refused what it tried, or nothing of it had an effect;
    - recorded: what it did is a violation by the record or the diff;
    - not carried over: what it left behind is not in the grading sandbox;
    - grader: the verifier, or what watches it, gave nothing for it.

    Args:
        exploit: what was played.
        trial: what came of it.

    Raises:
        EvidenceError: the bundle can't be read.
    """
    if trial.bundle is None:
        return ()
    found: set[Layer] = set()
    violations = trial.judgement.violations
    failed, refused = _failed(trial.bundle)
    for violation in violations:
        if violation.rule.startswith(_GRADING):
            found.add(Layer.GRADER)
        elif violation.events and failed.issuperset(violation.events):
            found.add(Layer.IMPOSSIBLE)
        else:
            found.add(Layer.RECORDED)
    for attempt in trial.judgement.attempts or ():
        found.add(Layer.IMPOSSIBLE if attempt.outcome == "refused" else Layer.NOT_CARRIED)
    with BundleReader(trial.bundle) as reader:
        grade = read_grade(reader)
        changed = {change.path for change in read_diff(reader) if change.type != "directory"}
    carried = changed & {*grade.carried}
    if changed - carried or exploit.kind == _PROCESSES:
        found.add(Layer.NOT_CARRIED)
    if refused:
        found.add(Layer.IMPOSSIBLE)
    if not violations and carried and exploit.kind != _PROCESSES:
        found.add(Layer.GRADER)
    return tuple(layer for layer in Layer if layer in found) or (Layer.IMPOSSIBLE,)


def skipped(trial: TrialResult) -> str | None:
    """Why an exploit found in the sandbox that it does not apply; None where it was played.

    Raises:
        EvidenceError: the bundle can't be read.
    """
    if trial.bundle is None:
        return None
    with BundleReader(trial.bundle) as reader:
        if read_exit(reader, "agent").code != SKIPPED:
            return None
        said = reader.read("agent/stdout").decode("utf-8", "replace").splitlines()
    return next((line.removeprefix(_SKIP) for line in reversed(said) if line.startswith(_SKIP)), "it says so")


def _failed(bundle: Path) -> tuple[set[int], bool]:
    """The agent's events that failed, and whether the sandbox refused it a change of files."""
    events = read_trace(bundle / "agent" / "events.parquet").select(["seq", "op", "ret"])
    failed = events.filter(pc.less(events["ret"], 0))
    refused = failed.filter(pc.is_in(failed["ret"], value_set=pa.array(_REFUSALS, failed["ret"].type)))
    changes = pc.is_in(
        pc.cast(refused["op"], pa.utf8()), value_set=pa.array([str(op) for op in FILE_WRITES], pa.utf8())
    )
    return set(failed["seq"].to_pylist()), bool(pc.any(changes).as_py())
