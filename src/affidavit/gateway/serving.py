"""What the processes that serve a sandbox have in common: settings on standard input, nobody's rights, an end."""

import asyncio
import os
import sys

# Nobody's: not 65534, as whom gVisor runs what a sandbox may have taken over.
_USER = 65533


def read_settings() -> bytes:
    """The settings, from standard input. Ends the process where they break off."""
    return _exactly(int.from_bytes(_exactly(8), "big"))


def become_nobody() -> None:
    """Give up root's rights."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_USER, _USER, _USER)
        os.setresuid(_USER, _USER, _USER)


async def end_of_input() -> None:
    """Wait for the end of standard input."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


def _exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            raise SystemExit(2)
        data += chunk
    return bytes(data)
