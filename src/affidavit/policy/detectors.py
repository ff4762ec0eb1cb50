"""Detectors of operations that patterns of paths and refused calls do not show (affidavit.contracts.OPERATIONS)."""

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from affidavit.contracts import OPERATIONS, Attempts, Detection, Watch, cel
from affidavit.events import OPS, Op
from affidavit.policy import sentences
from affidavit.policy.attempts import Outcome, came_to_nothing
from affidavit.policy.columnar import Evaluation
from affidavit.policy.columns import Batch
from affidavit.policy.findings import Findings
from affidavit.policy.lineage import Images, Lineage
from affidavit.trace import TraceError

Codes = npt.NDArray[Any]

_EXEC, _EXIT = OPS.index(Op.EXEC), OPS.index(Op.EXIT)
_ENOENT = -2


class DetectorError(TraceError):
    """A detector of an installed distribution failed, so that nobody can know whether the contract was kept."""


class _Check(Protocol):
    """A built-in detector with what it has seen so far: rows of a batch, and what each is about.

    Attributes:
        needs_images: it must be given the images of processes.
    """

    needs_images: ClassVar[bool]

    def find(
        self, batch: Batch, ops: Codes, lineage: Lineage, images: Images | None, evaluation: Evaluation
    ) -> list[tuple[int, str]]: ...


class Detectors:
    """The detectors of those forbidden operations that need one.

    Args:
        forbidden: names of operations.
        workdir: the task's working directory.
        attempts_for: what a refused act is that breaks a rule. What a detector of an installed distribution finds is
            a violation whatever that says: it does not tell attempts.
    """

    def __init__(self, forbidden: Sequence[str], workdir: str, attempts_for: Callable[[str], Attempts]) -> None:
        self._attempts_for = attempts_for
        self._checks: list[tuple[str, _Check]] = []
        self._watches: list[tuple[str, Watch]] = []
        for name in forbidden:
            detector = OPERATIONS.detector(name)
            if detector is not None:
                self._watches.append((name, _guarded(name, lambda of=detector: of.watch(workdir))))  # type: ignore[misc]
                continue
            if OPERATIONS[name].expression:
                self._checks.append((name, _OfEvent(OPERATIONS[name].expression)))
            self._checks += [(name, make()) for make in _MORE.get(name, ())]
        self.needed = bool(self._checks or self._watches)
        self.needs_lineage = any(check.needs_images for _, check in self._checks)

    def check(
        self,
        raw: pa.RecordBatch,
        batch: Batch,
        ops: Codes,
        lineage: Lineage,
        images: Images | None,
        evaluation: Evaluation,
        findings: Findings,
    ) -> None:
        """Judge further events."""
        for number, (name, check) in enumerate(self._checks):
            found = check.find(batch, ops, lineage, images, evaluation)
            rows = np.array([row for row, _ in found], np.int64)
            attempted = self._attempted(name, batch.numbers("ret")[rows])
            masks: tuple[tuple[npt.NDArray[np.bool_], Outcome | None], ...]
            masks = ((attempted, "refused"), (~attempted, None))
            for mask, outcome in masks:
                _add(batch, [found[place] for place in np.flatnonzero(mask)], name, number, outcome, findings)
        for name, watch in self._watches:
            self._take(name, _guarded(name, lambda watch=watch: list(watch.feed(raw))), "agent", findings)  # type: ignore[misc]

    def finish(self, changes: Sequence[Any], findings: Findings) -> None:
        """Judge the diff."""
        for name, watch in self._watches:
            self._take(name, _guarded(name, lambda watch=watch: list(watch.finish(changes))), "diff", findings)  # type: ignore[misc]

    def _attempted(self, name: str, ret: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which acts that a detector found are attempts, by what they returned."""
        if self._attempts_for(f"operations.{name}") == "violation":
            return np.zeros(len(ret), np.bool_)
        return came_to_nothing(ret)

    @staticmethod
    def _take(name: str, found: Sequence[Detection], stage: Any, findings: Findings) -> None:
        severity = OPERATIONS[name].severity
        for one in found:
            message = sentences.shown(one.message)
            if not one.events:
                findings.add_fact(f"operations.{name}", severity, one.about, message, stage)
                continue
            findings.add(
                f"operations.{name}",
                severity,
                np.array(sorted(one.events), np.int64),
                np.zeros(len(one.events), np.int64),
                lambda keys, one=one: [one.about] * len(keys),  # type: ignore[misc]
                lambda index, message=message: message,  # type: ignore[misc]
            )


def _add(
    batch: Batch, found: list[tuple[int, str]], name: str, number: int, outcome: Outcome | None, findings: Findings
) -> None:
    rows = np.array([row for row, _ in found], np.int64)
    findings.add(
        f"operations.{name}",
        OPERATIONS[name].severity,
        batch.numbers("seq")[rows],
        np.arange(len(rows)),
        lambda keys: [found[key][1] for key in keys.tolist()],
        _message(batch, found, name),
        by=str(number),
        outcome=outcome,
    )


def _guarded(name: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        raise DetectorError(f"the detector {name!r} failed: {type(error).__name__}: {error}") from error


def _message(batch: Batch, found: list[tuple[int, str]], name: str) -> Callable[[int], str]:
    def message(index: int) -> str:
        row, about = found[index]
        deed = sentences.of_event(batch, row)
        if ops_of(batch, row) == Op.EXEC:
            deed = f"{deed} ({sentences.shown(about)})"
        return f"{deed}, which the contract forbids ({name})"

    return message


def ops_of(batch: Batch, row: int) -> str | None:
    """The operation of a row."""
    return batch.names("op").at(row)


class _OfEvent:
    """What an expression over one event says; about its path."""

    needs_images: ClassVar[bool] = False

    def __init__(self, expression: str) -> None:
        self._node = cel.compile_condition(expression)

    def find(
        self, batch: Batch, ops: Codes, lineage: Lineage, images: Images | None, evaluation: Evaluation
    ) -> list[tuple[int, str]]:
        rows = np.flatnonzero(evaluation.mask(self._node))
        return [(row, batch.names("path").at(row) or "") for row in rows.tolist()]


_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
# What multiprocessing gives its own workers to run (multiprocessing/spawn.py, resource_tracker.py, forkserver.py).
_WORKER = re.compile(
    r"from multiprocessing\.(?:spawn|resource_tracker|forkserver|semaphore_tracker) import (?:spawn_main|main); ?"
    r"(?:spawn_main|main)\([\w=, '\[\]{}./:-]*\)"
)
_DESCRIPTOR = re.compile(r"/dev/(?:stdin|fd/\d+)|/proc/(?:self|\d+)/fd/\d+")


class _PythonString:
    """Python that runs a string or its standard input."""

    needs_images: ClassVar[bool] = False

    def find(
        self, batch: Batch, ops: Codes, lineage: Lineage, images: Images | None, evaluation: Evaluation
    ) -> list[tuple[int, str]]:
        exes = batch.names("exe")
        python = np.array(
            [bool(_PYTHON.fullmatch(exe.rpartition("/")[2])) for exe in exes.distinct.to_pylist()], np.bool_
        )
        rows = np.flatnonzero((ops == _EXEC) & (batch.numbers("ret") >= 0) & exes.spread(python, False))
        argvs = ((row, batch.argv(row)) for row in rows.tolist())
        return [(row, " ".join(argv)) for row, argv in argvs if runs_a_string(argv)]


def runs_a_string(argv: Sequence[str]) -> bool:
    """Whether Python, called so, runs a string or what comes on its standard input
    (https://docs.python.org/3/using/cmdline.html)."""
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        if word == "-" or _DESCRIPTOR.fullmatch(word):
            return True
        if not word.startswith("-"):
            return False
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                words = words[1:]
            elif word in ("--version", "--help", "--help-env", "--help-xoptions", "--help-all"):
                return False
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter == "c":
                string = word[place + 1 :] or (words[0] if words else "")
                return not _WORKER.fullmatch(string)
            if letter in "mhV?":
                return False
            if letter in "WX":
                if place == len(word) - 1:
                    words = words[1:]
                break
    return True


class _PathSearch:
    """A program that was found after attempts elsewhere."""

    needs_images: ClassVar[bool] = False

    def __init__(self) -> None:
        # For each process the name that it did not find.
        self._missed: dict[int, tuple[str, str]] = {}

    def find(
        self, batch: Batch, ops: Codes, lineage: Lineage, images: Images | None, evaluation: Evaluation
    ) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        ret, pid, tid, paths = batch.numbers("ret"), batch.numbers("pid"), batch.numbers("tid"), batch.names("path")
        for row in np.flatnonzero((ops == _EXEC) | (ops == _EXIT)).tolist():
            process = int(pid[row])
            if ops[row] == _EXIT:
                if process == tid[row]:
                    self._missed.pop(process, None)
                continue
            folder, _, name = (paths.at(row) or "").rpartition("/")
            if ret[row] == _ENOENT:
                self._missed[process] = (folder, name)
            elif ret[row] >= 0:
                before = self._missed.pop(process, None)
                if before is None or before[0] == folder:
                    continue
                argv = batch.argv(row)
                # The record names the file that ran; what it was called, where that is a symlink, its arguments say.
                if before[1] in (name, argv[0].rpartition("/")[2] if argv else name):
                    found.append((row, " ".join(argv) or name))
        return found


class _OtherUser:
    """A process of another user or group than that of the first program."""

    needs_images: ClassVar[bool] = False

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None

    def find(
        self, batch: Batch, ops: Codes, lineage: Lineage, images: Images | None, evaluation: Evaluation
    ) -> list[tuple[int, str]]:
        uid, gid = batch.numbers("uid"), batch.numbers("gid")
        begin = 0
        if self._first is None:
            started = np.flatnonzero((ops == _EXEC) & (batch.numbers("ret") >= 0))
            if not len(started):
                return []
            begin = int(started[0])
            self._first = (int(uid[begin]), int(gid[begin]))
        other = (uid[begin:] != self._first[0]) | (gid[begin:] != self._first[1])
        rows = np.flatnonzero(other) + begin
        return [(row, f"user {uid[row]}, group {gid[row]}") for row in rows.tolist()]


_ALL_OF_IT = {
    **dict.fromkeys(
        ("log", "rev-list", "shortlog", "show-branch", "whatchanged", "fast-export", "bundle", "grep", "diff-tree"),
        re.compile(r"--(?:all|reflog|walk-reflogs|branches|remotes|tags|glob|alternate-refs)(?:=.*)?|-g"),
    ),
    "fsck": re.compile(r".*"),
    "lost-found": re.compile(r".*"),
    "cat-file": re.compile(r"--batch-all-objects"),
    "verify-pack": re.compile(r".*"),
    "show-index": re.compile(r".*"),
    "unpack-objects": re.compile(r".*"),
}
# git(1): those whose value is a word of its own.
_WITH_VALUE = ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env", "--exec-path")


class _GitHistory:
    """git asked for what no branch at hand leads to, by something that is not git."""

    # Only git itself may ask for all of its history.
    needs_images: ClassVar[bool] = True

    def find(
        self, batch: Batch, ops: Codes, lineage: Lineage, images: Images | None, evaluation: Evaluation
    ) -> list[tuple[int, str]]:
        assert images is not None
        exes = batch.names("exe")
        git = np.array([_is_git(exe) for exe in exes.distinct.to_pylist()], np.bool_)
        rows = np.flatnonzero((ops == _EXEC) & (batch.numbers("ret") >= 0) & exes.spread(git, False))
        found = []
        for row in rows.tolist():
            argv = batch.argv(row)
            if not _is_git(lineage.images[int(images[row])].exe) and asks_for_all(argv):
                found.append((row, " ".join(argv)))
        return found


def _is_git(exe: str) -> bool:
    name = exe.rpartition("/")[2]
    return name == "git" or name.startswith("git-")


def asks_for_all(argv: Sequence[str]) -> bool:
    """Whether git, called so, shows commits that no branch at hand leads to."""
    words = list(argv)
    name = words.pop(0).rpartition("/")[2] if words else ""
    aliases: list[str] = []
    if name.startswith("git-"):
        words.insert(0, name.removeprefix("git-"))
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in _WITH_VALUE and words:
            value = words.pop(0)
            if value.startswith("alias."):
                aliases.append(value.partition("=")[2].lstrip("!"))
    command, options = (words[0], words[1:]) if words else ("", [])
    wanted = _ALL_OF_IT.get(command)
    asked = wanted is not None and any(wanted.fullmatch(word) for word in options or [""])
    asked |= command == "reflog" and options[:1] not in (["expire"], ["delete"], ["exists"])
    return asked or any(asks_for_all(["git", *_without_git(alias.split())]) for alias in aliases)


def _without_git(words: list[str]) -> list[str]:
    return words[1:] if words[:1] == ["git"] else words


_MORE: dict[str, tuple[Callable[[], _Check], ...]] = {
    "eval": (_PythonString,),
    "exec": (_PythonString,),
    "execvp": (_PathSearch,),
    "history_mining": (_GitHistory,),
    "privilege_change": (_OtherUser,),
}
