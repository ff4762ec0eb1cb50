"""Suite files: the users' configuration and the schema affidavit.suite/v1."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from affidavit.grading import KINDS
from affidavit.suites import PROFILES, Suite, SuiteError, load_profile, load_suite, profile_facts
from affidavit.suites.document import Method

SPEC = Path(__file__).parents[1] / "data" / "spec" / "evaluation_suite.json"
HEAD = "schema: affidavit.suite/v1\nid: nightly\nversion: 1.0.0\n"

Make = Callable[..., Path]


@pytest.fixture
def tasks(task: Make, tmp_path: Path) -> Path:
    """A folder with the tasks one, two and three."""
    for name in ("one", "two", "three"):
        task(f"suite/{name}")
    (tmp_path / "suite" / "notes").mkdir()
    return tmp_path / "suite"


def test_a_suite_may_name_every_kind_of_grader() -> None:
    assert set(get_args(Method)) == set(KINDS)


def suite(folder: Path, text: str, name: str = "suite.yaml") -> Suite:
    (folder / name).write_text(text)
    return load_suite(folder / name)


def changed(section: str, **values: Any) -> str:
    """The users' configuration with some fields of a section changed."""
    document = json.loads(SPEC.read_text())
    document["evaluation_suite"][section] |= values
    return json.dumps(document)


def names(found: Suite) -> list[str]:
    return [task.id for task in found.tasks]


def test_the_configuration_loads_as_it_is(tasks: Path) -> None:
    found = suite(tasks, SPEC.read_text(), "evaluation_suite.json")
    document = found.document
    assert (document.id, document.version) == ("evaluation_suite", "1.2.0")
    assert names(found) == ["one", "three", "two"]
    assert (document.isolation.runtime, document.isolation.network) == ("gvisor", "none")
    assert document.isolation.endpoints == ("api.github.com", "pypi.org")
    assert document.isolation.writable == ("/workspace/output", "/tmp/build-cache")
    assert document.recording.collectors == ("syscall", "file-access", "network", "process-tree")
    assert (document.contracts.mode, document.contracts.actions) == ("strict", ("flag", "halt", "alert"))
    assert document.validation.methods == ("execution_trace", "state_diff", "test_run")
    assert (document.validation.model_judge, document.validation.fallback_to_deterministic) == (False, True)
    assert (document.retention.days, document.analysis.anomaly_threshold) == (90, 0.85)


def test_every_field_of_the_configuration_is_taken_over(tasks: Path) -> None:
    # Nothing of it may fall by the wayside: each value is found in the translation, or stands for one that is.
    translated = json.dumps(suite(tasks, SPEC.read_text()).document.settings())
    written = json.loads(SPEC.read_text())["evaluation_suite"]
    stands_for = {"deny-all": '"none"', "read-only-root": '"read-only"'}
    for section in ("isolation", "telemetry", "contracts", "validation"):
        for field, value in written[section].items():
            assert stands_for.get(str(value), json.dumps(value)) in translated, field


def test_what_is_not_honoured_is_said_by_the_fields_own_name(tasks: Path) -> None:
    assert set(suite(tasks, SPEC.read_text()).not_honoured) == {
        "isolation.allowed_endpoints",
        "telemetry.retention_days",
        "telemetry.anomaly_threshold",
    }


def test_an_allow_list_is_honoured(tasks: Path) -> None:
    changes = {"network_policy": "allow-list", "allowed_endpoints": ["pypi.org:443"]}
    found = suite(tasks, changed("isolation", **changes))
    assert not any(field.startswith("isolation") for field in found.not_honoured)
    assert (found.document.isolation.network, found.document.isolation.endpoints) == ("allowlist", ("pypi.org:443",))


@pytest.mark.parametrize(
    ("section", "values", "field"),
    [
        (
            "isolation",
            {"network_policy": "allow-list", "allowed_endpoints": ["10.0.0.5"]},
            "isolation.allowed_endpoints",
        ),
        ("telemetry", {"collectors": ["syscall"]}, "telemetry.collectors"),
        ("validation", {"methods": ["semantic", "test_run"]}, "validation.methods"),
        ("validation", {"llm_judge_enabled": True}, "validation.llm_judge_enabled"),
        ("validation", {"fallback_to_deterministic": False}, "validation.fallback_to_deterministic"),
    ],
)
def test_other_values_that_are_not_honoured(tasks: Path, section: str, values: dict[str, Any], field: str) -> None:
    assert field in suite(tasks, changed(section, **values)).not_honoured


@pytest.mark.parametrize(
    ("section", "values", "error"),
    [
        ("isolation", {"runtime": "docker"}, "isolation.runtime: must be 'auto', 'runc' or 'gvisor', not 'docker'"),
        ("isolation", {"filesystem_policy": "read-write"}, "filesystem_policy: must be 'read-only-root', not 'read-wr"),
        ("isolation", {"writable_paths": ["/"]}, "writable_paths[0]: '/' can't be made writable"),
        ("isolation", {"writable_paths": ["out"]}, "writable_paths[0]: must be an absolute path"),
        ("isolation", {"writable_path": []}, "writable_path: unknown key; did you mean 'writable_paths'?"),
        ("isolation", {"allowed_endpoints": ["http://x"]}, "allowed_endpoints[0]: 'http://x' is a URL"),
        ("telemetry", {"anomaly_threshold": 85}, "anomaly_threshold: must be at most 1.0, not 85"),
        ("telemetry", {"retention_days": "90"}, "retention_days: must be a whole number, not '90'"),
        ("telemetry", {"export_format": "csv"}, "export_format: must be 'bundle' or 'otlp', not 'csv'"),
        ("contracts", {"signature_algorithm": "rsa"}, "signature_algorithm: must be 'ed25519', not 'rsa'"),
        ("contracts", {"versioning": "calver"}, "versioning: must be 'semver', not 'calver'"),
        ("contracts", {"violation_actions": []}, "violation_actions: must have an entry at least"),
        ("validation", {"llm_judge_enabled": "no"}, "llm_judge_enabled: must be true or false, not 'no'"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(
    tasks: Path, section: str, values: dict[str, Any], error: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(tasks, changed(section, **values))
    assert error in str(caught.value)
    assert str(caught.value).startswith(f"{tasks}/suite.yaml:1:")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ('["one", "two"]', ["one", "two"]),
        ('["t*"]', ["three", "two"]),
        ('["*"]', ["one", "three", "two"]),
        ('["."]', ["one", "three", "two"]),
        ('["two", "t*"]', ["two", "three"]),
        ('["../suite/one"]', ["one"]),
    ],
)
def test_which_tasks(tasks: Path, wanted: str, found: list[str]) -> None:
    assert names(suite(tasks, f"{HEAD}tasks: {wanted}\n")) == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "is empty"),
        ("[]", "must be a mapping"),
        ("suite: {}", "is not a suite: it has neither schema: affidavit.suite/v1 nor evaluation_suite"),
        ("evaluation_siute: {}", "did you mean 'evaluation_suite'?"),
        ("evaluation_suite: {}", "evaluation_suite.version: is missing"),
        (f'{HEAD}tasks: ["four"]', "tasks[0]: 'four' names nothing in"),
        (f'{HEAD}tasks: ["not*"]', "what they name holds no task.toml"),
        (f'{HEAD}tasks: ["notes"]', "holds no task"),
        (f"{HEAD}validation: {{trials: 0}}", "suite.yaml:4:22: validation.trials: must be at least 1, not 0"),
        (f"{HEAD}isolaton: {{}}", "suite.yaml:4:1: isolaton: unknown key; did you mean 'isolation'?"),
        (HEAD.replace("suite/v1", "contract/v1"), "schema: must be 'affidavit.suite/v1'"),
    ],
)
def test_wrong_suites(tasks: Path, text: str, error: str) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(tasks, text)
    assert error in str(caught.value)


def test_profiles_are_documents_of_the_same_form() -> None:
    for name in PROFILES:
        profile = load_profile(name)
        assert (profile.id, profile.tasks, profile.profile) == (name, None, None)
        assert profile.summary
        assert profile_facts(name)["digest"].startswith("sha256:")
    with pytest.raises(SuiteError, match="there is no profile 'strict'; there are rnd, procurement, leaderboard, comp"):
        load_profile("strict")


def test_profiles_go_from_light_to_strict() -> None:
    demands = [len(load_profile(name).demands.model_fields_set) for name in PROFILES]
    assert demands == sorted(demands)
    assert demands[0] == 0
    days = [load_profile(name).retention.days or 0 for name in PROFILES]
    assert days == sorted(days)
