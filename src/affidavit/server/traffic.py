"""Limits how much of clients' bodies is in memory at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MOST_BYTES = 512 << 20


class Traffic:
    """Room for bodies. Who finds none waits, in turn; what is not read yet stays with its sender."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._taken = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Hold room for so many bytes; as much as there is at all for more than that."""
        size = min(size, self._most)
        async with self._turn, self._freed:
            await self._freed.wait_for(lambda: self._taken + size <= self._most)
            self._taken += size
        try:
            yield
        finally:
            self._taken -= size
            async with self._freed:
                self._freed.notify_all()
