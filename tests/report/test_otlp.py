"""Verdicts and violations in the file format of OTLP/JSON."""

import json
from typing import Any

from affidavit.report import otlp_lines, otlp_spans

TRIAL: dict[str, Any] = {
    "task_id": "sum",
    "trial": 3,
    "agent": "cmd",
    "verdict": "violation",
    "score": 0.0,
    "raw_score": 1.0,
    "reasons": ["the contract was broken"],
    "violations": [
        {
            "rule": "files.deny",
            "severity": "critical",
            "action": "halt",
            "message": "read \udcff\n/tests",
            "events": [17, 2**60],
            "count": 2,
            "stage": "agent",
        }
    ],
    "attempts": [
        {"rule": "files.write", "outcome": "refused", "message": "tried", "events": [3], "count": 1, "stage": "agent"}
    ],
    "evidence": {"complete": True, "lost": 0, "gaps": ["one"], "more": {"a": 1}},
    "contract": {"id": "sum", "version": "1.0.0", "digest": "sha256:0", "signed_by": None},
    "mode": "strict",
    "began": "2026-11-27T08:00:00Z",
    "duration_ms": 812,
    "bundle": None,
}
RUN = {
    "run_id": "r",
    "terms": {"suite": {"id": "nightly"}},
    "trials": [TRIAL, {**TRIAL, "violations": [], "attempts": [], "trial": 4}],
}


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes as plain values; each AnyValue has one of its forms."""
    found = {}
    for one in attributes:
        [(form, value)] = one["value"].items()
        assert form in ("stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue")
        if form == "intValue":
            # Whole numbers of 64 bits are strings in JSON.
            assert isinstance(value, str)
            value = int(value)
        if form == "arrayValue":
            value = list(plain([{"key": str(n), "value": item} for n, item in enumerate(value["values"])]).values())
        found[one["key"]] = plain(value["values"]) if form == "kvlistValue" else value
    return found


def test_a_line_for_each_trial_and_a_record_for_each_violation() -> None:
    lines = list(otlp_lines(RUN, "0.1.0", 1_700_000_000_000_000_000))
    assert all(line.endswith("\n") and line.count("\n") == 1 and line.isascii() for line in lines)
    (first,), (second,) = ([json.loads(line)["resourceLogs"] for line in lines][n] for n in (0, 1))
    assert plain(first["resource"]["attributes"]) == {
        "service.name": "affidavit",
        "service.version": "0.1.0",
        "affidavit.run.id": "r",
        "affidavit.suite.id": "nightly",
    }
    [scope] = first["scopeLogs"]
    trial, violation, attempt, _ = scope["logRecords"]
    assert len(second["scopeLogs"][0]["logRecords"]) == 2
    assert {record["observedTimeUnixNano"] for record in (trial, violation)} == {"1700000000000000000"}
    assert (trial["eventName"], trial["severityNumber"], trial["severityText"]) == ("affidavit.trial", 17, "ERROR")
    assert trial["body"] == {"stringValue": "sum #3: violation: the contract was broken"}
    said = plain(trial["attributes"])
    assert (said["affidavit.verdict"], said["affidavit.score"], said["affidavit.raw_score"]) == ("violation", 0.0, 1.0)
    assert (said["affidavit.contract.version"], said["affidavit.evidence.complete"]) == ("1.0.0", True)
    assert (said["affidavit.evidence.gaps"], said["affidavit.evidence.more"]) == (["one"], {"a": 1})
    assert said["affidavit.attempts"] == 1
    assert (attempt["eventName"], attempt["severityText"]) == ("affidavit.attempt", "INFO")
    assert attempt["body"] == {"stringValue": "tried"}
    tried = plain(attempt["attributes"])
    assert (tried["affidavit.rule"], tried["affidavit.outcome"]) == ("files.write", "refused")
    # What there is not is left out.
    assert not {"affidavit.bundle", "affidavit.contract.signed_by"} & said.keys()
    assert (violation["eventName"], violation["severityText"]) == ("affidavit.violation", "FATAL")
    assert violation["body"] == {"stringValue": "read \\udcff\n/tests"}
    assert plain(violation["attributes"])["affidavit.events"] == [17, 2**60]


def test_evaluation_results_as_the_semantic_conventions_have_them() -> None:
    graders = [
        {"name": "tests", "score": 0.5, "message": "1 of 2 parts have full marks", "error": None},
        {"name": "values", "score": None, "message": "", "error": "why"},
    ]
    [line, _] = otlp_lines(RUN, "0.1.0", 1, lambda trial: graders if trial["trial"] == 3 else ())
    records = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    results = [record for record in records if record["eventName"] == "gen_ai.evaluation.result"]
    of_trial, tests, values = (plain(record["attributes"]) for record in results)
    assert of_trial["gen_ai.evaluation.name"] == "affidavit.verdict"
    assert (of_trial["gen_ai.evaluation.score.value"], of_trial["gen_ai.evaluation.score.label"]) == (0.0, "violation")
    assert of_trial["gen_ai.evaluation.explanation"] == "violation: the contract was broken"
    assert (tests["gen_ai.evaluation.name"], tests["gen_ai.evaluation.score.value"]) == ("tests", 0.5)
    assert (tests["gen_ai.evaluation.explanation"], tests["affidavit.task.id"]) == (
        "1 of 2 parts have full marks",
        "sum",
    )
    assert values["error.type"] == "grading_error"
    assert not {"gen_ai.evaluation.score.value", "gen_ai.evaluation.explanation"} & values.keys()


def test_a_span_for_the_run_and_each_trial() -> None:
    failed = {**TRIAL, "verdict": "error", "trial": 5, "began": "2026-11-27T08:00:07Z"}
    run = {**RUN, "trials": [TRIAL, failed, {**TRIAL, "trial": 6, "began": ""}]}
    lines = [*otlp_spans(run, "0.1.0")]
    spans = [json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for line in lines]
    whole, first, second = spans
    assert {len(span["traceId"]) for span in spans} == {32}
    assert len({span["spanId"] for span in spans}) == 3
    assert (whole["name"], first["parentSpanId"], second["parentSpanId"]) == (
        "affidavit.run",
        whole["spanId"],
        whole["spanId"],
    )
    assert (int(first["endTimeUnixNano"]) - int(first["startTimeUnixNano"])) == 812_000_000
    assert (whole["startTimeUnixNano"], whole["endTimeUnixNano"]) == (
        first["startTimeUnixNano"],
        second["endTimeUnixNano"],
    )
    said = plain(first["attributes"])
    assert (first["name"], said["gen_ai.operation.name"], said["gen_ai.agent.name"]) == (
        "invoke_agent cmd",
        "invoke_agent",
        "cmd",
    )
    assert (said["affidavit.verdict"], said["affidavit.score"]) == ("violation", 0.0)
    # What the agent did is no failure of the operation; what the machinery did is.
    assert ("status" in first, second["status"]["code"]) == (False, 2)
    # Log records lie in the spans of their trials.
    [line, *_] = otlp_lines(RUN, "0.1.0", 1)
    for record in json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        assert (record["traceId"], record["spanId"]) == (first["traceId"], first["spanId"])


def test_runs_of_older_versions_have_no_spans() -> None:
    assert [*otlp_spans({**RUN, "trials": [{name: TRIAL[name] for name in TRIAL if name != "began"}]}, "0.1.0")] == []
