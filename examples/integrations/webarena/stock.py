"""Outcome grading as WebArena does it: the agent's answer is compared with the one in the task's configuration.

The configurations lie in the folder that the evaluation is started in, and agent and browser are started from there.
Argument: a script that is the agent. Prints what the agent is paid, 1 or 0.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASK = HERE / "cancel-order"


def start_shop(database: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shop = subprocess.Popen([sys.executable, TASK / "environment/shop/shop.py", "127.0.0.1", str(port), database])
    address = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address).close()
            break
        except OSError:
            time.sleep(0.05)
    return shop, address


def string_match(answer: str, configuration: Path) -> int:
    """WebArena's ``exact_match``: the answer is the reference, whatever the case, white space and quotes around it."""
    reference = json.loads(configuration.read_text())["eval"]["reference_answers"]["exact_match"]

    def clean(text: str) -> str:
        return text.strip().strip("'\"").lower()

    return int(clean(answer) == clean(reference))


def pay(agent: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="webarena-") as name:
        folder = Path(name)
        shutil.copytree(HERE / "config_files", folder / "config_files")
        shutil.copytree(
            TASK / "environment/root/opt/webarena",
            folder,
            ignore=shutil.ignore_patterns("config_files"),
            dirs_exist_ok=True,
        )
        shop, address = start_shop(folder / "shop.db")
        try:
            environment = {**os.environ, "SHOP": address, "PYTHONPATH": name}
            done = subprocess.run(["bash", agent.resolve()], cwd=folder, env=environment, stdout=subprocess.PIPE)
        finally:
            shop.kill()
            shop.wait()
        last = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return string_match(last, folder / "config_files/0.json")


if __name__ == "__main__":
    print(pay(Path(sys.argv[1])))
