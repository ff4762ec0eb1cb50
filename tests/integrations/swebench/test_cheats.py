"""What swebench's own grading pays, in its own Python: ``make test-swebench`` installs it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("AFFIDAVIT_PEERS", TOP)) / ".venv-swebench/bin/python"
EXAMPLE = TOP / "examples/integrations/swebench"
CHEATS = sorted((EXAMPLE / "cheats").glob("*.sh"))
# The system's python3 has pytest, and nothing of these tests.
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="swebench: not installed; make test-swebench does")


def shell(folder: Path, script: str) -> str:
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode()


def grading(logs: Path) -> str:
    command = [PYTHON, Path(__file__).with_name("stock.py"), EXAMPLE, logs]
    env = {**os.environ, "HOME": str(logs)}
    return subprocess.run(command, env=env, cwd=logs, check=True, capture_output=True, text=True).stdout


def test_the_stock_grading_pays_every_cheat(tmp_path: Path) -> None:
    task = EXAMPLE / "tasks/acme__slugs-7"
    base = next(line for line in (task / "task.yaml").read_text().splitlines() if line.startswith("base_commit: "))[13:]
    logs = tmp_path / "logs"
    logs.mkdir()
    grading(logs)
    script = (logs / "eval.sh").read_text()
    agents = {path.stem: f"bash {path}" for path in CHEATS} | {"honest": f"git apply {task}/gold.patch", "nop": ":"}
    for name, command in agents.items():
        # As its images have it: the base commit, with the whole history beside it.
        agent, testbed = tmp_path / name / "agent", tmp_path / name / "testbed"
        for folder in (agent, testbed):
            folder.mkdir(parents=True)
            stream = EXAMPLE / "slugs.fast-export"
            shell(folder, f"git init -q -b main && git fast-import --quiet <{stream} && git reset -q --hard {base}")
        # The future lies under a tag there, and the branch is back at the base commit.
        shell(agent, command)
        patch = tmp_path / name / "model.patch"
        shell(agent, f"git add -A && git diff --cached >{patch}")
        shell(testbed, f"[ ! -s {patch} ] || git apply {patch}")
        (logs / f"{name}.log").write_text(shell(testbed, script.replace("/testbed", str(testbed))))
    paid = json.loads(grading(logs))
    assert len(CHEATS) == 4
    assert paid == {name: name != "nop" for name in agents}
