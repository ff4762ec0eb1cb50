"""Moves counters of the kernel's by random steps, so that no sandbox can leave word in them for the next."""

import os
import secrets
import tempfile

# The kernel numbers these for the whole machine, and tells the numbers to whoever makes one: inodes of pipes and
# sockets (pipe(7)), inodes of files in memory (memfd_create(2)), and renames (the cookies of inotify(7)).
_STEPS = 1 << 15


def stir_counters() -> None:
    """Move each of these counters by up to 32,767 steps, which takes a tenth of a second.

    Raises:
        OSError: that can't be done.
    """
    for _ in range(secrets.randbelow(_STEPS)):
        for end in os.pipe():
            os.close(end)
    for _ in range(secrets.randbelow(_STEPS)):
        os.close(os.memfd_create("stirring"))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        one, other = f"{folder}/a", f"{folder}/b"
        os.close(os.open(one, os.O_CREAT | os.O_WRONLY, 0o600))
        for _ in range(secrets.randbelow(_STEPS)):
            os.rename(one, other)  # noqa: PTH104 (half the time)
            one, other = other, one
