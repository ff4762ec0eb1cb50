"""What agents changed as SWE-bench's predictions: a patch for each task, made from its bundle.

The format is that of SWE-bench's harness: JSON Lines of objects with ``instance_id``, ``model_name_or_path`` and
``model_patch``.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from affidavit.events import decode_name
from affidavit.evidence import (
    BundleReader,
    EvidenceError,
    read_diff,
)
from affidavit.report.runs import ReportError, RunView, TrialView
from affidavit.report.trial_detail import FileTexts, texts_of
from affidavit.sandbox import Change
from affidavit.tasks import TaskError, run_git

_GIT_S = 120
# Git takes nothing of its own into a patch, and what Python and pytest leave behind is nobody's fix.
_NO_PART = frozenset({b".git", b"__pycache__", b".pytest_cache"})


@dataclass(frozen=True)
class PredictionFile:
    """Predictions, and what they lack.

    Attributes:
        text: JSON Lines.
        missing: of each trial that gave none, why: a sentence that begins with the task.
        lacking: of each prediction whose patch lacks a new file, which: a sentence that begins with the task.
    """

    text: str
    missing: tuple[str, ...]
    lacking: tuple[str, ...]


def make_predictions(runs: Sequence[RunView]) -> PredictionFile:
    """The first trial of each task as a prediction.

    Only trials that passed or failed give one: what a violation or an incomplete record leaves is nobody's work to be
    scored.

    Raises:
        ReportError: two trials are of the same task, or git is missing.
    """
    lines, missing, lacking, seen = [], [], [], set()
    for trial in (trial for run in runs for trial in run.trials if trial.trial == 0):
        if trial.task_id in seen:
            raise ReportError(
                f"--predictions: {trial.task_id} was run twice, and an instance has one prediction; give one run of "
                "one agent"
            )
        seen.add(trial.task_id)
        try:
            patch, without = _patch(trial)
        except (EvidenceError, _Unknown) as problem:
            missing.append(f"{trial.task_id}: no prediction: {problem}")
            continue
        row = {"instance_id": trial.task_id, "model_name_or_path": trial.agent.name, "model_patch": patch}
        lines.append(json.dumps(row) + "\n")
        if without:
            more = f" and {len(without) - 1} more" if len(without) > 1 else ""
            lacking.append(
                f"{trial.task_id}: the patch lacks the new file {without[0]}{more}: the bundle has no text of it"
            )
    return PredictionFile("".join(lines), tuple(missing), tuple(lacking))


class _Unknown(Exception):
    """A patch can't be made; the message says why."""


@dataclass(frozen=True)
class _Side:
    """A file before or after the agent's work."""

    mode: str
    content: bytes


def _patch(trial: TrialView) -> tuple[str, list[str]]:
    """The patch of a trial, and the new files that are not in it. Raises EvidenceError and _Unknown."""
    if trial.verdict not in ("pass", "fail"):
        raise _Unknown(f"the verdict is {trial.verdict}")
    if trial.evidence.bundle is None:
        raise _Unknown("there is no bundle")
    with BundleReader(trial.evidence.bundle) as reader:
        changes = read_diff(reader)
        unknown: list[str] = []
        texts = texts_of(reader, reader.names(), unknown)
        workdir = reader.task.get("workdir")
    if not isinstance(workdir, str):
        raise _Unknown("task.json names no workdir")
    top = workdir.rstrip("/") + "/"
    before: dict[bytes, _Side] = {}
    after: dict[bytes, _Side] = {}
    without: list[str] = []
    for change in changes:
        match change:
            case Change(path=str(), kind=str(), type=str(), mode=int(), target=str() | None):
                pass
            case _:
                raise _Unknown("diff.json: holds something that is not a change")
        # Of a change of mode or owner alone, the bundle does not say what was there.
        if not change.path.startswith(top) or change.type not in ("file", "symlink") or change.kind == "metadata":
            continue
        try:
            name = decode_name(change.path.removeprefix(top))
        except ValueError:
            raise _Unknown(f"diff.json: {change.path!r} is not a name") from None
        if _NO_PART.intersection(name.split(b"/")):
            continue
        found = _sides(change, texts)
        if found is None and change.kind == "added":
            without.append(change.path)
        elif found is None:
            raise _Unknown(f"the bundle has no text of {change.path} before and after (docs/bundle.md, texts.json)")
        else:
            old, new = found
            before.update({} if old is None else {name: old})
            after.update({} if new is None else {name: new})
    return _difference(before, after), without


def _sides(change: Change, texts: Mapping[str, FileTexts]) -> tuple[_Side | None, _Side | None] | None:
    """A file before and after; None where the bundle does not have it."""
    if change.type == "symlink":
        if change.kind != "added" or change.target is None:
            return None
        return None, _Side("120000", decode_name(change.target))
    text = texts.get(change.path)
    if text is None or not text.is_of(change.sha256):
        return None
    if (text.before is None, text.after is None) != (change.kind == "added", change.kind == "deleted"):
        return None
    mode = "100755" if change.mode & 0o100 else "100644"
    old, new = (None if one is None else _Side(mode, one.encode()) for one in (text.before, text.after))
    return old, new


def _difference(before: Mapping[bytes, _Side], after: Mapping[bytes, _Side]) -> str:
    """The patch from one set of files to another, as git writes it.

    The files are blobs of a bare repository, never files on disk: no name that an agent chose leads anywhere, and no
    attribute of its own is obeyed.
    """
    if before == after:
        return ""
    with tempfile.TemporaryDirectory(prefix="affidavit-patch-") as place:
        _git(place, ["init", "--quiet", "--bare", "--template=", "."])
        _git(place, ["fast-import", "--quiet"], b"".join((*_commit(b"before", before), *_commit(b"after", after))))
        words = ["diff-tree", "-r", "-p", "--text", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv"]
        return _git(place, [*words, "before", "after"]).decode()


def _commit(branch: bytes, files: Mapping[bytes, _Side]) -> Iterator[bytes]:
    """A commit of these files and no others, for ``git fast-import``."""
    yield b"commit refs/heads/%s\ncommitter x <x> 0 +0000\ndata 0\n" % branch
    for name, side in sorted(files.items()):
        yield b"M %s inline %s\ndata %d\n" % (side.mode.encode(), _quoted(name), len(side.content))
        yield side.content + b"\n"
    yield b"\n"


def _quoted(name: bytes) -> bytes:
    """A name as C has texts: what git takes for any bytes but NUL."""
    return b'"%s"' % b"".join(
        b"%c" % byte if 0x20 < byte < 0x7F and byte not in b'"\\' else b"\\%03o" % byte for byte in name
    )


def _git(place: str, words: list[str], stdin: bytes = b"") -> bytes:
    if shutil.which("git") is None:
        raise ReportError("--predictions: git is not installed, and it makes the patches: apt install git")
    try:
        return run_git("the patch", ["-C", place, *words], stdin, timeout_s=_GIT_S)
    except TaskError as error:
        raise _Unknown(str(error)) from None
