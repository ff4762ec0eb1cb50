"""The GitHub Action, as far as it can be tested without GitHub: its form, and its scripts in GitHub's shell."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness import Home, write_task

TOP = Path(__file__).parents[3]
ACTION = TOP / "action.yml"
WORKFLOW = TOP / "examples/integrations/github/workflow.yml"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(ACTION)
STEPS: list[dict[str, Any]] = DOCUMENT["runs"]["steps"]
SCRIPTS = {step["name"]: step["run"] for step in STEPS if "run" in step}
# What GitHub makes of `shell: bash`.
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]


@pytest.mark.parametrize(("schema", "path"), [("github-actions", ACTION), ("github-workflows", WORKFLOW)])
def test_the_published_schema_takes_it(schema: str, path: Path) -> None:
    command = [TOP / ".venv/bin/check-jsonschema", "--builtin-schema", f"vendor.{schema}", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_that_is_used_is_there() -> None:
    text = ACTION.read_text()
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(DOCUMENT["inputs"])
    used = set(re.findall(r"steps\.run\.outputs\.(\w+)", text))
    assert (
        used
        == set(DOCUMENT["outputs"])
        == set(re.findall(r"(?:'|\\n|\")(\w+)=(?:%s|\$status)", SCRIPTS["Run the agent"]))
    )
    call = next(step for step in YAML(typ="safe").load(WORKFLOW)["jobs"]["agents"]["steps"] if "with" in step)
    assert call["with"].keys() <= DOCUMENT["inputs"].keys()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_bash_and_no_input_gets_into_it(name: str) -> None:
    assert "${{" not in SCRIPTS[name]
    done = subprocess.run(["bash", "-n"], input=SCRIPTS[name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if shellcheck := shutil.which("shellcheck"):
        done = subprocess.run([shellcheck, "--shell=bash", "-"], input=SCRIPTS[name], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def run_step(tmp_path: Path, home: Home) -> Any:
    def run(**inputs: str) -> tuple[int, dict[str, str], str]:
        output = tmp_path / "output"
        output.touch()
        env = {
            **os.environ,
            **home.env,
            **{name: "" for step in STEPS for name in step.get("env", ())},
            **inputs,
            "GITHUB_ACTION_PATH": str(TOP),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(tmp_path),
        }
        done = subprocess.run(
            [*BASH, "-c", SCRIPTS["Run the agent"]], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280
        )
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode, outputs, done.stdout + done.stderr

    return run


def test_the_step_ends_as_the_run_did_and_leaves_reports(run_step: Any, tmp_path: Path) -> None:
    write_task(tmp_path / "my task")
    status, outputs, said = run_step(
        INPUT_PATH="my task",
        INPUT_AGENT_CMD="echo '$(touch /tmp/x) 41' >/workspace/answer",
        INPUT_OPTIONS="--trials\n1\n\n--rootfs-outside\n",
    )
    assert (status, outputs["status"]) == (1, "1"), said
    assert (Path(outputs["run"]) / "ledger.jsonl").is_file()
    reports = Path(outputs["reports"])
    assert {"report.html", "junit.xml", "results.sarif"} <= {path.name for path in reports.iterdir()}
    assert ET.parse(reports / "junit.xml").getroot().find(".//testcase/failure") is not None


def test_a_usage_error_has_its_status_and_no_reports(run_step: Any) -> None:
    status, outputs, said = run_step(INPUT_PATH="gone", INPUT_AGENT="nop")
    assert (status, outputs) == (2, {"status": "2"}), said
