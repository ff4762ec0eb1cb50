"""The client for threads."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO

from affidavit.client.connection import DEFAULT_SOCKET, Busy, ClientError, Transport
from affidavit.client.results import Bundle, ExecResult, Judgement

_AGAIN_S = 0.25
_CHUNK = 256 << 10
_FILE_BYTES = 64 << 20
_INPUT_BYTES = 16 << 20


class Client:
    """A client of one server. A context manager; its sessions end with it, however it ends. May be used from any
    threads, but not across a fork.

    Args:
        socket: the server's; None: ``$AFFIDAVIT_SOCKET``, or where `affidavit serve` puts it.

    Raises:
        ServerGone: there is no server.
        Refused: it does not let us in.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        path = os.fspath(socket) if socket is not None else os.environ.get("AFFIDAVIT_SOCKET") or DEFAULT_SOCKET
        self._transport = Transport(path)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every session of this client. Harmless when called twice."""
        self._transport.close()

    def about(self) -> dict[str, Any]:
        """The server's version, the version of its interface, and its limits."""
        return _json(self._transport.call("GET", "/v1"))

    def open_session(
        self,
        task: str | os.PathLike[str],
        *,
        runtime: str = "auto",
        recorder: str = "auto",
        contract: str | os.PathLike[str] | None = None,
        agent: str = "session",
        models: Sequence[str] = (),
        wait_s: float = 0.0,
    ) -> RemoteSession:
        """Open a session; see `affidavit.open_session`.

        Args:
            task, contract: paths on the server's machine.
            runtime, recorder, agent: as there.
            models: of those that the server grants, which the session may ask, the agent's own first.
            wait_s: how long to wait for room where the server has none.

        Raises:
            Busy: there is no room.
            Refused: the session can't be held as asked.
            ServerGone: the server has ended.
        """
        asked = {
            "task": _absolute(task),
            "runtime": runtime,
            "recorder": recorder,
            "contract": None if contract is None else _absolute(contract),
            "agent": agent,
            # A server of an earlier version does not know this field.
            **({"models": [*models]} if models else {}),
        }
        deadline = time.monotonic() + wait_s
        while True:
            try:
                answer = _json(self._transport.call("POST", "/v1/sessions", asked))
                return RemoteSession(
                    self._transport, answer["session"], answer["workdir"], answer.get("model_environment", {})
                )
            except Busy:
                if time.monotonic() + _AGAIN_S > deadline:
                    raise
                time.sleep(_AGAIN_S)


class RemoteSession:
    """A session on the server; its calls are those of `affidavit.Session`, and raise `Refused` where those raise. A
    context manager that closes it. Commands may come from any threads, sixteen at the same time.

    Attributes:
        id: its name on the server.
        workdir: the task's working directory in the sandbox.
        model_environment: as `affidavit.Session` has it: how programs on this machine ask the session's model.
    """

    def __init__(self, transport: Transport, identity: str, workdir: str, model_environment: dict[str, str]) -> None:
        self._transport = transport
        self._place = f"/v1/sessions/{identity}"
        self._closed = False
        self.id = identity
        self.workdir = workdir
        self.model_environment = model_environment

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ClientError:
            # It went with its server; whoever leaves because of another error wants to see that one.
            if kind is None:
                raise

    @property
    def phase(self) -> str:
        """``setup``, ``agent``, ``frozen``, ``graded`` or ``sealed``."""
        return str(_json(self._transport.call("GET", self._place))["phase"])

    def setup(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
        timeout_s: float = 3600.0,
    ) -> ExecResult:
        """Run a command that gets the sandbox ready for the agent: recorded, and not judged."""
        return self._run("setup", argv, user, cwd, env, input, {"timeout_s": timeout_s})

    def exec(
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
        """Run a command of the agent's, or of the harness's where `origin` is ``harness``."""
        more = {"timeout_s": timeout_s, "terminal": terminal, "origin": origin}
        return self._run("exec", argv, user, cwd, env, input, more)

    def _run(
        self,
        call: str,
        argv: Sequence[str],
        user: str | None,
        cwd: str | None,
        env: Mapping[str, str] | None,
        data: bytes,
        more: Mapping[str, Any],
    ) -> ExecResult:
        if len(data) > _INPUT_BYTES:
            raise ValueError(f"{len(data)} bytes of input are more than {_INPUT_BYTES >> 20} MiB: write them to a file")
        asked = {
            "argv": list(argv),
            "user": user,
            "cwd": cwd,
            "env": dict(env or {}),
            "input": base64.b64encode(data).decode(),
            **more,
        }
        return ExecResult.from_json(_json(self._transport.call("POST", f"{self._place}/{call}", asked)))

    def write_file(self, path: str, content: bytes, *, user: str | None = None, origin: str = "agent") -> None:
        """Write a file of the sandbox, 64 MiB at most. Raises ValueError for more."""
        if len(content) > _FILE_BYTES:
            # The server would break the connection off.
            raise ValueError(f"{path}: {len(content)} bytes are more than {_FILE_BYTES >> 20} MiB: write it in parts")
        query = {"path": path, "user": user, "origin": origin}
        self._transport.call("PUT", f"{self._place}/file", query=query, body=content)

    def read_file(self, path: str, *, most: int | None = None, user: str | None = None, origin: str = "agent") -> bytes:
        """A file of the sandbox, `most` bytes at most, or 64 MiB."""
        query = {"path": path, "user": user, "origin": origin, "most": most}
        return self._transport.call("GET", f"{self._place}/file", query=query)

    def freeze(self) -> None:
        """End the sandbox; what was changed stays as it is."""
        self._transport.call("POST", f"{self._place}/freeze")

    def grade(self) -> Judgement:
        """Judge what the agent did, and grade what it left, in clean sandboxes."""
        return Judgement.from_json(_json(self._transport.call("POST", f"{self._place}/grade")))

    def seal(self) -> Bundle:
        """Sign the evidence."""
        answer = _json(self._transport.call("POST", f"{self._place}/seal"))
        return Bundle(answer["bundle"], answer["digest"])

    def download_bundle(self, file: BinaryIO) -> None:
        """Write the sealed bundle as a tar archive; its folder in there is ``bundle``.

        Args:
            file: what to write it to.
        """
        answer = self._transport.open("GET", f"{self._place}/bundle")
        try:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
        except BaseException:
            answer.close()
            raise
        answer.give_back()

    def close(self) -> None:
        """End the sandbox and remove what was not sealed. Harmless when called twice."""
        if not self._closed:
            self._closed = True
            self._transport.call("DELETE", self._place)


def _absolute(path: str | os.PathLike[str]) -> str:
    # A linked folder keeps its name, which resolve would follow away.
    return os.path.abspath(path)  # noqa: PTH100


def _json(content: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(content)
    return answer
