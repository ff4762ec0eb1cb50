"""Verdicts and violations in the file format of OTLP/JSON."""

import json
from typing import Any

from affidavit.report import otlp_lines

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
    trial, violation, attempt = scope["logRecords"]
    assert len(second["scopeLogs"][0]["logRecords"]) == 1
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
