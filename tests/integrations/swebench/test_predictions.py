"""Predictions out of one run and into the next: ``make test-swebench`` runs it."""

import os
import subprocess
from pathlib import Path

import pytest

from affidavit.tasks import import_swebench
from harness import Command

TOP = Path(__file__).parents[3]
EXAMPLE = TOP / "examples/integrations/swebench"

pytestmark = pytest.mark.skipif(
    not (Path(os.environ.get("AFFIDAVIT_PEERS", TOP)) / ".venv-swebench/bin/python").exists(),
    reason="swebench: not installed; make test-swebench does",
)


def test_predictions_go_out_and_come_in(affidavit: Command, tmp_path: Path) -> None:
    repository = tmp_path / "repositories/acme/slugs.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    with (EXAMPLE / "slugs.fast-export").open("rb") as stream:
        subprocess.run(["git", "-C", repository, "fast-import", "--quiet"], stdin=stream, check=True)
    import_swebench(EXAMPLE, tmp_path / "tasks", tmp_path / "repositories")
    written = []
    for number, agent in enumerate((["--agent", "oracle"], ["--predictions", tmp_path / "0.jsonl"])):
        out = tmp_path / f"runs{number}"
        assert affidavit("run", tmp_path / "tasks", *agent, "--out", out).status == 0
        (run,) = out.iterdir()
        assert affidavit("report", run, "--predictions", tmp_path / f"{number}.jsonl").status == 0
        written.append((tmp_path / f"{number}.jsonl").read_text())
    assert "_SEPARATORS" in written[0]
    assert written[1] == written[0]
