"""The clients of a server and their sessions."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from affidavit.server.access import Peer
from affidavit.server.errors import Refusal
from affidavit.server.hosted import HostedSession
from affidavit.session import Session

_logger = logging.getLogger(__name__)

MOST_CLIENTS = 256


@dataclass(eq=False)
class Client:
    """A process that uses the server, for as long as it holds its connection.

    Attributes:
        peer: who it is.
        token: what it says with each request; nobody else knows it.
        sessions: its own by id.
        gone: set when it is to go or has gone.
    """

    peer: Peer
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    sessions: dict[str, HostedSession] = field(default_factory=dict)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def session(self, identity: str) -> HostedSession:
        """One of its sessions. Raises Refusal for any other, whoever's it is."""
        found = self.sessions.get(identity)
        if found is None:
            raise Refusal(404, f"session {identity!r}: you have none of that name")
        return found


class Clients:
    """All of them, and the bound on their sessions.

    Args:
        most_sessions: of all clients together, at the same time.
    """

    def __init__(self, most_sessions: int) -> None:
        self._most = most_sessions
        self._clients: dict[str, Client] = {}
        self._open = 0
        self._stopping = False

    @property
    def open_sessions(self) -> int:
        """How many there are, with those that are being made or unmade."""
        return self._open

    def enter(self, peer: Peer) -> Client:
        """A new client.

        Raises:
            Refusal: there are too many.
        """
        if self._stopping or len(self._clients) >= MOST_CLIENTS:
            raise Refusal(503, "the server takes no more clients now")
        client = Client(peer)
        self._clients[client.token] = client
        _logger.info("client of uid %d, pid %d: has come", peer.uid, peer.pid)
        return client

    async def leave(self, client: Client, why: str) -> None:
        """Forget a client and end its sessions."""
        client.gone.set()
        self._clients.pop(client.token, None)
        ending = [self.close(client, session, why) for session in list(client.sessions.values())]
        _logger.info("client of uid %d, pid %d: %s, %d sessions", client.peer.uid, client.peer.pid, why, len(ending))
        await asyncio.gather(*ending)

    def known(self, peer: Peer, token: str) -> Client:
        """The client that a token was given to.

        Raises:
            Refusal: there is none, or the token is another user's.
        """
        client = self._clients.get(token)
        if client is None or client.peer.uid != peer.uid:
            raise Refusal(401, "no client of that token is here: POST /v1/clients first, and keep that connection open")
        return client

    async def open(self, client: Client, make: Callable[[], Session]) -> HostedSession:
        """Open a session for a client.

        Raises:
            Refusal: there are too many, or the client has gone meanwhile.
            AffidavitError, OSError: it can't be made.
        """
        if self._open >= self._most:
            raise Refusal(503, f"{self._most} sessions are open: wait until one has ended")
        session = HostedSession(secrets.token_hex(8))
        self._open += 1
        client.sessions[session.id] = session
        try:
            await session.open(make)
        except BaseException:
            await self.close(client, session, "the session could not be opened")
            raise
        if client.gone.is_set():
            await self.close(client, session, "the client has gone")
            raise Refusal(409, "the client has gone")
        return session

    async def close(self, client: Client, session: HostedSession, why: str) -> None:
        """End a session; its place is free when nothing of it is left."""
        await session.end(why)
        if client.sessions.pop(session.id, None) is not None:
            self._open -= 1

    async def stop(self) -> None:
        """End everything; nobody is let in afterwards."""
        self._stopping = True
        await asyncio.gather(*(self.leave(client, "the server was stopped") for client in list(self._clients.values())))
