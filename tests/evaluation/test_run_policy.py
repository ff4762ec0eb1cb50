"""What profile, suite file and command line say together, and what becomes of it in a run."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.contracts import Contract, contract_of, default_contract
from affidavit.evaluation import RunError
from affidavit.evaluation.run_policy import Terms, terms_of
from affidavit.suites import PROFILES, load_suite
from affidavit.tasks import DEFAULT_GRADERS, DeclaredContract, GraderSpec, Scoring, Task, load_task
from harness import Command

SPEC = Path(__file__).parents[1] / "data" / "spec" / "evaluation_suite.json"
HEAD = "schema: affidavit.suite/v1\nid: nightly\nversion: 1.0.0\n"

Make = Callable[..., Path]


def contract(**more: Any) -> Contract:
    return contract_of({"schema": "affidavit.contract/v1", "id": "x", "version": "1.0.0", **more}, "x")


def terms(profile: str | None = None, text: str | None = None, place: Path = Path(), **said: Any) -> Terms:
    suite = None
    if text is not None:
        (place / "suite.yaml").write_text(HEAD + text)
        suite = load_suite(place / "suite.yaml")
    named = {"runtime": None, "recorder": None, "trials": None, **said}
    return terms_of(suite, profile, named["runtime"], named["recorder"], named["trials"])


def test_without_profile_and_suite_everything_is_as_it_always_was() -> None:
    plain = terms()
    assert plain == Terms()
    assert plain.enforced(contract(mode="audit")).mode == "audit"
    assert plain.facts.to_json() == {}


def test_what_is_nearer_to_the_run_counts(task: Make, tmp_path: Path) -> None:
    task("one")
    profile = terms("leaderboard")
    assert (profile.runtime, profile.trials, profile.keep_days, profile.overrides.actions) == (
        "auto",
        5,
        730,
        ("flag", "halt"),
    )
    suite = terms("leaderboard", "isolation: {runtime: runc}\nvalidation: {trials: 7}\n", tmp_path)
    assert (suite.runtime, suite.trials, suite.keep_days) == ("runc", 7, 730)
    line = terms("leaderboard", "isolation: {runtime: runc}\n", tmp_path, runtime="gvisor", trials=6)
    assert (line.runtime, line.trials) == ("gvisor", 6)
    assert terms(None, "profile: compliance\n", tmp_path).runtime == "gvisor"
    with pytest.raises(RunError, match="the suite names the profile compliance; remove one of them"):
        terms("rnd", "profile: compliance\n", tmp_path)


def test_the_default_contract_takes_up_what_the_suite_allows(task: Make, tmp_path: Path) -> None:
    folder = task("one")
    found = terms(None, "isolation: {writable: [/data/out], endpoints: ['pypi.org:443']}\n", tmp_path)
    widened = found.for_default(default_contract(load_task(folder)), load_task(folder))
    assert "/data/out/**" in widened.write
    assert "!affidavit:test-infrastructure" in widened.write
    assert widened.document.network.endpoints == ("pypi.org:443",)
    assert widened.id == "affidavit/default-of-suite"


def checked(found: Terms, task: Task, of: Contract, alerts: int = 1) -> str:
    """What is demanded and does not hold; empty where all does."""
    try:
        found.check_choice("gvisor", "gvisor")
        found.check({task.id: task}, {task.id: of}, alerts)
    except RunError as error:
        return str(error)
    return ""


@pytest.fixture
def good(task: Make) -> Task:
    """A task with a contract."""
    return load_task(task("good", contract={}))


@pytest.mark.parametrize(
    ("profile", "change", "says"),
    [
        ("rnd", {"contract": DeclaredContract()}, ""),
        ("procurement", {}, ""),
        (
            "procurement",
            {"contract": DeclaredContract()},
            "the profile procurement demands that each task has a contract, and ",
        ),
        ("leaderboard", {}, ""),
        ("leaderboard", {"scoring": Scoring(DEFAULT_GRADERS, control=False)}, "demands the control, which"),
        (
            "leaderboard",
            {"scoring": Scoring((GraderSpec("model", "judge"),))},
            "demands that no model grades, and good has a",
        ),
        ("compliance", {}, "demands signed contracts, and no known key signed that of good"),
    ],
)
def test_what_a_profile_demands_of_tasks(good: Task, profile: str, change: dict[str, Any], says: str) -> None:
    found = checked(terms(profile), dataclasses.replace(good, **change), contract())
    assert found == says or (says and says in found)


@pytest.mark.parametrize(
    ("profile", "said", "says"),
    [
        ("procurement", {"trials": 2}, "demands 3 trials of each task at least, not 2"),
        ("leaderboard", {"trials": 4}, "demands 5 trials of each task at least, not 4"),
    ],
)
def test_what_a_profile_demands_of_the_command_line(good: Task, profile: str, said: dict[str, Any], says: str) -> None:
    assert says in checked(terms(profile, **said), good, contract())


def test_runtime_and_recorder_that_a_profile_demands() -> None:
    with pytest.raises(RunError, match="the profile leaderboard demands the recorder ebpf or gvisor, not ptrace"):
        terms("leaderboard").check_choice("runc", "ptrace")
    with pytest.raises(RunError, match="the profile compliance demands the runtime gvisor, not runc"):
        terms("compliance").check_choice("runc", "ebpf")


def test_a_suite_may_demand_too_but_not_take_back_what_a_profile_demands(good: Task, tmp_path: Path) -> None:
    text = "tasks: [good]\nprofile: procurement\ncontracts: {mode: audit}\n"
    assert "demands mode strict, and good is run in mode audit" in checked(
        terms(None, text, tmp_path), good, contract()
    )
    text = "tasks: [good]\ndemands: {alerts: true}\n"
    assert "the suite nightly demands that violations are reported" in checked(
        terms(None, text, tmp_path), good, contract(), alerts=0
    )


def test_a_suite_without_model_graders_refuses_them(good: Task, tmp_path: Path) -> None:
    judged = dataclasses.replace(good, scoring=Scoring((GraderSpec("model", "judge"),)))
    found = terms(None, "tasks: [good]\nvalidation: {model_judge: false}\n", tmp_path)
    assert "demands that no model grades" in checked(found, judged, contract())
    assert checked(found, good, contract()) == ""


def test_profiles_can_be_had(good: Task) -> None:
    for name in PROFILES[:-1]:
        assert checked(terms(name), good, contract()) == ""


def test_the_users_configuration_drives_a_run(affidavit: Command, task: Make, tmp_path: Path) -> None:
    task("suite/open", files={"environment/root/workspace/output/.keep": ""})
    task("suite/own", contract={"files": {"write": ["/workspace/answer"]}})
    (tmp_path / "suite" / "evaluation_suite.json").write_text(SPEC.read_text())
    agent = "echo 42 >answer; echo 1 >/workspace/output/x; echo 1 >/tmp/build-cache/y"
    ran = affidavit("run", "suite/evaluation_suite.json", "--agent-cmd", agent, "--runtime", "runc", "--json")
    by_task = {trial["task_id"]: trial for trial in ran.json["trials"]}
    # A task that has no contract may write there; one that has is held to it, and the action is the suite's: halt.
    assert by_task["open"]["verdict"] == "pass"
    assert {v["rule"] for v in by_task["own"]["violations"]} == {"files.write"}
    assert {v["action"] for v in by_task["own"]["violations"]} == {"halt"}
    assert ran.json["terms"]["suite"]["version"] == "1.2.0"
    assert ran.json["keep_until"] > "2026"
    said = " ".join(ran.json["notes"])
    for field in ("isolation.allowed_endpoints", "telemetry.retention_days", "telemetry.anomaly_threshold"):
        assert field in said
    [exported] = tmp_path.glob("runs/*/otlp.jsonl")
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert len(lines) == 2
    names = [r["eventName"] for line in lines for r in line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]]
    # How much it does before it is halted is its own affair.
    assert names.count("affidavit.trial") == 2
    assert set(names) == {"affidavit.trial", "affidavit.violation", "gen_ai.evaluation.result"}
    [traces] = tmp_path.glob("runs/*/otlp-traces.jsonl")
    assert len(traces.read_text().splitlines()) == 3
    for trial in by_task.values():
        environment = json.loads((tmp_path / trial["bundle"] / "environment.json").read_bytes())
        assert environment["terms"]["not_honoured"]["telemetry.anomaly_threshold"]
        tmp = "/tmp" if trial["task_id"] == "open" else "/tmp/build-cache"
        assert environment["settings"]["writable"] == [tmp, "/workspace"]
        assert affidavit("verify", trial["bundle"]).status == 0


def test_mode_audit_of_a_suite_is_loud_everywhere(affidavit: Command, task: Make, tmp_path: Path) -> None:
    task("suite/own", contract={"files": {"write": ["/workspace/**"], "deny": ["/etc/passwd"]}})
    (tmp_path / "suite" / "audit.yaml").write_text(HEAD + "contracts: {mode: audit}\n")
    ran = affidavit(
        *("run", "suite/audit.yaml", "--runtime", "runc", "--out", "out"),
        *("--agent-cmd", "echo 42 >answer; cat /etc/passwd"),
    )
    assert ran.status == 0
    assert "pass (AUDIT)" in ran.out
    assert "MODE AUDIT: in 1 of 1 trials violations were recorded and did not count" in ran.out
    assert "own: MODE AUDIT" in ran.err
    [bundle] = tmp_path.glob("out/*/own/0/bundle")
    verified = affidavit("verify", bundle)
    assert verified.status == 0
    assert "MODE AUDIT: violations were recorded and did not count" in verified.out
    [run] = [json.loads(path.read_text()) for path in tmp_path.glob("out/*/run.json")]
    assert [(t["mode"], t["verdict"], len(t["violations"])) for t in run["trials"]] == [("audit", "pass", 1)]


def test_the_mode_in_a_bundle_can_not_be_changed_afterwards(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task("own", contract={"files": {"write": ["/workspace/**"], "deny": ["/etc/passwd"]}})
    ran = affidavit("run", folder, "--runtime", "runc", "--agent-cmd", "echo 42 >answer; cat /etc/passwd", "--json")
    environment = tmp_path / ran.json["trials"][0]["bundle"] / "environment.json"
    facts = json.loads(environment.read_bytes())
    environment.write_text(json.dumps({**facts, "enforcement": {"mode": "audit", "actions": ["flag"]}}))
    verified = affidavit("verify", environment.parent)
    assert verified.status == 1
    assert "environment.json" in verified.out


def test_a_profile_that_can_not_be_had_is_wrong_use(affidavit: Command, task: Make) -> None:
    ran = affidavit("run", task("own"), "--profile", "procurement", "--agent", "nop")
    assert (ran.status, ran.out) == (2, "")
    assert "the profile procurement demands that each task has a contract" in ran.err
    assert affidavit("run", task("own"), "--profile", "strict", "--agent", "nop").status == 2


def test_profiles_are_listed(affidavit: Command) -> None:
    assert [name for name in PROFILES if name in affidavit("profiles").out] == list(PROFILES)
    listed = affidavit("profiles", "--json").json
    assert [profile["id"] for profile in listed] == list(PROFILES)
    assert listed[3]["demands"]["contract"] == "signed"
