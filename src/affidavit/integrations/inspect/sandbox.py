"""The sandbox provider."""

import shlex
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar, overload

import anyio
from anyio.lowlevel import RunVar
from inspect_ai.solver import TaskState
from inspect_ai.solver._task_state import sample_state
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel

from affidavit.client import Bundle, Client, ClientError, Judgement, Refused, RemoteSession, ServerGone
from affidavit.integrations.inspect.config import AffidavitConfig
from affidavit.integrations.inspect.verdict import enter_verdict, withdraw
from affidavit.integrations.inspect.watch import running_tasks

T = TypeVar("T")

# Of the engine: what it keeps of a command's output, and what it reads and writes at once.
_KEPT = "4 MiB"
_FILE_BYTES = 64 << 20
_WAIT_FOR_ROOM_S = 3600.0
_THREADS = 512
_IS_FOLDER, _IS_MISSING, _IS_CLOSED = 21, 22, 23

_threads: RunVar[anyio.CapacityLimiter] = RunVar("affidavit_threads")
_clients: dict[str | None, Client] = {}
_connecting = threading.Lock()


@sandboxenv(name="affidavit")
class AffidavitSandbox(SandboxEnvironment):
    """A recorded session. What Inspect does before the solver begins is setup; what comes then is the agent's, and
    judged; from the start of scoring on, commands run in a sandbox of their own over what the agent left.

    Args:
        session: just opened.
    """

    def __init__(self, session: RemoteSession) -> None:
        super().__init__()
        self._session = session
        self._stage: Literal["setup", "agent", "scoring", "broken"] = "setup"
        self._why = ""
        self._judgement: Judgement | None = None
        self._early: frozenset[str] = frozenset()

    # --- stages ---

    def begin_agent(self) -> None:
        """The solver begins."""
        if self._stage == "setup":
            self._stage = "agent"

    async def begin_scoring(self, early: Iterable[str]) -> None:
        """The solver has ended, and so does all that it left running.

        Args:
            early: names of the scores that there are already. They were made in the agent's own sandbox.

        Raises:
            ClientError: it can't be ended. No command runs in this sandbox any more.
        """
        self._early = frozenset(early)
        try:
            if self._stage != "agent":
                raise Refused(409, "SessionError", f"scoring begins, and the sandbox is in {self._stage}")
            # Whatever comes of it, no scorer looks into the agent's own sandbox.
            self._stage, self._why = "broken", "the agent's sandbox is being frozen"
            await _in_thread(self._session.freeze)
        except BaseException as error:
            self._stage, self._why = "broken", f"the agent's sandbox could not be frozen: {error}"
            raise
        self._stage = "scoring"

    async def grade(self) -> Judgement:
        """The verdict of Affidavit's own graders, in sandboxes of their own.

        Raises:
            ClientError: there is none.
        """
        if self._stage != "scoring":
            raise Refused(409, "SessionError", self._why or "Affidavit grades once scoring has begun")
        if self._judgement is None:
            self._judgement = await _in_thread(self._session.grade)
        return self._judgement

    async def conclude(self, state: TaskState | None) -> None:
        """Seal the evidence, and let the verdict decide what the scores count.

        Args:
            state: of the sample.

        Raises:
            ClientError: there is no evidence; then no score counts.
        """
        scores = (state.scores if state else None) or {}
        try:
            if scores and self._stage != "scoring":
                raise Refused(409, "SessionError", self._why or "Affidavit's hook was not called when scoring began")
            if self._stage == "scoring":
                await self.grade()
                bundle: Bundle = await _in_thread(self._session.seal)
                assert self._judgement is not None
                enter_verdict(scores, self._judgement, bundle)
                withdraw(
                    {name: score for name, score in scores.items() if name in self._early},
                    "the score was made in the agent's own sandbox, before its work was over",
                )
        except BaseException as error:
            withdraw(scores, str(error) or type(error).__name__)
            raise

    async def close(self) -> None:
        """End what is left of the session."""
        try:
            await _in_thread(self._session.close)
        except ServerGone:
            # And every session with it.
            return

    # --- Inspect's calls ---

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a command; see `SandboxEnvironment.exec`. A command whose time is up is not tried again: it may have done
        half of its work."""
        data = input.encode() if isinstance(input, str) else input or b""
        asked: dict[str, Any] = {"user": user, "cwd": self._path(cwd) if cwd else None, "env": env, "input": data}
        if self._stage == "setup":
            asked |= {} if timeout is None else {"timeout_s": float(timeout)}
            call = partial(self._session.setup, cmd, **asked)
        else:
            call = partial(self._session.exec, cmd, timeout_s=timeout, origin=self._origin(), **asked)
        result = await self._ask(call)
        out, err = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
        if result.timed_out:
            raise TimeoutError(f"{shlex.join(cmd)[:200]}: not done within {timeout} s, or the agent's time is up")
        if result.truncated:
            raise OutputLimitExceededError(_KEPT, out + err)
        if result.exit_code == 126 and "permission denied" in (out + err).lower():
            raise PermissionError(f"{shlex.join(cmd)[:200]}: {err or out}")
        return ExecResult(result.exit_code == 0, result.exit_code, out, err)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file; see `SandboxEnvironment.write_file`."""
        path = self._path(file)
        data = contents.encode() if isinstance(contents, str) else contents
        write = partial(self._session.write_file, path, data, origin=self._origin())
        try:
            await self._ask(write)
        except _NotDone as error:
            look = '[ ! -d "$1" ] || exit 21; exec /bin/mkdir -p -- "$2"'
            folder = str(PurePosixPath(path).parent)
            match (await self.exec(["/bin/sh", "-c", look, "write_file", path, folder])).returncode:
                case 0:
                    pass
                case code if code == _IS_FOLDER:
                    raise IsADirectoryError(f"{file}: is a directory") from error
                case _:
                    raise PermissionError(str(error)) from error
            try:
                await self._ask(write)
            except _NotDone as again:
                raise PermissionError(str(again)) from again

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Read a file; see `SandboxEnvironment.read_file`. 64 MiB at most."""
        path = self._path(file)
        most = min(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE, _FILE_BYTES)
        try:
            content: bytes = await self._ask(partial(self._session.read_file, path, most=most, origin=self._origin()))
        except _NotDone as error:
            look = '[ ! -d "$1" ] || exit 21; [ -e "$1" ] || exit 22; [ -r "$1" ] || exit 23'
            match (await self.exec(["/bin/sh", "-c", look, "read_file", path])).returncode:
                case code if code == _IS_FOLDER:
                    raise IsADirectoryError(f"{file}: is a directory") from error
                case code if code == _IS_MISSING:
                    raise FileNotFoundError(f"{file}: is not there") from error
                case code if code == _IS_CLOSED:
                    raise PermissionError(f"{file}: can't be read") from error
                case 0 if "larger than" in str(error):
                    limit = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR
                    raise OutputLimitExceededError(limit if most < _FILE_BYTES else "64 MiB", None) from error
            raise
        return content.decode() if text else content

    def default_polling_interval(self) -> float:
        """Seconds between requests of Inspect's services in the sandbox."""
        return 0.2

    def _origin(self) -> str:
        return "harness" if self._stage == "scoring" else "agent"

    def _path(self, file: str) -> str:
        return str(PurePosixPath(self._session.workdir) / file)

    async def _ask(self, call: Callable[[], T]) -> T:
        """Ask the server for something in the sandbox.

        Raises:
            SandboxUnavailableError: there is no sandbox any more.
            SandboxUserUnsupportedError: there is no such user in it.
            _NotDone: it could not be done in it.
        """
        if self._stage == "broken":
            raise SandboxUnavailableError(self._why)
        try:
            return await _in_thread(call)
        except Refused as error:
            if "has no such user" in str(error):
                raise SandboxUserUnsupportedError(str(error)) from error
            if any(words in str(error) for words in ("can't be written", "can't be read", "is larger than")):
                raise _NotDone(str(error)) from error
            raise SandboxUnavailableError(str(error)) from error
        except ClientError as error:
            raise SandboxUnavailableError(str(error)) from error

    # --- Inspect's provider ---

    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Open a session for a sample.

        Raises:
            PrerequisiteError: Affidavit's hook does not see this eval, or sandboxes are not to be cleaned up: nobody
                could freeze before scoring, or enter the verdict.
            ClientError: there is no server, or it can't hold the session.
        """
        running_tasks.check()
        return {"default": cls(await _in_thread(partial(_open, AffidavitConfig.of(config))))}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Conclude the session of a sample that came to its end, and end it."""
        for environment in environments.values():
            own = environment.as_type(cls)
            try:
                if not interrupted:
                    await own.conclude(sample_state())
            finally:
                await own.close()

    @classmethod
    def config_files(cls) -> list[str]:
        """What is looked for beside an Inspect task that names no configuration."""
        return ["task.toml"]

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        """A configuration from a log."""
        return AffidavitConfig(**config)


class _NotDone(Exception):
    """A file could not be written or read in the sandbox."""


def _open(config: AffidavitConfig) -> RemoteSession:
    """A session on the configured server, with a client that all of this process's samples share."""
    for last in (False, True):
        client = None
        try:
            with _connecting:
                client = _clients.get(config.socket) or Client(config.socket)
                _clients[config.socket] = client
            return client.open_session(
                config.folder,
                runtime=config.runtime,
                recorder=config.recorder,
                contract=config.contract,
                agent=config.agent,
                models=config.models,
                wait_s=_WAIT_FOR_ROOM_S,
            )
        except ServerGone:
            # There may be another one by now.
            with _connecting:
                if client is not None and _clients.get(config.socket) is client:
                    del _clients[config.socket]
            if last or client is None:
                raise
    raise AssertionError


async def _in_thread(call: Callable[[], T]) -> T:
    try:
        threads = _threads.get()
    except LookupError:
        threads = anyio.CapacityLimiter(_THREADS)
        _threads.set(threads)
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=threads)
