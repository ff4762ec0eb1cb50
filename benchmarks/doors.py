"""The same agents on the same tasks natively, through Inspect AI and through Harbor, and what each door costs.

    python benchmarks/doors.py [--only verdicts|costs] [--markdown FILE]

Five agents, each one shell script: the task's own solution, nothing, and three exploits of the battery that fit every
task. Verdict, score and broken rules of a trial have to be the same through every door; else the exit status is 1.

Costs: a session, and a command in it, through each door, beside the harness's own way to run commands on this machine
without Docker. `make doors` installs both harnesses in environments of their own.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from measuring import Timed
from run import Quiet, plain_runc
from sessions import REST_S, serving
from workload import trivial_task

from affidavit.client import Client
from affidavit.evaluation import Agent, Job, RunOptions, run_jobs
from affidavit.redteam import write_scripts
from affidavit.tasks import load_task

HERE = Path(__file__).resolve().parent
SUITE = HERE.parent / "examples/suite"
INSPECT, HARBOR = (HERE.parent / f".venv-{name}/bin" for name in ("inspect", "harbor"))
TASKS = (
    "build-textstats",
    "clean-orders",
    "find-culprit",
    "fix-ttl-cache",
    "log-report",
    "page-ranges",
    "parse-arithmetic",
    "refactor-billing",
    "shop-summary",
    "station-quiz",
)
EXPLOITS = ("hunt-hidden-tests", "reward-beforehand", "background-writer")
AGENTS = ("honest", "nop", *EXPLOITS)
DOORS = ("natively", "Inspect AI", "Harbor")
ROOM = "affidavit.integrations.harbor"
SESSIONS, EXECS = 5, 20


@dataclass(frozen=True)
class Came:
    """What a trial came to."""

    verdict: str
    score: float | None
    rules: frozenset[str]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Came":
        """From what a door says of a trial."""
        return cls(facts["verdict"], facts["score"], frozenset(one["rule"] for one in facts["violations"]))

    def __str__(self) -> str:
        return f"{self.verdict} {self.score}" + "".join(f", {rule}" for rule in sorted(self.rules))


Outcomes = dict[tuple[str, str], Came]
"""By task and agent."""


def scripts_of(folder: Path) -> dict[tuple[str, str], Path]:
    """The script of each agent on each task."""
    (folder / "idle.sh").write_text("true\n")
    write_scripts(SUITE, folder / "exploits", EXPLOITS)
    found = {}
    for task in TASKS:
        found[task, "honest"] = SUITE / task / "solution/solve.sh"
        found[task, "nop"] = folder / "idle.sh"
        found |= {(task, name): folder / "exploits" / task / f"{name}.sh" for name in EXPLOITS}
    return found


def environment_of(folder: Path, place: Path) -> dict[str, str]:
    """The environment in which a harness finds the server, and writes nothing elsewhere."""
    return {
        **os.environ,
        "AFFIDAVIT_SOCKET": str(place),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(HERE),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HARBOR_TELEMETRY": "off",
        "HOME": str(folder),
    }


def called(command: list[str | Path], folder: Path, env: dict[str, str]) -> str:
    """What a program of a harness writes; its end where it fails."""
    done = subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def natively(scripts: dict[tuple[str, str], Path], folder: Path) -> Outcomes:
    """As ``affidavit run --agent-cmd`` does it."""
    tasks = {name: load_task(SUITE / name) for name in TASKS}
    jobs = [
        Job(tasks[task], Agent.shell(f"exec bash -c {shlex.quote(script.read_text())}", f"the-{agent}"))
        for (task, agent), script in scripts.items()
    ]
    trials = run_jobs(jobs, RunOptions("runc", "ebpf", out=folder / "native", workers=2), Quiet()).trials
    return {(one.task_id, one.agent.removeprefix("the-")): Came.of(one.judgement.to_json()) for one in trials}


def through_inspect(scripts: dict[tuple[str, str], Path], folder: Path, env: dict[str, str]) -> Outcomes:
    """As one eval, of a sample for each task and agent."""
    wanted = [
        {"id": f"{task} {agent}", "sandbox": ["affidavit", str(SUITE / task)], "script": script.read_text()}
        for (task, agent), script in scripts.items()
    ]
    (folder / "samples.json").write_text(json.dumps(wanted))
    said = called([INSPECT / "python", HERE / "doors_inspect.py", "verdicts", "samples.json"], folder, env)
    found: dict[str, dict[str, Any]] = json.loads(said.splitlines()[-1])
    return {
        (task, agent): Came.of(facts)
        for (task, agent), facts in ((name.split(" "), one) for name, one in found.items())
    }


def through_harbor(scripts: dict[tuple[str, str], Path], folder: Path, env: dict[str, str]) -> Outcomes:
    """As a job for each task."""
    found: Outcomes = {}
    for task in TASKS:
        agents = [{"name": f"{ROOM}:Script", "kwargs": {"file": str(scripts[task, agent])}} for agent in AGENTS]
        for path in harbor(task, SUITE / task, agents, folder, env, "Environment", "Verifier"):
            file = json.loads((path / "result.json").read_text())["config"]["agent"]["kwargs"]["file"]
            (agent,) = (name for name in AGENTS if str(scripts[task, name]) == file)
            found[task, agent] = Came.of(json.loads((path / "verifier/affidavit.json").read_text()))
    return found


def harbor(
    name: str,
    task: Path,
    agents: list[dict[str, Any]],
    folder: Path,
    env: dict[str, str],
    environment: str,
    verifier: str,
) -> list[Path]:
    """Run a job of Harbor's; the folders of its trials. `environment`, `verifier`: of Affidavit's, or import paths."""
    own = ":" not in environment
    wanted = {
        "job_name": name,
        "jobs_dir": "jobs",
        "n_concurrent_trials": 1,
        "agents": agents,
        "environment": {"import_path": f"{ROOM}:{environment}" if own else environment},
        "verifier": {"import_path": f"{ROOM}:{verifier}" if own else verifier},
        "tasks": [{"path": str(task)}],
    }
    (folder / f"{name}.json").write_text(json.dumps(wanted))
    plugin = ["--plugin", f"{ROOM}:Plugin"] if own else []
    called([HARBOR / "harbor", "run", "-c", f"{name}.json", "-y", *plugin], folder, env)
    return [path.parent for path in sorted((folder / "jobs" / name).glob("*/result.json"))]


def verdicts(folder: Path) -> tuple[list[str], bool]:
    """The table of what came of each trial, and whether all doors say the same."""
    scripts = scripts_of(folder)
    with serving(folder) as place:
        env = environment_of(folder, place)
        # A run in this process has its main thread, which gets the signals.
        with ThreadPoolExecutor(2) as pool:
            inspect = pool.submit(through_inspect, scripts, folder, env)
            jobs = pool.submit(through_harbor, scripts, folder, env)
            found = [natively(scripts, folder), inspect.result(), jobs.result()]
    rows = ["| task | " + " | ".join(AGENTS) + " |", "|---" * (len(AGENTS) + 1) + "|"]
    same = True
    for task in TASKS:
        cells = []
        for agent in AGENTS:
            came = [outcomes[task, agent] for outcomes in found]
            if len(set(came)) == 1:
                cells.append(came[0].verdict)
            else:
                same = False
                cells.append("; ".join(f"{door}: {one}" for door, one in zip(DOORS, came, strict=True)))
        rows.append(f"| {task} | " + " | ".join(cells) + " |")
    return rows, same


def timed_client(task: Path, socket: Path, bare: Timed) -> dict[str, list[float]]:
    """Seconds of each command, of each session without them, of its opening, and of runc alone, by turns."""
    taken: dict[str, list[float]] = {"exec": [], "open": [], "session": [], "runc": []}
    with Client(socket) as client:
        for number in range(SESSIONS + 1):
            taken["runc"] += [bare()] * bool(number)
            time.sleep(REST_S)
            spent, began = 0.0, time.perf_counter()
            with client.open_session(task, runtime="runc", recorder="ebpf") as session:
                opened = time.perf_counter() - began
                for _ in range(EXECS):
                    before = time.perf_counter()
                    session.exec(["true"])
                    spent += time.perf_counter() - before
                    if number:
                        taken["exec"].append(time.perf_counter() - before)
                session.grade()
                session.seal()
            if number:
                taken["open"].append(opened)
                taken["session"].append(time.perf_counter() - began - spent)
    return taken


def timed_inspect(folder: Path, env: dict[str, str], *provider: str) -> dict[str, list[float]]:
    """Seconds of each command, and of each sample without them, in an eval with a provider of sandboxes."""
    numbers = ["--sessions", str(SESSIONS + 1), "--execs", str(EXECS)]
    said = called([INSPECT / "python", HERE / "doors_inspect.py", "costs", *provider, *numbers], folder, env)
    found: dict[str, list[float]] = json.loads(said.splitlines()[-1])
    return {"exec": found["exec"][EXECS:], "session": found["session"][1:]}


def timed_harbor(name: str, task: Path, folder: Path, env: dict[str, str], *parts: str) -> dict[str, list[float]]:
    """Seconds of each command, and of each trial without them, in a job with an environment and a verifier."""
    agents = [
        {"name": "doors_harbor:Repeated", "kwargs": {"execs": EXECS, "number": number}}
        for number in range(SESSIONS + 1)
    ]
    taken: dict[str, list[float]] = {"exec": [], "session": []}
    results = [
        json.loads((path / "result.json").read_text()) for path in harbor(name, task, agents, folder, env, *parts)
    ]
    for result in sorted(results, key=lambda one: one["started_at"])[1:]:
        seconds = result["agent_result"]["metadata"]["taken"]
        began, ended = (datetime.fromisoformat(result[name]) for name in ("started_at", "finished_at"))
        taken["exec"] += seconds
        taken["session"].append((ended - began).total_seconds() - sum(seconds))
    return taken


def costs(folder: Path) -> list[str]:
    """The table of what a session and a command cost through each door."""
    task = trivial_task(folder / "trivial")
    environment = task / "environment"
    environment.mkdir()
    (environment / "Dockerfile").write_text("FROM scratch\n")
    bare = plain_runc(folder, [])
    with serving(folder) as place:
        env = environment_of(folder, place)
        found = {
            "Affidavit's client": timed_client(task, place, bare),
            "Inspect AI, `local`": timed_inspect(folder, env, "local"),
            "Inspect AI, `affidavit`": timed_inspect(folder, env, "affidavit", str(task)),
            "Harbor, this machine": timed_harbor(
                "bare", task, folder, env, "doors_harbor:Bare", "doors_harbor:Credits"
            ),
            "Harbor, Affidavit": timed_harbor("ours", task, folder, env, "Environment", "Verifier"),
        }
    rows = ["| door | a session | a command |", "|---|---|---|"]
    for name, taken in found.items():
        session, command = (statistics.median(taken[what]) * 1000 for what in ("session", "exec"))
        rows.append(f"| {name} | {session:.0f} ms | {command:.1f} ms |")
    opened, alone = (statistics.median(found["Affidavit's client"][what]) * 1000 for what in ("open", "runc"))
    rows += ["", f"Opening a session by the client: {opened:.0f} ms; `runc run true`: {alone:.0f} ms."]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("verdicts", "costs"))
    parser.add_argument("--markdown", type=Path, help="writes the tables there, too")
    options = parser.parse_args()
    text: list[str] = []
    same = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if options.only != "costs":
            rows, same = verdicts(folder)
            text += [*rows, ""]
        if options.only != "verdicts":
            text += [*costs(folder), ""]
    text.append(f"Load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors.")
    print("\n".join(text))
    if options.markdown:
        options.markdown.write_text("\n".join(text) + "\n")
    if not same:
        sys.exit("the doors differ")


if __name__ == "__main__":
    main()
