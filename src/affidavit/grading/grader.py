"""What a grader gets and what it returns.

A grader is a frozen object made from a :class:`~affidavit.tasks.GraderSpec` by a function ``grader(spec)`` of the
module of its kind (``KINDS`` in ``graders.py``), which reads its settings and raises TaskError for wrong ones
(``settings.py``: a Pydantic model, ``read_settings(spec, Model)``). Its ``grade`` is a pure function of a
:class:`Material`: the same material gives the same :class:`Grade`, in a run and in ``verify``. It runs on the machine,
after every process of the agent is gone, and nothing of the agent's is ever run, followed or opened but by way of
``Material.files``.

A minimal kind::

    class Settings(GraderSettings):
        answer: AbsolutePath
        expected: str

    @dataclass(frozen=True)
    class ExactGrader:
        settings: Settings
        deterministic: bool = True

        def grade(self, material: Material) -> Grade:
            text = material.text(self.settings.answer)
            if text is None:
                return Grade(0.0, f"{self.settings.answer} is not there")
            right = text.strip() == self.settings.expected
            evidence = Evidence(files=(self.settings.answer,))
            return Grade(float(right), "the expected text" if right else "another text", evidence=evidence)

    def grader(spec: GraderSpec) -> ExactGrader:
        return ExactGrader(read_settings(spec, Settings))

What the agent did wrong is a low score with a sentence, never an exception. An exception is a fault of the machinery:
the verdict is ``error``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import pyarrow as pa

from affidavit.events import Process, process_tree
from affidavit.grading.timings import Timings
from affidavit.grading.verifier_record import VerifierRecord
from affidavit.sandbox import Change, Exit, FileFacts

MOST_BYTES = 16 << 20
"""What `Material.bytes` reads of a file at most, where nothing else is said."""


@dataclass(frozen=True)
class Finding:
    """Something in the grading that speaks against the agent: a violation of its contract.

    Attributes:
        rule: ``grading.reward_writer``, ``grading.control`` …: ``grading.`` and a word.
        message: a sentence.
        events: the events that prove it, of the stage `stage`.
        stage: ``grader`` or ``agent``.
    """

    rule: str
    message: str
    events: tuple[int, ...] = ()
    stage: Literal["agent", "grader"] = "grader"


@dataclass(frozen=True)
class Component:
    """A part of a grade.

    Attributes:
        name: unique in the grade; a test's, a check's.
        score: from 0 to 1.
        message: a sentence: what was found, what was expected.
        weight: against the other components.
    """

    name: str
    score: float
    message: str
    weight: float = 1.0


@dataclass(frozen=True)
class Evidence:
    """What a grade rests on.

    Attributes:
        events: ``seq`` of events of the record of `stage`.
        files: paths of the agent's files that were looked at, spelled by encode_name.
        stage: the one with that record: ``agent`` or ``grader``.
        details: anything else that shows how the score came about, as JSON has it (str keys; str, int, float, bool,
            None, lists and objects of these; floats finite).
    """

    events: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    stage: str = "agent"
    details: Mapping[str, Any] = field(default_factory=dict)


Assurance = Literal["outcome", "control", "separate"]
"""What stands behind a score, the weakest first: what the tests came to and nothing else; that and a control, which
tests made wrong must fail; tests that no code of the agent's had a hand in."""

ASSURANCES: Final[tuple[Assurance, ...]] = get_args(Assurance)


def weakest(assurances: Iterable[Assurance]) -> Assurance | None:
    """The weakest of them; None where there is none."""
    return min(assurances, key=ASSURANCES.index, default=None)


@dataclass(frozen=True)
class Grade:
    """What a grader says.

    Attributes:
        score: from 0 to 1; None where there is none: then one of `error`, `abstained` says why.
        message: a sentence on how it came about.
        components: its parts; :func:`weighted` makes a score of them.
        evidence: what it rests on.
        error: the task or the machinery is at fault, in a sentence with the fix: the verdict is ``error``.
        abstained: a grader that is not deterministic (a model, a human) has no opinion, in a sentence: the others
            decide without it, and the verdict says so. A deterministic one never abstains.
        unproven: the record does not show what the score rests on, in a sentence: the verdict is ``inconclusive``.
        findings: what speaks against the agent.
        assurance: what stands behind the score; None: that follows from the grader.
        note: what the verdict is to say beside the score, in a sentence.
    """

    score: float | None
    message: str = ""
    components: tuple[Component, ...] = ()
    evidence: Evidence = Evidence()
    error: str | None = None
    abstained: str | None = None
    unproven: str | None = None
    findings: tuple[Finding, ...] = ()
    assurance: Assurance | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for score in (self.score, *(component.score for component in self.components)):
            if score is not None and not 0 <= score <= 1:
                raise ValueError(f"a score of {score}, which is not from 0 to 1")
        if self.score is None and not (self.error or self.abstained):
            raise ValueError("a grade without a score says why")

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``grade.json``."""
        value = asdict(self)
        for name in ("assurance", "note"):
            # Bundles of version 0.1 have neither.
            if value[name] is None:
                del value[name]
        return value


class FinalFiles(Protocol):
    """The files of the sandbox as the agent left them and as they were carried over to grading: the pristine root file
    system (without the machine's /usr, where ``rootfs = "host"``) with those of the agent's changes on top that its
    contract allows.

    Paths are absolute, spelled by encode_name. No symlink is followed, on the way neither: what is behind one is not
    there. FIFOs, sockets and devices are never opened. What is asked here is kept in the bundle, so that ``verify`` can
    ask it again.
    """

    def stat(self, path: str) -> FileFacts | None:
        """What stands under `path`, the symlink itself where it is one; None where nothing does. Raises OSError for a
        path that is not absolute or can't be looked at."""

    def read(self, path: str, most: int) -> bytes:
        """A regular file's content. Raises FileNotFoundError; OSError where it is no regular file, or larger than
        `most` bytes (``errno.EFBIG``)."""

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a folder (last components), sorted; none where there is no such folder. Raises OSError."""


@dataclass(frozen=True)
class AgentRun:
    """How the agent ran.

    Attributes:
        record: reads its record, EVENT_SCHEMA: most graders never ask, and it may be gigabytes.
        counts: its system call counts, COUNT_SCHEMA.
        exit: how its command ended.
        stdout, stderr: what it wrote there, bounded by the sandbox.
    """

    record: Callable[[], pa.Table]
    counts: pa.Table
    exit: Exit
    stdout: bytes
    stderr: bytes

    @cached_property
    def events(self) -> pa.Table:
        """Its record, EVENT_SCHEMA."""
        return self.record()

    @cached_property
    def processes(self) -> list[Process]:
        """Its processes as trees."""
        return process_tree(self.events)


@dataclass(frozen=True)
class AgentFiles:
    """What the agent left.

    Attributes:
        changes: all that it changed, permitted or not, as ``diff.json`` has it.
        carried: paths of those changes that were carried over to grading.
        files: the final files; see FinalFiles.
        before: the same before the agent's work.
    """

    changes: Sequence[Change]
    carried: frozenset[str]
    files: FinalFiles
    before: FinalFiles

    @cached_property
    def rewritten(self) -> frozenset[str]:
        """Paths of those changes carried over that are more than another mode or owner."""
        return self.carried - {change.path for change in self.changes if change.kind == "metadata"}


@dataclass(frozen=True)
class TestsRun:
    """What the hidden tests left, for the grader ``test_run``.

    Attributes:
        verifier: what came out of their sandboxes.
        events: the record of the sandbox of the first round, EVENT_SCHEMA.
        counts: system call counts, COUNT_SCHEMA, of each stage of `VerifierRecord.controlled`.
    """

    __test__ = False

    verifier: VerifierRecord
    events: pa.Table
    counts: Sequence[pa.Table]


@dataclass(frozen=True)
class Material:
    """All that a grader gets.

    Attributes:
        instruction: the agent's.
        workdir: the task's working directory, absolute.
        agent: how it ran.
        work: what it left.
        reference: the task's folder ``tests/``, trusted, with what the settings name (an expected table, a schema);
            None where it is not at hand, which only graders without reference files survive.
        tests: what the hidden tests left; None where none ran.
        timings: what was timed (``performance`` only), by the grader's name; None where nothing was.
    """

    instruction: str
    workdir: str
    agent: AgentRun
    work: AgentFiles
    reference: Path | None = None
    tests: TestsRun | None = None
    timings: Mapping[str, Timings] | None = None

    def bytes(self, path: str, most: int = MOST_BYTES) -> bytes | None:
        """Content of an answer: of a file of the agent's, or of its standard output where `path` is ``stdout``.

        None where it is not there, is no regular file, or is larger than `most` bytes.
        """
        if path == "stdout":
            return self.agent.stdout if len(self.agent.stdout) <= most else None
        try:
            return self.work.files.read(path, most)
        except OSError:
            return None

    def text(self, path: str, most: int = MOST_BYTES) -> str | None:
        """As `bytes`, as text; bytes that are not UTF-8 show as U+FFFD, a byte order mark is dropped."""
        raw = self.bytes(path, most)
        return None if raw is None else raw.decode("utf-8-sig", "replace")


class Grader(Protocol):
    """One grader of a task, its settings read."""

    @property
    def deterministic(self) -> bool:
        """Whether the same material always gives the same grade: neither a model nor a human."""

    def grade(self, material: Material) -> Grade:
        """Grade what the agent left."""


def weighted(components: Sequence[Component]) -> float:
    """The mean of the components' scores by their weights; 0 where they have none."""
    total = sum(component.weight for component in components)
    if not total:
        return 0.0
    # Not above 1 by rounding, and exactly 1 where every one is.
    return min(1.0, sum(component.score * component.weight for component in components) / total)
