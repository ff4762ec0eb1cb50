"""HTTP over a Unix socket, and what can go wrong there."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

DEFAULT_SOCKET = "/run/affidavit/affidavit.sock"

_CONNECT_S = 10.0
_KEPT_CONNECTIONS = 32
# The server closes a connection that is idle for ten minutes.
_KEPT_S = 300.0
_MOST_GREETING_BYTES = 4096


class ClientError(Exception):
    """A request was not carried out; the text says why."""


class ServerGone(ClientError):
    """There is no server, or it has ended: every session of this client is gone, and none of them was passed."""


class Refused(ClientError):
    """The server has said no.

    Attributes:
        status: of the answer (RFC 9110); below 500, asking otherwise may help.
        kind: name of the error on the server's side: ``SessionError``, ``TaskError``, ``RunError`` and others.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class Busy(Refused):
    """The server has no room now; the same request may be sent again later."""


class _Connection(http.client.HTTPConnection):
    """HTTP/1.1 to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("affidavit")
        self._path = path

    def connect(self) -> None:
        """Called by the base class before the first request."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(_CONNECT_S)
            self.sock.connect(self._path)
            # A command may run for hours.
            self.sock.settimeout(None)
        except BaseException:
            self.sock.close()
            raise


class Transport:
    """Requests to one server, from any threads, as one client of it: it is one for as long as it holds a connection
    that nothing else goes over.

    Args:
        path: the server's socket.

    Raises:
        ServerGone: there is no server.
        Refused: it does not let us in.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[tuple[float, _Connection]] = []
        self._closed = False
        self._lifeline = _Connection(path)
        try:
            self._lifeline.request("POST", "/v1/clients", body=b"")
            response = self._lifeline.getresponse()
            if response.status != 201:
                raise _refusal(response.status, response.read())
            # Without a length, and open until the server or we end it: the first line is all that comes.
            greeting = json.loads(response.readline(_MOST_GREETING_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._lifeline.close()
            raise ServerGone(f"{path}: no server answers there: {error}; start affidavit serve") from error
        except BaseException:
            self._lifeline.close()
            raise
        # The response must live as long as the connection: it holds the socket.
        self._response = response
        self._headers = {"Authorization": f"Bearer {greeting['token']}"}

    def call(
        self,
        method: str,
        place: str,
        message: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: bytes = b"",
    ) -> bytes:
        """Send a request and wait for its answer.

        Args:
            method, place: of the request.
            message: a document to send; None: `body`.
            query: what is None is left out.
            body: octets to send.

        Raises:
            ServerGone: the server has ended, or this client has.
            Busy, Refused: the server says no.
        """
        response = self.open(method, place, message, query=query, body=body)
        try:
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerGone(f"{self._path}: the server has ended: {error}") from error
        response.give_back()
        return content

    def open(
        self,
        method: str,
        place: str,
        message: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """As `call`, but the content of the answer is still to be read."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{place}?{urlencode(given)}" if given else place
        headers = dict(self._headers)
        if message is not None:
            body = json.dumps(message).encode()
            headers["Content-Type"] = "application/json"
        connection = self._take()
        try:
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            if response.status >= 300:
                refusal = _refusal(response.status, response.read())
                self._give(connection)
                raise refusal
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ServerGone(f"{self._path}: the server has ended: {error}") from error
        except Refused:
            raise
        except BaseException:
            connection.close()
            raise
        return Answer(self, connection, response)

    def close(self) -> None:
        """Go: the server ends all sessions of this client. Harmless when called twice."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()
        self._response.close()
        self._lifeline.close()

    def _take(self) -> _Connection:
        with self._lock:
            if self._closed:
                raise ServerGone("this client is closed")
            while self._idle:
                since, connection = self._idle.pop()
                if time.monotonic() - since < _KEPT_S:
                    return connection
                connection.close()
            return _Connection(self._path)

    def _give(self, connection: _Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT_CONNECTIONS:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


class Answer:
    """The content of an answer."""

    def __init__(self, transport: Transport, connection: _Connection, response: http.client.HTTPResponse) -> None:
        self._transport = transport
        self._connection = connection
        self._response = response

    def read(self, most: int | None = None) -> bytes:
        """The next part, or all of it."""
        return self._response.read(most)

    def give_back(self) -> None:
        """All was read: the next request may go over this connection."""
        self._transport._give(self._connection)

    def close(self) -> None:
        """Not all was read."""
        self._connection.close()


def _refusal(status: int, content: bytes) -> Refused:
    try:
        error = cast("dict[str, Any]", json.loads(content))["error"]
        kind, message = str(error["kind"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = "Refusal", f"the server answers with {status}"
    return (Busy if status in (429, 503) else Refused)(status, kind, message)
