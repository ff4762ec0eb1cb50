"""Where answers come from: an upstream, a script, a recording."""

import asyncio
import base64
import hashlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpcore

from affidavit.gateway.compression import BadCompression, Decoder, decoder_of
from affidavit.gateway.dialects import Operation, credentials
from affidavit.gateway.proxies import connection_proxy, own_proxies, proxy_for
from affidavit.gateway.script import render
from affidavit.gateway.settings import GatewaySettings

_CONNECT_S = 30.0
_CONNECTIONS = 512
_IDLE_CONNECTIONS = 64
_IDLE_CONNECTION_S = 5.0


class UpstreamFailed(Exception):
    """The upstream gave no answer, or broke off; the text is a sentence without a key.

    Attributes:
        status: what the agent gets, where it has got nothing yet.
    """

    def __init__(self, text: str, status: int = 502) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A request as it is passed on.

    Attributes:
        operation: what is asked.
        method: of HTTP.
        query: parts of it.
        headers: without credentials.
        body: of it, as bytes.
        model: that is asked for.
        streams: a stream is asked for.
    """

    operation: Operation
    method: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    model: str
    streams: bool


@dataclass(frozen=True)
class Reply:
    """An answer that begins to come. Iterating over `chunks` raises UpstreamFailed."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Source(Protocol):
    """Gives answers."""

    def ask(self, asked: Asked) -> Any:
        """An asynchronous context manager that gives the Reply. Raises UpstreamFailed."""

    async def close(self) -> None:
        """Let go of connections."""


def source_of(settings: GatewaySettings) -> Source:
    """The source that the settings name."""
    match settings.mode:
        case "live":
            return Live(settings)
        case "script":
            return Scripted(settings)
        case "replay":
            return Replayed(settings)


class Live:
    """An upstream of each dialect, reached by HTTP. No redirect is followed: it would carry the key elsewhere."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._upstreams = settings.upstreams
        self._idle_s = settings.idle_s
        self._timeouts = {
            **dict.fromkeys(("read", "write"), settings.idle_s),
            "connect": min(_CONNECT_S, settings.idle_s),
        }
        # httpx would cost half a millisecond more for each request.
        proxies, context = own_proxies(), ssl.create_default_context()
        self._pools = {
            dialect: httpcore.AsyncConnectionPool(
                ssl_context=context,
                proxy=connection_proxy(proxy_for(upstream.url, proxies)),
                max_connections=_CONNECTIONS,
                max_keepalive_connections=_IDLE_CONNECTIONS,
                keepalive_expiry=_IDLE_CONNECTION_S,
            )
            for dialect, upstream in settings.upstreams.items()
        }

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    @asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[Reply]:
        dialect = asked.operation.dialect
        upstream = self._upstreams[dialect]
        headers = {
            "host": urlsplit(upstream.url).netloc,
            # Whatever else it is, an event must not wait in a compressor.
            "accept-encoding": "identity",
            **asked.headers,
            **credentials(dialect, upstream.key),
            **({"content-length": str(len(asked.body))} if asked.body else {}),
        }
        query = f"?{urlencode(asked.query)}" if asked.query else ""
        try:
            async with self._pools[dialect].stream(
                asked.method,
                upstream.url + asked.operation.path + query,
                headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
                content=asked.body or None,
                extensions={"timeout": self._timeouts},
            ) as response:
                answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                if 300 <= response.status < 400:
                    raise UpstreamFailed(f"the upstream redirects (status {response.status}), which is not followed")
                decoder = decoder_of(answered.get("content-encoding", ""))
                if decoder is None:
                    raise UpstreamFailed("the upstream compresses its answer in a way that it was not asked for")
                yield Reply(response.status, answered, _decoded(response, decoder))
        except _FAILURES as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> UpstreamFailed:
        # The texts of these errors may hold the URL, a header, a name.
        if isinstance(error, _UNREACHABLE):
            return UpstreamFailed(f"the upstream can't be reached ({type(error).__name__})")
        if isinstance(error, httpcore.TimeoutException):
            return UpstreamFailed(f"the upstream said nothing for {self._idle_s:g} s", 504)
        return UpstreamFailed(f"the upstream broke off ({type(error).__name__})")


_UNREACHABLE = (httpcore.ConnectTimeout, httpcore.ConnectError, httpcore.UnsupportedProtocol, httpcore.ProxyError)
_FAILURES = (*_UNREACHABLE, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


async def _decoded(response: httpcore.Response, decoder: Decoder) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_stream():
            for piece in decoder.pieces(chunk):
                yield piece
        decoder.end()
    except BadCompression as error:
        raise UpstreamFailed(f"the upstream's answer can't be decompressed: {error}") from None


class _Counted:
    """Answers in turn; what is asked beside completions is answered here."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._models = settings.models
        self._entries = settings.script
        self._next = 0

    async def close(self) -> None:
        """Nothing to let go of."""

    @asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[Reply]:
        if asked.operation.generates:
            status, kind, body = self._answer(asked)
        else:
            status, kind, body = 200, "application/json", json.dumps(self._beside(asked)).encode()
        yield Reply(status, {"content-type": kind}, _in_events(body, kind))

    def _answer(self, asked: Asked) -> tuple[int, str, bytes]:
        raise NotImplementedError

    def _take(self, what: str) -> tuple[int, Mapping[str, Any]]:
        """The next entry and its number."""
        if self._next >= len(self._entries):
            raise UpstreamFailed(f"{what} has no more than {len(self._entries)} answers", 500)
        entry = self._entries[self._next]
        number = self._next + 1
        self._next += 0 if entry.get("repeat") else 1
        return number, entry

    def _beside(self, asked: Asked) -> dict[str, Any]:
        if asked.operation.name == "count_tokens":
            name = "totalTokens" if asked.operation.dialect == "gemini" else "input_tokens"
            return {name: len(asked.body) // 4}
        match asked.operation.dialect:
            case "gemini":
                return {"models": [{"name": f"models/{model}", "displayName": model} for model in self._models]}
            case "anthropic":
                data = [{"type": "model", "id": model, "display_name": model} for model in self._models]
                return {"data": data, "has_more": False}
            case _:
                return {"object": "list", "data": [{"id": model, "object": "model"} for model in self._models]}


class Scripted(_Counted):
    """The answers of a script."""

    def _answer(self, asked: Asked) -> tuple[int, str, bytes]:
        number, entry = self._take("the script")
        return render(entry, asked.operation, number, asked.model, streams=asked.streams)


class Replayed(_Counted):
    """The answers of a recorded trial, as long as the very same is asked."""

    def _answer(self, asked: Asked) -> tuple[int, str, bytes]:
        number, entry = self._take("the recording")
        if entry["request"] != request_digest(asked.operation.name, asked.body):
            # Another try is no other request.
            self._next = number - 1
            raise UpstreamFailed(f"request {number} is not the one that was recorded, so its answer is not known", 500)
        return entry["status"], entry["content_type"], base64.b64decode(entry["body"])


def request_digest(operation: str, body: bytes) -> str:
    """What a replayed request is known by."""
    return hashlib.sha256(operation.encode() + b"\0" + body).hexdigest()


def recorded_answer(operation: str, request: bytes, status: int, content_type: str, body: bytes) -> dict[str, Any]:
    """An answer as `replay` takes it.

    Args:
        operation: as in `Operation.name`.
        request: the body that it answered.
        status, content_type, body: of the answer.
    """
    encoded = base64.b64encode(body).decode()
    digest = request_digest(operation, request)
    return {"request": digest, "status": status, "content_type": content_type, "body": encoded}


async def _in_events(body: bytes, kind: str) -> AsyncIterator[bytes]:
    for part in re.split(rb"(?<=\n\n)", body) if kind == "text/event-stream" else [body]:
        yield part
        await asyncio.sleep(0)
