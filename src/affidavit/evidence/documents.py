"""The JSON documents of a trial's bundle as typed classes: the only place that knows how they are spelled.

``docs/bundle.md`` describes them. Each class reads what every version of Affidavit wrote, and writes today's form.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from affidavit.contracts import Action, Attempts, Mode
from affidavit.evidence.bundle import BundleReader
from affidavit.evidence.document import Document, SparseDocument, Texts
from affidavit.evidence.model_facts import ModelFacts
from affidavit.evidence.network_facts import NetworkFacts
from affidavit.evidence.statement import ContractFacts, TaskFacts, TrialFacts
from affidavit.grading import NOT_PUBLISHED, Assurance, Graded, Timings, VerifierRecord, published
from affidavit.sandbox import Change, Exit, Program
from affidavit.signing import EvidenceError, canonical_json
from affidavit.tasks import Profile, Task

# The fields of an identity that its digest covers: not its name, nor what was found in its files.
_WHAT_AN_AGENT_IS = ("version", "command_sha256", "model", "environment", "definition", "brought")


class TaskDocument(Document):
    """``task.json``: what a verdict rests on, and the labels that reports group by.

    Attributes:
        id, digest, instruction, workdir: the task's.
        agent_timeout_s, verifier_timeout_s: seconds.
        control: whether the tests have a control.
        passing_score: the least score that counts as solved.
        profile: what its sandboxes are like inside, ``strict`` or ``container``.
        labels: see `affidavit.tasks.Labels`.
        step: the name of the step that all of this is of; empty where the task has none.
        earlier_steps: how many steps come before that one.
    """

    id: str
    digest: str
    instruction: str
    workdir: str
    agent_timeout_s: float
    verifier_timeout_s: float
    control: bool
    passing_score: float
    profile: Profile = "strict"
    labels: dict[str, JsonValue] = Field(default_factory=dict)
    step: str = Field(default="", exclude_if=lambda step: not step)
    earlier_steps: int = Field(default=0, ge=0, exclude_if=lambda steps: not steps)

    @classmethod
    def of(cls, task: Task) -> "TaskDocument":
        """The document of a task."""
        return cls(
            id=task.id,
            digest=task.digest,
            instruction=task.instruction,
            workdir=task.environment.workdir,
            agent_timeout_s=task.limits.agent_timeout_s,
            verifier_timeout_s=task.limits.verifier_timeout_s,
            control=task.scoring.control,
            passing_score=task.scoring.passing_score,
            profile=task.environment.profile,
            labels=task.labels.to_json(),
            step=task.step,
            earlier_steps=task.earlier_steps,
        )


class Installed(Document):
    """The files that an agent's installation made: their digest and number."""

    digest: str
    files: int


class PlantedPart(Document):
    """A hidden file of the task (its path) that was among the agent's own files, and where."""

    hidden: str
    place: str


class BroughtScan(Document):
    """What was found in the agent's own files; see :func:`affidavit.agents.scan_brought`.

    Attributes:
        planted: hidden parts of the task that were found.
        opaque: what could not be read, the first 20.
        unread: how many of those there are.
        complete: all was looked at.
        failed: why its files were not looked at, a sentence; None: they were.
    """

    planted: list[PlantedPart]
    opaque: list[str]
    unread: int
    complete: bool
    failed: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether all of it was read, and nothing hidden was in it."""
        return self.complete and self.failed is None and not self.planted and not self.unread

    @property
    def sentence(self) -> str:
        """What to tell a person."""
        said = []
        if self.planted:
            named = ", ".join(f"{one.hidden} in {one.place}" for one in self.planted[:3])
            said.append(f"the agent contains hidden parts of the task: {named}")
        if self.unread:
            said.append(f"{self.unread} of the agent's own files can't be read")
        if self.failed is not None:
            said.append(f"the agent's own files were not searched: {self.failed}")
        elif not self.complete:
            said.append("the agent's own files were not searched to the end: there are too many")
        return "; ".join(said) or "nothing hidden was found in the agent's own files"


class Identity(Document):
    """Who was evaluated.

    Attributes:
        name, version: the agent's.
        command: its command, cut, without secrets.
        command_sha256: of the whole command without secrets, hexadecimal; None in bundles of version 0.1.
        model: the model that it was given; empty where it had none.
        environment: the variables that its definition sets.
        brought: the files that its installation made; None where nothing was installed.
        definition: digest of the definition that it is of; None where it has none.
        scan: whether hidden parts of the task are among its files; None where that was not looked at.
    """

    name: str
    version: str = ""
    command: str = ""
    command_sha256: str | None = None
    model: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    brought: Installed | None = None
    definition: str | None = None
    scan: BroughtScan | None = None

    @property
    def digest(self) -> str | None:
        """``sha256:`` and a digest, in hex, of what the agent is, whatever it is called: its version, command,
        variables, definition, files, and the model that it was given. None where that is not known, as in
        bundles of version 0.1."""
        if self.command_sha256 is None:
            return None
        said = self.to_json()
        try:
            written = canonical_json({name: said[name] for name in _WHAT_AN_AGENT_IS})
        except EvidenceError:
            return None
        return "sha256:" + hashlib.sha256(written).hexdigest()


def read_identity(name: str, value: object) -> Identity | None:
    """Who was evaluated.

    Args:
        name: the document's, for errors.
        value: what it says of the identity; None where it says nothing, as in bundles of version 0.1.

    Raises:
        EvidenceError: it is no identity.
    """
    return None if value is None else Identity.read(f"{name}: identity", value)


def stated_identity(facts: TrialFacts) -> Identity | None:
    """What a statement says of who was evaluated; None where it says nothing. Raises EvidenceError."""
    return read_identity("the statement", (facts.model_extra or {}).get("identity"))


class LedgerFacts(Document):
    """What a ledger came to; see `affidavit.runs.Checkpoint`."""

    size: int
    root: str


class PlanFacts(Document):
    """Which trial of which signed plan it was.

    Attributes:
        digest, nonce: the plan's; the nonce is None in bundles that did not know one.
        trial: its name in the plan.
        attempt: at the trial, from 1.
        seed: for the agent's random choices.
        ledger: the ledger that ends with the attempt's start.
    """

    digest: str
    nonce: str | None = None
    trial: str
    attempt: int
    seed: int
    ledger: LedgerFacts


def stated_plan(facts: TrialFacts) -> PlanFacts | None:
    """What a statement says of its plan; None where it names none. Raises EvidenceError."""
    stated = (facts.model_extra or {}).get("plan")
    return None if stated is None else PlanFacts.read("the statement's plan", stated)


class StepFacts(Document):
    """Which step of a trial a bundle is of.

    Attributes:
        name: in the task.
        number, of: which one, from 1, and how many the task has.
        previous: digest of the statement of the step before; None for the first.
    """

    name: str
    number: int = Field(ge=1)
    of: int = Field(ge=1)
    previous: str | None

    @property
    def sentence(self) -> str:
        """What to tell a person."""
        after = "" if self.previous is None else f", after the bundle {self.previous}"
        return f"step {self.number} of {self.of}, {self.name}{after}"


def stated_step(facts: TrialFacts) -> StepFacts | None:
    """What a statement says of its step; None where it is of a whole trial. Raises EvidenceError."""
    stated = (facts.model_extra or {}).get("step")
    return None if stated is None else StepFacts.read("the statement's step", stated)


class TrialPredicate(Document):
    """The predicate of a trial's statement, but for what `BundleWriter.seal` computes from the files.

    Attributes:
        run_id, trial, agent: which trial, and its agent's name.
        identity: who was evaluated.
        model: content of ``agent/model.json``; None where the agent had no model.
        network: what ``agent/network.json`` comes to; None where the agent could reach no hosts.
        task, contract: what was tried, and what held.
        verdict, score, raw_score, assurance: what it came to.
        runtime, recorder: what was used.
        plan: which trial of which plan it was.
        step: which step of the trial; None: the task has none.
    """

    run_id: str
    trial: int
    agent: str
    identity: Identity
    model: ModelFacts | None = None
    network: NetworkFacts | None = None
    task: TaskFacts
    contract: ContractFacts
    verdict: str
    score: float | None
    raw_score: float | None
    assurance: Assurance | None
    runtime: str
    recorder: str
    plan: PlanFacts
    step: StepFacts | None = None

    def to_json(self) -> dict[str, Any]:
        """The predicate as JSON; what there was not is left out."""
        value, optional = super().to_json(), ("model", "network", "step")
        return {name: fact for name, fact in value.items() if fact is not None or name not in optional}


class Enforcement(Document):
    """How the contract was enforced.

    Attributes:
        mode, actions: in place of the contract's own.
        attempts: in place of the contract's own; None: its own counts.
        assurance: what had to stand behind the score at least; None: nothing was demanded.
    """

    mode: Mode
    actions: Annotated[tuple[Action, ...], Field(strict=False)]
    attempts: Attempts | None = None
    assurance: Assurance | None = None

    @property
    def knows_attempts(self) -> bool:
        """Whether it is of a version that tells attempts from violations."""
        return "attempts" in self.model_fields_set


class ProgramDocument(Document):
    """What a program's name stood for in the root file system; see `affidavit.sandbox.Program`."""

    digest: str
    via: Texts


class CacheFacts(Document):
    """The cache that answered what tests downloaded.

    Attributes:
        digest: of the cache.
        answers: how many it holds.
        filling: the tests had the web, for filling it.
        failed: requests that failed meanwhile; None where it was not filled.
    """

    digest: str
    answers: int
    filling: bool
    failed: Texts | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = serialize(self)
        return {name: one for name, one in value.items() if one is not None}


class SettingsFacts(Document):
    """What the sandbox enforced of the contract; see `affidavit.contracts.SandboxSettings`."""

    writable: Texts = ()
    deny_syscalls: Texts = ()
    wall_ms: int | None = None
    cpu_ms: int | None = None
    memory_mb: int | None = None
    pids: int | None = None


class VersionFacts(Document):
    """A suite or a profile: its name, its version, and the digest of its bytes."""

    id: str
    version: str
    digest: str


class TermsFacts(SparseDocument):
    """What suite and profile say of a run.

    Attributes:
        profile, suite: None: there is none.
        settings: of both together, section by section.
        not_honoured: what the suite says that is not done: field and sentence.
    """

    profile: VersionFacts | None = None
    suite: VersionFacts | None = None
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    not_honoured: dict[str, str] = Field(default_factory=dict)

    @property
    def export_format(self) -> str | None:
        """The form in which the run is exported; None: it is not."""
        export = self.settings.get("export")
        form = export.get("format") if isinstance(export, dict) else None
        return form if isinstance(form, str) else None


class EnvironmentDocument(Document):
    """``environment.json``: where, by what and under which terms a trial took place.

    Attributes:
        affidavit: version.
        run_id, trial: None in bundles of version 0.1.
        runtime, recorder, runtime_detail, recorder_why: what was used, and why.
        kernel, machine: as uname(2) has them.
        rootfs: digest of the root file system.
        tests_rootfs: of the one that the tests have of their own; None: they have none.
        verifier_cache: of the cache that answers what tests download; None: there is none.
        agent: its name.
        identity: None in bundles of version 0.1.
        settings: what the sandbox enforced of the contract.
        enforcement: None: the contract as it is.
        terms: of suite and profile.
        keep_until: the day until which the evidence is to be kept, in ISO 8601; None: nobody says.
        programs: what programs' names stood for; None for a name that stood for nothing.
        decoys: where they lay in the agent's sandbox.
    """

    affidavit: str
    run_id: str | None = None
    trial: int | None = None
    runtime: str
    runtime_detail: str
    recorder: str
    recorder_why: str
    kernel: str
    machine: str
    rootfs: str
    tests_rootfs: str | None = None
    verifier_cache: CacheFacts | None = None
    agent: str
    identity: Identity | None = None
    settings: SettingsFacts
    enforcement: Enforcement | None = None
    terms: TermsFacts = TermsFacts()
    keep_until: str | None = None
    programs: dict[str, ProgramDocument | None] = Field(default_factory=dict)
    decoys: Texts = ()

    def program(self, path: str) -> Program | None:
        """What a program's name stood for; None where it stood for nothing."""
        of = self.programs.get(path)
        return None if of is None else Program(of.digest, of.via)


class ExitDocument(Document):
    """``exit.json`` of a part: how its command ended, see `affidavit.sandbox.Exit`.

    Attributes:
        halted: the contract ended it.
    """

    code: int | None
    signal: int | None
    timed_out: bool
    oom: bool
    duration_ms: int
    halted: bool = False

    @classmethod
    def of(cls, ended: Exit, halted: bool) -> "ExitDocument":
        """The document of an end."""
        return cls(**asdict(ended), halted=halted)

    @property
    def exit(self) -> Exit:
        """How the command ended."""
        return Exit(self.code, self.signal, self.timed_out, self.oom, self.duration_ms)


def diff_json(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """``diff.json``: what the agent changed."""
    return [asdict(change) for change in changes]


class ChangeDocument(Document):
    """A change, see `affidavit.sandbox.Change`."""

    path: str
    kind: Literal["added", "modified", "metadata", "deleted"]
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str | None
    target: str | None

    @property
    def change(self) -> Change:
        """The change."""
        return Change(**self.model_dump())


EARLIER = "earlier.json"
"""The file of a step's bundle that says what its agent began with of the steps before."""


class EarlierDocument(Document):
    """``earlier.json``: what the agent of a step began with of the steps before.

    Attributes:
        changed: what it had changed, against the task's own files, as in ``diff.json``.
        gone: paths of the changes of the step before that it did not find: what the task brought for this step is in
            their place, or it is no file, folder or symlink.
        rules: what the contract's rules had come to, numbers by their ids.
    """

    changed: tuple[ChangeDocument, ...] = Field(strict=False)
    gone: Texts = ()
    rules: dict[str, Annotated[tuple[int, ...], Field(strict=False)]] = Field(default_factory=dict)

    @classmethod
    def of(
        cls, changes: Sequence[Change], before: Sequence[Change], rules: Mapping[str, tuple[int, ...]]
    ) -> "EarlierDocument":
        """The document of what a step begins with.

        Args:
            changes: what is there.
            before: the diff of the step before.
            rules: what the contract's rules have come to.
        """
        gone = {change.path for change in before} - {change.path for change in changes}
        written = tuple(ChangeDocument.model_validate(asdict(change)) for change in changes)
        return cls(changed=written, gone=tuple(sorted(gone)), rules=dict(rules))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What the agent had changed."""
        return tuple(one.change for one in self.changed)


class ChangedText(Document):
    """The text of a file that the agent changed, before and after; None where there was no file."""

    path: str
    before: str | None
    after: str | None


class ChangedTexts(Document):
    """``texts.json``: the texts of the files that the agent changed.

    Attributes:
        files: in the order of ``diff.json``.
        left_out: how many other files were added, modified or deleted.
    """

    files: Annotated[tuple[ChangedText, ...], Field(strict=False)] = ()
    left_out: int = 0


class FileStat(Document):
    """What stood under a path; see `affidavit.sandbox.FileFacts`."""

    type: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str | None


class Observation(SparseDocument):
    """What graders asked of one path, and were answered; what was not asked is not set.

    Attributes:
        stat: None: nothing stands there.
        names: in the folder.
        sha256: of the content, in hex.
        larger_than: the content is larger than so many bytes, the most that a grader would read.
        error: the content can't be read: errno.
    """

    stat: FileStat | None = None
    names: Texts = ()
    sha256: str = ""
    larger_than: int = -1
    error: int | None = None

    def asked(self, what: str) -> bool:
        """Whether a grader asked for `what`, the name of a field."""
        return what in self.model_fields_set


def _observations(where: str, asked: Mapping[str, object]) -> dict[str, Observation]:
    return {path: Observation.read(f"grade.json: {where}: {path}", one) for path, one in asked.items()}


@dataclass(frozen=True)
class GradeDocument:
    """``grade.json``, which is private, and ``grades.json``, which holds what everybody may know of it.

    Attributes:
        score: of all graders together; None where there is none.
        graders: what each said; empty where the grading failed.
        failed: why the grading broke off, which only a violation survives; None where it did not.
        verifier: what the hidden tests left; None where there are none.
        files, before: what the graders looked at among the final files and among those before the agent's work, by
            path.
        carried: paths of the changes that were carried over to grading, sorted.
        public: it is ``grades.json``, which has none of the last four, nor of `timings`.
        timings: see `affidavit.grading.Material`.
    """

    score: float | None
    graders: tuple[Graded, ...] = ()
    failed: str | None = None
    verifier: VerifierRecord | None = None
    files: Mapping[str, Observation] = field(default_factory=dict)
    before: Mapping[str, Observation] = field(default_factory=dict)
    carried: tuple[str, ...] = ()
    public: bool = False
    timings: Mapping[str, Timings] | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "GradeDocument":
        """What `to_json` wrote.

        Raises:
            EvidenceError: it did not.
        """
        match value:
            case {"score": None, "graders": [], "failed": str(why)}:
                return cls(None, failed=why, public=True)
            case {"score": int() | float() | None as score, "graders": [_, *_] as graders} if not (
                isinstance(score, bool) or "failed" in value
            ):
                try:
                    read = tuple(Graded.from_json(one) for one in graders)
                except ValueError as error:
                    raise EvidenceError(str(error)) from None
            case _:
                raise EvidenceError("grade.json: has no graders")
        if "carried" not in value:
            return cls(score, read, public=True)
        match value:
            case {
                "verifier": dict() | None as verifier,
                "files": dict(files),
                "before": dict(before),
                "carried": list(carried),
            } if all(isinstance(path, str) for path in carried) and isinstance(value.get("timings"), dict | None):
                timed = value.get("timings")
                try:
                    tested = None if verifier is None else VerifierRecord.read(verifier)
                    timings = None if timed is None else {name: Timings.read(one) for name, one in timed.items()}
                except ValueError as error:
                    raise EvidenceError(str(error)) from None
                return cls(
                    score,
                    read,
                    verifier=tested,
                    files=_observations("files", files),
                    before=_observations("before", before),
                    carried=tuple(carried),
                    timings=timings,
                )
        raise EvidenceError("grade.json: does not say what the graders looked at")

    def to_json(self) -> dict[str, Any]:
        """The document as JSON."""
        value: dict[str, Any] = {"score": self.score, "graders": [one.to_json() for one in self.graders]}
        if self.failed is not None:
            return {**value, "failed": self.failed}
        if self.public:
            return value
        value = {
            **value,
            "verifier": None if self.verifier is None else self.verifier.to_json(),
            "files": {path: one.to_json() for path, one in self.files.items()},
            "before": {path: one.to_json() for path, one in self.before.items()},
            "carried": list(self.carried),
        }
        if self.timings is not None:
            value["timings"] = {name: one.to_json() for name, one in self.timings.items()}
        return value

    def published(self) -> "GradeDocument":
        """``grades.json``: scores and findings, not what was expected, printed or found instead."""
        failed = None if self.failed is None else NOT_PUBLISHED
        return GradeDocument(self.score, tuple(published(one) for one in self.graders), failed, public=True)


def read_task(reader: BundleReader) -> TaskDocument:
    """``task.json`` of a bundle. Raises EvidenceError, like the functions below."""
    return TaskDocument.read("task.json", reader.task)


def read_environment(reader: BundleReader) -> EnvironmentDocument:
    """``environment.json``."""
    return EnvironmentDocument.read("environment.json", reader.environment)


def read_exit(reader: BundleReader, part: str) -> ExitDocument:
    """``exit.json`` of a part."""
    name = f"{part}/exit.json"
    return ExitDocument.read(name, reader.json(name))


def read_diff(reader: BundleReader) -> list[Change]:
    """``diff.json``: what the agent changed."""
    value, names = reader.diff, {one.name for one in fields(Change)}
    if not isinstance(value, list) or not all(isinstance(row, dict) and set(row) == names for row in value):
        raise EvidenceError("diff.json: holds something that is not a change")
    return [Change(**row) for row in value]


def read_earlier(reader: BundleReader) -> EarlierDocument | None:
    """What the agent of a step began with of the steps before; None where the bundle does not say. Raises
    EvidenceError."""
    if EARLIER not in reader.names():
        return None
    return EarlierDocument.read(EARLIER, reader.json(EARLIER))


def read_grade(reader: BundleReader) -> GradeDocument:
    """``grade.json``, which is private."""
    return GradeDocument.read(reader.grade)


def read_grades(reader: BundleReader) -> GradeDocument:
    """What everybody may know of it: ``grades.json``, or ``grade.json`` in bundles of version 0.1."""
    return GradeDocument.read(reader.grades)
