"""``affidavit grade human``: working the queue of answers that people judge."""

import hashlib
import os
import typing
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json

if typing.TYPE_CHECKING:
    from affidavit.evidence import GradeDocument
    from affidavit.grading.human import Item, Queue

grade_app = typer.Typer(help="Grades given by people.", no_args_is_help=True, rich_markup_mode=None)
human_app = typer.Typer(help="Answers that people score.", no_args_is_help=True, rich_markup_mode=None)
grade_app.add_typer(human_app, name="human")

_STATEMENT = "statement.dsse.json"

QueueFolder = Annotated[
    Path, typer.Option("--queue", help="The queue's folder.", metavar="DIR", envvar="AFFIDAVIT_QUEUE")
]
Rater = Annotated[str, typer.Option("--rater", help="The rater.", metavar="NAME")]
Name = Annotated[str, typer.Argument(help="An item's name, or a prefix of it.", metavar="ITEM")]
_QUEUE = Path("human-queue")


@human_app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Bundles, or folders of bundles.", metavar="PATH...")],
    queue: QueueFolder = _QUEUE,
) -> None:
    """Put the answers that wait for a person into the queue."""
    from affidavit.evidence import EvidenceError
    from affidavit.grading.human import QueueError

    held, added = _queue(queue), 0
    try:
        for path in paths:
            for bundle in _bundles(path):
                items, _ = _items(bundle)
                added += sum(held.add(item) for item in items)
    except (EvidenceError, QueueError) as error:
        fail(error)
    typer.echo(f"{added} added to {queue}")


@human_app.command("list")
def list_items(queue: QueueFolder = _QUEUE, as_json: Json = False) -> None:
    """List the items, and the number of scores of each."""
    from affidavit.grading.human import QueueError
    from affidavit.report import printable

    held = _queue(queue)
    try:
        rows = [(item, len(held.scores(item.id))) for item in held.items()]
    except QueueError as error:
        fail(error)
    if as_json:
        print_json([{"id": item.id, "task": item.task, "scores": n, "wanted": item.raters} for item, n in rows])
        return
    for item, count in rows:
        typer.echo(f"{item.id}  {count} of {item.raters}  {printable(item.task)}: {printable(item.dimension, 80)}")


@human_app.command()
def show(name: Name, queue: QueueFolder = _QUEUE) -> None:
    """Show an item: the task, the question, the rubric and the answer."""
    from affidavit.grading.human import QueueError

    try:
        _show(_queue(queue).item(name))
    except QueueError as error:
        fail(error)


@human_app.command("next")
def next_item(rater: Rater, queue: QueueFolder = _QUEUE) -> None:
    """Show the next item that this rater has not scored."""
    from affidavit.grading.human import QueueError

    try:
        item = _queue(queue).next_for(rater)
    except QueueError as error:
        fail(error)
    if item is None:
        typer.echo("nothing is left to judge")
    else:
        _show(item)


@human_app.command()
def score(
    name: Name,
    value: Annotated[float, typer.Argument(help="0, 0.3, 0.5, 0.8 or 1.", metavar="SCORE")],
    rater: Rater,
    note: Annotated[str, typer.Option("--note", help="Why.", metavar="TEXT")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace this rater's earlier score.")] = False,
    queue: QueueFolder = _QUEUE,
) -> None:
    """Score an item."""
    from affidavit.grading.human import QueueError

    try:
        item = _queue(queue).score(name, rater, value, note, replace=replace)
    except QueueError as error:
        fail(error)
    typer.echo(f"{item.id}: {value:g} by {rater}")


@human_app.command()
def agreement(queue: QueueFolder = _QUEUE, as_json: Json = False) -> None:
    """Show how far the raters agree: Krippendorff's alpha, and Cohen's kappa for each pair."""
    from affidavit.grading.human import QueueError, rater_agreement

    held = _queue(queue)
    try:
        told = rater_agreement([{one.rater: one.score for one in held.scores(item.id)} for item in held.items()])
    except QueueError as error:
        fail(error)
    if as_json:
        pairs = [{"raters": [a, b], "items": n, "kappa": kappa} for a, b, n, kappa in told.kappas]
        print_json({"items": told.items, "raters": list(told.raters), "alpha": told.alpha, "kappas": pairs})
        return
    typer.echo(f"{told.items} items with two scores or more, {len(told.raters)} raters")
    typer.echo(f"Krippendorff's alpha (interval): {_figure(told.alpha)}")
    for one, other, count, kappa in told.kappas:
        typer.echo(f"Cohen's kappa (quadratic) of {one} and {other}, {count} items: {_figure(kappa)}")


@human_app.command()
def result(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.", metavar="BUNDLE")],
    queue: QueueFolder = _QUEUE,
    as_json: Json = False,
) -> None:
    """Show a bundle's score with people's scores included. The bundle itself is not changed."""
    from affidavit.evidence import EvidenceError
    from affidavit.grading.human import QueueError, with_humans
    from affidavit.report import printable

    held = _queue(queue)
    try:
        items, grade = _items(bundle)
        scores = {item.grader: held.scores(item.id) for item in items}
        assessment = with_humans(grade.graders, scores)
    except (EvidenceError, QueueError) as error:
        fail(error)
    missing = [item.grader for item in items if len(scores[item.grader]) < item.raters]
    notes = [*assessment.notes, *(f"grader {name} still wants scores" for name in missing)]
    if as_json:
        said = {name: [{"rater": s.rater, "score": s.score} for s in given] for name, given in scores.items()}
        print_json({"score": assessment.score, "signed_score": grade.score, "scores": said, "notes": notes})
        return
    typer.echo(f"score with people: {_figure(assessment.score)}; as signed: {_figure(grade.score)}")
    for line in notes:
        typer.echo(printable(line))


def _queue(folder: Path) -> "Queue":
    from affidavit.grading.human import Queue

    return Queue(folder)


def _bundles(path: Path) -> list[Path]:
    """The bundles in a folder, or itself. Raises QueueError."""
    from affidavit.grading.human import QueueError

    if (path / _STATEMENT).is_file():
        return [path]
    found = []
    for folder, folders, files in os.walk(path):
        if _STATEMENT in files:
            found.append(Path(folder))
            folders.clear()
    if not found:
        raise QueueError(f"{path}: is not a bundle, and holds none")
    return sorted(found)


def _items(bundle: Path) -> "tuple[list[Item], GradeDocument]":
    """What waits in a bundle, and its grade.json. Raises EvidenceError, QueueError."""
    from affidavit.evidence import BundleReader, read_grade, read_task
    from affidavit.grading.human import items_of

    with BundleReader(bundle) as reader:
        with reader.open(_STATEMENT) as file:
            digest = hashlib.sha256(file.read(1 << 20)).hexdigest()
        task, grade = read_task(reader), read_grade(reader)
    return items_of(task.id, task.instruction, grade.graders, digest), grade


def _show(item: "Item") -> None:
    from affidavit.report import printable

    typer.echo(f"item {item.id} of the task {printable(item.task)}\n")
    _text(item.instruction)
    typer.echo(f"\n{printable(item.dimension)}")
    for value, words in item.rubric:
        typer.echo(f"  {value:g}: {printable(words)}")
    for answer in item.answers:
        typer.echo(f"\n--- {printable(answer['name'])}")
        _text(answer["text"])
    typer.echo(f"\naffidavit grade human score {item.id} SCORE --rater NAME")


def _text(text: str) -> None:
    from affidavit.report import printable

    for line in text.splitlines():
        typer.echo(f"| {printable(line.expandtabs())}")


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
