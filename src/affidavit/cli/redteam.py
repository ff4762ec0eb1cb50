"""``affidavit redteam``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, RootfsOutside, fail, interruptible, print_json
from affidavit.cli.run_flags import TaskPath


def redteam(
    path: TaskPath,
    exploit: Annotated[
        list[str] | None,
        typer.Option("--exploit", help="Play this exploit only; may be repeated.", metavar="NAME", show_default=False),
    ] = None,
    runtime: Annotated[str, typer.Option(help="auto, runc or gvisor.", metavar="R")] = "auto",
    recorder: Annotated[str, typer.Option(help="auto, ebpf, gvisor or ptrace.", metavar="R")] = "auto",
    workers: Annotated[int, typer.Option(help="Plays that run side by side.", min=1, max=256, metavar="N")] = 1,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for this run.", metavar="DIR")] = Path("runs"),
    rootfs_outside: RootfsOutside = False,
    scripts: Annotated[
        Path | None,
        typer.Option(
            help="Play nothing; write each exploit as a script for other harnesses to DIR/TASK/EXPLOIT.sh.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play a battery of exploits against tasks.

    Each applicable exploit is played under Affidavit and, for comparison, under plain outcome grading.

    Exit status: 0 no exploit was paid, 1 some were, 2 usage error.
    """
    from affidavit.evaluation import RunError, RunOptions
    from affidavit.redteam import play_battery, write_scripts
    from affidavit.report import Progress, print_battery, print_scripts

    try:
        if scripts is not None:
            written = write_scripts(path, scripts, exploit or ())
            if as_json:
                print_json({"folder": str(scripts), "tasks": {name: [*names] for name, names in written.items()}})
            else:
                print_scripts(written, scripts, sys.stdout)
            return
        options = RunOptions(
            runtime=runtime, recorder=recorder, workers=workers, out=out, rootfs_outside=rootfs_outside
        )
        with interruptible(", finished plays keep their bundles"), Progress(sys.stderr, quiet=as_json) as progress:
            result = play_battery(path, options, progress, exploit or ())
    except RunError as error:
        fail(error)
    if as_json:
        print_json(result.to_json())
    else:
        print_battery(result, sys.stdout)
    raise typer.Exit(result.exit_status)
