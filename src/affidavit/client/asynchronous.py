"""The client for asyncio: the other one, in threads of its own."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from affidavit.client.results import Bundle, ExecResult, Judgement
from affidavit.client.synchronous import Client, RemoteSession

T = TypeVar("T")

# Each waits for an answer and does nothing else.
_THREADS = 512


class AsyncClient:
    """As `Client`; made with `connect`."""

    def __init__(self, client: Client, threads: ThreadPoolExecutor) -> None:
        self._client = client
        self._threads = threads

    @classmethod
    async def connect(cls, socket: str | os.PathLike[str] | None = None) -> AsyncClient:
        """A client; arguments and errors are those of `Client`."""
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="affidavit-client")
        return cls(await _in_thread(threads, functools.partial(Client, socket)), threads)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Client.close`."""
        self._client.close()
        self._threads.shutdown(wait=False)

    async def about(self) -> dict[str, Any]:
        """As `Client.about`."""
        return await _in_thread(self._threads, self._client.about)

    async def open_session(
        self,
        task: str | os.PathLike[str],
        *,
        runtime: str = "auto",
        recorder: str = "auto",
        contract: str | os.PathLike[str] | None = None,
        agent: str = "session",
        models: Sequence[str] = (),
        wait_s: float = 0.0,
    ) -> AsyncSession:
        """As `Client.open_session`."""
        opened = functools.partial(
            self._client.open_session,
            task,
            runtime=runtime,
            recorder=recorder,
            contract=contract,
            agent=agent,
            models=models,
            wait_s=wait_s,
        )
        return AsyncSession(await _in_thread(self._threads, opened), self._threads)


class AsyncSession:
    """As `RemoteSession`. Who cancels a call leaves its command running, up to its time limit or the session's end."""

    def __init__(self, session: RemoteSession, threads: ThreadPoolExecutor) -> None:
        self._session = session
        self._threads = threads
        self.id = session.id
        self.workdir = session.workdir
        self.model_environment = session.model_environment

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await _in_thread(self._threads, functools.partial(self._session.__exit__, kind, error, traceback))

    async def setup(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
        timeout_s: float = 3600.0,
    ) -> ExecResult:
        """As `RemoteSession.setup`."""
        call = functools.partial(
            self._session.setup, argv, user=user, cwd=cwd, env=env, input=input, timeout_s=timeout_s
        )
        return await _in_thread(self._threads, call)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
        timeout_s: float | None = None,
        terminal: bool = False,
        origin: str = "agent",
    ) -> ExecResult:
        """As `RemoteSession.exec`."""
        call = functools.partial(
            self._session.exec,
            argv,
            user=user,
            cwd=cwd,
            env=env,
            input=input,
            timeout_s=timeout_s,
            terminal=terminal,
            origin=origin,
        )
        return await _in_thread(self._threads, call)

    async def write_file(self, path: str, content: bytes, *, user: str | None = None, origin: str = "agent") -> None:
        """As `RemoteSession.write_file`."""
        call = functools.partial(self._session.write_file, path, content, user=user, origin=origin)
        await _in_thread(self._threads, call)

    async def read_file(
        self, path: str, *, most: int | None = None, user: str | None = None, origin: str = "agent"
    ) -> bytes:
        """As `RemoteSession.read_file`."""
        call = functools.partial(self._session.read_file, path, most=most, user=user, origin=origin)
        return await _in_thread(self._threads, call)

    async def freeze(self) -> None:
        """As `RemoteSession.freeze`."""
        await _in_thread(self._threads, self._session.freeze)

    async def grade(self) -> Judgement:
        """As `RemoteSession.grade`."""
        return await _in_thread(self._threads, self._session.grade)

    async def seal(self) -> Bundle:
        """As `RemoteSession.seal`."""
        return await _in_thread(self._threads, self._session.seal)

    async def close(self) -> None:
        """As `RemoteSession.close`."""
        await _in_thread(self._threads, self._session.close)


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)
