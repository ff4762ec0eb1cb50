"""The graders of a trial, and grading a bundle anew."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from affidavit.evidence import BundleReader, EvidenceError
from affidavit.grading import Graded, Material, NamedGrader, make_graders
from affidavit.sandbox import Change
from affidavit.tasks import DEFAULT_GRADERS, GraderSpec, Task, TaskError
from affidavit.verification.documents import agent_counts, agent_events, read_exit
from affidavit.verification.observed_files import KeptFiles


def grade_all(graders: Sequence[NamedGrader], material: Material) -> tuple[Graded, ...]:
    """Every grader's word, in the task's order."""
    return tuple(_graded(named, named.spec, material) for named in graders)


def _graded(named: NamedGrader, stands: GraderSpec | Graded, material: Material) -> Graded:
    """A grader's word, with the name, weight and gate that stand in the task or in a bundle."""
    deterministic = named.grader.deterministic
    grade = named.grade(material)
    if grade.assurance is None:
        # A deterministic grader looks at what the agent left, out of reach of its code; a model or a human can be told
        # things by it.
        grade = replace(grade, assurance="separate" if deterministic else "outcome")
    return Graded(stands.name, stands.kind, stands.weight, stands.gate, deterministic, grade)


def stored_grades(grade: Mapping[str, Any]) -> tuple[Graded, ...]:
    """The graders' words as a bundle's ``grade.json`` has them.

    Raises:
        EvidenceError: they are none.
    """
    graders = grade.get("graders")
    if not isinstance(graders, list) or not graders:
        raise EvidenceError("grade.json: has no graders")
    try:
        return tuple(Graded.from_json(value) for value in graders)
    except ValueError as error:
        raise EvidenceError(str(error)) from None


def regrade(reader: BundleReader, changes: Sequence[Change], carried: frozenset[str], task: Task | None) -> str:
    """Grade a bundle anew, as far as it goes, and hold it against what the bundle says.

    The hidden tests' own result is recomputed from the bundle alone: the reward, who wrote it, the control. Other
    deterministic graders need the task, which holds what is expected; a model or a human is not asked again.

    Args:
        reader: the bundle.
        changes: the agent's.
        carried: paths of those that were carried over.
        task: of the same digest as the bundle's; None where it is not at hand.

    Returns:
        A sentence on what was graded anew and what was not.

    Raises:
        EvidenceError: a grade comes out otherwise, or the task is another one.
    """
    grade = reader.grade
    stored = stored_grades(grade)
    if grade.get("carried") != sorted(carried):
        raise EvidenceError("grade.json: its list of what was carried over is not what the contract gives")
    graders = _graders(reader, task)
    names = [(named.spec.name, named.spec.kind, named.spec.weight, named.spec.gate) for named in graders.values()]
    if task is not None and names != [(graded.name, graded.kind, graded.weight, graded.gate) for graded in stored]:
        raise EvidenceError("grade.json: its graders are not the task's")
    material = _material(reader, changes, carried, task)
    anew, left = [], []
    for graded, value in zip(stored, grade["graders"], strict=True):
        named = graders.get(graded.name)
        if named is None or not named.grader.deterministic or named.spec.kind != graded.kind:
            left.append(graded)
            continue
        computed = json.loads(json.dumps(_graded(named, graded, material).to_json()))
        if "assurance" not in value:
            del computed["assurance"]
        if computed != value:
            differing = sorted(key for key in computed if computed[key] != value.get(key))
            raise EvidenceError(f"grade.json: graded anew, {graded.name} comes out otherwise: {', '.join(differing)}")
        anew.append(graded)
    return "; ".join(filter(None, (_said("graded anew", anew), _not_anew(left, task))))


def _graders(reader: BundleReader, task: Task | None) -> dict[str, NamedGrader]:
    """The graders that can be asked again, by name."""
    if task is not None:
        if task.digest != reader.task.get("digest"):
            raise EvidenceError(f"{task.path}: is not the task of this bundle: its digest is {task.digest}")
        try:
            return {named.spec.name: named for named in make_graders(task.graders)}
        except TaskError as error:
            raise EvidenceError(str(error)) from error
    (default,) = make_graders(DEFAULT_GRADERS)
    return {graded.name: default for graded in stored_grades(reader.grade) if graded.kind == default.spec.kind}


def _material(reader: BundleReader, changes: Sequence[Change], carried: frozenset[str], task: Task | None) -> Material:
    grade, about = reader.grade, reader.task
    tested, execs = "grader" in reader.parts(), reader.execs()
    return Material(
        instruction=about["instruction"],
        workdir=about["workdir"],
        record=lambda: agent_events(reader.events("agent"), execs),
        counts=agent_counts(reader.events("agent"), reader.counts("agent"), execs)[0],
        exit=read_exit(reader.json_object("agent/exit.json")),
        stdout=reader.read("agent/stdout"),
        stderr=reader.read("agent/stderr"),
        changes=changes,
        carried=carried,
        files=KeptFiles(reader, grade.get("files") or {}),
        before=KeptFiles(reader, grade.get("before") or {}),
        reference=None if task is None else task.tests_dir,
        verifier=grade.get("verifier"),
        timings=grade.get("timings"),
        grader_events=reader.event_table("grader") if tested else None,
    )


def _said(what: str, graded: Sequence[Graded]) -> str:
    return f"{what}: {', '.join(one.name for one in graded)}" if graded else ""


def _not_anew(left: Sequence[Graded], task: Task | None) -> str:
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
