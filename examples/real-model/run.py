"""Runs agents with a real model, served on this machine, on tasks of the example suite, and prints what they did.

    run.py [--model NAME] [--agent NAME|FILE]... [--out DIR] [TASK]...

`make demo-model` installs the model and the server first. The tasks are copies: an agent whose model has no GPU needs
more time and memory than the suite gives, so these limits are raised in the task and in its contract. Nothing else is
changed.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from affidavit.agents import AgentError, load_agent
from affidavit.evaluation import AccessOptions, Agent, Job, RunError, RunOptions, TrialResult, run_jobs
from affidavit.gateway import GatewaySettings, Upstream
from affidavit.report import Progress
from affidavit.tasks import TaskError, find_tasks

HERE = Path(__file__).parent
SUITE = HERE.parent / "suite"
AGENTS = ("aider", str(HERE / "mini-swe-agent.toml"))
TASKS = ("fix-ttl-cache", "sort-mail", "prune-backups", "station-quiz")
STYLES = {"pass": "green", "fail": "yellow", "violation": "red"}
NUMBERS = ("score", "turns", "tokens in", "out", "time")
# What is raised: the limit as it stands in every task of the suite, and what it becomes.
WALL_S = 3000
RAISED = {
    "task.toml": ((r"(?s)(\[agent\]\ntimeout_sec = )60\.0", rf"\g<1>{WALL_S}.0"), (r"(memory_mb = )512", r"\g<1>2048")),
    "contract.yaml": (
        (
            r"limits: \{wall_ms: 60000, cpu_ms: 30000, memory_mb: 512\}",
            f"limits: {{wall_ms: {WALL_S}000, cpu_ms: 600000, memory_mb: 2048}}",
        ),
    ),
}


def copy_task(name: str, folder: Path) -> None:
    """Copy a task of the suite, with raised limits.

    Raises:
        ValueError: there is no such task, or it has other limits.
    """
    if not (SUITE / name / "task.toml").is_file():
        raise ValueError(f"{name}: no task of {SUITE}")
    copy = folder / name
    shutil.copytree(SUITE / name, copy, symlinks=True)
    for file, changes in RAISED.items():
        text = (copy / file).read_text()
        for pattern, value in changes:
            text, count = re.subn(pattern, value, text)
            if count != 1:
                raise ValueError(f"{SUITE / name / file}: does not have the limit {pattern} once")
        (copy / file).write_text(text)


@contextmanager
def served(model: str, folder: Path) -> Iterator[str]:
    """The base URL of the server, as long as the context is open.

    Raises:
        ValueError: it does not start.
    """
    # The agents and the recorder come first.
    command = [
        *("nice", "-n", "15"),
        str(HERE.parent.parent / ".venv-model/bin/python"),
        str(HERE / "serve.py"),
        model,
        str(folder / "models"),
    ]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if line.startswith("http://"):
                yield line.strip()
                return
        raise ValueError(f"the model's server did not start; see {folder / 'server.log'}")
    finally:
        server.kill()
        server.communicate()


def agent(name: str) -> Agent:
    """An agent by name or by its definition's file. Raises AgentError or RunError."""
    return Agent.defined(load_agent(Path(name))) if name.endswith(".toml") else Agent.named(name)


def row(trial: TrialResult) -> list[str | Text]:
    """The table's row for a trial, from its result and the summary of its decision log."""
    judgement = trial.judgement
    log = {} if trial.bundle is None else json.loads((trial.bundle / "agent" / "model.json").read_text())
    tokens = log.get("tokens", {})
    return [
        trial.agent,
        trial.task_id,
        Text(judgement.verdict, STYLES.get(judgement.verdict, "magenta")),
        "–" if judgement.score is None else f"{judgement.score:.2f}",
        ", ".join(sorted({violation.rule for violation in judgement.violations})) or "–",
        ", ".join(sorted({attempt.rule for attempt in judgement.attempts or ()})) or "–",
        str(log.get("turns", "–")),
        str(tokens.get("input", "–")),
        str(tokens.get("output", "–")),
        f"{trial.duration_ms / 1000:.0f} s",
    ]


def main() -> int:
    """Exit status 0 where every trial came to a verdict other than error, whatever the model achieved."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--agent", action="append", help="an agent by name, or a definition (*.toml)")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("task", nargs="*", default=TASKS)
    given = parser.parse_args()
    build = HERE.parent.parent / "build" / "demo-model"
    build.mkdir(parents=True, exist_ok=True)
    try:
        agents = [agent(name) for name in given.agent or AGENTS]
        with tempfile.TemporaryDirectory(dir=build) as folder:
            for name in given.task:
                copy_task(name, Path(folder))
            jobs = [Job(task, agent) for task in find_tasks(Path(folder)) for agent in agents]
            with served(given.model, build) as url, Progress(sys.stderr, quiet=False) as progress:
                settings = GatewaySettings("live", (given.model,), {"openai": Upstream(url)}, idle_s=WALL_S / 2)
                result = run_jobs(jobs, RunOptions(out=given.out, access=AccessOptions(model=settings)), progress)
    except (AgentError, OSError, RunError, TaskError, ValueError) as error:
        print(f"demo-model: {error}", file=sys.stderr)
        return 2
    table = Table(title=f"{given.model}, run {result.run_id}", box=None, pad_edge=False, header_style="bold")
    for column in ("agent", "task", "verdict", "score", "violations", "attempts", "turns", "tokens in", "out", "time"):
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    for trial in result.trials:
        table.add_row(*row(trial))
    Console(width=None if sys.stdout.isatty() else 150, highlight=False).print(table)
    print(f"Report: .venv/bin/affidavit report {result.folder} --html report.html")
    return int(result.summary["error"] > 0)


if __name__ == "__main__":
    sys.exit(main())
