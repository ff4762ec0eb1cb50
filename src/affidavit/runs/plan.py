"""The plan of a run: what will be tried, signed before the first trial (``docs/runs.md``)."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from affidavit.errors import first_problem
from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    canonical_json,
    read_bounded,
    strict_canonical_json,
)

PLAN = "plan.dsse.json"
PLAN_TYPE = "application/vnd.affidavit.plan+json"
MOST_PLAN_BYTES = 64 << 20

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
Verdict = Literal["pass", "fail", "violation", "inconclusive", "error"]

Model = TypeVar("Model", bound=BaseModel)

_SEED_BITS = 31
# What each plan draws for itself, and so is no difference between two.
_OWN = ("made", "nonce", "seed", "thresholds")


class Strict(BaseModel):
    """A signed document: nothing in it is coerced, ignored or changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


class Versioned(Strict):
    """A suite, a profile or a contract: `digest` is of its bytes, for a contract of its canonical form."""

    id: str
    version: str
    digest: Digest


class PlannedNetwork(Strict):
    """Which hosts an agent can reach.

    Attributes:
        endpoints: by name, as contracts spell them.
        addresses: where hosts are, by name, by the user's word.
    """

    endpoints: list[str] = Field(min_length=1)
    addresses: dict[str, str]


class PlannedStep(Strict):
    """A step of a task.

    Attributes:
        name: unique in the task.
        min_reward: a lower score of it ends the trial; None: none does.
    """

    name: str = Field(min_length=1)
    min_reward: float | None = None


class PlannedSteps(Strict):
    """What an agent does one after the other in each trial of a task.

    Attributes:
        strategy: how the trial's score comes from those of the steps: ``mean``, or ``final``, that of the last one. A
            step that was not reached has the score 0.
        steps: in order.
    """

    strategy: Literal["mean", "final"]
    steps: list[PlannedStep] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "PlannedSteps":
        if len({step.name for step in self.steps}) < len(self.steps):
            raise ValueError("two steps have the same name")
        return self


class PlannedTask(Strict):
    """A task.

    Attributes:
        id, digest: the task's (`affidavit.tasks.task_digest`).
        contract: what it runs under.
        passing_score: from which score on a trial passes, 0 to 1.
        network: None: its agent can reach no hosts.
        steps: None: it has none, and a trial is one sandbox and its grading.
    """

    id: str
    digest: Digest
    contract: Versioned
    passing_score: float = Field(ge=0, le=1)
    network: PlannedNetwork | None = None
    # Not written where there are none, so that older plans keep their one spelling.
    steps: PlannedSteps | None = Field(default=None, exclude_if=lambda steps: steps is None)


class PlannedAgent(Strict):
    """An agent.

    Attributes:
        name: as it stands in reports.
        command: its shell command; bytes that are no UTF-8 are spelled ``\\xNN``.
        command_digest: of the command's bytes.
        sees_solution: the task's own solution is shown to it.
        definition: digest of the definition that it is of: what it brings and what its environment is; None: it is
            its command alone.
    """

    name: str
    command: str
    command_digest: Digest
    sees_solution: bool
    definition: Digest | None = None

    @classmethod
    def of(cls, name: str, command: str, sees_solution: bool, definition: str | None = None) -> "PlannedAgent":
        """The agent that runs a command, given as Python has it from a command line."""
        raw = command.encode("utf-8", "surrogateescape")
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        spelled = raw.decode("utf-8", "backslashreplace")
        return cls(
            name=name,
            command=spelled,
            command_digest=digest,
            sees_solution=sees_solution,
            definition=definition,
        )

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the canonical form in hex."""
        return "sha256:" + hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()


class PlannedJob(Strict):
    """An agent, by its digest, put to a task."""

    task: str
    agent: Digest


class PlannedPrice(Strict):
    """What a million tokens cost, US dollars."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class PlannedModel(Strict):
    """What the agents may ask of a model.

    Attributes:
        mode: where answers come from: ``live``, ``replay`` or ``script``.
        models: the names that may be asked for.
        upstreams: where the models are, by dialect.
        mapping: what the upstream calls a model, by the name that is asked for, where that is another one.
        answers: digest of the recorded or written answers; None for ``live``.
        requests, tokens, seconds, cost: bounds for each trial; None: no bound.
        prices: by model, where the user gives them.
        provider_tools: tools that the provider runs itself may be asked for.
    """

    mode: str
    models: list[str] = Field(min_length=1)
    upstreams: dict[str, str]
    mapping: dict[str, str] = {}
    answers: Digest | None
    requests: int | None
    tokens: int | None
    seconds: float | None
    cost: float | None = None
    prices: dict[str, PlannedPrice] = {}
    provider_tools: bool


class Thresholds(Strict):
    """What the run must reach.

    Attributes:
        pass_rate: the share of planned trials that must pass, 0 to 1.
        confidence: of all intervals.
        power: with which the minimum detectable effect is found.
    """

    pass_rate: float = Field(default=1.0, ge=0, le=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    power: float = Field(default=0.8, gt=0.5, lt=1)


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan.

    Attributes:
        name: ``TASK/AGENT/NUMBER``, what messages and ledgers call it.
        task, agent: by id and by digest.
        agent_name: as it stands in reports.
        number: of the trial among those of its task and agent, from 0.
        place: its folder in the folder of the run.
        seed: a number for the agent's random choices, 0 to 2**31 - 1.
    """

    name: str
    task: str
    agent: str
    agent_name: str
    number: int
    place: str
    seed: int

    def place_of_step(self, number: int) -> str:
        """The folder of a step, counted from 1, in the folder of the run."""
        return f"{self.place}/{number}"


class RunPlan(Strict):
    """What a run will try.

    Attributes:
        made: when it was made.
        affidavit: version of Affidavit.
        signer: id of the key that signs plan, ledger, bundles and statement.
        runtime, recorder: as asked for; ``auto`` leaves it to the machine.
        suite, profile: None where there is none.
        tasks: in the order in which they run.
        agents: by their digests.
        model: None: the agents have none.
        jobs: which agent is put to which task, in order.
        trials: of each job.
        seed: what the trials' seeds are derived from.
        thresholds: what the run must reach.
        nonce: 32 random bytes in hex, so that no two plans are the same.
    """

    schema_: Annotated[Literal["affidavit.plan/v1"], Field(alias="schema")] = "affidavit.plan/v1"
    made: Time
    affidavit: str
    signer: Digest
    runtime: str
    recorder: str
    suite: Versioned | None = None
    profile: Versioned | None = None
    tasks: list[PlannedTask] = Field(min_length=1)
    agents: dict[str, PlannedAgent] = Field(min_length=1)
    model: PlannedModel | None = None
    jobs: list[PlannedJob] = Field(min_length=1)
    trials: int = Field(ge=1, le=10_000)
    seed: int = Field(ge=0, lt=1 << 53)
    thresholds: Thresholds = Thresholds()
    nonce: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _fits(self) -> "RunPlan":
        tasks = {task.id for task in self.tasks}
        if len(tasks) < len(self.tasks):
            raise ValueError("two tasks have the same id")
        for digest, agent in self.agents.items():
            if agent.digest != digest:
                raise ValueError(f"the agent {agent.name} is not the one of {digest}")
        for job in self.jobs:
            if job.task not in tasks or job.agent not in self.agents:
                raise ValueError(f"a job names the task {job.task} or an agent that is not planned")
        if len({(job.task, self.agents[job.agent].name) for job in self.jobs}) < len(self.jobs):
            raise ValueError("an agent of the same name is put to a task twice")
        return self

    @cached_property
    def in_order(self) -> tuple[PlannedTrial, ...]:
        """All trials, job by job."""
        return tuple(self._trials())

    def _trials(self) -> Iterator[PlannedTrial]:
        several = len({self.agents[job.agent].name for job in self.jobs}) > 1
        for job in self.jobs:
            agent = self.agents[job.agent].name
            folder = job.task.replace("/", "__") + (f"/{agent}" if several else "")
            for number in range(self.trials):
                name = f"{job.task}/{agent}/{number}"
                place = f"{folder}/{number}"
                yield PlannedTrial(name, job.task, job.agent, agent, number, place, self._seed(job.task, number))

    def _seed(self, task: str, number: int) -> int:
        # Not of the agent: agents that are compared should meet the same chances.
        made = hmac.new(str(self.seed).encode(), f"{task}/{number}".encode(), "sha256").digest()
        return int.from_bytes(made[:4], "big") >> (32 - _SEED_BITS)

    @cached_property
    def task_by_id(self) -> Mapping[str, PlannedTask]:
        """The tasks by their ids."""
        return {task.id: task for task in self.tasks}

    def payload(self) -> bytes:
        """What is signed: the canonical form. Raises EvidenceError where a text has none."""
        return canonical_json(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the payload in hex: what bundles name it by."""
        return "sha256:" + hashlib.sha256(self.payload()).hexdigest()

    def differences(self, actual: "RunPlan") -> list[str]:
        """What a run that was asked for does otherwise than this plan says, a sentence each; nothing where it fits.

        Args:
            actual: the plan of that run; its own time, nonce, seed and thresholds are no difference.
        """
        mine, other = _flat(self._comparable()), _flat(actual._comparable())
        sentences = []
        for place in dict.fromkeys((*mine, *other)):
            if place not in mine:
                sentences.append(f"{place} is {other[place]}, and the plan has none")
            elif place not in other:
                sentences.append(f"{place} is {mine[place]} in the plan, and the run has none")
            elif mine[place] != other[place]:
                sentences.append(f"{place} is {other[place]}, the plan says {mine[place]}")
        return sentences

    def _comparable(self) -> dict[str, Any]:
        document = self.model_dump(mode="json", exclude={*_OWN}, exclude_none=True)
        document["tasks"] = {task.id: task.model_dump(mode="json", exclude={"id"}) for task in self.tasks}
        document["agents"] = {}
        for job in self.jobs:
            agent = self.agents[job.agent]
            said = agent.model_dump(mode="json", include={"command_digest", "sees_solution", "definition"})
            document["agents"][f"{agent.name} on {job.task}"] = said
        del document["jobs"]
        return document


@dataclass(frozen=True)
class SignedPlan:
    """A plan in its envelope, whose signatures need not be good."""

    plan: RunPlan
    envelope: Envelope

    def data(self) -> bytes:
        """The content of ``plan.dsse.json``."""
        return canonical_json(self.envelope.to_json())


def new_nonce() -> str:
    """A nonce for a plan."""
    return secrets.token_hex(32)


def new_seed() -> int:
    """A seed for a plan."""
    return secrets.randbelow(1 << _SEED_BITS)


def sign_plan(plan: RunPlan, key: SigningKey) -> SignedPlan:
    """Sign a plan.

    Raises:
        EvidenceError: a text in it has no canonical form.
    """
    return SignedPlan(plan, Envelope(plan.payload(), PLAN_TYPE, {}).with_signature(key))


def read_plan(source: Path | bytes) -> SignedPlan:
    """The plan in a file; its signatures are not checked.

    Raises:
        EvidenceError: there is none, or it is not spelled in its one way.
    """
    name = str(source) if isinstance(source, Path) else PLAN
    data = read_bounded(source, MOST_PLAN_BYTES) if isinstance(source, Path) else source
    try:
        envelope = Envelope.from_json(strict_canonical_json(data))
        if envelope.payload_type != PLAN_TYPE:
            raise EvidenceError(f"its payload type is not {PLAN_TYPE}")
        plan = parsed(RunPlan, strict_canonical_json(envelope.payload))
        if plan.payload() != envelope.payload:
            raise EvidenceError("the plan is not spelled in its one way")
    except EvidenceError as error:
        raise EvidenceError(f"{name}: is not a plan: {error}") from error
    return SignedPlan(plan, envelope)


def parsed(model: type[Model], value: Any) -> Model:
    """A document of a type.

    Raises:
        EvidenceError: it is none; the text names the place.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise EvidenceError(first_problem(error)) from None


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """The single values of nested objects, by place."""
    if not isinstance(value, dict):
        return {place: value}
    return {
        inner: single
        for key, child in value.items()
        for inner, single in _flat(child, f"{place}.{key}" if place else str(key)).items()
    }
