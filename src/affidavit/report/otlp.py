"""Verdicts and violations as OpenTelemetry log records, in the file format of OTLP/JSON: a line for each trial.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ and the messages of
opentelemetry/proto/logs/v1/logs.proto, in the JSON encoding of OTLP (whole numbers of 64 bits are strings).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

# opentelemetry/proto/logs/v1/logs.proto, SeverityNumber.
_INFO, _WARN, _ERROR, _FATAL = 9, 13, 17, 21
_OF_VERDICT = {"pass": _INFO, "fail": _INFO, "violation": _ERROR, "inconclusive": _WARN, "error": _ERROR}
_OF_SEVERITY = {"low": _INFO, "medium": _WARN, "high": _ERROR, "critical": _FATAL}
_TEXT = {_INFO: "INFO", _WARN: "WARN", _ERROR: "ERROR", _FATAL: "FATAL"}


def otlp_lines(run: Mapping[str, Any], version: str, now_ns: int) -> Iterator[str]:
    """The lines of a file ``….jsonl``: of each trial its verdict, then each violation, then each attempt.

    Args:
        run: the content of ``run.json``.
        version: affidavit's.
        now_ns: when this is written, nanoseconds since 1970; the records say no other time.
    """
    resource = {
        "service.name": "affidavit",
        "service.version": version,
        "affidavit.run.id": run["run_id"],
        **{f"affidavit.{kind}.id": of["id"] for kind, of in _named(run.get("terms", {}))},
    }
    for trial in run["trials"]:
        records = [
            {"observedTimeUnixNano": str(now_ns), **record, "attributes": _attributes(record["attributes"])}
            for record in _records(trial)
        ]
        logs = {
            "resource": {"attributes": _attributes(resource)},
            "scopeLogs": [{"scope": {"name": "affidavit", "version": version}, "logRecords": records}],
        }
        yield json.dumps({"resourceLogs": [logs]}) + "\n"


def _named(terms: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((kind, terms[kind]) for kind in ("suite", "profile") if kind in terms)


def _records(trial: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of a trial, their attributes still plain."""
    about = {"task.id": trial["task_id"], "trial": trial["trial"], "agent": trial["agent"]}
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
    # A name that is not UTF-8 would make no JSON that others read.
    return {"stringValue": str(value).encode("utf-8", "backslashreplace").decode()}
