"""Read-only file systems that each sandbox has of its own, though their files come from one place.

Sandboxes that mount the same folder share its inodes, and with them locks, leases, watches and the page cache: all of
that tells one of them what another does or did. So every folder is packed into an erofs image, and each sandbox gets a
loop device and a mount of its own over it, read past the page cache where the disk under the image can do that.
"""

import functools
import hashlib
import logging
import os
import stat
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.cache import everything_below, layers_dir
from affidavit.sandbox.protocol import SandboxError
from affidavit.sandbox.state import Owner, locked, owner_gone

_logger = logging.getLogger(__name__)

USR = Path("/usr")

_FLAGS = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
_BLOCK = 4096
# An extended inode, a name and its entry.
_PER_FILE = 128
_ADVICE = "install erofs-utils (Debian: apt install erofs-utils)"


def images_dir(state: Path) -> Path:
    """The folder that holds the images that outlive a sandbox."""
    return state / "images"


def mount_folder(folder: Path, target: Path, state: Path) -> None:
    """Mount a copy of a folder, as it is now, read-only on `target`.

    The image of a cached layer is kept, since a layer never changes. Any other folder's has no name once it is mounted
    and goes with the mount.

    Raises:
        SandboxError: it can't be packed or mounted.
    """
    try:
        if folder.parent == layers_dir(state):
            image = _kept_image(state, f"layer-{folder.name}.erofs", functools.partial(_pack, folder))
            with os.fdopen(image, "rb") as file:
                _mount(file.fileno(), target)
        else:
            with tempfile.TemporaryFile(dir=target.parent) as fresh:
                path = Path(f"/proc/self/fd/{fresh.fileno()}")
                _pack(folder, path, keep=fresh.fileno())
                # A device over a descriptor that may write would be one that may write.
                with path.open("rb") as file:
                    _mount(file.fileno(), target)
    except OSError as problem:
        raise SandboxError(f"{folder}: can't be mounted for a sandbox: {problem}; {_ADVICE}; run as root") from None


def mount_usr(target: Path, state: Path) -> None:
    """Mount a copy of the machine's /usr read-only on `target`. The first on a machine takes a minute, and so does the
    first after /usr changed; a process looks once whether it did, and again where the copy that it used is gone.

    Raises:
        SandboxError: it can't be packed or mounted.
    """

    def build(image: Path) -> None:
        room = _room_for(USR)
        _check_room(image.parent, room)
        _logger.warning("affidavit: packing %s (%d MiB) once, which takes a minute", USR, room >> 20)
        _pack(USR, image)
        for old in image.parent.glob("usr-*.erofs"):
            # Sandboxes that have it mounted keep it until they end.
            old.unlink(missing_ok=True)

    def name() -> str:
        return f"usr-{look_at_usr().result()}.erofs"

    try:
        if not (images_dir(state) / name()).exists():
            # Another process may have seen a change since. Building the former image anew would take that one's away.
            look_at_usr.cache_clear()
        with os.fdopen(_kept_image(state, name(), build), "rb") as file:
            _mount(file.fileno(), target)
    except OSError as problem:
        raise SandboxError(f"{USR}: can't be mounted for a sandbox: {problem}; {_ADVICE}; run as root") from None


def remove_unfinished_images(state: Path) -> None:
    """Remove what runs that were killed left of images they were making."""
    for entry in images_dir(state).glob(".new.*"):
        if owner_gone(entry):
            entry.unlink(missing_ok=True)


def _kept_image(state: Path, name: str, build: Callable[[Path], None]) -> int:
    """Descriptor of an image, which is built where there is none yet: once, also by two runs at the same time. One that
    is killed meanwhile leaves no half image. Raises OSError, and SandboxError as `build` does."""
    folder = images_dir(state)
    path = folder / name
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "locks" / name):
        if not path.exists():
            owner = Owner.me()
            fresh = folder / f".new.{owner.pid}.{owner.start}.{uuid.uuid4().hex}"
            try:
                build(fresh)
                # Also brings the pages out of memory: a device reads past them.
                kernel.sync_file_system(folder)
                fresh.rename(path)
            finally:
                fresh.unlink(missing_ok=True)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _pack(folder: Path, image: Path, *, keep: int | None = None) -> None:
    """Write an image of a folder. Raises OSError and SandboxError."""
    done = subprocess.run(
        ["mkfs.erofs", "--quiet", "--preserve-mtime", "-U", str(uuid.UUID(int=0)), str(image), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=() if keep is None else (keep,),
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise SandboxError(f"{folder}: can't be packed for a sandbox: {said[-1] if said else done.returncode}")


def _mount(image: int, target: Path) -> None:
    device, path = kernel.attach_loop(image, read_only=True)
    try:
        kernel.mount(path, target, "erofs", _FLAGS)
    finally:
        os.close(device)


def _check_room(folder: Path, needed: int) -> None:
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize
    if free < needed:
        raise SandboxError(
            f"{folder}: an image of {USR} takes {needed >> 20} MiB and {free >> 20} MiB are free; make room, or point "
            "AFFIDAVIT_STATE to another folder"
        )


@functools.cache
def look_at_usr() -> "Future[str]":
    """Begin to look whether the machine's /usr changed, which takes a while: a key, another one where a file did. A
    process looks once."""
    looking: Future[str] = Future()

    def look() -> None:
        try:
            looking.set_result(_key_of(USR))
        except OSError as problem:
            looking.set_exception(problem)

    threading.Thread(target=look, name="look at /usr", daemon=True).start()
    return looking


def _key_of(folder: Path) -> str:
    digest = hashlib.sha256()
    # find(1): a third of the time that Python takes, and on another processor. A folder's times say only that a name in
    # it changed, which the names say better: a file that came and went is no change.
    command = ["find", str(folder), "-type", "d", "-printf", r"%P\0%m\n", "-o", "-printf", r"%P\0%m %s %T@ %C@\n"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as find:
        assert find.stdout is not None
        while part := find.stdout.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _room_for(folder: Path) -> int:
    """What an image of a folder takes at most, bytes."""
    room = 0
    for path, info in everything_below(os.fsencode(folder)):
        size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
        room += _PER_FILE + len(path) + -(-size // _BLOCK) * _BLOCK
    return room
