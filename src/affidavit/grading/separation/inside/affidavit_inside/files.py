"""Files that both sandboxes are to have: what changed on one side is brought to the other.

What comes from the solution is written in the tests' sandbox below the working directory and the temporary folders of
a call only, and never as something that an interpreter, a test framework or a tool would run or obey. In place of
programs (and of sources, where those are not to be read) stand launchers.
"""

import json
import os
import stat
import sys
from contextlib import suppress

from . import values

MOST_BYTES = 60 << 20
MOST_FILES = 10_000
MAGIC = b"affidavit launcher"
_MOST_HEAD = 4096

_OBEYED = frozenset(
    (
        "pytest.ini", ".pytest.ini", "setup.cfg", "tox.ini", "pyproject.toml", "conftest.py", "sitecustomize.py",
        "usercustomize.py", "pyvenv.cfg", ".coveragerc", ".pdbrc",
    )
)  # fmt: skip
_OBEYED_FOLDERS = ("__pycache__", ".pytest_cache")
_COMPILED = (
    ".pyc", ".pyo", ".pyd", ".so", ".dylib", ".a", ".o", ".pth", ".egg-link", ".egg", ".whl", ".class", ".jar", ".wasm",
)  # fmt: skip
_DATA = frozenset(
    (
        ".txt", ".text", ".md", ".rst", ".log", ".out", ".diff", ".patch", ".json", ".jsonl", ".ndjson", ".geojson",
        ".csv", ".tsv", ".xml", ".html", ".htm", ".css", ".toml", ".yaml", ".yml", ".ini", ".db", ".sqlite", ".sqlite3",
        ".parquet", ".arrow", ".npy", ".npz", ".bin", ".dat", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".wav",
        ".gz", ".zip", ".tar", ".bz2", ".xz", ".zst",
    )
)  # fmt: skip
_PROSE = frozenset(("readme", "license", "licence", "copying", "notice", "changelog", "changes", "authors", "version"))
# Data by their ends, and yet they say what a tool is to run.
_TOOLS = frozenset(("cmakelists.txt", "package.json", "cargo.toml", "composer.json", "meson_options.txt"))


def below(path, folder):
    """Whether a path, as written, is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def of_code(file, folder):
    """Whether code with this file name lies in a folder. Code without a file has a name in angle brackets."""
    return not file.startswith("<") and below(os.path.abspath(file), folder)


def temporary():
    """Where temporary files are."""
    # It takes half as long to load as all of this, and most programs' launchers have no other need of it.
    tempfile = sys.modules.get("tempfile")
    own = _of_environment() if tempfile is None else tempfile.gettempdir()
    found = {os.path.normpath(folder) for folder in ("/tmp", "/var/tmp", own)}
    return sorted(found | {os.path.realpath(folder) for folder in found})


def _of_environment():
    """The folder that `tempfile` would choose."""
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return next((os.path.abspath(name) for name in named if name and os.access(name, os.W_OK | os.X_OK)), "/tmp")


def scan(roots):
    """What lies in folders: by path ``(kind, size, time of change in ns, mode)``, without following links.

    Raises:
        values.Refused: there are more than 10,000.
    """
    found = {}
    waiting = [root for root in roots if os.path.lexists(root)]
    for root in waiting:
        _note(found, root)
    waiting = [root for root in waiting if found[root][0] == "d"]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with suppress(OSError):
                        _note(found, entry.path)
                        if found[entry.path][0] == "d":
                            waiting.append(entry.path)
        except OSError:
            continue
        if len(found) > MOST_FILES:
            raise values.Refused(f"more than {MOST_FILES} files below {', '.join(roots)}")
    return found


def _note(found, path):
    status = os.lstat(path)
    kind = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}.get(stat.S_IFMT(status.st_mode), "?")
    plain = kind == "f"
    found[path] = (
        kind,
        status.st_size if plain else 0,
        status.st_mtime_ns if kind != "d" else 0,
        status.st_mode & 0o777,
    )


def changes(before, now):
    """What to tell the other side: ``([path, kind, mode, time, content], …)`` of new and changed, and deleted paths.

    Raises:
        values.Refused: it is more than 60 MiB.
    """
    told, size = [], 0
    for path in sorted(now):
        kind, length, time, mode = now[path]
        if before.get(path) == now[path] or kind == "?":
            continue
        size += length
        if size > MOST_BYTES:
            raise values.Refused(f"files of more than {MOST_BYTES >> 20} MiB changed")
        with suppress(OSError):
            told.append([path, kind, mode, time, _content(path, kind)])
    return told, sorted((path for path in before if path not in now), reverse=True)


def _content(path, kind):
    if kind == "l":
        return os.fsencode(os.readlink(path))
    if kind == "d":
        return b""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(MOST_BYTES + 1)


def launched(content):
    """The path in S of the program that a launcher stands for; None where this is none."""
    if MAGIC not in content[:_MOST_HEAD]:
        return None
    with suppress(ValueError, IndexError):
        path = json.loads(content.split(MAGIC + b" ", 1)[1].split(b"\n", 1)[0].decode("ascii"))
        if isinstance(path, str):
            return path
    return None


def put(path, kind, mode, time, content):
    """Make one file as told, in place of what is there."""
    with suppress(OSError):
        there = os.lstat(path).st_mode
        if stat.S_ISDIR(there) and kind != "d":
            return
        if not stat.S_ISDIR(there):
            os.unlink(path)
    if kind == "d":
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode | 0o700)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if kind == "l":
        os.symlink(os.fsdecode(content), path)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(time, time))


def remove(path):
    """Delete what is there, a folder only where it is empty."""
    with suppress(OSError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)


def put_in_solution(told, gone):
    """Make in S what changed in T. A copy of a launcher is a copy of the program that it stands for."""
    for path in gone:
        remove(path)
    for path, kind, mode, time, content in told:
        with suppress(OSError):
            original = launched(content) if kind == "f" else None
            if original is not None:
                if original == path:
                    continue
                mode = os.stat(original).st_mode & 0o777
                content = _content(original, "f")
            put(path, kind, mode, time, content)


class Mirror:
    """The tests' side: what of the solution's files is there, and what both sides know.

    Attributes:
        workdir: the task's.
        sources: whether the solution's source text may lie here.
        links: whether symlinks of the solution's may lie in temporary folders, where they could lead to what the tests
            write there later.
        linked: whether one came to lie there.
    """

    def __init__(self, workdir, tests, state, sources, launcher, links):
        self.workdir, self.tests, self.state, self.sources, self.launcher = workdir, tests, state, sources, launcher
        self.links, self.linked = links, False
        self.agreed = {}
        self.mentioned, self.folders = set(), set()
        self.read_at = None
        self.temporary = temporary()

    def roots(self, words):
        """The temporary folders that texts and paths speak of: a file's own folder, unless that is the common one."""
        found, self.mentioned, self.folders = set(), set(), set()
        for word in words:
            for folder in self.temporary:
                at = word.find(folder + "/")
                if at < 0:
                    continue
                path = os.path.normpath(word[at:].split("\n", 1)[0])
                if os.path.lexists(path):
                    self.mentioned.add(path)
                while not os.path.lexists(path) and path not in self.temporary and len(path) > 1:
                    parent = os.path.dirname(path)
                    if parent in self.temporary:
                        break
                    path = parent
                if path in self.temporary or below(path, self.state) or below(path, self.tests):
                    continue
                parent = os.path.dirname(path)
                root = path if os.path.isdir(path) or parent in self.temporary else parent
                found.add(root)
                self.folders.add(root)
        return sorted(root for root in found if not any(below(root, other) for other in found if other != root))

    def outgoing(self, roots):
        """What changed here since both sides agreed.

        Raises:
            values.Refused: it is too much.
        """
        self._load()
        now = {path: how for path, how in scan([self.workdir, *roots]).items() if self._spoken_of(path)}
        seen = {path: how for path, how in self.agreed.items() if self._within(path, roots) and self._spoken_of(path)}
        if now == seen:
            return None
        told, gone = changes(seen, now)
        told = [entry for entry in told if not below(entry[0], self.state) and not below(entry[0], self.tests)]
        self._agree(now, gone)
        return [told, gone] if told or gone else None

    def incoming(self, told, gone, roots):
        """Write here what changed in S.

        Raises:
            values.Refused: it is not what `changes` makes.
        """
        if not isinstance(told, list) or not isinstance(gone, list):
            raise values.Refused("no list of files")
        if not told and not gone:
            return
        size, done, lost = 0, {}, []
        for path in gone:
            if self._allowed(path, roots) and not self._of_tests(path):
                remove(path)
                lost.append(path)
        for entry in told:
            if not isinstance(entry, list) or [type(part) for part in entry] != [str, str, int, int, bytes]:
                raise values.Refused("no file")
            path, kind, mode, time, content = entry
            size += len(content)
            if size > MOST_BYTES or len(told) > MOST_FILES + 2:
                raise values.Refused("too many files")
            if not 0 <= mode <= 0o777 or not 0 <= time < 1 << 62 or kind not in ("f", "d", "l"):
                raise values.Refused("no file")
            if not self._allowed(path, roots) or self._of_tests(path):
                continue
            if kind == "f":
                content = self._shown(path, mode, content)
            elif kind == "l" and not self._leads_inside(path, content):
                continue
            with suppress(OSError, ValueError):
                put(path, kind, mode, time, content)
                _note(done, path)
        self._agree(done, lost)

    def _spoken_of(self, path):
        """Whether S gets a file: not what merely lies beside one that a call speaks of, and may be what is expected."""
        if below(path, self.workdir):
            return True
        if any(below(path, one) for one in self.mentioned):
            return True
        return any(below(one, path) for one in (*self.mentioned, *self.folders))

    def _within(self, path, roots):
        return below(path, self.workdir) or any(below(path, root) for root in roots)

    def _allowed(self, path, roots):
        if not isinstance(path, str) or "\0" in path or path != os.path.normpath(path) or not self._within(path, roots):
            return False
        if below(path, self.state) or below(path, self.tests):
            return False
        parts = path.split("/")
        name = parts[-1].lower()
        if name in _OBEYED or name.endswith(_COMPILED) or any(part in _OBEYED_FOLDERS for part in parts):
            return False
        if any(part.lower().endswith((".egg-info", ".dist-info", ".data")) for part in parts):
            return False
        parent = os.path.realpath(os.path.dirname(path))
        root = next(root for root in (self.workdir, *roots) if below(path, root))
        return path == root or below(parent, os.path.realpath(root))

    def _of_tests(self, path):
        """Whether something in a temporary folder is the tests' alone: S was never given it as it is now. It may be
        what is expected, and its name is easy to guess."""
        if below(path, self.workdir) or self._spoken_of(path):
            return False
        now = {}
        with suppress(OSError):
            _note(now, path)
        return path in now and now[path] != self.agreed.get(path)

    def _leads_inside(self, path, content):
        target = os.fsdecode(content)
        if ".." in target.split("/") or not target or "\0" in target:
            return False
        if target.startswith("/"):
            return below(os.path.normpath(target), self.workdir)
        if below(path, self.workdir):
            return True
        # Neither to what is the tests' alone, nor, where the task's own solution has no links there, to what may become
        # so.
        full = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if not self.links or self._of_tests(full):
            return False
        self.linked = True
        return True

    def _shown(self, path, mode, content):
        """What a file's text is here."""
        name = os.path.basename(path).lower()
        if self.sources:
            text = name.endswith((".py", ".pyw", ".pyi")) and not _is_named_as_standard(path)
            if not text and name.endswith(".py"):
                return launcher_text(path, self.launcher, True)
            program = mode & 0o111 or content[:4] == b"\x7fELF" or (content[:2] == b"#!" and not text)
        else:
            # What a shell or a tool of the verifier reads, it may run: only what is data by its name is here itself.
            data = name in _PROSE or (os.path.splitext(name)[1] in _DATA and name not in _TOOLS)
            program = mode & 0o111 or not data or content[:2] == b"#!" or content[:4] == b"\x7fELF"
        if not program:
            return content
        return launcher_text(
            path, self.launcher, name.endswith((".py", ".pyw")) or b"python" in content[:64].split(b"\n")[0]
        )

    def _agree(self, now, gone):
        for path in gone:
            self.agreed.pop(path, None)
        self.agreed.update(now)
        path = f"{self.state}/files.json"
        with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:
            json.dump(self.agreed, file)
        os.replace(f"{path}.{os.getpid()}", path)
        self.read_at = os.stat(path).st_mtime_ns

    def _load(self):
        path = f"{self.state}/files.json"
        with suppress(OSError, ValueError):
            changed = os.stat(path).st_mtime_ns
            if changed != self.read_at:
                with open(path, encoding="ascii") as file:
                    self.agreed = {name: tuple(entry) for name, entry in json.load(file).items()}
                self.read_at = changed


def _is_named_as_standard(path):
    """Whether an interpreter that has the file's folder on its module path would take it for the standard library's."""
    folder, name = os.path.split(path)
    names = {name.partition(".")[0], os.path.basename(folder)} if name == "__init__.py" else {name.partition(".")[0]}
    return any(one in getattr(sys, "stdlib_module_names", ()) for one in names)


def launcher_text(path, launcher, python):
    """A program that runs the one at this path in S."""
    told = MAGIC + b" " + json.dumps(path).encode("ascii") + b"\n"
    if python:
        argv = f"[{launcher!r}, '--at', {path!r}, *sys.argv[1:]]"
        # Whoever imports it would end with the program's exit status.
        code = f"if __name__ != '__main__':\n    raise ImportError({path!r} ': the solution has it')\n"
        code += f"import os, sys\nos.execv({launcher!r}, {argv})\n"
        return b"#!/usr/bin/env python3\n# " + told + code.encode("utf-8", "surrogateescape")
    quoted = "'" + path.replace("'", "'\\''") + "'"
    code = f"exec '{launcher}' --at {quoted} \"$@\"\n"
    return b"#!/bin/sh\n# " + told + code.encode("utf-8", "surrogateescape")
