"""Exporting runs, and removing those whose time is up."""

import sys
import time
import typing
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json

if typing.TYPE_CHECKING:
    from affidavit.evaluation import RunResult


def export(result: "RunResult") -> bool:
    """Write a run in the form that its suite asks for, beside the bundles.

    Returns:
        False where that failed, which is said.
    """
    if result.terms.export_format != "otlp":
        return True
    from importlib.metadata import version

    from affidavit.report import otlp_lines, otlp_spans, published_graders
    from affidavit.signing import EvidenceError, write_whole

    run, release = result.to_json(), version("affidavit")
    logs, spans = result.folder / "otlp.jsonl", result.folder / "otlp-traces.jsonl"
    try:
        write_whole(logs, "".join(otlp_lines(run, release, time.time_ns(), published_graders)).encode())
        write_whole(spans, "".join(otlp_spans(run, release)).encode())
    except EvidenceError as error:
        typer.echo(f"affidavit: {error}", err=True)
        return False
    typer.echo(
        f"{logs}: verdicts, violations and evaluation results as OTLP/JSON; {spans}: the trials' spans", err=True
    )
    return True


def prune(
    runs: Annotated[Path, typer.Argument(help="A folder of runs.", metavar="RUNS")] = Path("runs"),
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is listed.")] = False,
    images: Annotated[bool, typer.Option("--images", help="List or remove all images instead of runs.")] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="List or remove all verifier caches instead of runs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the runs whose time is up; with --remove, remove them.

    With --images, all images are listed or removed instead, with their unpacked layers and the build cache. With
    --caches, it is all verifier caches (affidavit task warm), each by the digest of its task.

    The suite or profile of a run sets how long it is kept. A run without such a limit is never removed.

    Exit status: 0 done, 2 usage error, or a run can't be removed.
    """
    from datetime import UTC, datetime

    from affidavit.evaluation import RunError, expired_runs, remove_run
    from affidavit.report import printable

    if images and caches:
        fail("give --images or --caches, not both")
    if caches:
        _prune_caches(remove, as_json)
        return
    if images:
        _prune_images(remove, as_json)
        return
    try:
        found = expired_runs(runs, datetime.now(UTC).date())
        for run in found if remove else ():
            remove_run(run)
    except RunError as error:
        fail(error)
    if as_json:
        of_runs = [{"run_id": r.run_id, "folder": str(r.folder), "keep_until": str(r.keep_until)} for r in found]
        print_json({"removed": remove, "runs": of_runs})
        return
    for run in found:
        sys.stdout.write(f"{printable(str(run.folder))}  kept until {run.keep_until}\n")
    what = f"{len(found)} run{'s' if len(found) != 1 else ''}"
    if remove:
        sys.stdout.write(f"{what} removed\n")
    else:
        sys.stdout.write(f"{what} to remove{': affidavit prune RUNS --remove' if found else ''}\n")


def _prune_images(remove: bool, as_json: bool) -> None:
    from affidavit.images import ImageError, ImageStore
    from affidavit.report import printable
    from affidavit.sandbox import state_dir

    try:
        store = ImageStore(state_dir())
        found = store.clear() if remove else store.images()
    except ImageError as error:
        fail(error)
    if as_json:
        print_json({"removed": remove, "images": [{"name": one.name, "digest": one.digest} for one in found]})
        return
    for image in found:
        sys.stdout.write(f"{printable(image.name)}  {image.digest}\n")
    what = f"{len(found)} image{'s' if len(found) != 1 else ''}"
    done = "removed" if remove else f"to remove{': affidavit prune --images --remove' if found else ''}"
    sys.stdout.write(f"{what} {done}\n")


def _prune_caches(remove: bool, as_json: bool) -> None:
    from affidavit.evaluation import kept_caches, remove_caches
    from affidavit.sandbox import state_dir

    try:
        found = remove_caches(state_dir()) if remove else kept_caches(state_dir())
    except OSError as error:
        fail(f"{error.filename}: can't be removed: {error.strerror}")
    if as_json:
        rows = [
            {"task": f"sha256:{c.folder.name}", "digest": c.digest, "answers": len(c.answers), "bytes": c.answers.size}
            for c in found
        ]
        print_json({"removed": remove, "caches": rows})
        return
    for cache in found:
        content = (
            f"{len(cache.answers)} answers, {cache.answers.size / (1 << 20):.1f} MiB"
            if cache.digest
            else "can't be read"
        )
        sys.stdout.write(f"task sha256:{cache.folder.name}  {content}\n")
    what = f"{len(found)} verifier cache{'s' if len(found) != 1 else ''}"
    done = "removed" if remove else f"to remove{': affidavit prune --caches --remove' if found else ''}"
    sys.stdout.write(f"{what} {done}\n")
