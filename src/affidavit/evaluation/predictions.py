"""SWE-bench's predictions as agents: each applies the patch that somebody's model made for a task.

The format is that of SWE-bench's harness: JSON Lines (or a JSON list) of objects with ``instance_id``,
``model_name_or_path`` and ``model_patch``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.tasks import TaskError, read_json_records

_MOST_BYTES = 1 << 30
# What is left of the 120,000 bytes of a shell command.
_MOST_PATCH_BYTES = 119_000
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@:+/-]{0,127}")
_NO_PATCH = ":"


class Predictions:
    """A file of predictions, all of one model.

    Args:
        path: of the file, ``*.jsonl`` or ``*.json``.

    Attributes:
        model: ``model_name_or_path``; ``/`` is spelled ``__``, since agents give folders their names.

    Raises:
        RunError: it can't be read, or is not as SWE-bench has it; one line with file, place and fix.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._commands: dict[str, str] = {}
        models: set[str] = set()
        for place, row in _records(path):
            instance, model, patch = _prediction(place, row)
            if instance in self._commands:
                raise RunError(f"{place}: instance_id {instance} has a prediction already; leave one of them")
            models.add(model)
            if len(models) > 1:
                raise RunError(f"{place}: model_name_or_path is {model} here and another above; give a file each")
            self._commands[instance] = _command(place, patch)
        if not models:
            raise RunError(f"{path}: has no prediction; each line is an object with instance_id and model_patch")
        self.model = models.pop().replace("/", "__")

    def agent(self, task_id: str) -> Agent:
        """The agent for a task. Where there is no prediction, it does nothing: the instance is not resolved."""
        return Agent.shell(self._commands.get(task_id, _NO_PATCH), self.model)

    def check(self, task_ids: set[str]) -> None:
        """See that at least one of these tasks has a prediction. Raises RunError."""
        if not task_ids & self._commands.keys():
            raise RunError(
                f"{self._path}: has no prediction for {min(task_ids)} or any other of these tasks; an instance_id must "
                "be a task's id"
            )


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        yield from read_json_records(path, "SWE-bench's predictions", _MOST_BYTES)
    except TaskError as error:
        raise RunError(str(error)) from error


def _prediction(place: str, row: Any) -> tuple[str, str, str]:
    match row:
        case {"instance_id": str(instance), "model_name_or_path": str(model), "model_patch": str() | None as patch}:
            pass
        case _:
            raise RunError(f"{place}: must be an object with the texts instance_id, model_name_or_path and model_patch")
    if not _MODEL.fullmatch(model):
        raise RunError(f"{place}: model_name_or_path {model[:60]!r} can't be an agent's name: A-Z a-z 0-9 ._@:+/-")
    return instance, model, patch or ""


def _command(place: str, patch: str) -> str:
    if not patch.strip():
        return _NO_PATCH
    try:
        size = len(patch.encode())
    except UnicodeEncodeError:
        raise RunError(f"{place}: model_patch is not text that UTF-8 can spell") from None
    if size > _MOST_PATCH_BYTES:
        raise RunError(f"{place}: model_patch is longer than {_MOST_PATCH_BYTES:,} bytes; leave the line out")
    if "\0" in patch:
        raise RunError(f"{place}: model_patch holds a NUL character")
    patch = patch.removesuffix("\n") + "\n"
    end = "END_OF_PATCH"
    while f"\n{end}\n" in f"\n{patch}":
        end += "_"
    return f"git apply --whitespace=nowarn - <<'{end}'\n{patch}{end}\n"
