"""``affidavit contract new``, ``learn``, ``lint`` and ``schema``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json

Out = Annotated[
    Path | None,
    typer.Option("--out", help="File to write; it must not exist.", metavar="FILE", show_default=False),
]


def new(
    task: Annotated[Path, typer.Argument(help="A task folder.", metavar="TASK")],
    out: Out = None,
) -> None:
    """Write a starter contract for a task.

    It spells out the default contract, with a comment on each line, in contract.yaml in the task folder or the file of
    --out. If there is a contract.schema.json in that folder or above it (affidavit contract schema), the first line
    points editors to it.
    """
    from affidavit.authoring import editor_line, first_contract
    from affidavit.tasks import TaskError, load_task

    try:
        read = load_task(task)
    except TaskError as error:
        fail(error)
    if out is None and read.contract.path is not None:
        fail(f"{read.contract.path}: already exists; say --out FILE to write another one")
    path = out or read.path / "contract.yaml"
    line = editor_line(path)
    _write(path, line + first_contract(read))
    typer.echo(f"{path}: tighten it, then: affidavit contract lint {path}")
    if not line:
        typer.echo("for editors to complete it: affidavit contract schema --help")


def learn(
    runs: Annotated[list[Path], typer.Argument(help="Bundles, or folders of runs.", metavar="RUN_DIR…")],
    out: Out = None,
    contract_id: Annotated[
        str | None,
        typer.Option("--id", help="The contract's id; by default the task's.", metavar="ID", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="Public key (PEM) that must have signed; by default your own.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the smallest contract that allows recorded honest runs.

    Each line names the runs and the number of events that it rests on. A run that did not pass, can't be verified, or
    breaks the default contract is refused. The contract is printed unless --out is given.

    Exit status: 0 learned, 1 the runs can't be learned from, 2 usage error.
    """
    from affidavit.authoring import LearningError, as_yaml, editor_line, learn_contract, read_lessons
    from affidavit.contracts import ContractError
    from affidavit.evaluation import RunError
    from affidavit.evidence import EvidenceError

    for path in runs:
        if not path.is_dir():
            fail(f"{path}: no such folder; give a bundle, or the folder of a run")
    try:
        task, lessons = read_lessons(runs, key)
        learned = learn_contract(lessons, contract_id or task)
    except LearningError as error:
        fail(error, 1)
    except (ContractError, EvidenceError, RunError) as error:
        fail(error)
    if as_json:
        print_json({"contract": learned.value, "runs": list(learned.lessons), "evidence": learned.evidence()})
    if out is not None:
        _write(out, editor_line(out) + as_yaml(learned))
        typer.echo(f"{out}: learned from {len(lessons)} runs", err=True)
    elif not as_json:
        sys.stdout.write(as_yaml(learned))


def lint(
    contract: Annotated[Path, typer.Argument(help="A contract's file.", metavar="CONTRACT")],
    as_json: Json = False,
) -> None:
    """Find holes in a contract, and show which rules are enforced and which are only detected.

    Exit status: 0 no errors, 1 errors, 2 usage error.
    """
    from datetime import UTC, datetime

    from affidavit.authoring import lint as find_holes
    from affidavit.contracts import COMBINATIONS, ContractError, parse_contract, treatments
    from affidavit.report import print_lint
    from affidavit.signing import EvidenceError, read_bounded

    try:
        read = parse_contract(read_bounded(contract, 4 << 20), str(contract))
    except (ContractError, EvidenceError) as error:
        fail(error)
    findings = find_holes(read, datetime.now(UTC))
    table = {combination: treatments(read, *combination) for combination in COMBINATIONS}
    if as_json:
        print_json(
            {
                "contract": {"id": read.id, "version": read.version, "digest": read.digest},
                "findings": [vars(finding) for finding in findings],
                "treatment": [
                    {"runtime": runtime, "recorder": recorder, **vars(one)}
                    for (runtime, recorder), rows in table.items()
                    for one in rows
                ],
            }
        )
    else:
        print_lint(str(contract), findings, table, sys.stdout)
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)


def schema(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; it may exist.", metavar="FILE", show_default=False),
    ] = None,
) -> None:
    """Print the JSON Schema of contracts, which lets editors complete and check them.

    Once it is in a folder of tasks as contract.schema.json (--out tasks/contract.schema.json), contract new and learn
    name it in the first line of every contract that they write there or below, for the YAML language server.
    """
    from affidavit.authoring import editor_line, write_schema
    from affidavit.contracts import schema_text
    from affidavit.signing import EvidenceError

    if out is None:
        sys.stdout.write(schema_text())
        return
    try:
        write_schema(out)
    except EvidenceError as error:
        fail(error)
    line = editor_line(out.with_name("contract.yaml")) or f"# yaml-language-server: $schema={out.name}\n"
    typer.echo(f"{out}: first line of a contract beside it: {line}", nl=False)


def _write(path: Path, text: str) -> None:
    """All of a new file or nothing; never in the place of another."""
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
            except OSError:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        fail(f"{path}: already exists")
    except OSError as error:
        fail(f"{path}: can't be written: {error.strerror}")
