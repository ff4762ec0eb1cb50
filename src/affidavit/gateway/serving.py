"""What processes that serve a sandbox share: they read their settings, drop privileges, and end with their input."""

import asyncio
import os
import sys

# Nobody's: not 65534, as whom gVisor runs what a sandbox may have taken over.
_USER = 65533


def read_settings() -> bytes:
    """What standard input holds after eight bytes of its length.

    Raises:
        SystemExit: it ended before.
    """
    size = int.from_bytes(os.read(0, 8), "big")
    data = bytearray()
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            raise SystemExit(2)
        data += chunk
    return bytes(data)


def drop_privileges(folder: int | None = None) -> None:
    """Go on as nobody, where this is root.

    Args:
        folder: a descriptor of a folder that is to be written to afterwards; None: there is none.

    Raises:
        OSError: it can't be done.
    """
    if os.geteuid() != 0:
        return
    if folder is not None:
        os.fchown(folder, _USER, _USER)
    os.setgroups([])
    os.setresgid(_USER, _USER, _USER)
    os.setresuid(_USER, _USER, _USER)


async def end_of_input() -> None:
    """Wait for the end of standard input."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
