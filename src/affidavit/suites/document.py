"""The suite as it is written: schema ``affidavit.suite/v1``.

Every key but ``schema``, ``id`` and ``version`` may be left out; what is left out is the profile's, or the run's own.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from affidavit.contracts import Action, Attempts, Endpoint, Mode, Section, Version, check_endpoint, check_id

SCHEMA = "affidavit.suite/v1"
COLLECTORS = ("syscall", "file-access", "network", "process-tree")
# What every trial does, whatever graders its task names: the record is judged, the diff too, the tests are run.
ALWAYS = ("execution_trace", "state_diff", "test_run")

Collector = Literal["syscall", "file-access", "network", "process-tree"]
Method = Literal[
    "execution_trace", "state_diff", "test_run", "value", "ast", "performance", "semantic", "model", "human"
]
Runtime = Literal["runc", "gvisor"]
Recorder = Literal["ebpf", "gvisor", "ptrace"]
Assurance = Literal["control", "separate"]


def check_writable(text: str) -> str:
    """A folder that is to be writable. Raises ValueError, as pydantic wants it."""
    parts = text.split("/")
    if not text.startswith("/") or "." in parts or ".." in parts or "\0" in text:
        raise ValueError(f"must be an absolute path without '.' and '..', not {text[:60]!r}")
    if not text.strip("/") or parts[1] in ("dev", "proc", "sys"):
        raise ValueError(f"{text[:60]!r} can't be made writable: a read-only root would be none")
    return "/" + text.strip("/")


class Isolation(Section):
    """What the sandbox makes possible.

    Attributes:
        runtime: which one.
        network: ``none``, or ``allowlist``: `endpoints` can be reached by name, as far as a task's contract allows it.
        endpoints: what an agent may reach; a task without a contract of its own allows them.
        root: the root file system is always read-only.
        writable: folders that are writable beside those that the task's contract lets the agent write. A task without a
            contract of its own may write there; one that has one is held to it.
    """

    runtime: Literal["auto", "runc", "gvisor"] | None = None
    network: Literal["none", "allowlist"] | None = None
    endpoints: tuple[Annotated[str, AfterValidator(check_endpoint)], ...] = ()
    root: Literal["read-only"] | None = None
    writable: tuple[Annotated[str, AfterValidator(check_writable)], ...] = ()


class Recording(Section):
    """Who records, and what is wanted in the record."""

    recorder: Literal["auto", "ebpf", "gvisor", "ptrace"] | None = None
    collectors: tuple[Collector, ...] = COLLECTORS  # type: ignore[assignment]


class Contracts(Section):
    """How contracts are enforced; `mode`, `actions` and `attempts` go before those of the tasks' contracts."""

    mode: Mode | None = None
    actions: Annotated[tuple[Action, ...], Field(min_length=1)] | None = None
    attempts: Attempts | None = None
    versioning: Literal["semver"] | None = None
    signature_algorithm: Literal["ed25519"] | None = None


class Validation(Section):
    """How results are validated.

    Attributes:
        trials: of each task.
        methods: kinds of graders that are wanted.
        model_judge: whether a model may grade; False: a task that has a model grader is refused.
        fallback_to_deterministic: whether graders that are no model decide where a model can't.
    """

    trials: Annotated[int, Field(ge=1, le=10_000)] | None = None
    methods: tuple[Method, ...] = ALWAYS  # type: ignore[assignment]
    model_judge: bool | None = None
    fallback_to_deterministic: bool = True


class Retention(Section):
    """For how many days the evidence is to be kept."""

    days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class Analysis(Section):
    """From which score on a run counts as anomalous."""

    anomaly_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class Export(Section):
    """In which form verdicts are passed on beside the bundles: ``otlp``: OpenTelemetry's log records, in a file."""

    format: Literal["bundle", "otlp"] | None = None


class Demands(Section):
    """What must hold for a run to begin, whoever says otherwise.

    Attributes:
        runtimes, recorders: one of these; None: any.
        contract: ``own``: no task runs under the default contract; ``signed``: and each contract is signed by a key
            that is known.
        mode: every contract is enforced strictly.
        actions: these are taken.
        attempts: what a refused act is under every contract.
        control: every grading is repeated with tests that must fail, where tests and solution do not run apart.
        assurance: what must stand behind every score at least; a trial without it has no score.
        trials: so many of each task at least.
        alerts: violations are reported somewhere.
        model_judge: False: no model grades.
    """

    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)] | None = None
    recorders: Annotated[tuple[Recorder, ...], Field(min_length=1)] | None = None
    contract: Literal["own", "signed"] | None = None
    mode: Literal["strict"] | None = None
    actions: tuple[Action, ...] = ()
    attempts: Literal["violation"] | None = None
    control: bool = False
    assurance: Assurance | None = None
    trials: Annotated[int, Field(ge=1, le=10_000)] = 1
    alerts: bool = False
    model_judge: Literal[False] | None = None


class SuiteDocument(Section):
    """A suite as it is written."""

    schema_: Annotated[Literal["affidavit.suite/v1"], Field(alias="schema")]
    id: Annotated[str, AfterValidator(check_id)]
    version: Version
    summary: str = ""
    profile: str | None = None
    tasks: tuple[str, ...] | None = None
    isolation: Isolation = Isolation()
    recording: Recording = Recording()
    contracts: Contracts = Contracts()
    validation: Validation = Validation()
    retention: Retention = Retention()
    analysis: Analysis = Analysis()
    export: Export = Export()
    demands: Demands = Demands()

    def settings(self) -> dict[str, Any]:
        """What is written, but for name, tasks and demands."""
        named = {"schema_", "id", "version", "summary", "profile", "tasks", "demands"}
        return self.model_dump(mode="json", exclude_unset=True, exclude=named)

    def not_honoured(self) -> dict[str, str]:
        """What is written and not done yet, or not as one may think: field and sentence."""
        said: dict[str, str] = {}
        isolation, validation = self.isolation, self.validation
        addresses = [text for text in isolation.endpoints if Endpoint.parse(text).host is None]
        if isolation.endpoints and isolation.network != "allowlist":
            said["isolation.endpoints"] = (
                "the network is none, so they can't be reached; trying to is no violation where the task has no "
                "contract of its own"
            )
        elif addresses:
            said["isolation.endpoints"] = f"{', '.join(addresses)}: hosts are reached by name only, never by address"
        if missing := [name for name in COLLECTORS if name not in self.recording.collectors]:
            said["recording.collectors"] = f"the record is always whole: {', '.join(missing)} is in it all the same"
        if further := [name for name in validation.methods if name not in ALWAYS]:
            said["validation.methods"] = f"{', '.join(further)}: a task names such graders in its task.toml"
        if missing := [name for name in ALWAYS if name not in validation.methods]:
            said["validation.methods"] = f"{', '.join(missing)} takes place all the same"
        if validation.model_judge:
            said["validation.model_judge"] = "no model grades unless a task's task.toml names one"
        if not validation.fallback_to_deterministic:
            said["validation.fallback_to_deterministic"] = "graders that are no model always decide"
        if self.retention.days is not None:
            said["retention.days"] = "nothing is removed by itself: affidavit prune removes what is older"
        if self.analysis.anomaly_threshold is not None:
            said["analysis.anomaly_threshold"] = "nothing computes anomaly scores yet"
        return said


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two documents' values, section by section; what `over` says counts."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result
