"""A run as OpenTelemetry data, in the file format of OTLP/JSON: verdicts, violations and evaluation results as log
records, trials as spans. A file holds one kind of data, and a line is of one trial.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ and the messages of
opentelemetry/proto/logs/v1/logs.proto and opentelemetry/proto/trace/v1/trace.proto, in the JSON encoding of OTLP (whole
numbers of 64 bits are strings, ids are hexadecimal). The event ``gen_ai.evaluation.result``, the span ``invoke_agent``
and attributes ``gen_ai.*`` are those of https://github.com/open-telemetry/semantic-conventions-genai.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from affidavit.evidence import (
    BundleReader,
    read_grades,
)

# opentelemetry/proto/logs/v1/logs.proto, SeverityNumber.
_INFO, _WARN, _ERROR, _FATAL = 9, 13, 17, 21
_OF_VERDICT = {"pass": _INFO, "fail": _INFO, "violation": _ERROR, "inconclusive": _WARN, "error": _ERROR}
_OF_SEVERITY = {"low": _INFO, "medium": _WARN, "high": _ERROR, "critical": _FATAL}
# opentelemetry/proto/trace/v1/trace.proto: SpanKind, StatusCode.
_INTERNAL, _FAILED = 1, 2
_TEXT = {_INFO: "INFO", _WARN: "WARN", _ERROR: "ERROR", _FATAL: "FATAL"}


Graders = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""What the graders of a trial said: `name`, `score`, `message`, `error`; see `published_graders`."""


def otlp_lines(run: Mapping[str, Any], version: str, now_ns: int, graders: Graders = lambda trial: ()) -> Iterator[str]:
    """The lines of a file ``….jsonl`` of log records: of each trial its verdict, each violation, each attempt, and an
    evaluation result for the trial and for each of its graders.

    Args:
        run: the content of ``run.json``.
        version: affidavit's.
        now_ns: when this is written, nanoseconds since 1970; the records say no other time.
        graders: of a trial of the run.
    """
    for trial in run["trials"]:
        records = [
            {
                "observedTimeUnixNano": str(now_ns),
                "traceId": _trace_id(run),
                "spanId": _span_id(run, trial),
                **record,
                "attributes": _attributes(record["attributes"]),
            }
            for record in (*_records(trial), *_results(trial, graders(trial)))
        ]
        logs = {"resource": _resource(run, version), "scopeLogs": [{"scope": _scope(version), "logRecords": records}]}
        yield json.dumps({"resourceLogs": [logs]}) + "\n"


def published_graders(trial: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the graders of a trial of ``run.json`` said, as its bundle publishes it.

    Raises:
        EvidenceError: its bundle can't be read.
    """
    if trial["bundle"] is None:
        return []
    with BundleReader(Path(trial["bundle"])) as reader:
        return [
            {"name": one.name, "score": one.grade.score, "message": one.grade.message, "error": one.grade.error}
            for one in read_grades(reader).graders
        ]


def otlp_spans(run: Mapping[str, Any], version: str) -> Iterator[str]:
    """The lines of a file ``….jsonl`` of spans: of the run, and of each trial below it.

    Args:
        run: the content of ``run.json``; trials that do not say when they began have no span.
        version: affidavit's.
    """
    spans = [_trial_span(run, trial) for trial in run["trials"] if trial.get("began")]
    if not spans:
        return
    whole = {
        "traceId": _trace_id(run),
        "spanId": _span_id(run),
        "name": "affidavit.run",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(min(int(span["startTimeUnixNano"]) for span in spans)),
        "endTimeUnixNano": str(max(int(span["endTimeUnixNano"]) for span in spans)),
        "attributes": _attributes({"affidavit.trials": len(run["trials"])}),
    }
    for span in (whole, *spans):
        traces = {"resource": _resource(run, version), "scopeSpans": [{"scope": _scope(version), "spans": [span]}]}
        yield json.dumps({"resourceSpans": [traces]}) + "\n"


def _trial_span(run: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    start = round(datetime.fromisoformat(trial["began"]).timestamp()) * 1_000_000_000
    own = {name: trial[name] for name in ("verdict", "score", "raw_score", "mode", "assurance") if name in trial}
    said = {f"affidavit.{name}": value for name, value in {**_about(trial), **own}.items()}
    failed = {"status": {"code": _FAILED, "message": trial["reasons"][0] if trial["reasons"] else ""}}
    return {
        "traceId": _trace_id(run),
        "spanId": _span_id(run, trial),
        "parentSpanId": _span_id(run),
        "name": f"invoke_agent {_text(trial['agent'])}",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + trial["duration_ms"] * 1_000_000),
        "attributes": _attributes(
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": trial["agent"], **said}
        ),
        # What the agent did wrong is no failure of the operation.
        **(failed if trial["verdict"] == "error" else {}),
    }


def _resource(run: Mapping[str, Any], version: str) -> dict[str, Any]:
    values = {
        "service.name": "affidavit",
        "service.version": version,
        "affidavit.run.id": run["run_id"],
        **{f"affidavit.{kind}.id": of["id"] for kind, of in _named(run.get("terms", {}))},
    }
    return {"attributes": _attributes(values)}


def _scope(version: str) -> dict[str, str]:
    return {"name": "affidavit", "version": version}


def _trace_id(run: Mapping[str, Any]) -> str:
    """The trace of a run: the same whenever it is written, so that log records and spans find each other."""
    return hashlib.sha256(f"affidavit {run['run_id']}".encode()).hexdigest()[:32]


def _span_id(run: Mapping[str, Any], trial: Mapping[str, Any] | None = None) -> str:
    name = json.dumps([run["run_id"], None if trial is None else [*_about(trial).values()]])
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _about(trial: Mapping[str, Any]) -> dict[str, Any]:
    return {"task.id": trial["task_id"], "trial": trial["trial"], "agent": trial["agent"]}


def _results(trial: Mapping[str, Any], graders: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Evaluation results as the semantic conventions have them: of the trial, then of each grader."""
    said = ": ".join([trial["verdict"], *trial["reasons"][:1]])
    yield _result(trial, "affidavit.verdict", trial["score"], trial["verdict"], said, None)
    for grader in graders:
        yield _result(trial, grader["name"], grader["score"], None, grader["message"], grader["error"])


def _result(
    trial: Mapping[str, Any], name: str, score: float | None, label: str | None, said: str, error: str | None
) -> dict[str, Any]:
    attributes = {
        "gen_ai.evaluation.name": name,
        "gen_ai.evaluation.score.value": None if score is None else float(score),
        "gen_ai.evaluation.score.label": label,
        "gen_ai.evaluation.explanation": said or None,
        # Low cardinality, as `error.type` must be.
        "error.type": "grading_error" if error else None,
        **{f"affidavit.{about}": value for about, value in _about(trial).items()},
    }
    return {
        "eventName": "gen_ai.evaluation.result",
        "severityNumber": _INFO,
        "severityText": _TEXT[_INFO],
        "attributes": attributes,
    }


def _named(terms: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((kind, terms[kind]) for kind in ("suite", "profile") if kind in terms)


def _records(trial: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of a trial, their attributes still plain."""
    about = _about(trial)
    own = {name: trial[name] for name in ("verdict", "score", "raw_score", "mode", "duration_ms", "bundle")}
    own |= {"assurance": trial.get("assurance"), "reasons": trial["reasons"]}
    attempts = trial.get("attempts", [])
    own["attempts"] = len(attempts)
    own |= {f"contract.{name}": value for name, value in trial["contract"].items()}
    own |= {f"evidence.{name}": value for name, value in trial["evidence"].items()}
    said = ": ".join([f"{trial['task_id']} #{trial['trial']}: {trial['verdict']}", *trial["reasons"][:1]])
    yield _record("affidavit.trial", _OF_VERDICT[trial["verdict"]], said, {**about, **own})
    for violation in trial["violations"]:
        found = {name: value for name, value in violation.items() if name != "message"}
        yield _record(
            "affidavit.violation", _OF_SEVERITY[violation["severity"]], violation["message"], {**about, **found}
        )
    for attempt in attempts:
        found = {name: value for name, value in attempt.items() if name != "message"}
        yield _record("affidavit.attempt", _INFO, attempt["message"], {**about, **found})


def _record(name: str, severity: int, said: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "eventName": name,
        "severityNumber": severity,
        "severityText": _TEXT[severity],
        "body": _value(said),
        "attributes": {f"affidavit.{name}": value for name, value in attributes.items()},
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that there are: a null is left out."""
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    """opentelemetry/proto/common/v1/common.proto, AnyValue."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case dict():
            return {"kvlistValue": {"values": _attributes(value)}}
    return {"stringValue": _text(value)}


def _text(value: Any) -> str:
    # A name that is not UTF-8 would make no JSON that others read.
    return str(value).encode("utf-8", "backslashreplace").decode()
