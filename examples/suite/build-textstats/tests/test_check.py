"""The project's own check passes."""

import shutil
import subprocess


def test_check(tmp_path):
    project = tmp_path / "project"
    shutil.copytree("/workspace", project, ignore=shutil.ignore_patterns("build", ".*"))
    done = subprocess.run(["make", "-C", str(project), "check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
