"""The gateway's other door: a port of the host's, for programs outside the sandbox that have its key."""

import hmac
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from affidavit.gateway.dialects import SIGNATURE, error_body

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class HostDoor:
    """A port on 127.0.0.1 of the host and a random key. Every user of the machine can reach the port, so whoever asks
    must have the key, which providers' clients send like any other.

    Attributes:
        listener: listens there.
        url: base, without a path.
        key: that clients must send.
    """

    def __init__(self) -> None:
        """Open it. Raises OSError."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.key = f"affidavit-{secrets.token_urlsafe(32)}"


class Keyed:
    """An ASGI application that passes on what comes by another port than the host's, and what has the key.

    Args:
        app: gets it.
        port: of the host.
        key: see HostDoor.
    """

    def __init__(self, app: App, port: int, key: str) -> None:
        self._app = app
        self._port = port
        self._key = key.encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["server"][1] != self._port:
            await self._app(scope, receive, send)
            return
        given = {name.lower(): value for name, value in scope["headers"]}
        if self._knows(given):
            await self._app(scope, receive, send)
            return
        dialect = "anthropic" if b"anthropic-version" in given else "openai"
        body = json.dumps(error_body(dialect, 401, f"{SIGNATURE}this is not the session's key")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _knows(self, given: Mapping[bytes, bytes]) -> bool:
        """Whether the key is where a provider's clients put it: OpenAI's, Anthropic's, Gemini's."""
        found = (
            given.get(b"authorization", b"").removeprefix(b"Bearer "),
            given.get(b"x-api-key", b""),
            given.get(b"x-goog-api-key", b""),
        )
        return any(hmac.compare_digest(one, self._key) for one in found)
