"""A run as JUnit XML, which continuous integration services show: a suite for each task, a case for each trial.

The format is that of the schema that Jenkins publishes
(https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd).
"""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from affidavit.report.agent_names import agent_names
from affidavit.report.runs import RunView, TrialView
from affidavit.report.text import printable

_ELEMENTS = {"fail": "failure", "violation": "failure", "error": "error", "inconclusive": "skipped"}


def junit_text(runs: Sequence[RunView]) -> str:
    """Runs as JUnit XML. A trial that failed or broke its contract is a failure, one that is inconclusive is skipped:
    it says nothing."""
    names = agent_names(runs)
    root = ElementTree.Element("testsuites", _totals([trial for run in runs for trial in run.trials]))
    for run in runs:
        tasks: dict[str, list[TrialView]] = {}
        for trial in run.trials:
            tasks.setdefault(trial.task_id, []).append(trial)
        for task, trials in tasks.items():
            suite = ElementTree.SubElement(root, "testsuite", {"name": _text(task), **_totals(trials)})
            properties = ElementTree.SubElement(suite, "properties")
            ElementTree.SubElement(properties, "property", {"name": "affidavit.run", "value": _text(run.run_id)})
            for trial in trials:
                _case(suite, trial, names[run.run_id, trial.agent.name])
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _case(suite: ElementTree.Element, trial: TrialView, agent: str) -> None:
    named = {"classname": f"{trial.task_id}.{agent}", "name": f"trial {trial.trial}"}
    case = ElementTree.SubElement(
        suite, "testcase", {**{key: _text(value) for key, value in named.items()}, "time": _seconds([trial])}
    )
    said = [
        *trial.judged.reasons,
        *(f"{broken.rule} [{broken.severity}] {broken.message}" for broken in trial.judged.violations),
    ]
    if (element := _ELEMENTS.get(trial.verdict)) is not None:
        score = "no score" if trial.score is None else f"score {trial.score:g}"
        first = said[0] if said else score
        what = ElementTree.SubElement(case, element, {"message": _text(f"{trial.verdict}: {first}")})
        if element != "skipped":
            what.set("type", trial.verdict)
        what.text = "\n".join(map(_text, [score, *said]))


def _totals(trials: Sequence[TrialView]) -> dict[str, str]:
    kinds = [_ELEMENTS.get(trial.verdict) for trial in trials]
    counts = {"tests": len(trials), "failures": kinds.count("failure"), "errors": kinds.count("error")}
    counts["skipped"] = kinds.count("skipped")
    return {**{name: str(count) for name, count in counts.items()}, "time": _seconds(trials)}


def _seconds(trials: Iterable[TrialView]) -> str:
    return f"{sum(trial.duration_ms or 0 for trial in trials) / 1000:.3f}"


def _text(text: str) -> str:
    """Without characters that XML 1.0 has not (section 2.2)."""
    return "".join(c if c not in "\ufffe\uffff" else "?" for c in printable(text))
