"""``affidavit task``: making and checking tasks."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, RootfsOutside, fail, interruptible, print_json

task_app = typer.Typer(help="Tasks: make and check them.", no_args_is_help=True, rich_markup_mode=None)

TaskPath = Annotated[
    Path, typer.Argument(help="A task folder, a folder of task folders, or a suite file.", metavar="PATH")
]


@task_app.command()
def check(
    path: TaskPath,
    repeat: Annotated[int, typer.Option(help="Number of runs of the solution.", min=1, max=10_000, metavar="N")] = 20,
    runtime: Annotated[str, typer.Option(help="auto, runc or gvisor.", metavar="R")] = "auto",
    recorder: Annotated[str, typer.Option(help="auto, ebpf, gvisor or ptrace.", metavar="R")] = "auto",
    workers: Annotated[int, typer.Option(help="Trials that run side by side.", min=1, max=256, metavar="N")] = 1,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for each run.", metavar="DIR")] = Path("runs"),
    rootfs_outside: RootfsOutside = False,
    as_json: Json = False,
) -> None:
    """Run a task to see whether its score can be trusted.

    The solution must score 1 on every grader, every time. Doing nothing, an empty answer, {}, random text and the
    unchanged start must score at most 0.1. Tests and solution must be out of the agent's reach.

    Exit status: 0 nothing is wrong, 1 something is, 2 usage error.
    """
    from affidavit.evaluation import RunError, RunOptions
    from affidavit.quality import check_tasks
    from affidavit.report import Progress, print_reports

    try:
        options = RunOptions(
            runtime=runtime, recorder=recorder, workers=workers, out=out, rootfs_outside=rootfs_outside
        )
        with interruptible(), Progress(sys.stderr, quiet=as_json) as progress:
            reports = check_tasks(path, repeat, options, progress)
    except RunError as error:
        fail(error)
    if as_json:
        print_json({"ok": all(report.ok for report in reports), "tasks": [report.to_json() for report in reports]})
    else:
        print_reports(reports, sys.stdout)
    raise typer.Exit(0 if all(report.ok for report in reports) else 1)


@task_app.command()
def lint(path: TaskPath, as_json: Json = False) -> None:
    """Check a task's files without running anything.

    Exit status: 0 nothing found, 1 something is wrong, 2 usage error.
    """
    from affidavit.contracts import ContractError
    from affidavit.evaluation import RunError, kept_cache, load_tasks, with_known_workdirs
    from affidavit.gateway import GatewayError
    from affidavit.quality import lint_task
    from affidavit.report import print_findings
    from affidavit.sandbox import state_dir

    try:
        findings = {
            task.id: lint_task(task, kept_cache(state_dir(), task) is not None)
            for task in with_known_workdirs(load_tasks(path)[0])
        }
    except (RunError, ContractError, GatewayError) as error:
        fail(error)
    if as_json:
        rows = [
            {"task_id": task, "ok": not found, "findings": [finding.to_json() for finding in found]}
            for task, found in findings.items()
        ]
        print_json({"ok": not any(findings.values()), "tasks": rows})
    else:
        print_findings(findings, sys.stdout)
    raise typer.Exit(1 if any(findings.values()) else 0)


@task_app.command()
def warm(
    path: TaskPath,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A host that tests may reach though its address is private; may be repeated.", metavar="HOST"
        ),
    ] = None,
    runtime: Annotated[str, typer.Option(help="auto, runc or gvisor.", metavar="R")] = "auto",
    recorder: Annotated[str, typer.Option(help="auto, ebpf, gvisor or ptrace.", metavar="R")] = "auto",
    workers: Annotated[int, typer.Option(help="Tasks that run side by side.", min=1, max=256, metavar="N")] = 1,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for each run.", metavar="DIR")] = Path("runs"),
    rootfs_outside: RootfsOutside = False,
    as_json: Json = False,
) -> None:
    """Fill the verifier cache of tasks whose tests download (uv, pip, apt-get, npm, curl).

    The tests run once with the web, over the task's own solution and without an agent. What they fetched is kept, and
    every grading from then on is answered from it, without a network.

    Exit status: 0 filled, 1 a cache was not, 2 wrong use.
    """
    from affidavit.evaluation import RunError, RunOptions, warm_tasks
    from affidavit.report import Progress, printable

    try:
        options = RunOptions(
            runtime=runtime, recorder=recorder, workers=workers, out=out, rootfs_outside=rootfs_outside
        )
        with interruptible(), Progress(sys.stderr, quiet=as_json) as progress:
            warmed = warm_tasks(path, tuple(allow or ()), options, progress)
    except RunError as error:
        fail(error)
    facts = [one.to_json() for one in warmed]
    done = all(one["ok"] for one in facts)
    if as_json:
        print_json({"ok": done, "tasks": facts})
    else:
        for one in facts:
            size = f"{one['digest']}  {one['answers']} answers, {one['bytes'] / 1e6:.1f} MB"
            sys.stdout.write(
                printable(f"{one['task_id']}: {size if one['ok'] else 'not filled: ' + one['why']}") + "\n"
            )
            for failed in one["failed"]:
                sys.stdout.write(printable(f"  failed: {failed}") + "\n")
    raise typer.Exit(0 if done else 1)


@task_app.command()
def new(
    name: Annotated[Path, typer.Argument(help="Folder to make; its name becomes the task's.", metavar="NAME")],
) -> None:
    """Make a small working task to start from."""
    from affidavit.quality import new_task
    from affidavit.tasks import TaskError

    try:
        folder = new_task(name)
    except TaskError as error:
        fail(error)
    typer.echo(f"made {folder}; try  affidavit task check {folder}")
