"""Connections out of a sandbox: taken at the address that stands for a host, led to that host, and to no other."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from socket import socket
from types import MappingProxyType
from typing import Any

from affidavit.gateway.egress.client_hello import ClientHello, HelloError
from affidavit.gateway.egress.dns_server import DnsServer
from affidavit.gateway.egress.hosts import Hosts, Resolver, is_public, resolve
from affidavit.gateway.egress.records import Connection, EgressWriter
from affidavit.gateway.egress.services import OWN_ADDRESS, ServiceLinks
from affidavit.gateway.egress.settings import TLS_PORTS, EgressSettings
from affidavit.sandbox import JoinedNamespace

_CHUNK = 1 << 16
_CONNECT_S = 20.0
_HELLO_S = 30.0
_MOST_AT_ONCE = 512
_MOST_CONNECTIONS = 100_000
_HANDSHAKE = 0x16


class _Refused(Exception):
    """The text says why."""


class _Failed(Exception):
    """The text says why."""


class EgressProxy:
    """Serves one sandbox.

    Args:
        settings: what it may reach.
        writer: records names and connections.
        resolver: looks names up outside.
    """

    def __init__(self, settings: EgressSettings, writer: EgressWriter, resolver: Resolver = resolve) -> None:
        self._writer = writer
        self._resolve = resolver
        self._hosts = Hosts(settings, writer)
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._taken = 0
        self._servers: list[asyncio.Server] = []
        self._datagrams: asyncio.BaseTransport | None = None
        self._links: ServiceLinks | None = None
        self._background: set[asyncio.Future[Any]] = set()

    async def start(
        self,
        datagrams: socket,
        streams: socket,
        listeners: Sequence[socket],
        own: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Begin to serve.

        Args:
            datagrams, streams: where questions for names come in, over UDP and TCP.
            listeners: where connections come in.
            own: names of the sandbox itself, with the address of each.
        """
        server = DnsServer(self._hosts, own, self._ask)
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: server, sock=datagrams)
        self._servers.append(await asyncio.start_server(server.serve_stream, sock=streams))
        for listener in listeners:
            self._servers.append(await asyncio.start_server(self._take, sock=listener))

    def link(self, services: Mapping[str, JoinedNamespace], own: JoinedNamespace) -> None:
        """Lead to services of the task, too.

        Args:
            services: their namespaces, by name.
            own: the sandbox's.
        """
        self._links = ServiceLinks(services, own, self._serve, self._port_is_taken)
        self._background.add(asyncio.ensure_future(self._links.watch()))

    def _ask(self, name: str, address: str) -> None:
        if self._links is not None:
            self._links.ask(name, address)

    def _serve(self, listener: socket) -> Callable[[], None]:
        """Take connections from a socket that listens already; what ends that."""
        task = asyncio.ensure_future(asyncio.start_server(self._take, sock=listener))
        self._background.add(task)

        def end() -> None:
            listener.close()
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().close()
            self._background.discard(task)

        return end

    def _port_is_taken(self, name: str, port: int) -> None:
        """Write down that a service can't be reached from a sandbox that listens on the port itself."""
        now = time.monotonic_ns()
        why = "a program of the sandbox itself listens on this port"
        self._writer.connection(Connection(now, now, name, port, outcome="failed", reason=why))

    async def stop(self) -> None:
        """End all connections, and write that this was all."""
        for one in self._background:
            one.cancel()
        if self._datagrams is not None:
            self._datagrams.close()
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=5)
        self._writer.end()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        connection = Connection(time.monotonic_ns(), name=self._hosts.name_of(address) or "", port=port)
        task = asyncio.current_task()
        assert task is not None
        full = len(self._open) >= _MOST_AT_ONCE or self._taken >= _MOST_CONNECTIONS
        self._open[task] = connection
        self._taken += 1
        try:
            if full:
                raise _Refused("there are too many connections")
            await self._lead(reader, writer, connection)
        except _Refused as why:
            connection.outcome, connection.reason = "refused", str(why)
        except _Failed as why:
            connection.outcome, connection.reason = "failed", str(why)
        except asyncio.CancelledError:
            # The trial has ended.
            pass
        finally:
            writer.transport.abort()
            del self._open[task]
            connection.ended_ns = time.monotonic_ns()
            if self._taken <= _MOST_CONNECTIONS:
                self._writer.connection(connection)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection) -> None:
        if not connection.name:
            raise _Refused("its address stands for no host")
        if not self._hosts.allows_port(connection.name, connection.port):
            raise _Refused("the host may not be reached on this port")
        service = self._hosts.is_service(connection.name)
        # Where TLS must be spoken, the host hears nothing of a client that asks for another one.
        first = await _hello(reader, connection.name) if connection.port in TLS_PORTS and not service else b""
        outer_reader, outer_writer = await (self._connect_service if service else self._connect)(connection)
        try:
            await self._pass_on(reader, writer, outer_reader, outer_writer, connection, first)
        finally:
            outer_writer.transport.abort()

    async def _connect_service(self, connection: Connection) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self._links is not None
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await self._links.connect(connection.name, connection.port)
        except (OSError, TimeoutError) as error:
            raise _Failed(
                f"the service can't be reached: {getattr(error, 'strerror', None) or 'it does not answer'}"
            ) from None
        connection.address, connection.outcome = OWN_ADDRESS, "passed"
        return reader, writer

    async def _connect(self, connection: Connection) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        given = self._hosts.given(connection.name)
        found = [given] if given is not None else await self._resolve(connection.name)
        if not found:
            raise _Failed("the host has no address")
        public = [address for address in found if given is not None or is_public(address)]
        if not public:
            raise _Refused("the host's address is private, link-local or reserved")
        why = "the host can't be reached"
        for address in public:
            try:
                # By the address that was looked at, so that no second look-up can lead elsewhere.
                async with asyncio.timeout(_CONNECT_S):
                    reader, writer = await asyncio.open_connection(address, connection.port)
            except (OSError, TimeoutError) as error:
                why = f"the host can't be reached: {getattr(error, 'strerror', None) or 'it does not answer'}"
                continue
            if given is None and writer.get_extra_info("sockname")[0] == writer.get_extra_info("peername")[0]:
                writer.transport.abort()
                raise _Refused("the host's address is this machine's own")
            connection.address, connection.outcome = address, "passed"
            return reader, writer
        raise _Failed(why)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        outer_reader: asyncio.StreamReader,
        outer_writer: asyncio.StreamWriter,
        connection: Connection,
        first: bytes,
    ) -> None:
        async def up() -> None:
            chunk = first or await reader.read(_CHUNK)
            if not first and chunk[:1] == bytes((_HANDSHAKE,)) and not self._hosts.is_service(connection.name):
                chunk = await _hello(reader, connection.name, chunk)
            while chunk:
                outer_writer.write(chunk)
                await outer_writer.drain()
                connection.sent += len(chunk)
                chunk = await reader.read(_CHUNK)
            outer_writer.write_eof()

        async def down() -> None:
            while chunk := await outer_reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
                connection.received += len(chunk)
            writer.write_eof()

        tasks = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if (error := task.exception()) is not None and not isinstance(error, OSError):
                    raise error
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _hello(reader: asyncio.StreamReader, name: str, first: bytes = b"") -> bytes:
    """What a TLS client begins with, once it is known that it asks for a host of that name.

    Raises:
        _Refused: it asks for another host, or for none, or speaks no TLS.
    """
    hello, data, chunk = ClientHello(), b"", first
    try:
        async with asyncio.timeout(_HELLO_S):
            while True:
                chunk = chunk or await reader.read(_CHUNK)
                if not chunk:
                    raise _Refused("it ended before a TLS client's message")
                data += chunk
                if hello.feed(chunk):
                    break
                chunk = b""
    except HelloError as error:
        raise _Refused(f"only TLS is passed on here, and {error}") from None
    except TimeoutError:
        raise _Refused("no TLS client's message came") from None
    except (OSError, ssl.SSLError):
        raise _Refused("it ended before a TLS client's message") from None
    asked = hello.name
    if asked is None:
        raise _Refused("its TLS asks for no host by name (SNI)")
    if asked.lower().removesuffix(".") != name:
        raise _Refused(f"its TLS asks for another host (SNI): {asked[:253]}")
    return data
