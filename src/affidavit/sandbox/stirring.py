"""Moves the kernel's counters by random steps, so that no sandbox can leave a message in them for the next."""

import os
import secrets
import tempfile
from collections.abc import Mapping

NUMBERED: Mapping[str, tuple[str, ...]] = {
    "pipes and sockets": ("pipe", "pipe2", "socket", "socketpair", "accept", "accept4"),
    "files in memory": ("memfd_create", "shmget"),
    "renames": ("rename", "renameat", "renameat2"),
}
"""What the kernel numbers for the whole machine, with the calls that make it. Whoever makes one learns its number:
inodes of pipes and sockets (pipe(7)) and of files in memory (memfd_create(2)), cookies of renames (inotify(7))."""

# Steps are drawn from at least so many, and from twice as many as a sandbox made: less than one bit is known of what
# it moved a counter by.
_LEAST = 1 << 10
_MOST = 1 << 17
_UNKNOWN = 1 << 14


def stir_counters(made: Mapping[str, int] | None) -> None:
    """Move each of these counters at random, farther the more a sandbox moved it.

    Args:
        made: how many of each of `NUMBERED` the sandbox made that has just ended; None: nobody knows.

    Raises:
        OSError: that can't be done.
    """
    pipes, files, renames = (_steps(_UNKNOWN if made is None else made.get(kind, 0)) for kind in NUMBERED)
    for _ in range(pipes):
        for end in os.pipe():
            os.close(end)
    for _ in range(files):
        os.close(os.memfd_create("stirring"))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        one, other = f"{folder}/a", f"{folder}/b"
        os.close(os.open(one, os.O_CREAT | os.O_WRONLY, 0o600))
        for _ in range(renames):
            os.rename(one, other)  # noqa: PTH104 (half the time)
            one, other = other, one


def _steps(made: int) -> int:
    return secrets.randbelow(min(_LEAST + 2 * made, _MOST))
