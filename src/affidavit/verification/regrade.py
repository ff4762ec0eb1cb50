"""The graders of a trial, and grading a bundle again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from affidavit.evidence import BundleReader, EvidenceError, GradeDocument, TaskDocument
from affidavit.grading import AgentFiles, AgentRun, Graded, Material, NamedGrader, TestsRun, make_graders
from affidavit.tasks import DEFAULT_GRADERS, GraderSpec, Task, TaskError
from affidavit.verification.agent_record import AgentRecord
from affidavit.verification.observed_files import KeptFiles


def grade_all(graders: Sequence[NamedGrader], material: Material) -> tuple[Graded, ...]:
    """Every grader's word, in the task's order."""
    return tuple(_graded(named, named.spec, material) for named in graders)


def _graded(named: NamedGrader, stands: GraderSpec | Graded, material: Material) -> Graded:
    """A grader's word, with the name, weight and gate that stand in the task or in a bundle."""
    deterministic = named.grader.deterministic
    grade = named.grade(material)
    if grade.assurance is None:
        # A deterministic grader looks at what the agent left, out of reach of its code; a model or a human can be
        # influenced by it.
        grade = replace(grade, assurance="separate" if deterministic else "outcome")
    return Graded(stands.name, stands.kind, stands.weight, stands.gate, deterministic, grade)


@dataclass(frozen=True)
class Kept:
    """What a bundle holds to be graded again.

    Attributes:
        reader: the bundle.
        grade: its ``grade.json``.
        document: its ``task.json``.
        record: what the agent did.
        carried: paths of the changes that the contract lets be carried over.
    """

    reader: BundleReader
    grade: GradeDocument
    document: TaskDocument
    record: AgentRecord
    carried: frozenset[str]


def regrade(kept: Kept, task: Task | None) -> str:
    """Grade a bundle again, as far as possible, and compare the result with the bundle's.

    The hidden tests' own result is recomputed from the bundle alone: the reward, who wrote it, the control. Other
    deterministic graders need the task, which holds what is expected; a model or a human is not asked again.

    Args:
        kept: the bundle.
        task: of the same digest as the bundle's; None where it is not at hand.

    Returns:
        A sentence on what was graded again and what was not.

    Raises:
        EvidenceError: a grade comes out otherwise, or the task is another one.
    """
    stored = kept.grade.graders
    if [*kept.grade.carried] != sorted(kept.carried):
        raise EvidenceError("grade.json: its list of what was carried over is not what the contract gives")
    graders = _graders(stored, kept.document, task)
    names = [(named.spec.name, named.spec.kind, named.spec.weight, named.spec.gate) for named in graders.values()]
    if task is not None and names != [(graded.name, graded.kind, graded.weight, graded.gate) for graded in stored]:
        raise EvidenceError("grade.json: its graders are not the task's")
    material = _material(kept, task)
    again, left = [], []
    for graded in stored:
        named = graders.get(graded.name)
        if named is None or not named.grader.deterministic or named.spec.kind != graded.kind:
            left.append(graded)
            continue
        computed = json.loads(json.dumps(_graded(named, graded, material).to_json()))
        value = json.loads(json.dumps(graded.to_json()))
        if graded.grade.assurance is None:
            # As in bundles of version 0.1.
            del computed["assurance"]
        if computed != value:
            differing = sorted(key for key in computed if computed[key] != value.get(key))
            raise EvidenceError(f"grade.json: graded again, {graded.name} differs in {', '.join(differing)}")
        again.append(graded)
    return "; ".join(filter(None, (_said("graded again", again), _not_regraded(left, task))))


def _graders(stored: Sequence[Graded], document: TaskDocument, task: Task | None) -> dict[str, NamedGrader]:
    """The graders that can be asked again, by name."""
    if task is not None:
        if task.digest != document.digest:
            raise EvidenceError(f"{task.path}: is not the task of this bundle: its digest is {task.digest}")
        try:
            return {named.spec.name: named for named in make_graders(task.scoring.graders)}
        except TaskError as error:
            raise EvidenceError(str(error)) from error
    (default,) = make_graders(DEFAULT_GRADERS)
    return {graded.name: default for graded in stored if graded.kind == default.spec.kind}


def _material(kept: Kept, task: Task | None) -> Material:
    reader, grade, record = kept.reader, kept.grade, kept.record
    tests = None
    if grade.verifier is not None and "grader" in reader.parts():
        counts = [reader.counts(stage) for stage in grade.verifier.controlled]
        tests = TestsRun(grade.verifier, reader.event_table("grader"), counts)
    stdout, stderr = reader.read("agent/stdout"), reader.read("agent/stderr")
    return Material(
        instruction=kept.document.instruction,
        workdir=kept.document.workdir,
        agent=AgentRun(record.events, record.counts, record.exit, stdout, stderr),
        work=AgentFiles(record.changes, kept.carried, KeptFiles(reader, grade.files), KeptFiles(reader, grade.before)),
        reference=None if task is None else task.tests.folder,
        tests=tests,
        timings=grade.timings,
    )


def _said(what: str, graded: Sequence[Graded]) -> str:
    return f"{what}: {', '.join(one.name for one in graded)}" if graded else ""


def _not_regraded(left: Sequence[Graded], task: Task | None) -> str:
    firm = [graded for graded in left if graded.deterministic]
    loose = [graded for graded in left if not graded.deterministic]
    return "; ".join(
        filter(
            None,
            (
                _said("taken as signed, for want of the task (--task FOLDER)" if task is None else "", firm),
                _said("taken as signed, for no machine decides them alone", loose),
            ),
        )
    )
