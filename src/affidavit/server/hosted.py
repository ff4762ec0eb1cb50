"""One session of one client."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from affidavit.evaluation import Interrupted
from affidavit.server.errors import Refusal
from affidavit.session import Session

_logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

COMMANDS = 16
"""Commands, reads and writes of one session at the same time."""


class HostedSession:
    """A session with threads of its own, so that none waits for another's: one for its phases, and some for commands.

    Attributes:
        id: the last part of its address.
        bundle: its folder, once it is sealed.
    """

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.bundle: Path | None = None
        self._phases = ThreadPoolExecutor(1, thread_name_prefix=f"session-{identity}")
        self._commands = ThreadPoolExecutor(COMMANDS, thread_name_prefix=f"command-{identity}")
        self._running = 0
        self._session: Session | None = None
        self._why: str | None = None
        self._ended: asyncio.Future[None] | None = None

    async def open(self, make: Callable[[], Session]) -> str:
        """Make the session and its sandbox; the phase that it is in then.

        Raises:
            AffidavitError, OSError: it can't be made.
            Refusal: it was ended meanwhile.
        """

        def opened() -> str:
            self._session = make()
            if self._why is not None:
                # Ended before there was anything to kill.
                self._session.kill(self._why)
            self._session.__enter__()
            return self._session.phase

        return await self._call(self._phases, opened)

    @property
    def phase(self) -> str:
        """As `Session.phase`; ``new`` until it is open."""
        return "new" if self._session is None else self._session.phase

    @property
    def workdir(self) -> str:
        """As `Session.workdir`."""
        return self._opened().workdir

    @property
    def model_environment(self) -> dict[str, str]:
        """As `Session.model_environment`."""
        return self._opened().model_environment

    async def phase_call(self, function: Callable[[Session], T]) -> T:
        """Call something that no other call may go beside: freeze, grade, seal.

        Raises:
            Refusal: the session was ended meanwhile.
        """
        return await self._call(self._phases, function, self._opened())

    async def command(self, function: Callable[[Session], T]) -> T:
        """Call something that runs a command.

        Raises:
            Refusal: too many run already, or the session was ended meanwhile.
        """
        if self._running >= COMMANDS:
            raise Refusal(429, f"{COMMANDS} commands of this session are running: wait until one has ended")
        self._running += 1
        try:
            return await self._call(self._commands, function, self._opened())
        finally:
            self._running -= 1

    async def end(self, why: str) -> None:
        """End the sandbox and whatever goes on in it; what was not sealed is gone. Returns when all of it is gone, also
        when called twice.

        Args:
            why: for the ledger.
        """
        if self._ended is None:
            self._ended = asyncio.ensure_future(asyncio.to_thread(self._end, why))
        await asyncio.shield(self._ended)

    def _end(self, why: str) -> None:
        self._why = why
        if self._session is not None:
            self._session.kill(why)
        self._phases.submit(self._close)
        self._phases.shutdown()
        self._commands.shutdown()

    def _close(self) -> None:
        if self._session is not None:
            try:
                self._session.close()
            except Exception:
                _logger.exception("session %s: can't be closed cleanly", self.id)

    def _opened(self) -> Session:
        if self._session is None or self._why is not None:
            raise Refusal(409, "the session is not open")
        return self._session

    async def _call(self, pool: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            future = pool.submit(function, *args, **kwargs)
        except RuntimeError:
            raise Refusal(409, self._why or "the session was ended") from None
        try:
            answer = await asyncio.wrap_future(future)
        except Interrupted:
            raise Refusal(409, self._why or "the session was ended") from None
        if self._why is not None:
            # A command that was killed with its sandbox has an exit code, which says nothing.
            raise Refusal(409, self._why)
        return answer
