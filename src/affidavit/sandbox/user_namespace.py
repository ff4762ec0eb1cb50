"""User namespaces for sandboxes: who is root inside is nobody on the machine (user_namespaces(7)).

A sandbox of the container profile counts its users from 0 to 65,535, and the machine counts the same users from some
number far above its own. The files are stored as the sandbox counts, so that what reads the changed layer afterwards
needs to know nothing of all this: mounts translate (mount_setattr(2), MOUNT_ATTR_IDMAP).
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.protocol import SandboxError, User

IDS = 1 << 16
"""How many users and groups a sandbox can have."""

# What https://systemd.io/UIDS-GIDS/ leaves free, up to its foreign users.
_FIRST = 0x7000_0000
_SLOTS = (0x7FFE_0000 - _FIRST) // IDS

_ADVICE = "use Linux 5.19 or newer with user namespaces (user.max_user_namespaces above 0)"


def first_id(name: str) -> int:
    """The number that the machine has for user and group 0 of a sandbox.

    Two sandboxes get different ones but once in 4,094 times. They share nothing but the kernel's counts by user then.

    Args:
        name: the sandbox's.
    """
    return _FIRST + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _SLOTS * IDS


def give(descriptor: int, first: int, user: User) -> None:
    """Make an open pipe a user's of a sandbox, so that it can be opened again by name (``/dev/stdout``).

    Args:
        descriptor: of the pipe.
        first: what the machine has for the sandbox's user 0.
        user: as the sandbox counts.

    Raises:
        OSError: the kernel refused.
    """
    os.fchown(descriptor, first + user.uid, first + user.gid)


@contextmanager
def mapped_mounts(folder: Path, first: int) -> Iterator[Callable[[Path], Path]]:
    """Makes mounts as a sandbox is to see them, as long as the ``with`` lasts; they stay.

    Args:
        folder: the sandbox's, where they are made as ``mapped-…``.
        first: what the machine has for the sandbox's user 0.

    Yields:
        what mounts a place again, and says where: what user 0 has in the place, the sandbox's user 0 has there.

    Raises:
        SandboxError: the kernel refused.
    """
    with _user_namespace(first) as namespace:

        def mount(place: Path) -> Path:
            target = folder / f"mapped-{place.name}"
            target.mkdir()
            try:
                kernel.mount_mapped(place, target, namespace)
            except OSError as problem:
                raise SandboxError(
                    f"{place}: can't be mounted for a user namespace: {problem.strerror}; {_ADVICE}"
                ) from None
            return target

        yield mount


@contextmanager
def sandbox_user_namespace(name: str) -> Iterator[int]:
    """The descriptor of a user namespace for a sandbox that is to be, good as long as the ``with`` lasts. What is made
    in it (a network namespace) can be entered by commands of the sandbox (setns(2)).

    Args:
        name: the sandbox's.

    Raises:
        SandboxError: the kernel refused.
    """
    with _user_namespace(first_id(name)) as namespace:
        yield namespace


@contextmanager
def _user_namespace(first: int) -> Iterator[int]:
    """The descriptor of a namespace that maps user and group 0, and those after it, to `first` and those after it; and
    to the machine's root one that no sandbox has, as which an overlay keeps its own folders."""
    try:
        with unshared("unshare", "--user") as process:
            if process is None:
                raise SandboxError(f"no user namespace can be made; {_ADVICE}")
            for table in ("uid_map", "gid_map"):
                (process / table).write_text(f"0 {first} {IDS}\n{IDS} 0 1\n")
            namespace = os.open(process / "ns" / "user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        raise SandboxError(f"a user namespace can't be set up: {problem.strerror}; {_ADVICE}") from None
    try:
        yield namespace
    finally:
        os.close(namespace)


@contextmanager
def unshared(*command: str, passed: tuple[int, ...] = ()) -> Iterator[Path | None]:
    """A process that holds new namespaces until there are descriptors of them: unsharing in this one needs it to have
    one thread only.

    Args:
        command: makes them, and runs a further command in them.
        passed: descriptors that it inherits.

    Yields:
        its folder in /proc; None where it could not make them.

    Raises:
        OSError: it can't be started.
    """
    with subprocess.Popen(
        [*command, "--", "/bin/sh", "-c", "echo; read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=passed,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd="/",
        start_new_session=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            yield Path(f"/proc/{holder.pid}") if holder.stdout.readline() else None
        finally:
            holder.stdin.close()
