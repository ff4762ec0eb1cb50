"""Runs as SARIF 2.1.0 and as JUnit XML."""

import json
from pathlib import Path
from typing import Any

import defusedxml.ElementTree
import pytest

from affidavit.report import junit_text, read_runs, sarif_text
from harness import Command
from injections import INJECTIONS
from run_folders import MakeRun, trial, violation


def sarif(*runs: Path) -> Any:
    return json.loads(sarif_text(read_runs(runs)))


def test_violations_as_sarif(make_run: MakeRun) -> None:
    grave = violation(rule="operations.system", severity="critical", message="su (pid 3) ran", count=7, events=[1, 2])
    log = sarif(make_run([trial("a"), trial("b", 1, "violation", violations=[violation(), grave])]))
    assert (log["version"], log["$schema"].rsplit("/", 1)[1]) == ("2.1.0", "sarif-schema-2.1.0.json")
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["files.write", "operations.system"]
    assert rules[1]["properties"]["security-severity"] == "9.5"
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        [place] = result["locations"][0]["logicalLocations"]
        assert place["fullyQualifiedName"] == "b/oracle/1"
    last = run["results"][-1]
    assert (last["level"], last["message"]["text"], last["occurrenceCount"]) == ("error", "su (pid 3) ran", 7)
    assert last["properties"]["events"] == [1, 2]


def test_the_same_violation_has_the_same_fingerprint_in_every_trial(make_run: MakeRun) -> None:
    several = [violation(), violation(message="cp (pid 11) created /etc/x")]
    log = sarif(make_run([trial("a", number, "violation", violations=several) for number in (0, 1)]))
    found = [result["partialFingerprints"]["violation/v1"] for result in log["runs"][0]["results"]]
    assert found[:2] == found[2:]
    assert found[0] != found[1]


def test_a_trial_that_was_not_judged_is_no_silence(make_run: MakeRun) -> None:
    [run] = sarif(make_run([trial("a", 0, "inconclusive", reasons=["2 events were lost"])]))["runs"]
    [notification] = run["invocations"][0]["toolExecutionNotifications"]
    assert notification["message"]["text"] == "a #0: inconclusive: 2 events were lost"


def test_trials_as_junit(make_run: MakeRun) -> None:
    broken = violation()
    verdicts = [
        trial("a", 0),
        trial("a", 1, "fail"),
        trial("b", 0, "violation", violations=[broken]),
        trial("b", 1, "inconclusive", reasons=["2 events were lost"]),
        trial("b", 2, "error", reasons=["no sandbox"]),
    ]
    root = defusedxml.ElementTree.fromstring(junit_text(read_runs([make_run(verdicts)])))
    totals = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert totals == {"tests": "5", "failures": "2", "errors": "1", "skipped": "1"}
    assert [suite.get("name") for suite in root] == ["a", "b"]
    assert [[child.tag for child in case] for case in root.iter("testcase")] == [
        [],
        ["failure"],
        ["failure"],
        ["skipped"],
        ["error"],
    ]
    failure = root.find("./testsuite[@name='b']/testcase/failure")
    assert (failure.get("type"), broken["message"] in failure.text) == ("violation", True)


def test_agents_of_one_name_are_told_apart(make_run: MakeRun) -> None:
    broken = {"verdict": "violation", "violations": [violation()], "agent": "cmd"}
    folders = [
        make_run(
            [trial("a", **broken, identity={"name": "cmd", "command_sha256": letter * 64, "model": ""})],
            f"t-{run}",
            run,
        )
        for run, letter in (("r1", "a"), ("r2", "b"), ("r3", "b"))
    ]
    runs = read_runs(folders)
    log = json.loads(sarif_text(runs))
    results = [run["results"][0] for run in log["runs"]]
    places = [result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for result in results]
    cases = defusedxml.ElementTree.fromstring(junit_text(runs)).iter("testcase")
    for names in (places, [case.get("classname") for case in cases]):
        assert len(set(names)) == 3
        assert all("cmd, sha256:" in name for name in names)
    first, second, third = (result["partialFingerprints"]["violation/v1"] for result in results)
    assert first != second == third
    alone = json.loads(sarif_text(runs[:1]))["runs"][0]["results"][0]
    assert alone["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "a/cmd/0"


@pytest.mark.parametrize("text", INJECTIONS)
def test_hostile_text_stays_text(make_run: MakeRun, text: str) -> None:
    broken = violation(rule=text or "x", message=text, action=text, stage=text)
    run = make_run([trial("a", 0, "violation", agent=text or "x", reasons=[text], violations=[broken])])
    [result] = sarif(run)["runs"][0]["results"]
    assert result["message"]["text"].isprintable()
    root = defusedxml.ElementTree.fromstring(junit_text(read_runs([run])).encode())
    assert [element.tag for element in root.iter()] == [
        "testsuites",
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
    ]


def test_the_command_writes_both(affidavit: Command, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run([trial("a", 0, "violation", violations=[violation()])])
    ran = affidavit("report", run, "--sarif", tmp_path / "run.sarif", "--junit", tmp_path / "run.xml")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads((tmp_path / "run.sarif").read_text())["runs"][0]["results"]
    assert defusedxml.ElementTree.parse(tmp_path / "run.xml").getroot().get("failures") == "1"
