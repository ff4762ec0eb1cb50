"""The HTTP interface, version 1; ``docs/server.md`` describes it."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from affidavit.contracts import ContractError
from affidavit.errors import AffidavitError
from affidavit.evaluation import AccessOptions, ChooseRuntime, PolicyOptions, RunError, RunOptions
from affidavit.evidence import bundle_digest
from affidavit.gateway import GatewaySettings
from affidavit.server.access import Access, Peer
from affidavit.server.archive import archive_of
from affidavit.server.clients import Client, Clients
from affidavit.server.errors import Refusal
from affidavit.server.hosted import COMMANDS
from affidavit.server.messages import Exec, Message, Open, Setup
from affidavit.server.traffic import Traffic
from affidavit.session import ExecResult, Session, SessionError
from affidavit.suites import SuiteError
from affidavit.tasks import TaskError, load_task
from affidavit.trace import one_line

_logger = logging.getLogger(__name__)

API = 1
FILE_BYTES = 64 << 20
"""Of a file that is written or read in one request."""
MESSAGE_BYTES = 24 << 20
"""Of a document; the standard input of a command is in it."""

_WRONG_USE = (TaskError, RunError, ContractError, SuiteError)

M = TypeVar("M", bound=Message)


class Server:
    """Answers requests.

    Args:
        access: who may do what.
        out: the folder that gets a folder for each session.
        sessions: at the same time, of all clients.
        model: what sessions may ask of models; None: nothing.
        choose: finds runtime and recorder.
    """

    def __init__(
        self, access: Access, out: Path, sessions: int, model: GatewaySettings | None, choose: ChooseRuntime
    ) -> None:
        self._access = access
        self._out = out
        self._sessions = sessions
        self._model = model
        self._choose = choose
        self._clients = Clients(sessions)
        self._traffic = Traffic()
        one = "/v1/sessions/{id}"
        routes = [
            Route("/v1", self._about, methods=["GET"]),
            Route("/v1/clients", self._enter, methods=["POST"]),
            Route("/v1/sessions", self._open, methods=["POST"]),
            Route(one, self._show, methods=["GET"]),
            Route(one, self._close, methods=["DELETE"]),
            Route(f"{one}/setup", self._setup, methods=["POST"]),
            Route(f"{one}/exec", self._exec, methods=["POST"]),
            Route(f"{one}/file", self._read, methods=["GET"]),
            Route(f"{one}/file", self._write, methods=["PUT"]),
            Route(f"{one}/freeze", self._freeze, methods=["POST"]),
            Route(f"{one}/grade", self._grade, methods=["POST"]),
            Route(f"{one}/seal", self._seal, methods=["POST"]),
            Route(f"{one}/bundle", self._bundle, methods=["GET"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={Exception: _failed, HTTPException: _unknown})
        for kind in (AffidavitError, OSError, ClientDisconnect):
            self.app.add_exception_handler(kind, _refused)

    async def stop(self) -> None:
        """End every session and let every client go."""
        await self._clients.stop()

    # --- clients ---

    async def _about(self, request: Request) -> Response:
        self._peer(request)
        limits = {
            "sessions": self._sessions,
            "commands": COMMANDS,
            "file_bytes": FILE_BYTES,
            "message_bytes": MESSAGE_BYTES,
        }
        about = {"server": "affidavit", "version": version("affidavit"), "api": API, "limits": limits}
        return JSONResponse({**about, "open_sessions": self._clients.open_sessions})

    async def _enter(self, request: Request) -> Response:
        return _Lifeline(self._clients, self._clients.enter(self._peer(request)))

    def _peer(self, request: Request) -> Peer:
        if request.client is None:
            raise Refusal(403, "nobody knows who you are")
        peer = Peer(int(request.client.host), request.client.port)
        if not self._access.may_connect(peer):
            raise Refusal(403, f"uid {peer.uid} may not use this server: ask its owner for --user")
        return peer

    def _client(self, request: Request) -> Client:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Refusal(401, "say who you are: Authorization: Bearer TOKEN, with the token of POST /v1/clients")
        return self._clients.known(self._peer(request), token)

    # --- sessions ---

    async def _open(self, request: Request) -> Response:
        client = self._client(request)
        asked = await self._message(request, Open)
        task = self._access.path(client.peer, asked.task, "task")
        contract = asked.contract and self._access.path(client.peer, asked.contract, "contract")
        policy = PolicyOptions(contract=str(contract) if contract else None)
        access = AccessOptions(self._granted(asked.models))
        options = RunOptions(asked.runtime, asked.recorder, 1, 1, self._out, policy, access)

        def make() -> Session:
            return Session(load_task(task), options, asked.agent, self._choose)

        session = await self._clients.open(client, make)
        told = {"session": session.id, "phase": session.phase, "workdir": session.workdir}
        return JSONResponse({**told, "model_environment": session.model_environment}, 201)

    def _granted(self, models: Sequence[str]) -> GatewaySettings | None:
        """What a session may ask that wants these models. Raises Refusal."""
        if not models:
            return None
        granted = () if self._model is None else self._model.models
        wrong = [name for name in models if name not in granted]
        if self._model is None or wrong:
            raise Refusal(422, f"models: {wrong[0]!r} is not granted here: start the server with --model {wrong[0]}")
        return replace(self._model, models=tuple(dict.fromkeys(models)))

    async def _show(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        return JSONResponse({"session": session.id, "phase": session.phase})

    async def _close(self, request: Request) -> Response:
        client = self._client(request)
        session = client.session(request.path_params["id"])
        await self._clients.close(client, session, "the session was closed before it was sealed")
        return Response(status_code=204)

    # --- commands ---

    async def _setup(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        asked = await self._message(request, Setup)
        return _ran(await session.command(lambda real: real.setup(**_fields(asked))))

    async def _exec(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        asked = await self._message(request, Exec)
        return _ran(await session.command(lambda real: real.exec(**_fields(asked))))

    async def _write(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        path, user, origin = _file_of(request)
        async with self._body(request, FILE_BYTES) as content:
            await session.command(lambda real: real.write_file(path, content, user=user, origin=origin))
        return Response(status_code=204)

    async def _read(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        path, user, origin = _file_of(request)
        most = _number(request.query_params.get("most"), FILE_BYTES)
        async with self._traffic.room(most):
            content = await session.command(lambda real: real.read_file(path, most=most, user=user, origin=origin))
        return Response(content, media_type="application/octet-stream")

    # --- the end ---

    async def _freeze(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        await session.phase_call(Session.freeze)
        return JSONResponse({"session": session.id, "phase": session.phase})

    async def _grade(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        judgement = await session.phase_call(Session.grade)
        return JSONResponse(judgement.to_json())

    async def _seal(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        session.bundle = await session.phase_call(Session.seal)
        return JSONResponse({"bundle": str(session.bundle.absolute()), "digest": bundle_digest(session.bundle)})

    async def _bundle(self, request: Request) -> Response:
        session = self._client(request).session(request.path_params["id"])
        if session.bundle is None:
            raise Refusal(409, "there is no bundle before the session is sealed")
        return StreamingResponse(archive_of(session.bundle), media_type="application/x-tar")

    # --- bodies ---

    async def _message(self, request: Request, kind: type[M]) -> M:
        async with self._body(request, MESSAGE_BYTES) as body:
            try:
                return kind.model_validate_json(body)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"])) or "the body"
                raise Refusal(422, f"{where}: {first['msg']}") from None

    @asynccontextmanager
    async def _body(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body of a request, which has said how long it is and is read only when there is room for it."""
        length = _number(request.headers.get("content-length"), -1)
        if length < 0:
            raise Refusal(411, "say how long the body is: Content-Length")
        if length > most:
            raise Refusal(413, f"{length} bytes are more than {most}: send less at once")
        async with self._traffic.room(length):
            yield await request.body()


class _Lifeline(Response):
    """Tells a client its token, and does not end before the client goes, which ends what the client has."""

    def __init__(self, clients: Clients, client: Client) -> None:
        super().__init__(media_type="application/x-ndjson")
        self._clients = clients
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def left() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        client = self._client
        watching = [asyncio.ensure_future(left()), asyncio.ensure_future(client.gone.wait())]
        try:
            headers = [(b"content-type", b"application/x-ndjson")]
            await send({"type": "http.response.start", "status": 201, "headers": headers})
            greeting = json.dumps({"token": client.token, "api": API}).encode() + b"\n"
            await send({"type": "http.response.body", "body": greeting, "more_body": True})
            await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
            if client.gone.is_set():
                await send({"type": "http.response.body", "body": b""})
        finally:
            for task in watching:
                task.cancel()
            # Nothing that breaks this off may leave a session behind.
            await asyncio.shield(asyncio.ensure_future(self._clients.leave(client, "the client has gone")))


def _fields(asked: Message) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in type(asked).model_fields}


def _ran(result: ExecResult) -> Response:
    return JSONResponse(
        {
            "id": result.id,
            "stdout": base64.b64encode(result.stdout).decode(),
            "stderr": base64.b64encode(result.stderr).decode(),
            "exit_code": result.exit_code,
            "timed_out": result.timed_out,
            "truncated": result.truncated,
        }
    )


def _file_of(request: Request) -> tuple[str, str | None, str]:
    """Path, user and origin that a request for a file names."""
    query = request.query_params
    unknown = set(query) - {"path", "user", "origin", "most"}
    if unknown or "path" not in query:
        raise Refusal(422, "say path, and if you like user, origin, most; nothing else")
    origin = query.get("origin", "agent")
    if origin not in ("agent", "harness"):
        raise Refusal(422, f"origin={origin!r}: is agent or harness")
    return query["path"], query.get("user"), origin


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Refusal(422, f"{text!r}: is no number of bytes")
    return int(text)


def _answer(status: int, kind: str, message: str) -> Response:
    headers = {"retry-after": "1"} if status in (429, 503) else None
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    """What is nobody's bug: 4xx where asking otherwise helps, 500 where the machinery failed."""
    if isinstance(error, Refusal):
        status = error.status
    elif isinstance(error, SessionError):
        status = 409
    else:
        status = 422 if isinstance(error, _WRONG_USE) else 500
    return _answer(status, type(error).__name__, one_line(error, 2000))


async def _unknown(request: Request, error: Exception) -> Response:
    known = cast(HTTPException, error)
    return _answer(known.status_code, "Refusal", f"{request.method} {request.url.path}: {known.detail}")


async def _failed(request: Request, error: Exception) -> Response:
    _logger.error("%s: %s", request.method, type(error).__name__, exc_info=error)
    return _answer(500, type(error).__name__, "the server failed; its log says more")
