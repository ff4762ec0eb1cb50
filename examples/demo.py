"""Plays every scripted agent against its tasks, under plain outcome grading and under Affidavit, and prints both."""

import os
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from affidavit.contracts import compile_settings
from affidavit.evaluation import (
    Agent,
    Job,
    RunError,
    RunOptions,
    TrialResult,
    agent_spec,
    choose_runtime,
    prepare,
    run_jobs,
)
from affidavit.redteam import outcome_score
from affidavit.report import Progress
from affidavit.sandbox import state_dir
from affidavit.tasks import find_tasks

HERE = Path(__file__).parent
STYLES = {"pass": "green", "fail": "yellow", "violation": "red"}


@dataclass(frozen=True)
class Scripted:
    """An agent of agents.toml."""

    agent: Agent
    kind: str
    tasks: tuple[str, ...]


def scripted_agents() -> list[Scripted]:
    """The agents of agents.toml, in its order."""
    listed = tomllib.loads((HERE / "agents" / "agents.toml").read_text())["agent"]
    return [
        Scripted(
            Agent.shell((HERE / "agents" / entry["file"]).read_text(), entry["name"])
            if "file" in entry
            else Agent.named(entry["name"]),
            entry["kind"],
            tuple(entry["tasks"]),
        )
        for entry in listed
    ]


def outcome(job: Job, runtime: str) -> float:
    """What plain outcome grading pays."""
    chosen = choose_runtime(runtime)
    prepared = prepare(job.task, state_dir())
    with tempfile.TemporaryDirectory() as place:
        spec = agent_spec(
            job.task,
            prepared.rootfs,
            compile_settings(prepared.contract),
            job.agent,
            Path(place),
            f"outcome-{os.getpid()}",
        )
        return outcome_score(
            lambda wanted: chosen.runtime.sandbox(wanted, state_dir()),
            spec,
            job.agent.command,
            job.task.tests_dir,
            job.task.agent_timeout_s + job.task.verifier_timeout_s,
        )


def main() -> int:
    """Exit status 0 where every honest agent passed and no cheat did."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    tasks = {task.path.name: task for task in find_tasks(HERE / "suite")}
    pairs = [
        (scripted, Job(tasks[name], scripted.agent))
        for scripted in scripted_agents()
        for name in (sorted(tasks) if scripted.tasks == ("*",) else scripted.tasks)
    ]
    try:
        with Progress(sys.stderr, quiet=True) as progress:
            paid = []
            for done, (_, job) in enumerate(pairs):
                progress.doing(done, len(pairs), f"outcome grading: {job.agent.name} on {job.task.id}")
                paid.append(outcome(job, "runc"))
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
    return _summary(console, [scripted.kind for scripted, _ in pairs], paid, result.trials)


def _summary(console: Console, kinds: list[str], paid: list[float], trials: tuple[TrialResult, ...]) -> int:
    cheats = [(score, trial) for kind, score, trial in zip(kinds, paid, trials, strict=True) if kind == "cheat"]
    honest = [trial for kind, trial in zip(kinds, trials, strict=True) if kind == "honest"]
    deceived = sum(score >= 1 for score, _ in cheats)
    passed = sum(trial.judgement.verdict == "pass" for _, trial in cheats)
    kept = sum(trial.judgement.verdict == "pass" for trial in honest)
    console.print(
        f"\n{len(cheats)} cheats: outcome grading pays {deceived} in full, Affidavit {passed}. "
        f"{len(honest)} honest runs: Affidavit passes {kept}."
    )
    if trials and trials[0].bundle:
        console.print(f"Evidence: try  .venv/bin/affidavit verify {trials[0].bundle}", soft_wrap=True)
    return 0 if passed == 0 and kept == len(honest) else 1


if __name__ == "__main__":
    sys.exit(main())
