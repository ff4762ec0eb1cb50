"""The violations of runs in SARIF 2.1.0, which code scanning services and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. A SARIF run is a run; a rule is a place in a contract;
a result is a violation of a trial, or an attempt at one (level ``note``). What is named lies in a sandbox, so results
have logical locations and no files of a repository.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from affidavit.report.agent_names import Key, agent_labels, agent_names
from affidavit.report.runs import Broken, RunView, TrialView, Tried
from affidavit.report.text import printable

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
# GitHub reads it as a CVSS score: critical above 9, high above 7, medium above 4.
_SECURITY = {"critical": "9.5", "high": "8.0", "medium": "5.0", "low": "2.0"}


def sarif_text(runs: Sequence[RunView]) -> str:
    """A SARIF log of runs, as JSON."""
    names, labels = agent_names(runs), agent_labels(runs)
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(run, names, labels) for run in runs]}
    return json.dumps(log, indent=1) + "\n"


def _run(run: RunView, names: Mapping[Key, str], labels: Mapping[Key, str]) -> dict[str, Any]:
    found = [
        (trial, broken, kind)
        for trial in run.trials
        for kind, several in (("violation", trial.judged.violations), ("attempt", trial.judged.attempts))
        for broken in several
    ]
    violations = [one for _, one, _ in found if isinstance(one, Broken)]
    rules = sorted({broken.rule for _, broken, _ in found})
    index = {rule: number for number, rule in enumerate(rules)}
    return {
        "tool": {
            "driver": {
                "name": "affidavit",
                "semanticVersion": version("affidavit"),
                "rules": [_rule(rule, [one for one in violations if one.rule == rule]) for rule in rules],
            }
        },
        "automationDetails": {"id": f"affidavit/{_text(run.run_id)}"},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": [*_notifications(run)]}],
        "results": [
            _result(
                run,
                trial,
                names[run.run_id, trial.agent.name],
                labels[run.run_id, trial.agent.name],
                broken,
                kind,
                index[broken.rule],
            )
            for trial, broken, kind in found
        ],
        "columnKind": "unicodeCodePoints",
    }


def _rule(rule: str, broken: Sequence[Broken]) -> dict[str, Any]:
    """A rule; `broken`: its violations, none where it has attempts only."""
    gravest = min((one.severity for one in broken), key=[*_LEVELS].index, default="low")
    return {
        "id": _text(rule),
        "shortDescription": {"text": f"The agent's contract: {_text(rule)}"},
        "defaultConfiguration": {"level": _LEVELS[gravest]},
        "properties": {"security-severity": _SECURITY[gravest], "tags": ["security"]},
    }


def _result(
    run: RunView, trial: TrialView, agent: str, label: str, broken: Broken | Tried, kind: str, rule: int
) -> dict[str, Any]:
    """A violation or an attempt; `agent`, `label`: what tells its agent apart in this log, and in every run of it."""
    place = f"{trial.task_id}/{agent}/{trial.trial}"
    identity = json.dumps([trial.task_id, label, broken.rule, broken.message])
    return {
        "ruleId": _text(broken.rule),
        "ruleIndex": rule,
        "level": _LEVELS[broken.severity] if isinstance(broken, Broken) else "note",
        "message": {"text": _text(broken.message) or f"{_text(broken.rule)} was broken"},
        "locations": [
            {"logicalLocations": [{"fullyQualifiedName": _text(place), "name": _text(trial.task_id), "kind": "trial"}]}
        ],
        "occurrenceCount": max(1, broken.count),
        "partialFingerprints": {"violation/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {
            "kind": kind,
            **(
                {"severity": broken.severity, "action": _text(broken.action)}
                if isinstance(broken, Broken)
                else {"outcome": _text(broken.outcome)}
            ),
            "stage": _text(broken.stage),
            "events": broken.events,
            "runId": _text(run.run_id),
            "verdict": trial.verdict,
            "contract": _text(f"{trial.contract.id}@{trial.contract.version}"),
        },
    }


def _notifications(run: RunView) -> Iterator[dict[str, Any]]:
    """Trials that were not judged: where no violation was found, there may have been one."""
    for trial in run.trials:
        if trial.verdict in ("inconclusive", "error"):
            why = "; ".join(trial.judged.reasons) or trial.verdict
            said = f"{trial.task_id} #{trial.trial}: {trial.verdict}: {why}"
            yield {"level": "warning", "message": {"text": _text(said)}}


def _text(text: str) -> str:
    """What came from a sandbox, without control characters and lone surrogates, which no reader takes."""
    return printable(text)
