"""Outcome grading as OSWorld does it: the file that the task's configuration names is compared with the expected one.

Configuration and expected file are within the agent's reach. Argument: a script that is the agent. Prints what that
is paid, 1 or 0.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASK = HERE / "add-up"


def compare_text_file(result: Path, expected: Path) -> int:
    """OSWorld's metric of that name, without its options."""
    return int(result.read_text() == expected.read_text())


def pay(agent: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="osworld-") as name:
        folder = Path(name)
        for part in ("evaluation_examples", "gold"):
            shutil.copytree(HERE / part, folder / part)
        shutil.copytree(TASK / "environment/root/workspace", folder, dirs_exist_ok=True)
        # A display of its own, of the first free number.
        reading, writing = os.pipe()
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        try:
            with os.fdopen(reading) as told:
                environment = {**os.environ, "DISPLAY": f":{told.readline().strip()}"}
            editor = ["xedit", "-geometry", "700x500+0+0", "shopping.txt"]
            with subprocess.Popen(editor, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as window:
                shown = ["xdotool", "search", "--sync", "--onlyvisible", "--class", "xedit"]
                subprocess.run(shown, env=environment, check=True, stdout=subprocess.DEVNULL)
                subprocess.run(["bash", agent.resolve()], cwd=folder, env=environment)
                window.kill()
        finally:
            server.kill()
            server.wait()
        evaluator = json.loads((folder / "evaluation_examples/add-up.json").read_text())["evaluator"]
        return compare_text_file(folder / evaluator["result"]["path"], folder / evaluator["expected"]["path"])


if __name__ == "__main__":
    print(pay(Path(sys.argv[1])))
