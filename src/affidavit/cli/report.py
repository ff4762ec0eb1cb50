"""``affidavit report``, ``affidavit compare`` and ``affidavit view``."""

import multiprocessing
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.memory import bounded_memory
from affidavit.cli.output import Json, fail, print_json

_PAGES = (".html", ".htm")
# The default memory of affidavit verify.
_VERIFY_MIB = 8192

Runs = Annotated[
    list[Path], typer.Argument(help="Folders of runs, as affidavit run --out leaves them.", metavar="RUN…")
]


def report(
    runs: Runs,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write pages: one file where the name ends in .html, else a folder with a page for each trial.",
            metavar="FILE|DIR",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write every figure as CSV.", metavar="FILE", show_default=False)
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", help="Write the violations as SARIF 2.1.0.", metavar="FILE", show_default=False),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the trials as JUnit XML.", metavar="FILE", show_default=False)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write what the agents changed as SWE-bench's predictions (JSON Lines).",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            help="What tokens cost: TOML with a table for each model, input and output in US dollars a million.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify every bundle and the runs, and say what does not hold.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="With --verify: public key (PEM) that must have signed; else your own.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            help="With --verify: trust file, who must have signed a run's plan and statement.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Report on one or more runs.

    Shows counted and raw scores with intervals, trials by task, the weakest labels, repeats, broken rules, and what
    the evidence does not show.

    Exit status: 0, 1 where --verify finds what does not hold or a task gives no prediction, or 2 where a run can't be
    read.
    """
    folder = html is not None and html.suffix.lower() not in _PAGES
    if folder:
        # The process that workers are forked from imports the same as this one: let both do so side by side.
        multiprocessing.get_context("forkserver").set_forkserver_preload(["affidavit.report"])
        forkserver.ensure_running()
    from affidavit.evidence import EvidenceError
    from affidavit.report import (
        ReportError,
        csv_text,
        find_bundles,
        junit_text,
        make_predictions,
        make_report,
        print_report,
        printable,
        read_behaviour,
        read_prices,
        read_runs,
        report_json,
        sarif_text,
        shared,
        verify_runs,
        write_page,
        write_pages,
    )

    if not verify and (key is not None or trust is not None):
        fail("--key and --trust are for --verify")
    try:
        # Other processes are worth their start for pages alone.
        with shared(sum(len(find_bundles(run)) for run in runs) if folder else 0) as share:
            read = read_runs(runs, share)
            if verify:
                with bounded_memory(_VERIFY_MIB):
                    read = verify_runs(read, key, trust)
            patches = None if predictions is None else make_predictions(read)
            costs = None if prices is None else read_prices(prices)
            made = make_report(read, read_behaviour, costs, share)
            if html is not None and folder:
                write_pages(made, html, share)
            elif html is not None:
                write_page(made, html)
    except (ReportError, EvidenceError) as error:
        fail(error)
    except MemoryError:
        fail(f"--verify: takes more than {_VERIFY_MIB} MiB of memory; ask affidavit verify of one bundle at a time", 1)
    if csv is not None:
        write_atomic(csv, csv_text(made), "--csv")
    if sarif is not None:
        write_atomic(sarif, sarif_text(read), "--sarif")
    if junit is not None:
        write_atomic(junit, junit_text(read), "--junit")
    if predictions is not None and patches is not None:
        write_atomic(predictions, patches.text, "--predictions")
        for said in (*patches.missing, *patches.lacking):
            typer.echo(f"affidavit: {printable(said)}", err=True)
    if as_json:
        print_json(report_json(made))
    else:
        print_report(made, sys.stdout)
    whole = patches is None or not patches.missing
    raise typer.Exit(0 if whole and all(run.checked is None or run.checked.ok for run in read) else 1)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs: of one agent each, or of several.", metavar="RUN…")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page.", metavar="FILE", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two agents, or each of several with each other, on the tasks that both ran.

    Differences are paired by task, with intervals clustered by task, McNemar's exact test, and Holm's correction over
    labels and over pairs of agents.

    Exit status: 0, or 2 where the runs can't be read, hold fewer than two agents, or have no task in common.
    """
    from affidavit.report import ReportError, make_report, print_comparison, read_runs, write_comparison
    from affidavit.report import compare as compare_subjects

    try:
        found = compare_subjects(make_report(read_runs(runs)))
        if html is not None:
            write_comparison(found, html)
    except ReportError as error:
        fail(error)
    if as_json:
        print_json(found.to_json())
    else:
        print_comparison(found, sys.stdout)


def view(
    run: Annotated[Path, typer.Argument(help="Folder of a run, which may still be going on.", metavar="RUN")],
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1; 0: any free one.", min=0, max=65535, metavar="N")] = 0,
) -> None:
    """Show the report of a run in a browser, also while the run goes on.

    The report is served on this machine only, at a URL with a random token. Press Ctrl-C to stop.

    Exit status: 0, or 2 where there is no run or the port can't be used.
    """
    from affidavit.report import ReportError, serve

    def ready(address: str) -> None:
        typer.echo(address)
        sys.stdout.flush()

    # The server shuts down first and then raises the signal again, which would end us with its status.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        serve(run, port, ready)
    except ReportError as error:
        fail(error)
    except KeyboardInterrupt:
        return


def write_atomic(path: Path, text: str, option: str) -> None:
    """Write a file so that it is there whole or not at all; ends the command where that fails."""
    from affidavit.signing import EvidenceError, write_whole

    try:
        write_whole(path, text.encode())
    except EvidenceError as error:
        fail(f"{option} {error}; name another place")
