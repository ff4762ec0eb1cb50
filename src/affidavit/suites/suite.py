"""From a suite file to a :class:`Suite`."""

import glob
import hashlib
from dataclasses import dataclass
from pathlib import Path

from affidavit.contracts import MAX_BYTES, ContractError, Positions, did_you_mean, read_mapping, validated
from affidavit.suites.document import SuiteDocument
from affidavit.suites.errors import SuiteError
from affidavit.suites.evaluation_suite import EvaluationSuite, by_own_names
from affidavit.tasks import Task, TaskError, distinct, find_tasks

_MOST_TASKS = 100_000


@dataclass(frozen=True)
class Suite:
    """A suite file, read and checked.

    Attributes:
        path: the file.
        digest: ``sha256:`` and the SHA-256 of its bytes in hex.
        document: what it says.
        tasks: those it names, else those in folders beside it; by name.
        not_honoured: what it says that is not done yet: its own name of the field, and a sentence.
    """

    path: Path
    digest: str
    document: SuiteDocument
    tasks: tuple[Task, ...]
    not_honoured: dict[str, str]


def load_suite(path: Path) -> Suite:
    """Read a suite file: YAML or JSON of the schema ``affidavit.suite/v1``, or the configuration ``evaluation_suite``.

    Raises:
        SuiteError: it can't be read, says something wrong, or a task of it does.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SuiteError(f"{path}: can't be read: {error.strerror}") from error
    try:
        value, positions = read_mapping(data, str(path))
        if "evaluation_suite" in value and "schema" not in value:
            written = validated(value, positions, str(path), EvaluationSuite)
            document = validated(written.translated(_name(path)), Positions(), str(path), SuiteDocument)
            said = by_own_names(document.not_honoured())
        elif "schema" in value:
            document = validated(value, positions, str(path), SuiteDocument)
            said = document.not_honoured()
        else:
            fix = did_you_mean("".join([*value][:1]), ["evaluation_suite"])
            raise SuiteError(
                f"{path}:1:1: is not a suite: it has neither schema: affidavit.suite/v1 nor evaluation_suite{fix}"
            )
        tasks = _tasks(path, document)
    except (ContractError, TaskError) as error:
        raise SuiteError(str(error)) from error
    return Suite(path, "sha256:" + hashlib.sha256(data).hexdigest(), document, tasks, said)


def _name(path: Path) -> str:
    """The file's name without its ending, as an id may be spelled."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem)
    return kept.strip("._-")[:128] or "suite"


def _tasks(path: Path, document: SuiteDocument) -> tuple[Task, ...]:
    if document.tasks is None:
        return tuple(find_tasks(path.parent))
    found: dict[Path, Task] = {}
    for index, pattern in enumerate(document.tasks):
        matches = sorted(glob.glob(pattern, root_dir=path.parent))  # noqa: PTH207  (a pattern may be absolute or climb)
        if not matches:
            raise SuiteError(f"{path}: tasks[{index}]: {pattern[:100]!r} names nothing in {path.parent}")
        for match in matches[:_MOST_TASKS]:
            place = path.parent / match
            if any(character in pattern for character in "*?[") and not (place / "task.toml").exists():
                # What a wildcard happens to name beside tasks: files, folders of other things.
                continue
            for task in find_tasks(place):
                found.setdefault(task.path, task)
    if not found:
        raise SuiteError(f"{path}: tasks: what they name holds no task.toml")
    return tuple(distinct(found.values()))
