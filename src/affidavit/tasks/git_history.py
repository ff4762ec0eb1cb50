"""Git repositories for tasks, with the history up to one commit and nothing after it."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from affidavit.tasks.errors import TaskError
from affidavit.tasks.git import run_git

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST_FILE_BYTES = 64 << 20


class History:
    """A bare repository with only what a commit reaches: no other objects, refs, tags, reflogs or remotes.

    Args:
        source: a repository's folder (with or without a work tree), or its address (``https://``, ``ssh://``).
        commit: full object name, 40 or 64 hexadecimal digits.
        folder: is made, and holds the bare repository.

    Raises:
        TaskError: git is missing, or there is no such commit.
    """

    def __init__(self, source: str, commit: str, folder: Path) -> None:
        if not _COMMIT.fullmatch(commit):
            raise TaskError(f"{source}: {commit[:80]!r} is not a commit's full name of 40 or 64 hexadecimal digits")
        self._source = source
        self.commit = commit
        self.folder = folder
        kind = "sha256" if len(commit) == 64 else "sha1"
        self._git("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--initial-branch=main")
        if Path(source).is_dir():
            # The pack holds only what the commit reaches. A clone would also copy the rest of the source's packs.
            pack = run_git(
                source,
                [
                    "-c",
                    "safe.directory=*",
                    "-C",
                    source,
                    "pack-objects",
                    "--quiet",
                    "--revs",
                    "--stdout",
                    "--threads=1",
                ],
                f"{commit}\n".encode(),
            )
            self._git("index-pack", "--stdin", "--strict", stdin=pack)
        else:
            self._git("-c", "fetch.fsckObjects=true", "fetch", "--quiet", "--no-tags", "--", source, commit)
            (folder / "FETCH_HEAD").unlink(missing_ok=True)
        self._git("update-ref", "refs/heads/main", f"{commit}^{{commit}}")
        self._check()

    def write_work_tree(self, target: Path) -> None:
        """Make `target` a work tree of the commit, with this history as its ``.git``. Runs no hooks and no filters.

        Raises:
            TaskError: it can't be written.
        """
        target.mkdir(parents=True)
        self._git("config", "core.bare", "false")
        self._git("config", "core.logAllRefUpdates", "false")
        # The index has no file times, so that the same import gives the same bytes.
        self._git("read-tree", "HEAD")
        self._git(f"--work-tree={target}", "checkout-index", "--all", "--quiet")
        self.folder.rename(target / ".git")
        self.folder = target / ".git"

    def applied(self, patch: str) -> dict[str, tuple[str, str]]:
        """Apply a patch to the commit's files, outside of the repository.

        Args:
            patch: a unified diff; may be empty.

        Returns:
            mode and object of each file by its path. New objects are not in the task's repository; read them with
            `patched_files`.

        Raises:
            TaskError: it does not apply.
        """
        with _Scratch(self) as scratch:
            return scratch.apply(patch)

    def patched_files(self, patch: str, wanted: Mapping[str, object] | set[str]) -> dict[str, bytes]:
        """The content of regular files after a patch, by path; missing files are left out.

        Raises:
            TaskError: the patch does not apply, or a file is larger than 64 MiB.
        """
        with _Scratch(self) as scratch:
            listed = scratch.apply(patch)
            return {
                path: scratch.read(name, path)
                for path, (mode, name) in listed.items()
                if path in wanted and mode.startswith("100")
            }

    def _check(self) -> None:
        """Raise TaskError if there is anything that the commit does not reach."""
        reached = {line.split(b" ")[0] for line in self._git("rev-list", "--objects", self.commit).splitlines()}
        there = {*self._git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").splitlines()}
        refs = self._git("for-each-ref", "--format=%(refname)").decode().split()
        if there - reached or refs != ["refs/heads/main"] or (self.folder / "logs").exists():
            raise TaskError(f"{self._source}: {self.commit}: its history can't be separated from what came later")

    def _git(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        return run_git(self._source, [f"--git-dir={self.folder}", *words], stdin, env)


class _Scratch:
    """A patch applied in an index and an object folder of its own."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._place = tempfile.TemporaryDirectory(prefix="affidavit-patch-")
        place = Path(self._place.name)
        (place / "objects").mkdir()
        self._env = {
            "GIT_INDEX_FILE": str(place / "index"),
            "GIT_OBJECT_DIRECTORY": str(place / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(history.folder / "objects"),
        }

    def __enter__(self) -> "_Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    def apply(self, patch: str) -> dict[str, tuple[str, str]]:
        git = self._history._git
        git("read-tree", self._history.commit, env=self._env)
        if patch.strip():
            git("apply", "--cached", "-", stdin=patch.encode(), env=self._env)
        files = {}
        for entry in git("ls-files", "--stage", "-z", env=self._env).split(b"\0")[:-1]:
            about, _, path = entry.partition(b"\t")
            mode, name, _stage = about.decode("ascii").split(" ")
            files[os.fsdecode(path)] = (mode, name)
        return files

    def read(self, name: str, path: str) -> bytes:
        git = self._history._git
        if int(git("cat-file", "-s", name, env=self._env)) > _MOST_FILE_BYTES:
            raise TaskError(f"{path}: is larger than {_MOST_FILE_BYTES >> 20} MiB")
        return git("cat-file", "blob", name, env=self._env)
