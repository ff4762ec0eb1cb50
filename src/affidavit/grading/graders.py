"""Makes the graders that a task asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from affidavit.grading.grader import Grade, Grader, Material
from affidavit.plugins import Group, PluginError, load_plugin, plugins
from affidavit.tasks import GraderSpec

# The module of each kind, which has a function `grader(spec: GraderSpec) -> Grader`; imported when a task wants it.
KINDS = {
    "ast": "affidavit.grading.syntax",
    "execution_trace": "affidavit.grading.execution_trace",
    "human": "affidavit.grading.human",
    "model": "affidavit.grading.model",
    "performance": "affidavit.grading.performance",
    "semantic": "affidavit.grading.semantic",
    "state_diff": "affidavit.grading.state_diff",
    "test_run": "affidavit.grading.test_run",
    "value": "affidavit.grading.value",
}


@dataclass(frozen=True)
class NamedGrader:
    """A grader and what the task says of it."""

    spec: GraderSpec
    grader: Grader

    def grade(self, material: Material) -> Grade:
        """Its grade; an error of its own is the machinery's fault."""
        try:
            return self.grader.grade(material)
        except Exception as error:
            return Grade(None, error=f"the grader failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def make_graders(specs: Sequence[GraderSpec]) -> tuple[NamedGrader, ...]:
    """The graders of a task.

    Raises:
        TaskError: a kind is unknown, its settings are wrong, or nothing deterministic decides.
    """
    graders = tuple(NamedGrader(spec, _make(spec)) for spec in specs)
    if not any(named.grader.deterministic and named.spec.weight for named in graders):
        raise specs[0].error(
            "kind", "is not deterministic, and neither is any other grader with a weight; put one beside it that is"
        )
    runs = [named.spec for named in graders if named.spec.kind == "test_run"]
    if len(runs) > 1:
        raise runs[1].error("kind", "is test_run for the second time; a task has one tests/test.sh")
    return graders


def _make(spec: GraderSpec) -> Grader:
    if module := KINDS.get(spec.kind):
        made: Grader = import_module(module).grader(spec)
        return made
    plugged_in = plugins(Group.GRADERS)
    if entry := plugged_in.get(spec.kind):
        try:
            made = load_plugin(entry)(spec)
        except PluginError as error:
            raise spec.error("kind", str(error)) from error
        return made
    known = sorted({*KINDS, *plugged_in})
    near = get_close_matches(spec.kind, known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise spec.error("kind", f"there is no grader {spec.kind[:60]!r}; there are {', '.join(known)}{meant}")
