"""Tables and progress for people at a terminal."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import IO, Any

import pyarrow as pa
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from affidavit.evaluation import ReproductionResult, RunResult, TrialResult, TriedBackends
from affidavit.events import Process, process_tree
from affidavit.evidence import locate
from affidavit.policy import summed
from affidavit.report.console import open_console
from affidavit.report.text import printable
from affidavit.runs import ProofVerification, RunVerification
from affidavit.verification import Verdict, Verification

_STYLE = {
    Verdict.PASS: "green",
    Verdict.FAIL: "yellow",
    Verdict.VIOLATION: "red",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.ERROR: "magenta",
}
# Wide enough that a table written to a file is not folded at 80 columns.


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


class Progress(AbstractContextManager["Progress"]):
    """What the run is doing, on a line of standard error, when that is a terminal; plain notes otherwise."""

    def __init__(self, out: IO[str], *, quiet: bool, silent: bool = False) -> None:
        """Args:
        out: standard error.
        quiet: no line for each trial where this is no terminal.
        silent: nothing at all.
        """
        self._console = open_console(out)
        self._status: Status | None = None
        self._quiet = quiet
        self._silent = silent
        if out.isatty() and not silent:
            self._status = self._console.status("starting")

    def __enter__(self) -> "Progress":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status:
            self._status.stop()

    def note(self, text: str) -> None:
        """A thing the user should know, once."""
        if not self._silent:
            self._console.print(Text(f"affidavit: {printable(text)}"), soft_wrap=True)

    def doing(self, done: int, total: int, what: str) -> None:
        """`done` of `total` trials are done; now comes `what`."""
        if self._status:
            self._status.update(Text(f"[{done}/{total}] {printable(what, 100)}"))

    def finished(self, done: int, total: int, trial: TrialResult) -> None:
        """A trial is done; one line each where no table will follow is not wanted with --json."""
        if self._status:
            verdict = trial.judgement.verdict
            line = Text(f"[{done}/{total}] {printable(trial.task_id)} ")
            self._console.print(line.append(str(verdict), _STYLE[verdict]))
        elif not (self._quiet or self._silent) and total > 1:
            self._console.print(Text(f"[{done}/{total}] {printable(trial.task_id)} {trial.judgement.verdict}"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def print_run(result: RunResult, out: IO[str]) -> None:
    """A table of the trials, then what was broken, then where the evidence is."""
    console = open_console(out)
    right = ("score", "raw", "violations", "attempts", "events", "lost", "time")
    table = _table(
        "task",
        "trial",
        "agent",
        "verdict",
        *right[:2],
        "assurance",
        *right[2:4],
        "recorded by",
        *right[4:],
        right=(*right, "trial"),
    )
    for trial in result.trials:
        judgement = trial.judgement
        table.add_row(
            printable(trial.task_id, 40),
            str(trial.trial),
            printable(trial.agent, 24),
            Text(judgement.verdict, _STYLE[judgement.verdict]).append(
                " (AUDIT)" if trial.mode == "audit" else "", "bold red"
            ),
            _number(judgement.score),
            _number(judgement.raw_score),
            judgement.assurance or "-",
            str(len(judgement.violations)),
            str(len(judgement.attempts or ())),
            f"{trial.record.runtime}+{trial.record.recorder}",
            str(trial.record.events),
            str(trial.record.lost),
            f"{trial.duration_ms / 1000:.2f} s",
        )
    console.print(table)
    for trial in result.trials:
        _print_why(console, trial)
    if audited := sum(trial.mode == "audit" for trial in result.trials):
        text = f"\nMODE AUDIT: in {audited} of {len(result.trials)} trials violations were recorded and did not count"
        console.print(Text(text, "bold red"), soft_wrap=True)
    for failed in result.undelivered:
        text = f"\nNOT DELIVERED: {failed.count} alerts to {failed.destination}: {printable(failed.why)}"
        console.print(Text(text, "bold red"), soft_wrap=True)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in result.summary.items() if n)
    console.print(Text(f"\n{counts or 'no trials'} · evidence in {result.folder}"), soft_wrap=True)


def _print_why(console: Console, trial: TrialResult, most: int = 5) -> None:
    judgement = trial.judgement
    graded = judgement.verdict in (Verdict.FAIL, Verdict.ERROR) and trial.bundle is not None
    attempts = judgement.attempts or ()
    if not (judgement.reasons or judgement.violations or attempts or graded):
        return
    console.print(
        Text(f"\n{printable(trial.task_id)} #{trial.trial}: ").append(judgement.verdict, _STYLE[judgement.verdict])
    )
    for reason in judgement.reasons:
        console.print(Text(f"  {printable(reason)}"), soft_wrap=True)
    for violation in judgement.violations[:most]:
        events = ", ".join(map(str, violation.events[:3])) + (" …" if violation.count > 3 else "")
        line = (
            Text("  ").append(violation.rule, "bold").append(f" [{violation.severity}] {printable(violation.message)}")
        )
        console.print(line.append(f" (event {events})" if events else ""), soft_wrap=True)
    if len(judgement.violations) > most:
        console.print(
            f"  and {len(judgement.violations) - most} more: see verdict.json in {trial.bundle}", soft_wrap=True
        )
    for attempt in attempts[:most]:
        line = Text("  ").append(attempt.rule, "bold").append(f" [attempt] {printable(attempt.message)}", "dim")
        console.print(line, soft_wrap=True)
    if len(attempts) > most:
        counts = ", ".join(f"{rule} {count}" for rule, count in summed(attempts).items())
        text = f"  {len(attempts)} attempts in all ({counts}): see verdict.json in {trial.bundle}"
        console.print(text, soft_wrap=True)
    if graded and trial.bundle is not None:
        console.print(Text(f"  what the tests printed: {locate(trial.bundle, 'grader/stdout')}"), soft_wrap=True)


def print_verification(verification: Verification | RunVerification | ProofVerification, out: IO[str]) -> None:
    """One line a check."""
    console = open_console(out)
    for check in verification.checks:
        mark = Text("ok    " if check.ok else "WRONG ", "green" if check.ok else "bold red")
        console.print(mark.append(f"{check.name}: {printable(check.detail)}", "default"), soft_wrap=True)
    console.print(Text("verified", "bold green") if verification.ok else Text("NOT verified", "bold red"))


def print_reproduction(result: ReproductionResult, out: IO[str]) -> None:
    """What came of grading a bundle again."""
    console = open_console(out)
    if not result.verification.ok:
        print_verification(result.verification, out)
    for difference in result.differences:
        console.print(Text("WRONG ", "bold red").append(printable(difference), "default"), soft_wrap=True)
    for grade in result.facts.graders if result.facts else ():
        score = "no score" if grade.score is None else f"{grade.score:g}"
        console.print(f"{printable(grade.name)}: {grade.how}: {score}", soft_wrap=True)
    if result.facts is None:
        console.print(Text("NOT reproduced", "bold red"))
        return
    if not result.facts.same_rootfs:
        console.print("the root file system here is another one than the trial's", soft_wrap=True)
    if result.facts.new_services:
        console.print("the tests had new services of the task, not those that the agent left", soft_wrap=True)
    console.print(
        Text("reproduced", "bold green").append(f", counter-signed in {result.path}", "default"), soft_wrap=True
    )


def print_table(table: pa.Table, out: IO[str], most: int = 10_000) -> None:
    """The rows of a query."""
    console = open_console(out)
    shown = _table(*table.column_names)
    rows = table.slice(0, most).to_pylist()
    for row in rows:
        shown.add_row(*("" if value is None else printable(str(value), 300) for value in row.values()))
    console.print(shown)
    if table.num_rows > most:
        console.print(f"… and {table.num_rows - most} rows more; add a LIMIT or use --json")


def print_process_tree(events: pa.Table, out: IO[str]) -> None:
    """The processes of a record as an indented tree, with their arguments, run time and exit code."""
    console = open_console(out)
    for root in process_tree(events):
        console.print(_branch(root, Tree(_process_line(root))), soft_wrap=True)


def process_list(events: pa.Table) -> list[dict[str, Any]]:
    """The processes of a record, each before its children, as JSON values; ``ppid`` tells the tree."""
    rows: list[dict[str, Any]] = []
    todo = process_tree(events)[::-1]
    while todo:
        process = todo.pop()
        todo += process.children[::-1]
        values = vars(process)
        rows.append({name: values[name] for name in values if name != "children"})
    return rows


def _branch(process: Process, tree: Tree) -> Tree:
    # An explicit stack: a record may hold a chain of processes deeper than Python's own stack.
    todo = [(process, tree)]
    while todo:
        parent, node = todo.pop()
        todo += [(child, node.add(_process_line(child))) for child in parent.children]
    return tree


def _process_line(process: Process) -> Text:
    command = " ".join(process.argv) or process.exe or "(forked)"
    line = Text(f"{process.pid} ").append(printable(command, 160), "bold")
    if process.started_ns is not None and process.ended_ns is not None:
        line.append(f"  {(process.ended_ns - process.started_ns) / 1e6:.1f} ms")
    return line.append("" if process.exit_code in (None, 0) else f"  exit {process.exit_code}", "red")


def print_agents(agents: Iterable[Mapping[str, Any]], out: IO[str]) -> None:
    """Print the agents that there are definitions of."""
    table = _table("agent", "version", "dialect", "from", "about")
    for agent in agents:
        source = agent["install"]["kind"] if agent["install"] else "image"
        table.add_row(agent["name"], agent["version"], agent["dialect"], source, Text(agent["about"]))
    open_console(out).print(table)


def print_doctor(found: TriedBackends, out: IO[str]) -> None:
    """What works here."""
    console = open_console(out)
    table = _table("", "works", "detail")
    named = {f"runtime {name}": one for name, one in found.runtimes.items()}
    named |= {f"recorder {name}": one for name, one in found.recorders.items()}
    for name, one in named.items():
        works = Text("yes", "green") if one.works else Text("no", "red")
        table.add_row(name, works, one.detail if one.works else f"{one.detail}: {one.fix}")
    console.print(table)
    for name, one in named.items():
        for gap in one.gaps:
            console.print(f"gap  {name}: {gap}", soft_wrap=True)
    auto = found.auto
    console.print(f"auto: {auto.runtime} + {auto.recorder} ({auto.why})", soft_wrap=True)
