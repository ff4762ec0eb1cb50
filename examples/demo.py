"""Plays every scripted agent against its tasks, under plain outcome grading and under Affidavit, and prints both."""

import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from affidavit.evaluation import (
    Agent,
    Job,
    RunError,
    RunOptions,
    TrialResult,
    choose_runtime,
    run_jobs,
)
from affidavit.redteam import brief, load_exploits, outcome_of
from affidavit.report import Progress
from affidavit.sandbox import state_dir
from affidavit.tasks import Task, find_tasks

HERE = Path(__file__).parent
STYLES = {"pass": "green", "fail": "yellow", "violation": "red"}


@dataclass(frozen=True)
class Scripted:
    """An agent of agents.toml."""

    kind: str
    tasks: tuple[str, ...]
    agent: Callable[[Task], Agent]


def scripted_agents() -> list[Scripted]:
    """The agents of agents.toml, in its order."""
    listed = tomllib.loads((HERE / "agents" / "agents.toml").read_text())["agent"]
    return [Scripted(entry["kind"], tuple(entry["tasks"]), _agent(entry)) for entry in listed]


def _agent(entry: dict[str, Any]) -> Callable[[Task], Agent]:
    if "exploit" in entry:
        (exploit,) = (exploit for exploit in load_exploits() if exploit.name == entry["exploit"])
        return lambda task: exploit.agent(brief(task))
    if "file" in entry:
        command = (HERE / "agents" / entry["file"]).read_text()
        return lambda task: Agent.shell(command, entry["name"])
    return lambda task: Agent.named(entry["name"])


def outcome(job: Job) -> float:
    """What plain outcome grading pays."""
    runtime = choose_runtime("runc").runtime
    return outcome_of(job.task, job.agent, lambda wanted: runtime.sandbox(wanted, state_dir()))


def main() -> int:
    """Exit status 0 where every honest agent passed and no cheat did."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    tasks = {task.path.name: task for task in find_tasks(HERE / "suite")}
    pairs = [
        (scripted, Job(tasks[name], scripted.agent(tasks[name])))
        for scripted in scripted_agents()
        for name in (sorted(tasks) if scripted.tasks == ("*",) else scripted.tasks)
    ]
    try:
        with Progress(sys.stderr, quiet=True) as progress:
            paid = []
            for done, (_, job) in enumerate(pairs):
                progress.doing(done, len(pairs), f"outcome grading: {job.agent.name} on {job.task.id}")
                paid.append(outcome(job))
            result = run_jobs([job for _, job in pairs], RunOptions(workers=2, out=Path("runs")), progress)
    except RunError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("agent", "kind", "task", "outcome alone", "affidavit", "score", "why"):
        table.add_column(column, justify="right" if column in ("outcome alone", "score") else "left")
    for (scripted, _), score, trial in zip(pairs, paid, result.trials, strict=True):
        judgement = trial.judgement
        why = judgement.violations[0].rule if judgement.violations else "; ".join(judgement.reasons)
        table.add_row(
            trial.agent,
            scripted.kind,
            trial.task_id,
            f"{score:.2f}",
            Text(judgement.verdict, STYLES.get(judgement.verdict, "magenta")),
            "-" if judgement.score is None else f"{judgement.score:.2f}",
            Text(why[:60]),
        )
    console.print(table)
    status = _summary(console, [scripted.kind for scripted, _ in pairs], paid, result.trials)
    console.print(f"Report: .venv/bin/affidavit report {result.folder} --html report.html", soft_wrap=True)
    return status


def _summary(console: Console, kinds: list[str], paid: list[float], trials: tuple[TrialResult, ...]) -> int:
    cheats = [(score, trial) for kind, score, trial in zip(kinds, paid, trials, strict=True) if kind == "cheat"]
    honest = [trial for kind, trial in zip(kinds, trials, strict=True) if kind == "honest"]
    passed = sum(trial.judgement.verdict == "pass" for _, trial in cheats)
    kept = sum(trial.judgement.verdict == "pass" for trial in honest)
    console.print(
        f"\n{len(cheats)} cheats: outcome grading pays {_paid([score for score, _ in cheats])}, "
        f"Affidavit {_paid([trial.judgement.score or 0 for _, trial in cheats])}. "
        f"{len(honest)} honest runs: Affidavit passes {kept}."
    )
    if trials and trials[0].bundle:
        console.print(f"Evidence: try  .venv/bin/affidavit verify {trials[0].bundle}", soft_wrap=True)
    return 0 if passed == 0 and kept == len(honest) else 1


def _paid(scores: list[float]) -> str:
    return f"{sum(score >= 1 for score in scores)} in full and {sum(0 < score < 1 for score in scores)} in part"


if __name__ == "__main__":
    sys.exit(main())
