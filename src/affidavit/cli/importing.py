"""``affidavit import``: tasks of other formats."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from affidavit.cli.output import Json, fail, print_json

if TYPE_CHECKING:
    from affidavit.tasks import ImportedTask

import_app = typer.Typer(help="Import tasks of other formats.", no_args_is_help=True, rich_markup_mode=None)


@import_app.callback()
def _root() -> None:
    pass


@import_app.command()
def harbor(
    source: Annotated[
        Path, typer.Argument(help="A task, a folder of tasks at any depth, or a registry.json.", metavar="SOURCE")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder that gets a folder for each task.", metavar="DIR")],
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set of a registry: NAME@VERSION.", metavar="NAME", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy tasks in Harbor's layout into a folder, and show which of them can run here.

    A registry's tasks are fetched from the git repositories that it names.

    Exit status: 0 all can run, 1 some can't, 2 usage error.
    """
    from affidavit.tasks import TaskError, import_harbor

    try:
        tasks = import_harbor(source, out, dataset)
    except TaskError as error:
        fail(error)
    _tell(tasks, out, as_json)


@import_app.command()
def swebench(
    source: Annotated[
        Path,
        typer.Argument(help="A task repository, or a file of instances: *.jsonl, *.json, *.parquet.", metavar="SOURCE"),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder that gets a folder for each task.", metavar="DIR")],
    repositories: Annotated[
        Path | None,
        typer.Option(
            "--repos",
            help="Folder with clones of the projects, named OWNER/NAME, OWNER__NAME or NAME; without it, they are "
            "fetched from github.com.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    rootfs: Annotated[
        str, typer.Option(help="Root file system of the tasks: host, oci:PATH or tarball:PATH.", metavar="ROOTFS")
    ] = "host",
    instance: Annotated[
        list[str] | None,
        typer.Option(help="Import this instance alone; may be given several times.", metavar="ID", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make tasks of SWE-bench's instances, and show which of them can run here.

    A task's repository has the history up to the base commit and nothing that came later. Tests must be pytest's.

    Exit status: 0 all can run, 1 some can't, 2 usage error.
    """
    from affidavit.tasks import TaskError, import_swebench

    try:
        tasks = import_swebench(source, out, repositories, rootfs, instance or ())
    except TaskError as error:
        fail(error)
    _tell(tasks, out, as_json)


def _tell(tasks: "Sequence[ImportedTask]", out: Path, as_json: bool) -> NoReturn:
    from affidavit.report import printable

    ready = [task for task in tasks if not task.problem]
    if as_json:
        rows = [{"task": task.name, "problem": task.problem or None, "warnings": [*task.warnings]} for task in tasks]
        print_json({"out": str(out), "tasks": rows})
    else:
        for task in tasks:
            sys.stdout.write(printable(f"{task.name}  {task.problem or 'can run'}") + "\n")
            sys.stdout.writelines(printable(f"    {warning}") + "\n" for warning in task.warnings)
        sys.stdout.write(f"{len(ready)} of {len(tasks)} can run: affidavit run {printable(str(out))} --agent oracle\n")
    raise typer.Exit(0 if len(ready) == len(tasks) else 1)
