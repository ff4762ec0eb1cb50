"""Imports Harbor's tasks: from folders, and from registries (``registry.json``: data sets of tasks in git)."""

import json
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from affidavit.tasks.errors import TaskError
from affidavit.tasks.git import run_git
from affidavit.tasks.task import load_task

_MOST_REGISTRY_BYTES = 64 << 20
_MOST_TASKS = 10_000
_MOST_TASK_BYTES = 4 << 30
_MOST_TASK_FILES = 100_000
_MOST_DEPTH = 8
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}|[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")


@dataclass(frozen=True)
class ImportedTask:
    """A task that was imported.

    Attributes:
        name: of its folder in the target folder.
        problem: why it can't run here; empty if it can.
        warnings: which of its settings have no effect here.
    """

    name: str
    problem: str
    warnings: tuple[str, ...]


def import_harbor(source: Path, out: Path, dataset: str | None = None) -> tuple[ImportedTask, ...]:
    """Copy tasks of Harbor's into a folder, and say of each whether it can run here.

    Args:
        source: a task folder, a folder with tasks at any depth up to 8, or a registry (``registry.json``).
        out: where to; made where there is none. A task that is there already is left alone, which is an error.
        dataset: ``NAME@VERSION``, or ``NAME`` where it has one version only; for a registry that has several.

    Raises:
        TaskError: nothing can be taken over.
    """
    if source.is_dir():
        if dataset is not None:
            raise TaskError(f"--dataset {dataset}: is for registries, and {source} is a folder")
        folders = [*_task_folders(source)]
        if not folders:
            raise TaskError(f"{source}: holds no task: no folder in it has a task.toml")
        return _take_over([(folder, _name(folder, source)) for folder in folders], out)
    with tempfile.TemporaryDirectory(prefix="affidavit-import-") as work:
        return _take_over([*_from_registry(source, dataset, Path(work))], out)


def _task_folders(top: Path) -> Iterator[Path]:
    """Folders with a task.toml; what is below one belongs to that task. Links are not followed."""
    waiting = [(top, 0)]
    found = 0
    while waiting:
        folder, depth = waiting.pop()
        if (folder / "task.toml").is_file():
            found += 1
            if found > _MOST_TASKS:
                raise TaskError(f"{top}: holds more than {_MOST_TASKS} tasks; take over a part of it")
            yield folder
            continue
        if depth == _MOST_DEPTH:
            continue
        try:
            entries = sorted(folder.iterdir(), reverse=True)
        except OSError as error:
            raise TaskError(f"{folder}: can't be read: {error.strerror}") from error
        waiting += [
            (entry, depth + 1)
            for entry in entries
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith(".")
        ]


def _name(folder: Path, source: Path) -> str:
    name = (source.resolve() if folder == source else folder).name
    if not _FOLDER.fullmatch(name):
        raise TaskError(f"{folder}: its name can't be that of a task's folder; use letters, digits, '.', '_' and '-'")
    return name


def _take_over(tasks: Sequence[tuple[Path, str]], out: Path) -> tuple[ImportedTask, ...]:
    names = [name for _, name in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TaskError(
            f"{twice}: two tasks have a folder of that name; take them over one by one, to different folders"
        )
    there = next((name for name in names if (out / name).exists()), None)
    if there is not None:
        raise TaskError(f"{out / there}: already exists; remove it, or choose another --out")
    imported = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder, name in tasks:
            # Beside it and then renamed: what is there is whole.
            fresh = Path(tempfile.mkdtemp(prefix=".import-", dir=out))
            try:
                _copy(folder, fresh)
                fresh.chmod(0o755)
                fresh.rename(out / name)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            imported.append(look_at(out / name))
    except OSError as error:
        raise TaskError(f"{error.filename or out}: {error.strerror}") from error
    return tuple(imported)


def look_at(folder: Path) -> ImportedTask:
    """Whether an imported task can run here."""
    try:
        task = load_task(folder)
    except TaskError as error:
        return ImportedTask(folder.name, str(error), ())
    return ImportedTask(folder.name, "", task.warnings)


def _copy(source: Path, target: Path) -> None:
    """Copy a task's folder: files, folders, and links that stay inside of it."""
    left, files = _MOST_TASK_BYTES, _MOST_TASK_FILES
    for here, folders, names, fd in os.fwalk(source, follow_symlinks=False):
        relative = Path(here).relative_to(source)
        for name in [*folders, *names]:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            place = target / relative / name
            files -= 1
            left -= info.st_size
            if left < 0 or files < 0:
                raise TaskError(f"{source}: is more than {_MOST_TASK_BYTES >> 30} GiB or {_MOST_TASK_FILES} files")
            if stat.S_ISDIR(info.st_mode):
                place.mkdir(mode=0o755)
            elif stat.S_ISLNK(info.st_mode):
                link = os.readlink(name, dir_fd=fd)
                if _leads_out(relative / name, link):
                    raise TaskError(f"{Path(here) / name}: is a link that leads out of the task, to {link[:100]!r}")
                place.symlink_to(link)
            elif stat.S_ISREG(info.st_mode):
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
                with os.fdopen(opened, "rb") as file, place.open("xb") as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
                place.chmod(info.st_mode & 0o777)
            else:
                raise TaskError(f"{Path(here) / name}: is a device, a pipe or a socket, which no task needs")


def _leads_out(place: Path, link: str) -> bool:
    return link.startswith("/") or os.path.normpath(place.parent / link).split("/")[0] == ".."


def _from_registry(path: Path, dataset: str | None, work: Path) -> Iterator[tuple[Path, str]]:
    """The tasks of one data set of a registry, got from git: folder and name."""
    entries = _dataset(path, _read_registry(path), dataset)
    clones: dict[tuple[str, str], Path] = {}
    for number, entry in enumerate(entries):
        url, commit, place, name = _task_entry(path, entry)
        if url is None:
            folder = path.parent / place
            if not folder.is_dir():
                raise TaskError(f"{path}: {name}: its path {place} is not a folder beside the registry")
            yield folder, name
            continue
        if (url, commit) not in clones:
            clones[url, commit] = _fetch(path, url, commit, work / f"git-{number}")
        yield _checked_out(path, clones[url, commit], commit, place, work / f"task-{number}"), name


def _read_registry(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_REGISTRY_BYTES + 1)
    except OSError as error:
        raise TaskError(
            f"{path}: can't be read: {error.strerror}; give a folder of tasks or a registry.json"
        ) from error
    if len(data) > _MOST_REGISTRY_BYTES:
        raise TaskError(f"{path}: is larger than {_MOST_REGISTRY_BYTES >> 20} MiB")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path}: is not JSON; a registry is a list of data sets") from error
    found = document.get("datasets") if isinstance(document, dict) else document
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TaskError(f"{path}: is not a registry: it must be a list of data sets with name, version and tasks")
    return found


def _dataset(path: Path, datasets: list[Any], wanted: str | None) -> list[Any]:
    names = [f"{one.get('name')}@{one.get('version')}" for one in datasets]
    fitting = [
        one for one, name in zip(datasets, names, strict=True) if wanted is None or wanted in (name, one.get("name"))
    ]
    if len(fitting) != 1:
        known = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise TaskError(f"{path}: say which data set with --dataset NAME@VERSION; it has: {known or 'none'}")
    tasks = fitting[0].get("tasks")
    if not isinstance(tasks, list) or not tasks or len(tasks) > _MOST_TASKS:
        raise TaskError(f"{path}: the data set must have from 1 to {_MOST_TASKS} tasks")
    return tasks


def _task_entry(path: Path, entry: Any) -> tuple[str | None, str, PurePosixPath, str]:
    """Address, commit, path in the repository and name of a task."""
    if not isinstance(entry, dict):
        raise TaskError(f"{path}: a task must be an object with name, git_url, git_commit_id and path")
    url, commit, place = entry.get("git_url"), entry.get("git_commit_id") or "HEAD", entry.get("path")
    name = entry.get("name") or (PurePosixPath(place).name if isinstance(place, str) else None)
    name = name.rpartition("/")[2] if isinstance(name, str) else name
    if not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise TaskError(f"{path}: {str(name)[:60]!r} is not a valid name for a task's folder")
    if not isinstance(place, str) or place.startswith("/") or ".." in PurePosixPath(place).parts or "\0" in place:
        raise TaskError(f"{path}: {name}: its path must lie inside of the repository, not {str(place)[:100]!r}")
    if url is not None and (not isinstance(url, str) or not re.match(r"(?:https|ssh|file)://|git@", url)):
        raise TaskError(f"{path}: {name}: its git_url must begin with https://, ssh://, git@ or file://")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or ".." in commit:
        raise TaskError(f"{path}: {name}: {str(commit)[:80]!r} is not a git commit")
    return url, commit, PurePosixPath(place), name


def _fetch(path: Path, url: str, commit: str, clone: Path) -> Path:
    _git(path, url, "init", "--quiet", "--bare", str(clone))
    try:
        _git(path, url, "--git-dir", str(clone), "fetch", "--quiet", "--depth=1", "--no-tags", "--", url, commit)
    except TaskError:
        # Servers that give out no single commit give out their branches.
        _git(path, url, "--git-dir", str(clone), "fetch", "--quiet", "--", url, "+refs/heads/*:refs/heads/*")
    return clone


def _checked_out(path: Path, clone: Path, commit: str, place: PurePosixPath, target: Path) -> Path:
    what = "FETCH_HEAD" if commit == "HEAD" else commit
    archive = target.with_suffix(".tar")
    into = f"--output={archive}"
    _git(path, str(place), "--git-dir", str(clone), "archive", "--format=tar", into, what, "--", str(place))
    try:
        _unpack(archive, target)
    except (OSError, tarfile.TarError) as error:
        raise TaskError(f"{path}: {place}: can't be unpacked: {error}") from error
    archive.unlink()
    return target / place


def _unpack(archive: Path, target: Path) -> None:
    links = []
    with tarfile.open(archive) as members:
        for member in members:
            if ".." in PurePosixPath(member.name).parts or member.name.startswith("/"):
                raise tarfile.TarError(f"the name {member.name[:100]!r} leads out")
            place = target / member.name
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                links.append((place, member.linkname))
            elif member.isreg():
                place.parent.mkdir(parents=True, exist_ok=True)
                content = members.extractfile(member)
                assert content is not None
                with place.open("xb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
                place.chmod(member.mode & 0o777)
    # Last, so that nothing is written through one.
    for place, link in links:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(link)


def _git(path: Path, what: str, *words: str) -> None:
    run_git(f"{path}: {what}", ["-c", "fetch.fsckObjects=true", *words], as_configured=True)
