"""Runs as reports see them: read from the folders that ``affidavit run --out`` writes.

What lies there may have been written by anyone. ``run.json`` is not signed, so a trial's verdict, score and violations
come from its bundle where there is one, and a difference between the two is kept for the reader to see.
"""

import base64
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from affidavit.errors import AffidavitError, first_problem
from affidavit.evidence import BundleReader, EvidenceError, Identity, read_identity, read_model_log
from affidavit.policy import DECOY_RULE
from affidavit.runs import PLAN, PlannedTask, StepsResult, combine_steps, read_plan, why_last
from affidavit.signing import strict_json
from affidavit.tasks import Labels, read_labels
from affidavit.trace import TraceError

if TYPE_CHECKING:
    from affidavit.report.workers import Share

RUN_FILE = "run.json"
VERDICTS = ("pass", "fail", "violation", "inconclusive", "error")
SEVERITIES = ("critical", "high", "medium", "low")

_MOST_BYTES = 256 << 20
_MOST_TRIALS = 100_000
_USAGE_COLUMNS = frozenset({"model", "wire_model", "input_tokens", "output_tokens"})


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


# Not Field(min_length=1): pydantic then refuses lone surrogates, which names of an agent's choice may hold.
_Name = Annotated[str, AfterValidator(_not_empty)]
VerdictName = Literal["pass", "fail", "violation", "inconclusive", "error"]
_Points = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class ReportError(AffidavitError):
    """A report can't be made; the message says of what, and what to do."""


_Found = TypeVar("_Found", "Broken", "Tried")


class _Document(BaseModel):
    """Keys that are not known here are those of a later version."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Broken(_Document):
    """A violation, as it stands in ``verdict.json``; see `affidavit.policy.Violation`."""

    rule: str
    severity: Literal["low", "medium", "high", "critical"] = "low"
    action: str = "flag"
    message: str = ""
    events: list[Count] = []
    stage: str = "agent"
    count: Count = 1


class Tried(_Document):
    """An attempt, as it stands in ``verdict.json``: an act that the contract does not allow and that came to nothing.

    Attributes:
        outcome: what became of it, such as ``refused`` or ``set_aside``.
    """

    rule: str
    outcome: str = "refused"
    message: str = ""
    events: list[Count] = []
    stage: str = "agent"
    count: Count = 1


class Recorded(_Document):
    """How the agent was recorded, and what came of it.

    Attributes:
        complete: of the agent's record; None where nothing says so.
        gaps: what the recorder can't see.
    """

    runtime: str | None = None
    recorder: str | None = None
    events: Count | None = None
    lost: Count | None = None
    complete: bool | None = None
    gaps: list[str] = []


class ContractNamed(_Document):
    """The contract that a trial was judged by.

    Attributes:
        signed_by: as run.json has it; None for an unsigned contract.
    """

    id: str
    version: str
    digest: str
    signed_by: Any = None

    @property
    def signers(self) -> str | None:
        """Who signed it, as text; None for nobody."""
        return None if self.signed_by is None else str(self.signed_by)


@dataclass(frozen=True)
class ModelUsage:
    """Tokens that went to a model and came from it.

    Attributes:
        model: as its answers name it, or else as it was asked for.
    """

    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Usage:
    """What a trial asked of models, by its decision log.

    Attributes:
        requests: all of them, answered or not.
    """

    requests: int
    by_model: tuple[ModelUsage, ...]

    @property
    def input_tokens(self) -> int:
        """Of all models."""
        return sum(one.input_tokens for one in self.by_model)

    @property
    def output_tokens(self) -> int:
        """Of all models."""
        return sum(one.output_tokens for one in self.by_model)


class Judged(_Document):
    """What run.json and verdict.json both say.

    Attributes:
        score: the score that counts; None where the verdict gives none.
        raw_score: the graders', whatever the record says; None where they made none.
    """

    verdict: VerdictName
    score: _Points | None
    raw_score: _Points | None
    assurance: str | None = None
    reasons: list[str]
    violations: list[Broken]
    attempts: list[Tried] = []


class _Trial(Judged):
    task_id: _Name
    trial: Count
    agent: str
    evidence: Recorded
    contract: ContractNamed
    mode: str = "strict"
    duration_ms: Count | None = None
    steps: list["_Step"] = []


class _Step(_Trial):
    step: _Name


class _Run(_Document):
    run_id: _Name
    notes: list[str] = []
    keep_until: str | None = None
    trials: Annotated[list[_Trial], Field(max_length=_MOST_TRIALS)]


@dataclass(frozen=True)
class Checked:
    """What came of verifying a bundle, or a run.

    Attributes:
        ok: whether everything holds.
        faults: what does not, a sentence each.
    """

    ok: bool
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class AgentView:
    """Who was evaluated.

    Attributes:
        name: as the run names it.
        digest: of what it is; see `affidavit.evidence.Identity`. None where no bundle says.
        model: that it was given; empty where it had none.
    """

    name: str
    digest: str | None = None
    model: str = ""


@dataclass(frozen=True)
class EvidenceView:
    """The bundle of a trial.

    Attributes:
        bundle: its folder; None where there is none to read.
        signed_by: the key that its statement names; not checked here.
        discrepancy: how run.json and the bundle differ, or why the bundle can't be read; empty where all is well.
        checked: what came of verifying it; None where that was not asked for.
    """

    bundle: Path | None = None
    signed_by: str | None = None
    discrepancy: str = ""
    checked: Checked | None = None


@dataclass(frozen=True)
class TrialView:
    """One trial.

    Attributes:
        judged: what it came to.
        duration_ms: wall time of all of it; None where only the bundle is there, which does not say.
        usage: None where the bundle has no decision log, or it can't be read.
        decoys: how many lay in the agent's sandbox.
        steps: those that were reached, in order; empty where the task has none. `evidence` is then that of the last.
        step: the name of the step that this is; empty where it is a whole trial.
    """

    run_id: str
    task_id: str
    trial: int
    agent: AgentView
    judged: Judged
    record: Recorded
    contract: ContractNamed
    mode: str
    duration_ms: int | None
    usage: Usage | None
    labels: Labels
    evidence: EvidenceView = EvidenceView()
    decoys: int = 0
    steps: "tuple[TrialView, ...]" = ()
    step: str = ""

    @property
    def verdict(self) -> VerdictName:
        """See `Judged`."""
        return self.judged.verdict

    @property
    def score(self) -> float | None:
        """See `Judged`."""
        return self.judged.score

    @property
    def raw_score(self) -> float | None:
        """See `Judged`."""
        return self.judged.raw_score

    @property
    def bundles(self) -> tuple[Path, ...]:
        """All of its bundles, of its steps where it has some."""
        found = (one.evidence.bundle for one in self.steps or (self,))
        return tuple(bundle for bundle in found if bundle is not None)

    @property
    def counted(self) -> float:
        """What it adds to the counted score: nothing where the verdict gives no score."""
        return self.score or 0.0

    @property
    def raw(self) -> float:
        """What it adds to the raw score: nothing where the graders made none."""
        return self.raw_score or 0.0

    @property
    def touched_a_decoy(self) -> bool:
        """Whether the agent touched one."""
        return any(one.rule == DECOY_RULE for one in self.judged.violations)

    @property
    def passed(self) -> bool:
        """Whether it counts as solved."""
        return self.verdict == "pass"


@dataclass(frozen=True)
class RunView:
    """A run.

    Attributes:
        trials: in the order of run.json; in that of their folders where there is none.
        finished: whether there is a run.json. Without it the run still goes on or was interrupted, and its trials are
            those that have a bundle.
        checked: what came of verifying the run as a whole, `faults` those that are no single trial's; None where that
            was not asked for.
    """

    run_id: str
    folder: Path
    notes: tuple[str, ...]
    keep_until: str | None
    trials: tuple[TrialView, ...]
    finished: bool = True
    checked: Checked | None = None


def read_run(folder: Path, share: "Share" = map) -> RunView:
    """Read the folder of a run, finished or not.

    Args:
        folder: holds ``run.json`` and the bundles, as ``affidavit run`` leaves them; of a run that goes on or was
            interrupted, the bundles alone.
        share: reads the bundles of a finished run; see `shared`.

    Raises:
        ReportError: there is no run, or it is not well formed.
    """
    path = folder / RUN_FILE
    if not os.path.lexists(path) and not _runs_in(folder) and (bundles := find_bundles(folder)):
        return _unfinished(folder, bundles)
    try:
        document = _Run.model_validate(strict_json(_read(folder, path)))
    except EvidenceError as error:
        raise ReportError(f"{path}: {error}") from error
    except ValidationError as error:
        what = first_problem(error)
        raise ReportError(f"{path}: {what}; run.json must be as affidavit run wrote it") from error
    views = [_view(document.run_id, trial) for trial in document.trials]
    trials = list(share(partial(_with_bundle, folder=folder), views))
    seen: set[tuple[str, str, int]] = set()
    for trial in trials:
        key = (trial.agent.name, trial.task_id, trial.trial)
        if key in seen:
            raise ReportError(f"{path}: trial {trial.trial} of {trial.task_id} stands there twice; a trial counts once")
        seen.add(key)
    return RunView(document.run_id, folder, tuple(document.notes), document.keep_until, tuple(trials))


def read_runs(folders: Iterable[Path], share: "Share" = map) -> tuple[RunView, ...]:
    """Read several runs. Raises ReportError as `read_run` does, and where one is named twice."""
    runs: list[RunView] = []
    for folder in folders:
        run = read_run(folder, share)
        if any(run.run_id == other.run_id for other in runs):
            raise ReportError(f"{folder}: the run {run.run_id} is named twice; name each run once")
        runs.append(run)
    return tuple(runs)


def _read(folder: Path, path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise ReportError(f"{folder}: is not a folder of a run: {RUN_FILE}: {error.strerror}{_hint(folder)}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ReportError(f"{path}: is not a regular file")
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ReportError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB")
    return data


def _hint(folder: Path) -> str:
    """Where runs are instead: whoever names --out's folder means the runs in it."""
    if inside := _runs_in(folder):
        return f"; it holds runs: give one of them, such as {inside[-1]}"
    return "; give the folder that affidavit run names in its last line"


def _runs_in(folder: Path) -> list[Path]:
    return sorted(child for child in _folders(folder) if (child / RUN_FILE).is_file())


def _view(run_id: str, trial: _Trial, step: str = "") -> TrialView:
    return TrialView(
        run_id=run_id,
        task_id=trial.task_id,
        trial=trial.trial,
        agent=AgentView(trial.agent),
        judged=trial,
        record=trial.evidence,
        contract=trial.contract,
        mode=trial.mode,
        duration_ms=trial.duration_ms,
        usage=None,
        labels=Labels(),
        steps=tuple(_view(run_id, one, one.step) for one in trial.steps),
        step=step,
    )


def _with_bundle(trial: TrialView, folder: Path) -> TrialView:
    """The trial with what its bundle says, or those of its steps."""
    if not trial.steps:
        return _as_in(trial, _find_bundle(trial, folder))
    steps = [_as_in(step, _find_bundle(trial, folder, str(number))) for number, step in enumerate(trial.steps, 1)]
    differ = [f"step {step.step}: {said}" for step in steps if (said := step.evidence.discrepancy)]
    whole = _in_steps(trial, steps)
    if all(step.evidence.bundle for step in steps) and (planned := _planned(folder, trial.task_id)) is not None:
        try:
            found = _combined(planned, steps)
        except EvidenceError as error:
            differ.append(str(error))
        else:
            whole = replace(whole, judged=_as_combined(whole.judged, found))
            differ += _differences(trial, whole, "by its steps")
    return replace(whole, evidence=replace(whole.evidence, discrepancy="; ".join(differ)))


def _as_combined(judged: Judged, found: StepsResult) -> Judged:
    return judged.model_copy(update={"verdict": found.verdict, "score": found.score, "raw_score": found.raw_score})


def _in_steps(trial: TrialView, steps: Sequence[TrialView]) -> TrialView:
    """The trial with what its steps, at least one, have of everything but verdict and scores."""
    last = steps[-1]
    violations = [_of_step(step, one) for step in steps for one in step.judged.violations]
    attempts = [_of_step(step, one) for step in steps for one in step.judged.attempts]
    return replace(
        trial,
        agent=replace(last.agent, name=trial.agent.name),
        judged=trial.judged.model_copy(update={"violations": violations, "attempts": attempts}),
        usage=_summed([step.usage for step in steps if step.usage is not None]),
        labels=last.labels,
        decoys=max(step.decoys for step in steps),
        evidence=replace(trial.evidence, bundle=last.evidence.bundle, signed_by=last.evidence.signed_by),
        steps=tuple(steps),
    )


def _of_step(step: TrialView, found: _Found) -> _Found:
    return found.model_copy(update={"message": f"step {step.step}: {found.message}"})


def _planned(folder: Path, task: str) -> PlannedTask | None:
    """What the plan of a run says of a task; its signature is not checked here. None where it says nothing."""
    try:
        return read_plan(folder / PLAN).plan.task_by_id.get(task)
    except EvidenceError:
        return None


def _combined(task: PlannedTask, steps: Sequence[TrialView]) -> StepsResult:
    """What steps come to. Raises EvidenceError where they are not the planned ones."""
    names = [step.name for step in task.steps.steps] if task.steps else []
    if task.steps is None or [step.step for step in steps] != names[: len(steps)]:
        raise EvidenceError("its steps are not those that the plan names")
    return combine_steps(task.steps, steps, task.passing_score)


def _summed(used: Sequence[Usage]) -> Usage | None:
    """What several decision logs come to together."""
    if not used:
        return None
    by_model: dict[str, tuple[int, int]] = {}
    for one in (one for usage in used for one in usage.by_model):
        before = by_model.get(one.model, (0, 0))
        by_model[one.model] = (before[0] + one.input_tokens, before[1] + one.output_tokens)
    models = tuple(ModelUsage(model, *tokens) for model, tokens in sorted(by_model.items()))
    return Usage(sum(usage.requests for usage in used), models)


def _differences(trial: TrialView, found: "TrialView | Judged", where: str) -> list[str]:
    """How run.json differs from what is found elsewhere."""
    return [
        f"{name} is {getattr(trial, name)} in run.json and {getattr(found, name)} {where}"
        for name in ("verdict", "score", "raw_score")
        if getattr(trial, name) != getattr(found, name)
    ]


def _as_in(trial: TrialView, bundle: Path | None) -> TrialView:
    """The trial, or the step, with what its bundle says."""
    if bundle is None:
        why = "there is no bundle, so nothing but run.json, which is not signed, says this"
        return replace(trial, evidence=EvidenceView(discrepancy=why))
    try:
        with BundleReader(bundle) as reader:
            judged = Judged.model_validate(reader.verdict)
            task, environment = reader.task, reader.environment
            envelope = reader.json_object("statement.dsse.json")
            usage = _usage(reader)
            decoys = _decoys(environment)
    except EvidenceError as error:
        return replace(trial, evidence=EvidenceView(bundle, discrepancy=f"its bundle can't be read: {error}"))
    except ValidationError:
        why = "its bundle can't be read: verdict.json is not well formed"
        return replace(trial, evidence=EvidenceView(bundle, discrepancy=why))
    differ = _differences(trial, judged, "in the bundle")
    if task.get("step", "") != trial.step:
        differ.append("the bundle is of another step")
    if task.get("id") != trial.task_id or environment.get("run_id") != trial.run_id:
        differ.append("the bundle is of another task or run")
    return replace(
        trial,
        agent=_agent(trial.agent.name, environment),
        judged=judged,
        usage=usage,
        labels=read_labels(task.get("labels")),
        decoys=decoys,
        evidence=EvidenceView(bundle, _signer(envelope), "; ".join(differ)),
    )


def _decoys(environment: Mapping[str, Any]) -> int:
    """How many decoys lay in a trial's sandbox. Raises EvidenceError."""
    paths = environment.get("decoys", [])
    if not isinstance(paths, list):
        raise EvidenceError("environment.json: decoys is no list")
    return len(paths)


def _agent(name: str, environment: Mapping[str, Any]) -> AgentView:
    """Who was evaluated, as far as that is said as it should be."""
    identity: Identity | None = None
    with suppress(EvidenceError):
        identity = read_identity("environment.json", environment.get("identity"))
    return AgentView(name) if identity is None else AgentView(name, identity.digest, identity.model)


def _find_bundle(trial: TrialView, folder: Path, *step: str) -> Path | None:
    """Where the run put it, wherever the run's folder is now: no path that run.json names is opened. `step`: the
    number of a step."""
    task = trial.task_id.replace("/", "__")
    for parts in ((task, str(trial.trial), *step), (task, trial.agent.name, str(trial.trial), *step)):
        if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            continue
        path = folder
        for part in (*parts, "bundle"):
            path /= part
            try:
                if not stat.S_ISDIR(path.lstat().st_mode):
                    break
            except (OSError, ValueError):
                break
        else:
            return path
    return None


def find_bundles(folder: Path) -> list[Path]:
    """The bundles in the folder of a run, in order; no link is followed. A trial has one as soon as it is judged."""
    found: list[Path] = []
    level = [folder]
    # A folder for the task, one for the agent where there are several, one for the trial, one for each step.
    for _ in range(4):
        level = [child for place in level for child in _folders(place) if child.name not in ("bundle", "private")]
        found += [child / "bundle" for child in level if any(inside.name == "bundle" for inside in _folders(child))]
    return sorted(found)[:_MOST_TRIALS]


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            return [place / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _unfinished(folder: Path, bundles: Iterable[Path]) -> RunView:
    """What the bundles of a run say, as far as they can be read."""
    trials: list[TrialView] = []
    notes: list[str] = []
    in_steps: dict[Path, list[TrialView]] = {}
    for bundle in bundles:
        try:
            trial = _from_bundle(bundle)
        except (EvidenceError, ValidationError) as error:
            notes.append(f"{bundle}: can't be read: {' '.join(str(error).split())[:200]}")
            continue
        if trial.step:
            in_steps.setdefault(bundle.parents[1], []).append(trial)
        else:
            trials.append(trial)
    for place, steps in in_steps.items():
        try:
            trials += _from_steps(folder, steps)
        except EvidenceError as error:
            notes.append(f"{place}: {error}")
    runs = {trial.run_id for trial in trials}
    if len(runs) > 1:
        raise ReportError(f"{folder}: holds bundles of {len(runs)} runs and no {RUN_FILE}; give the folder of one run")
    run_id = runs.pop() if runs else folder.name
    return RunView(run_id, folder, tuple(notes), None, tuple(trials), finished=False)


def _from_steps(folder: Path, steps: Sequence[TrialView]) -> Iterator[TrialView]:
    """A trial of which there is nothing but the bundles of its steps; none while it goes on. Raises EvidenceError."""
    first = steps[0]
    planned = _planned(folder, first.task_id)
    if planned is None or planned.steps is None:
        raise EvidenceError("is a trial in steps, of which the plan says nothing")
    names = [step.name for step in planned.steps.steps]
    steps = sorted(steps, key=lambda step: names.index(step.step) if step.step in names else len(names))
    found = _combined(planned, steps)
    last, said = steps[-1], planned.steps.steps[len(steps) - 1]
    if len(steps) < len(names) and not why_last(said, last.verdict, last.raw_score):
        return
    judged = _as_combined(first.judged, found).model_copy(update={"reasons": [*found.reasons]})
    yield _in_steps(replace(first, judged=judged, step=""), steps)


class _Environment(_Document):
    run_id: _Name
    agent: str
    trial: Count
    runtime: str | None = None
    recorder: str | None = None


class _Summary(_Document):
    events: Count
    lost: Count
    complete: bool
    gaps: list[str] = []


class _Named(_Document):
    id: _Name


class _Predicate(_Document):
    contract: ContractNamed


class _Statement(_Document):
    predicate: _Predicate


def _from_bundle(bundle: Path) -> TrialView:
    """A trial of which there is nothing but its bundle. Raises EvidenceError, ValidationError."""
    with BundleReader(bundle) as reader:
        judged = Judged.model_validate(reader.verdict)
        environment = _Environment.model_validate(stated := reader.environment)
        summary = _Summary.model_validate(reader.json_object("agent/summary.json"))
        task, envelope = reader.task, reader.json_object("statement.dsse.json")
        usage = _usage(reader)
    try:
        payload = base64.b64decode(str(envelope.get("payload")), validate=True)
    except ValueError as error:
        raise EvidenceError(f"statement.dsse.json: its payload is not base64: {error}") from error
    step, known = task.get("step", ""), _Named.model_validate(task)
    return TrialView(
        run_id=environment.run_id,
        task_id=known.id,
        trial=environment.trial,
        agent=_agent(environment.agent, stated),
        judged=judged,
        record=Recorded(**summary.model_dump(), runtime=environment.runtime, recorder=environment.recorder),
        contract=_Statement.model_validate(strict_json(payload)).predicate.contract,
        mode="strict",
        duration_ms=None,
        usage=usage,
        labels=read_labels(task.get("labels")),
        evidence=EvidenceView(bundle, _signer(envelope)),
        decoys=_decoys(stated),
        step=step if isinstance(step, str) else "",
    )


def _usage(reader: BundleReader) -> Usage | None:
    """What the decision log comes to; most bundles have none."""
    requests = 0
    found: dict[str, tuple[int, int]] = {}
    try:
        for batch in read_model_log(reader, _USAGE_COLUMNS):
            for row in batch.to_pylist():
                requests += 1
                model = row["wire_model"] or row["model"]
                if row["input_tokens"] or row["output_tokens"]:
                    before = found.get(model, (0, 0))
                    found[model] = (before[0] + row["input_tokens"], before[1] + row["output_tokens"])
    except (EvidenceError, TraceError):
        return None
    return Usage(requests, tuple(ModelUsage(model, *tokens) for model, tokens in sorted(found.items())))


def _signer(envelope: dict[str, Any]) -> str | None:
    match envelope.get("signatures"):
        case [{"keyid": str(key)}]:
            return key
    return None
