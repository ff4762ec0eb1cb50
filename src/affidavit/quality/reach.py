"""Whether the hidden parts of a task lie in the agent's reach: in its root file system, in archives, in histories."""

import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from affidavit.redteam import Briefing
from affidavit.tasks import Task

_MOST_BYTES = 16 << 20
_MOST_UNPACKED = 128 << 20
_MOST_MEMBERS = 5000
# Shorter files and lines say the same in many places by chance.
_LEAST_FILE = 24
_LEAST_LINE = 24
_LEAST_CHARACTERS = 8
_LEAST_LINES = 3
# Of a file whose lines are all short.
_LEAST_TEXT = 12
_SHARE = 0.5
_LISTING = "--batch-check=%(objecttype) %(objectname) %(objectsize)"


@dataclass(frozen=True)
class Reached:
    """A hidden file that the agent can read.

    Attributes:
        hidden: its path in the task's folder.
        place: where the agent finds it, archives and objects of a git history after a ``!``.
        whole: the very file; else a good part of its lines.
    """

    hidden: str
    place: str
    whole: bool


def reachable_parts(task: Task, layers: Sequence[Path], briefing: Briefing) -> tuple[Reached, ...]:
    """What of tests/ and solution/ is to be found in the agent's root file system.

    By the digest of whole files; by lines that are rare enough: half of a hidden file's, and three at least where it
    has so many; and by the whole text of a file that has only short lines, as answers often are. What the instruction
    names is no secret, the start state that a solution changes above all.

    Args:
        task: the task.
        layers: of the root file system; a machine's /usr is not looked through.
        briefing: the task's.

    Raises:
        OSError: a layer can't be read.
    """
    hidden = _Hidden(task)
    found: dict[tuple[str, str], Reached] = {}
    for layer in layers:
        for path, data in _files(layer):
            if not _told(path, briefing):
                for place, content in _contents(path, data):
                    for reached in hidden.within(content, place):
                        found.setdefault((reached.hidden, reached.place), reached)
        for path in _histories(layer):
            if not _told(path, briefing):
                for place, content in _objects(layer / path.lstrip("/"), path):
                    for reached in hidden.within(content, place):
                        found.setdefault((reached.hidden, reached.place), reached)
    return tuple(found.values())


class _Hidden:
    """The hidden files, by digest and by line."""

    def __init__(self, task: Task) -> None:
        self._digests: dict[bytes, str] = {}
        self._lines: dict[bytes, set[str]] = {}
        self._sizes: dict[str, int] = {}
        self._short: dict[bytes, str] = {}
        for folder in task.hidden_folders:
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                if not path.is_file() or path.is_symlink() or path.stat().st_size > _MOST_BYTES:
                    continue
                data, name = path.read_bytes(), str(path.relative_to(task.path))
                if len(data) >= _LEAST_FILE:
                    self._digests[hashlib.sha256(data).digest()] = name
                lines = _rare_lines(_added(data))
                self._sizes[name] = len(lines)
                for line in lines:
                    self._lines.setdefault(line, set()).add(name)
                if not lines and len(text := _plain(data)) >= _LEAST_TEXT and len(set(text)) >= _LEAST_CHARACTERS:
                    self._short[text] = name

    def within(self, data: bytes, place: str) -> Iterator[Reached]:
        if whole := self._digests.get(hashlib.sha256(data).digest()):
            yield Reached(whole, place, True)
            return
        counts = Counter(name for line in _rare_lines(data) for name in self._lines.get(line, ()))
        for name, count in counts.items():
            if count >= max(_SHARE * self._sizes[name], min(_LEAST_LINES, self._sizes[name])):
                yield Reached(name, place, False)
        if self._short:
            text = b"\n" + _plain(data) + b"\n"
            yield from (Reached(name, place, False) for short, name in self._short.items() if b"\n%b\n" % short in text)


def _added(data: bytes) -> bytes:
    """What a patch adds, without its marks, since a history holds just that; any other file as it is."""
    if not data.startswith(b"diff --git ") and b"\ndiff --git " not in data:
        return data
    lines = data.splitlines()
    return b"\n".join(line[1:] for line in lines if line.startswith(b"+") and not line.startswith(b"+++ "))


def _rare_lines(data: bytes) -> set[bytes]:
    lines = {line.strip() for line in data.splitlines()}
    return {line for line in lines if len(line) >= _LEAST_LINE and len(set(line)) >= _LEAST_CHARACTERS}


def _plain(data: bytes) -> bytes:
    """A text without what editors and systems change: a byte order mark, white space around lines, empty lines."""
    lines = (line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").splitlines())
    return b"\n".join(line for line in lines if line)


def _told(path: str, briefing: Briefing) -> bool:
    """Whether the instruction names a path, or a folder of the working directory that it lies in."""
    inside = f"{briefing.workdir.rstrip('/')}/"
    return any(path == name or (path.startswith(f"{name}/") and name.startswith(inside)) for name in briefing.told)


def _files(layer: Path) -> Iterator[tuple[str, bytes]]:
    """Regular files of a layer, by their path in the sandbox."""
    for folder, folders, names in os.walk(layer):
        if "objects" in folders and "HEAD" in names:
            # A git history is read by git.
            folders.clear()
            continue
        for name in names:
            path = Path(folder, name)
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and info.st_size <= _MOST_BYTES:
                yield f"/{path.relative_to(layer)}", path.read_bytes()


def _contents(path: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, and what is packed in it."""
    yield path, data
    left = _MOST_UNPACKED
    try:
        if data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                for entry in packed.infolist()[:_MOST_MEMBERS]:
                    if entry.file_size <= min(left, _MOST_BYTES):
                        left -= entry.file_size
                        yield f"{path}!{entry.filename}", packed.read(entry)
        elif path.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")):
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for number, member in enumerate(archive):
                    if number < _MOST_MEMBERS and member.isreg() and member.size <= min(left, _MOST_BYTES):
                        left -= member.size
                        if file := archive.extractfile(member):
                            yield f"{path}!{member.name}", file.read()
        elif data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as unpacked:
                yield f"{path}!", unpacked.read(_MOST_BYTES)
    except (zipfile.BadZipFile, tarfile.TarError, RuntimeError, EOFError, OSError, zlib.error, ValueError):
        # What can't be unpacked here hides nothing from digest and lines that an agent could read with ease.
        return


def _histories(layer: Path) -> Iterator[str]:
    """Git folders and bundles of a layer."""
    for folder, folders, names in os.walk(layer):
        if "objects" in folders and "HEAD" in names:
            folders.clear()
            yield f"/{Path(folder).relative_to(layer)}"
        yield from (f"/{Path(folder, name).relative_to(layer)}" for name in names if name.endswith(".bundle"))


def _objects(history: Path, path: str) -> Iterator[tuple[str, bytes]]:
    """The files of every version in a git history, reachable or not; none where git can't read it."""
    with tempfile.TemporaryDirectory() as place:
        folder = history
        if history.is_file():
            folder = Path(place, "clone")
            if _git(["clone", "--quiet", "--mirror", str(history), str(folder)]) is None:
                return
        listed = _git(_within(folder, "cat-file", "--batch-all-objects", _LISTING))
        left = _MOST_UNPACKED
        for line in (listed or b"").splitlines()[: 10 * _MOST_MEMBERS]:
            kind, name, size = line.decode("ascii", "replace").split(" ")
            if kind == "blob" and int(size) <= min(left, _MOST_BYTES):
                left -= int(size)
                data = _git(_within(folder, "cat-file", "blob", name))
                if data is not None:
                    yield f"{path}!{name[:12]}", data


def _within(folder: Path, *words: str) -> list[str]:
    return ["-c", "safe.directory=*", f"--git-dir={folder}", *words]


def _git(words: Sequence[str]) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", *words],
            capture_output=True,
            timeout=60,
            env={"PATH": os.environ.get("PATH", ""), "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
