"""The program builds with the project's own Makefile."""

import shutil
import subprocess
from pathlib import Path


def test_builds(tmp_path):
    project = tmp_path / "project"
    shutil.copytree("/workspace", project, ignore=shutil.ignore_patterns("build", ".*"))
    done = subprocess.run(["make", "-C", str(project)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(project, "build/textstats").is_file()
