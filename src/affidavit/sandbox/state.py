"""The state folder: what affidavit keeps on the machine, and who owns which sandbox of it."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from affidavit.sandbox.kernel import process_start
from affidavit.sandbox.protocol import SandboxError

_LEAST_FREE = 1 << 20


def state_dir() -> Path:
    """Where affidavit keeps extracted images and running sandboxes: $AFFIDAVIT_STATE or /var/lib/affidavit."""
    return Path(os.environ.get("AFFIDAVIT_STATE") or "/var/lib/affidavit")


def no_room(state: Path, what: str, error: BaseException | None = None) -> SandboxError | None:
    """What to say where the disk under the state folder is full; None where it is not.

    What goes wrong on a full disk says so in many ways, or in none: the system's own error names no file (write(2)),
    a runtime reports whatever it failed at, and a sandbox's disk is sparse, so what is written to it can be lost in
    silence.

    Args:
        state: the state folder.
        what: came of it, for a reader.
        error: what went wrong there; None: nothing is known to have.
    """
    disk = os.statvfs(state)
    refused = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not refused and disk.f_bfree * disk.f_frsize >= _LEAST_FREE:
        return None
    return SandboxError(f"{state}: the disk is full, so {what}; make room or point AFFIDAVIT_STATE to another folder")


def sandboxes_dir(state: Path) -> Path:
    """The folder that holds a folder for each sandbox."""
    return state / "sandboxes"


@dataclass(frozen=True)
class Owner:
    """The process that a sandbox belongs to.

    Attributes:
        pid: process id.
        start: its start time in clock ticks since boot, which tells it from a later process with the same id.
        boot: the kernel's boot id.
        pid_namespace: inode of the pid namespace that `pid` counts in.
    """

    pid: int
    start: int
    boot: str
    pid_namespace: int

    @classmethod
    def me(cls) -> "Owner":
        start = process_start(os.getpid())
        assert start is not None
        return cls(os.getpid(), start, _boot_id(), _pid_namespace())

    def gone(self) -> bool:
        """Whether the owner is certainly no longer there; False where that is not known here."""
        if self.boot != _boot_id():
            return True
        return self.pid_namespace == _pid_namespace() and process_start(self.pid) != self.start


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def make_sandbox_folder(state: Path, name: str) -> Path:
    """A new folder for the sandbox `name` that bears the record of its owner from its first moment.

    Raises:
        SandboxError: there is a sandbox of that name, or the state folder can't be written.
    """
    owner = Owner.me()
    parent = sandboxes_dir(state)
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A crash between these lines leaves a folder whose name still tells its owner.
        fresh = parent / f".new.{owner.pid}.{owner.start}.{uuid.uuid4().hex}"
        fresh.mkdir(mode=0o700)
        (fresh / "owner.json").write_text(json.dumps(asdict(owner)))
        folder = parent / name
        try:
            fresh.rename(folder)
        except OSError as problem:
            shutil.rmtree(fresh)
            raise SandboxError(f"{folder}: there already is a sandbox of this name ({problem.strerror})") from None
    except OSError as problem:
        raise SandboxError(
            f"{parent}: can't be written ({problem.strerror}); run as root or point AFFIDAVIT_STATE to another folder"
        ) from None
    return folder


def owner_gone(folder: Path) -> bool:
    """Whether the owner of a sandbox's folder is no longer there."""
    if folder.name.startswith(".new."):
        _, _, pid, start, _ = folder.name.split(".", 4)
        return process_start(int(pid)) != int(start)
    try:
        return Owner(**json.loads((folder / "owner.json").read_bytes())).gone()
    except FileNotFoundError:
        # Removal takes the record last but one; only the empty folder is left.
        return True
    except (ValueError, TypeError):
        # A machine that lost power can leave the file empty.
        return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which is made where it is missing. Waits for whoever holds it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
