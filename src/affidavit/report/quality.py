"""Findings for people at a terminal."""

from collections.abc import Mapping, Sequence
from typing import IO

from rich.console import Console
from rich.text import Text

from affidavit.quality import CHECKS, TaskFinding, TaskReport
from affidavit.report.console import open_console
from affidavit.report.text import printable


def print_reports(reports: Sequence[TaskReport], out: IO[str]) -> None:
    """For each task what was checked, then what is wrong and how to fix it."""
    console = open_console(out)
    for report in reports:
        console.print(Text(printable(report.task_id), "bold"))
        failed = {finding.check for finding in report.findings}
        for name, what in CHECKS.items():
            times = f" ({report.facts['times']} times)" if name == "repeat" else ""
            mark = Text("  WRONG ", "bold red") if name in failed else Text("  ok    ", "green")
            console.print(mark.append(f"{what}{times}", "default"), soft_wrap=True)
        _print(console, report.findings)
        if separation := report.facts["separation"]:
            apart = "run apart from the solution" if separation["separate"] else "do not run apart from the solution"
            console.print(Text(f"  tests {apart}: {printable(separation['why'])}"), soft_wrap=True)
        console.print(Text(f"  assurance: {report.facts['assurance'] or '-'}"))
    good = sum(report.ok for report in reports)
    console.print(f"\n{good} of {len(reports)} tasks are as they should be")


def print_findings(findings: Mapping[str, Sequence[TaskFinding]], out: IO[str]) -> None:
    """For each task what is wrong with it."""
    console = open_console(out)
    for task, found in findings.items():
        console.print(Text("WRONG " if found else "ok    ", "bold red" if found else "green").append(printable(task)))
        _print(console, found)


def _print(console: Console, findings: Sequence[TaskFinding]) -> None:
    for finding in findings:
        line = Text(f"    {finding.part}: ", "bold").append(printable(finding.message), "default")
        console.print(line, soft_wrap=True)
        console.print(Text(f"      fix: {printable(finding.fix)}"), soft_wrap=True)
