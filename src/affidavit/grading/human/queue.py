"""A queue on disk of answers that people are to judge.

One file for each answer, ``items/ID.json``, and one for each score, ``scores/ID/RATER.json``. Each is put in its place
whole, under a lock on the folder, so that several people may work at once. An item's name is a digest: it tells nothing
of the agent, and mixes the agents' answers.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affidavit.errors import AffidavitError
from affidavit.grading.combination import Assessment, Graded, combine
from affidavit.grading.grader import Grade
from affidavit.grading.rubric import ANCHORS
from affidavit.signing import EvidenceError, locked_folder, write_whole

_MOST_BYTES = 16 << 20
_ID = re.compile(r"[0-9a-f]{16}")
_RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_MOST_NOTE = 4000


class QueueError(AffidavitError):
    """The queue can't be used, or what is asked of it is wrong; one line that says what to do."""


@dataclass(frozen=True)
class Item:
    """An answer to be judged.

    Attributes:
        id: 16 hexadecimal digits.
        task: its name.
        grader: the grader's name in the task.
        instruction: the agent's.
        dimension, rubric, raters: see the grader's settings; the rubric as pairs of score and words.
        answers: name, sha256 and text of each.
        bundle_sha256: of the bundle's statement, which the score belongs to.
    """

    id: str
    task: str
    grader: str
    instruction: str
    dimension: str
    rubric: tuple[tuple[float, str], ...]
    raters: int
    answers: tuple[dict[str, str], ...]
    bundle_sha256: str


@dataclass(frozen=True)
class Score:
    """What a person said of an item."""

    rater: str
    score: float
    note: str


def items_of(task: str, instruction: str, graders: Iterable[Graded], bundle_sha256: str) -> list[Item]:
    """The items of a bundle: one for each human grader that waits.

    Args:
        task: its name.
        instruction: the agent's.
        graders: what each of the task's graders said.
        bundle_sha256: digest of the bundle's statement.

    Raises:
        QueueError: a human grader left nothing that a person could judge.
    """
    waiting = [one for one in graders if one.kind == "human" and one.grade.abstained]
    try:
        return [_waiting(one, task, instruction, bundle_sha256) for one in waiting]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise QueueError(f"the bundle's grade.json tells of no answers to judge: {error}") from None


def _waiting(graded: Graded, task: str, instruction: str, bundle_sha256: str) -> Item:
    """Raises KeyError, TypeError, ValueError, OverflowError: the grader's details are not what it writes."""
    details = graded.grade.evidence.details
    return _item(
        {
            "id": hashlib.sha256(f"{bundle_sha256}\0{graded.name}".encode()).hexdigest()[:16],
            "task": task,
            "grader": graded.name,
            "instruction": instruction,
            **{key: details[key] for key in ("dimension", "rubric", "raters", "answers")},
            "bundle_sha256": bundle_sha256,
        }
    )


class Queue:
    """A queue in a folder, which is made when something is put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, item: Item) -> bool:
        """Put an item into the queue; False where it is there already. Raises QueueError."""
        with self._locked():
            path = self._path(item.id)
            if path.exists():
                return False
            self._write(path, asdict(item))
            return True

    def items(self) -> list[Item]:
        """All items, by their names. Raises QueueError."""
        folder = self.folder / "items"
        names = (
            sorted(path.stem for path in folder.glob("*.json") if _ID.fullmatch(path.stem)) if folder.is_dir() else []
        )
        return [self.item(name) for name in names]

    def item(self, name: str) -> Item:
        """An item by its name, or by what its name begins with. Raises QueueError."""
        if not re.fullmatch(r"[0-9a-f]{4,16}", name):
            raise QueueError(f"{name[:40]!r} is no name of an item; affidavit grade human list shows them")
        found = sorted((self.folder / "items").glob(f"{name}*.json"))
        if len(found) != 1:
            what = "is no item" if not found else f"is the beginning of {len(found)} items' names"
            raise QueueError(f"{name} {what} in {self.folder}; affidavit grade human list shows them")
        try:
            item = _item(_read(found[0]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise QueueError(f"{found[0]}: is no item: {error}") from None
        if item.id != found[0].stem:
            raise QueueError(f"{found[0]}: is no item: it holds another one, {item.id}")
        return item

    def scores(self, name: str) -> list[Score]:
        """What has been said of an item, by rater. Raises QueueError."""
        folder = self.folder / "scores" / name
        found = []
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            value = _read(path)
            try:
                found.append(_score(value["rater"], value["score"], value["note"]))
            except (KeyError, TypeError, QueueError) as error:
                raise QueueError(f"{path}: is no score: {error}") from None
        return found

    def score(self, name: str, rater: str, value: float, note: str = "", *, replace: bool = False) -> Item:
        """Say what an item is worth.

        Args:
            name: the item's.
            rater: who says so: letters, digits and ``._@-``.
            value: one of the rubric's scores.
            note: why.
            replace: what the rater said before may be replaced.

        Raises:
            QueueError: there is no such item or score, or the rater has scored it before.
        """
        item, score = self.item(name), _score(rater, value, note)
        with self._locked():
            path = self.folder / "scores" / item.id / f"{rater}.json"
            if path.exists() and not replace:
                raise QueueError(f"{rater} has scored {item.id} before; give --replace to change it")
            self._write(path, asdict(score))
        return item

    def next_for(self, rater: str) -> Item | None:
        """The first item that wants a score, and has none of this rater. Raises QueueError."""
        for item in self.items():
            scores = self.scores(item.id)
            if len(scores) < item.raters and rater not in {score.rater for score in scores}:
                return item
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(self.folder))
            except OSError as error:
                raise QueueError(f"{self.folder}: can't be used as a queue: {error.strerror}") from None
            yield

    def _path(self, name: str) -> Path:
        return self.folder / "items" / f"{name}.json"

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        data = json.dumps(content, indent=1).encode() + b"\n"
        if len(data) > _MOST_BYTES:
            # Once there, it would keep everybody from reading the queue.
            raise QueueError(f"{path}: would be larger than {_MOST_BYTES >> 20} MiB")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        except (OSError, EvidenceError) as error:
            raise QueueError(f"{path}: can't be written: {error}") from None


def with_humans(graders: Iterable[Graded], scores: Mapping[str, Sequence[Score]]) -> Assessment:
    """What all graders come to once people have spoken.

    Args:
        graders: what each said, as the bundle's ``grade.json`` has it.
        scores: of people, by the grader's name; their mean takes the place of the grader's abstention.
    """
    return combine([_spoken(one, scores.get(one.name, ())) for one in graders])


def _spoken(graded: Graded, scores: Sequence[Score]) -> Graded:
    if graded.kind != "human" or not graded.grade.abstained or not scores:
        return graded
    mean = sum(score.score for score in scores) / len(scores)
    grade = Grade(mean, f"{len(scores)} people")
    return Graded(graded.name, graded.kind, graded.weight, graded.gate, graded.deterministic, grade)


def _score(rater: Any, value: Any, note: Any) -> Score:
    if not isinstance(rater, str) or not _RATER.fullmatch(rater):
        raise QueueError(f"{str(rater)[:40]!r} is no rater's name; it has letters, digits, '.', '_', '@' and '-'")
    if isinstance(value, bool) or value not in ANCHORS:
        scores = ", ".join(f"{anchor:g}" for anchor in ANCHORS)
        raise QueueError(f"{str(value)[:40]} is no score of the rubric; it has {scores}")
    if not isinstance(note, str) or len(note) > _MOST_NOTE:
        raise QueueError(f"the note is no text of at most {_MOST_NOTE} characters")
    return Score(rater, float(value), note)


def _item(value: Any) -> Item:
    """Raises KeyError, TypeError, ValueError: `value` is no item."""
    match value:
        case {
            "id": str(name),
            "task": str(task),
            "grader": str(grader),
            "instruction": str(instruction),
            "dimension": str(dimension),
            "rubric": list() | tuple() as rubric,
            "raters": int(raters),
            "answers": list() | tuple() as answers,
            "bundle_sha256": str(digest),
        } if _ID.fullmatch(name):
            words = tuple((float(score), str(text)) for score, text in rubric)
            texts = tuple({key: str(answer[key]) for key in ("name", "sha256", "text")} for answer in answers)
            return Item(name, task, grader, instruction, dimension, words, raters, texts, digest)
    raise ValueError("something is missing")


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise QueueError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB")
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise QueueError(f"{path}: can't be read: {error}") from None
