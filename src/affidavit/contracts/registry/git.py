"""A registry in a git repository: read without ever checking anything out, written by compare-and-swap of a branch."""

import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from affidavit.contracts.registry.errors import RegistryError
from affidavit.contracts.registry.store import Change, Snapshot

_SCHEMES = ("https", "ssh", "file")
_TIMEOUT_S = 120
_MOST_TRIES = 30
# What somebody else's push in the meantime is answered with.
_OVERTAKEN = re.compile(
    rb"stale info|fetch first|non-fast-forward|cannot lock ref|incorrect old value|failed to update ref|already exists"
)
# Of git's own settings from outside only who may log in: nothing that points it to another repository.
_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_SSL_CAINFO")
# What is fetched is checked; nothing in it, and no hook, is ever run, whatever the user's own settings are.
_NO_HOOKS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false")
_SETTINGS = (
    *_NO_HOOKS,
    "core.symlinks=false",
    "transfer.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "push.gpgSign=false",
    "commit.gpgSign=false",
    "credential.interactive=false",
    "protocol.allow=never",
)
# What the other repository's own settings could have git run where it is on this machine (git-config(1)).
_NO_PROGRAMS = (
    *_NO_HOOKS,
    "core.alternateRefsCommand=true",
    "receive.autoGC=false",
    "receive.certNonceSeed=",
)


class GitStore:
    """A registry in the default branch of a git repository.

    Args:
        url: ``https://…``, ``ssh://…`` or ``file:///…``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.path or any(c.isspace() or not c.isprintable() for c in url):
            raise RegistryError(f"git+{url}: a registry in git is git+https://…, git+ssh://… or git+file:///…")
        self._url = url
        self._scheme = parts.scheme
        user = f"{parts.username}@" if parts.username and parts.scheme == "ssh" else ""
        port = f":{parts.port}" if parts.port else ""
        self.location = "git+" + urlunsplit(parts._replace(netloc=f"{user}{parts.hostname or ''}{port}"))

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """Read what the default branch holds now."""
        with self._repository() as repository:
            repository.fetch()
            yield repository

    def change(self, make: Change) -> None:
        """Push a commit on top of what was read; start again where someone else was quicker."""
        for _ in range(_MOST_TRIES):
            with self._repository() as repository:
                repository.fetch()
                files = make(repository)
                if not files or repository.push(files):
                    return
            time.sleep(random.random() / 5)
        raise RegistryError(f"{self.location}: others kept on publishing meanwhile; try again")

    @contextmanager
    def _repository(self) -> Iterator["_Repository"]:
        with tempfile.TemporaryDirectory(prefix="affidavit-registry-") as folder:
            yield _Repository(Path(folder), self._url, self.location, self._scheme)


class _Repository:
    """A bare repository of our own with the last commit of the remote's default branch."""

    def __init__(self, folder: Path, url: str, location: str, scheme: str) -> None:
        self._folder = folder
        self._url = url
        self._location = location
        self._scheme = scheme
        self._branch = "refs/heads/main"
        self._commit: str | None = None
        self._git("init", "--quiet", "--bare", str(folder))

    def fetch(self) -> None:
        """Get the last commit, if there is one."""
        listed = self._git("ls-remote", "--symref", "--", self._url, "HEAD").decode("utf-8", "replace")
        if symref := re.search(r"^ref: (refs/heads/\S+)\tHEAD$", listed, re.MULTILINE):
            self._branch = symref[1]
        if not re.search(r"^[0-9a-f]{40,64}\tHEAD$", listed, re.MULTILINE):
            # The default branch has no commit yet.
            found = self._git("ls-remote", "--", self._url, self._branch)
            if not found:
                return
        refspec = f"+{self._branch}:refs/heads/registry"
        self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", self._url, refspec)
        self._commit = self._git("rev-parse", "refs/heads/registry").decode().strip()

    def read(self, name: str, most: int) -> bytes | None:
        """A file of the commit."""
        if self._commit is None:
            return None
        entry = self._git("ls-tree", "-l", "-z", self._commit, "--", name)
        if not entry:
            return None
        match = re.match(rb"(\d+) (\w+) ([0-9a-f]+) +(\S+)\t", entry)
        if match is None or match[1] not in (b"100644", b"100755") or match[2] != b"blob":
            raise RegistryError(f"{self._location}: {name} is not a regular file")
        if int(match[4]) > most:
            raise RegistryError(f"{self._location}: {name} is larger than {most} bytes")
        return self._git("cat-file", "blob", match[3].decode())

    @property
    def _receiver(self) -> tuple[str, ...]:
        """On this machine the other repository's programs would run as this user, so they are switched off."""
        settings = " ".join(f"-c {setting}" for setting in _NO_PROGRAMS)
        return (f"--receive-pack=git {settings} receive-pack",) if self._scheme == "file" else ()

    def push(self, files: Mapping[str, bytes]) -> bool:
        """Commit files on top of what was fetched, and push; False where someone else has pushed since."""
        if self._commit:
            self._git("read-tree", self._commit)
        lines = []
        for name, data in files.items():
            blob = self._git("hash-object", "-w", "--stdin", data=data).decode().strip()
            lines.append(f"100644 {blob}\t{name}\n")
        self._git("update-index", "--add", "--index-info", data="".join(lines).encode())
        tree = self._git("write-tree").decode().strip()
        parent = ("-p", self._commit) if self._commit else ()
        commit = self._git("commit-tree", *parent, "-m", "Publish", tree).decode().strip()
        lease = f"--force-with-lease={self._branch}:{self._commit or ''}"
        done = self._run(
            "push", "--porcelain", "--no-verify", *self._receiver, lease, "--", self._url, f"{commit}:{self._branch}"
        )
        if done.returncode == 0:
            return True
        if _OVERTAKEN.search(done.stdout + done.stderr):
            return False
        raise self._error("push", done)

    def _git(self, *arguments: str, data: bytes = b"") -> bytes:
        done = self._run(*arguments, data=data)
        if done.returncode != 0:
            raise self._error(arguments[0], done)
        return done.stdout

    def _run(self, *arguments: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        own_settings = (*_SETTINGS, f"protocol.{self._scheme}.allow=always")
        settings = [word for setting in own_settings for word in ("-c", setting)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        own = {"GIT_TERMINAL_PROMPT": "0", "GIT_DIR": str(self._folder), "LC_ALL": "C", **who}
        own.setdefault("GIT_SSH_COMMAND", kept.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"))
        try:
            running = subprocess.Popen(
                ["git", *settings, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._folder,
                env={**kept, **own},
                # What git starts to reach the other machine ends with it, and nothing of it asks at a terminal.
                start_new_session=True,
            )
        except FileNotFoundError:
            raise RegistryError(f"{self._location}: needs the command git, which is not installed") from None
        with running:
            try:
                out, err = running.communicate(data, _TIMEOUT_S)
            except BaseException as error:
                os.killpg(running.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise RegistryError(f"{self._location}: git {arguments[0]} took more than {_TIMEOUT_S} s") from None
        return subprocess.CompletedProcess(running.args, running.returncode, out, err)

    def _error(self, command: str, done: "subprocess.CompletedProcess[bytes]") -> RegistryError:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        fatal = [line for line in said if line.startswith(("fatal:", "error:"))]
        if fatal and "Could not read from remote repository" in fatal[0]:
            # What ssh says of it stands before.
            fatal = said[: said.index(fatal[0])][-1:] or fatal
        return RegistryError(f"{self._location}: git {command}: {(fatal or said or ['failed'])[0][:300]}")


_WHO = {"NAME": "affidavit", "EMAIL": "affidavit@localhost"}
