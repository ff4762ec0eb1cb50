"""A client of ``affidavit serve``: recorded sessions from any Python of this machine, from 3.10 on.

It needs nothing but the standard library and this folder, so it can be imported beside anything. `Client` and
`RemoteSession` are for threads, `AsyncClient` and `AsyncSession` for asyncio.
"""

from affidavit.client.asynchronous import AsyncClient, AsyncSession
from affidavit.client.connection import DEFAULT_SOCKET, Busy, ClientError, Refused, ServerGone
from affidavit.client.results import Bundle, ExecResult, Judgement
from affidavit.client.synchronous import Client, RemoteSession

__all__ = [
    "DEFAULT_SOCKET",
    "AsyncClient",
    "AsyncSession",
    "Bundle",
    "Busy",
    "Client",
    "ClientError",
    "ExecResult",
    "Judgement",
    "Refused",
    "RemoteSession",
    "ServerGone",
]
