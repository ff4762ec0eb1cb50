"""Trial plans: all inputs of one trial as values, made before the run begins, whichever executor runs it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import PydanticSerializationError

from affidavit.contracts import Contract, ContractDocument, Publication
from affidavit.errors import first_problem
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.run_policy import Terms
from affidavit.evaluation.service_plan import ServicePlan
from affidavit.evidence import EvidenceError
from affidavit.gateway import GatewaySettings
from affidavit.runs import PlannedTrial
from affidavit.sandbox import RootFilesystem
from affidavit.signing import Envelope, Examination
from affidavit.tasks import Task


@dataclass(frozen=True)
class Backends:
    """Runtime and recorder of a run, by name.

    Attributes:
        runtime, recorder: their names.
        runtime_detail: the runtime's version.
        why: this recorder, in a clause.
    """

    runtime: str
    recorder: str
    runtime_detail: str = ""
    why: str = ""


@dataclass(frozen=True)
class PlanIdentity:
    """Which signed plan a run follows: its digest, and the nonce in it."""

    digest: str
    nonce: str


@dataclass(frozen=True)
class RunSettings:
    """What all trials of a run share.

    Attributes:
        run_id: of the run.
        folder: of the run; each trial has a folder of its own in it.
        backends: runtime and recorder.
        plan: that the run follows.
        terms: from profile, suite and command line.
        model: settings of the model gateway; None: agents have no model.
        filling: private hosts that the tests may reach while they use the web to fill the verifier caches; None: they
            have only what the caches hold.
    """

    run_id: str
    folder: Path
    backends: Backends
    plan: PlanIdentity
    terms: Terms = field(default_factory=Terms)
    model: GatewaySettings | None = None
    filling: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TrialPlan:
    """All that one trial needs besides the machine that it runs on. It holds no live object.

    Attributes:
        run: what the trial shares with the others.
        trial: its entry in the plan.
        task, agent, contract: as the trial uses them.
        rootfs: root file system of the agent's sandbox.
        grading_rootfs: root file system of the verifier; None: the same as the agent's.
        services: that run beside the agent; None: none do.
    """

    run: RunSettings
    trial: PlannedTrial
    task: Task
    agent: Agent
    contract: Contract
    rootfs: RootFilesystem
    grading_rootfs: RootFilesystem | None = None
    services: ServicePlan | None = None

    @property
    def folder(self) -> Path:
        """The trial's, in the run's."""
        return self.run.folder / self.trial.place

    @property
    def tests_rootfs(self) -> RootFilesystem:
        """The root file system that the tests run in."""
        return self.rootfs if self.grading_rootfs is None else self.grading_rootfs

    def to_json(self) -> bytes:
        """The plan as JSON, for an executor that runs the trial elsewhere. It contains the task's environment variables
        and the agent's command, so it is as private as they are. The models' keys are not in it.

        Raises:
            RunError: a text in it is not Unicode.
        """
        written = _Written(
            format="affidavit.trial-plan/v1",
            run=replace(self.run, model=_with_keys(self.run.model, {})),
            trial=self.trial,
            task=_with_settings(self.task, _tagged),
            agent=self.agent,
            contract=_WrittenContract.of(self.contract),
            rootfs=self.rootfs,
            grading_rootfs=self.grading_rootfs,
            services=self.services,
        )
        try:
            return written.model_dump_json(exclude_unset=True).encode()
        except PydanticSerializationError as error:
            raise RunError(f"trial plan: {self.trial.name}: can't be written as JSON: {error}") from error

    @classmethod
    def from_json(cls, data: bytes, keys: Mapping[str, str] | None = None) -> "TrialPlan":
        """The plan that `to_json` wrote. A grader's error no longer names the line of ``task.toml``.

        Args:
            data: JSON.
            keys: of the models' upstreams, by dialect.

        Raises:
            RunError: it is not such a plan.
        """
        try:
            read = _Written.model_validate_json(data)
            contract, task = read.contract.contract(), _with_settings(read.task, _untagged)
        except ValidationError as error:
            raise RunError(f"trial plan: {first_problem(error)}") from None
        except (EvidenceError, ValueError) as error:
            raise RunError(f"trial plan: {error}") from error
        run = replace(read.run, model=_with_keys(read.run.model, keys or {}))
        return cls(run, read.trial, task, read.agent, contract, read.rootfs, read.grading_rootfs, read.services)


class _WrittenContract(BaseModel):
    model_config = ConfigDict(extra="forbid")

    document: ContractDocument
    signature: JsonValue
    examined: Examination | None
    publication: JsonValue
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, contract: Contract) -> "_WrittenContract":
        return cls(
            document=contract.document,
            signature=None if contract.signature is None else contract.signature.to_json(),
            examined=contract.examined,
            publication=None if contract.publication is None else contract.publication.to_json(),
            warnings=contract.warnings,
        )

    def contract(self) -> Contract:
        return Contract(
            document=self.document,
            signature=None if self.signature is None else Envelope.from_json(self.signature),
            examined=self.examined,
            publication=None if self.publication is None else Publication.from_json(self.publication),
            warnings=self.warnings,
        )


class _Written(BaseModel):
    # A grader's place in task.toml (a TomlTable) is not written.
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    format: Literal["affidavit.trial-plan/v1"]
    run: RunSettings
    trial: PlannedTrial
    task: Task
    agent: Agent
    contract: _WrittenContract
    rootfs: RootFilesystem
    grading_rootfs: RootFilesystem | None
    services: ServicePlan | None


def _with_keys(model: GatewaySettings | None, keys: Mapping[str, str]) -> GatewaySettings | None:
    """The settings with these keys, by dialect, and no others."""
    if model is None:
        return None
    upstreams = {name: replace(one, key=keys.get(name, "")) for name, one in model.upstreams.items()}
    return replace(model, upstreams=upstreams)


def _with_settings(task: Task, change: Callable[[Any], Any]) -> Task:
    """The task with every value of its graders' settings changed, and without their places in ``task.toml``."""
    graders = tuple(
        replace(spec, settings={key: change(value) for key, value in spec.settings.items()}, table=None)
        for spec in task.scoring.graders
    )
    scoring = replace(task.scoring, graders=graders)
    return replace(
        task, scoring=scoring, grading=None if task.grading is None else _with_settings(task.grading, change)
    )


def _tagged(value: Any) -> Any:
    """A TOML value as JSON. A type that JSON lacks becomes a pair of its name and its text."""
    match value:
        case dict():
            return ["table", {key: _tagged(one) for key, one in value.items()}]
        case list():
            return ["array", [_tagged(one) for one in value]]
        case datetime() | date() | time():
            return [type(value).__name__, value.isoformat()]
        case float() if not math.isfinite(value):
            return ["float", repr(value)]
    return value


def _untagged(value: Any) -> Any:
    """The inverse of `_tagged`. Raises ValueError for anything that `_tagged` does not make."""
    match value:
        case ["table", dict(entries)]:
            return {key: _untagged(one) for key, one in entries.items()}
        case ["array", list(entries)]:
            return [_untagged(one) for one in entries]
        case ["datetime", str(text)]:
            return datetime.fromisoformat(text)
        case ["date", str(text)]:
            return date.fromisoformat(text)
        case ["time", str(text)]:
            return time.fromisoformat(text)
        case ["float", str(text)]:
            return float(text)
        case str() | bool() | int() | float():
            return value
    raise ValueError("a grader's setting is not written as it should be")
