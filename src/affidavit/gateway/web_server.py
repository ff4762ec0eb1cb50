"""An HTTP proxy for a sandbox that answers from a web cache, and fetches what is not there where it is to fill one.

It opens TLS with certificates of an authority of its own, which the sandbox trusts, so that it sees what is
asked. What comes from the sandbox and from the web is hostile: sizes and numbers are bounded, and no address that is
private to this machine or its networks is reached but by the user's leave.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from ipaddress import ip_address
from typing import Any, BinaryIO, NoReturn
from urllib.parse import urlsplit

import h11
import httpcore

from affidavit.gateway.authority import Authority
from affidavit.gateway.proxies import connection_proxy, proxy_for
from affidavit.gateway.web_cache import MOST_ANSWERS, MOST_BYTES, Answers, CachedAnswer, Query
from affidavit.gateway.web_spool import WebSpoolWriter

_BLOCK = 1 << 18
_MOST_REQUEST_BYTES = 16 << 20
_MOST_URL = 8 << 10
_MOST_CONNECTIONS = 256
_MOST_HEADERS = 64
_CONNECT_S = 30.0
_IDLE_S = 120.0
_HANDSHAKE_S = 30.0
# RFC 9110, 7.6.1; and what depends on the moment or on what the client has already.
_NOT_PASSED_ON = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "transfer-encoding"),
        *("upgrade", "expect", "content-length", "host", "range", "if-range", "accept-encoding", "cookie"),
        *("if-none-match", "if-modified-since", "if-match", "if-unmodified-since"),
    )
)
_NOT_KEPT = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "set-cookie", "alt-svc", "strict-transport-security", "age", "accept-ranges"),
    )
)
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_LENGTH = b"content-length"
_TARGET = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")


class FetchFailed(Exception):
    """Nothing came from the web; the text says why."""


class _Broken(Exception):
    """What the sandbox sends is no request, or what was begun can't be ended."""


class Web:
    """Fetches from the web, as far as it may."""

    def __init__(self, allowed: Collection[str], proxies: Mapping[str, str]) -> None:
        """
        Args:
            allowed: hosts that may be reached though their addresses are private.
            proxies: this machine's own way to the web: the address of a proxy by scheme; ``no``: hosts without one.
        """
        self._allowed = frozenset(allowed)
        self._proxies = proxies
        self._context = ssl.create_default_context()
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    async def close(self) -> None:
        """Let go of connections."""
        for pool in self._pools.values():
            await pool.aclose()

    @contextlib.asynccontextmanager
    async def fetch(
        self, query: Query, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncIterator[httpcore.Response]:
        """The answer as it comes. Raises FetchFailed, also later, while it is read."""
        timeouts = {"connect": _CONNECT_S, "read": _IDLE_S, "write": _IDLE_S, "pool": _IDLE_S}
        try:
            pool = self._pool(query.url)
            async with pool.stream(
                query.method, query.url, headers=headers, content=body or None, extensions={"timeout": timeouts}
            ) as response:
                yield response
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError) as error:
            raise FetchFailed(str(error) or type(error).__name__) from error
        except (httpcore.UnsupportedProtocol, ssl.SSLError, OSError, ValueError) as error:
            raise FetchFailed(str(error) or type(error).__name__) from error

    def _pool(self, url: str) -> httpcore.AsyncConnectionPool:
        """The connections for a URL: through this machine's proxy where it has one for it."""
        host, proxy = urlsplit(url).hostname or "", proxy_for(url, self._proxies)
        if proxy and host not in self._allowed and is_private(host):
            # Else a name is the proxy's to look up, and it does not stand where this machine stands.
            raise FetchFailed(_refusal(host))
        if proxy not in self._pools:
            self._pools[proxy] = httpcore.AsyncConnectionPool(
                ssl_context=self._context,
                proxy=connection_proxy(proxy),
                network_backend=None if proxy else _Guarded(self._allowed),
                max_connections=64,
            )
        return self._pools[proxy]


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to nothing that is private to this machine or its networks, whatever its name says."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=1), timeout)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise httpcore.ConnectError(f"{host} is not known: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if host not in self._allowed and any(map(is_private, addresses)):
            raise httpcore.ConnectError(_refusal(host))
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")


def is_private(host: str) -> bool:
    """Whether a host, by its address, is none of the public internet's; False for what is no address, but for
    ``localhost``."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global or address.is_multicast


def _refusal(host: str) -> str:
    return f"{host} is a private address; --allow {host} permits it"


class WebServer:
    """Serves a sandbox."""

    def __init__(
        self, answers: Answers, bodies: int, spool: WebSpoolWriter, authority: Authority, web: Web | None
    ) -> None:
        """
        Args:
            answers: in the cache.
            bodies: a descriptor of the folder with their bodies.
            spool: gets what was fetched, and what was asked in vain.
            authority: certifies every host.
            web: where to fetch what is not in the cache; None: nowhere.
        """
        self._answers = answers
        self._bodies = bodies
        self._spool = spool
        self._authority = authority
        self._web = web
        self._connections = 0
        self._fetching: dict[Query, asyncio.Lock] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection to its end."""
        self._connections += 1
        try:
            if self._connections <= _MOST_CONNECTIONS:
                await self._serve(reader, writer, "")
        except (OSError, ssl.SSLError, TimeoutError, EOFError, h11.ProtocolError, _Broken):
            # Broken off, so that nobody takes it for whole.
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin: str) -> None:
        """Answer the requests of a connection.

        Args:
            origin: scheme and host of a tunnel, whose requests have a path alone; empty for a proxy's own requests.
        """
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 << 10)
        while True:
            asked = await _next_request(connection, reader)
            if asked is None:
                return
            request, body = asked
            target = request.target.decode("latin-1")
            if request.method == b"CONNECT":
                await self._tunnel(target, connection, reader, writer, origin)
                return
            client = _Client(connection, writer, request)
            if body is None:
                await client.refuse(413, f"requests may have {_MOST_REQUEST_BYTES >> 20} MiB")
                return
            url = _url(target, origin)
            if url is None:
                await client.refuse(400, "this is a proxy: it takes http and https URLs")
            else:
                accept = ", ".join(text.decode("latin-1") for name, text in request.headers if name == b"accept")
                query = Query(request.method.decode(), url, accept, hashlib.sha256(body).hexdigest())
                await self._answer(client, query, request, body)
            await writer.drain()
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _tunnel(
        self,
        target: str,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        origin: str,
    ) -> None:
        match = _TARGET.fullmatch(target)
        if match is None or origin or connection.trailing_data[0]:
            raise _Broken
        host, port = match[1].lower(), int(match[2])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        context = self._authority.context(host.strip("[]"))
        await writer.start_tls(context, ssl_handshake_timeout=_HANDSHAKE_S)
        await self._serve(reader, writer, f"https://{host}" + ("" if port == 443 else f":{port}"))

    async def _answer(self, client: "_Client", query: Query, request: h11.Request, body: bytes) -> None:
        answer = self._answers.find(query)
        if answer is None and self._web is not None:
            # Two that ask for the same at once get the same.
            async with self._fetching.setdefault(query, asyncio.Lock()):
                answer = self._answers.find(query)
                if answer is None:
                    await self._fetch(self._web, client, query, request, body)
                    return
        if answer is None:
            self._spool.missed(str(query))
            # A status that no client tries again; a shell that is given the text does nothing.
            await client.refuse(404, f"the verifier cache does not have {query}")
            return
        with self._open(answer.sha256) as file:
            await client.send_file(answer, file)

    def _open(self, name: str) -> BinaryIO:
        return os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._bodies), "rb")

    async def _fetch(self, web: Web, client: "_Client", query: Query, request: h11.Request, body: bytes) -> None:
        """Fetch an answer, pass it on as it comes, and keep it."""
        headers = [(name, text) for name, text in request.headers if name.decode("latin-1") not in _NOT_PASSED_ON]
        # As it is: a compressed body would be kept as one.
        headers.append((b"accept-encoding", b"identity"))
        temporary, file = self._new_body()
        with file:
            digest, size = hashlib.sha256(), 0
            try:
                async with web.fetch(query, headers, body) as response:
                    status = response.status
                    kept = tuple(_kept(query.method, response.headers))
                    started = not client.ranged
                    if started:
                        await client.begin(status, kept, response.headers)
                    async for block in response.aiter_stream():
                        size += len(block)
                        if len(self._answers) >= MOST_ANSWERS or self._answers.size + size > MOST_BYTES:
                            raise FetchFailed(f"the cache may have {MOST_ANSWERS} answers, {MOST_BYTES >> 30} GiB")
                        digest.update(block)
                        file.write(block)
                        if started:
                            await client.more(block)
            except FetchFailed as failure:
                os.unlink(temporary, dir_fd=self._bodies)
                self._keep(await self._failed(client, query, str(failure)))
                return
            file.flush()
            answer = CachedAnswer(query, status, kept, digest.hexdigest(), size)
            os.rename(temporary, answer.sha256, src_dir_fd=self._bodies, dst_dir_fd=self._bodies)
            self._keep(answer)
            if started:
                await client.end()
            else:
                file.seek(0)
                await client.send_file(answer, file)

    def _new_body(self) -> tuple[str, BinaryIO]:
        """A new file for a body, which gets its name once that is known: one of that name may be there, not ours."""
        name = f".{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return name, os.fdopen(os.open(name, flags, 0o644, dir_fd=self._bodies), "w+b")

    async def _failed(self, client: "_Client", query: Query, why: str) -> CachedAnswer:
        """Answer that nothing came, which is what will be answered from the cache, too."""
        text = f"# Affidavit: {why}\n".encode("utf-8", "replace")
        name = hashlib.sha256(text).hexdigest()
        temporary, body = self._new_body()
        with body:
            body.write(text)
        os.rename(temporary, name, src_dir_fd=self._bodies, dst_dir_fd=self._bodies)
        answer = CachedAnswer(query, 502, (("content-type", "text/plain"),), name, len(text), why[:500])
        if client.begun:
            self._keep(answer)
            raise _Broken
        with self._open(name) as file:
            await client.send_file(answer, file)
        return answer

    def _keep(self, answer: CachedAnswer) -> None:
        self._answers.add(answer)
        self._spool.fetched(answer)


class _Client:
    """Who has asked, for the answer to one request. One that is gone misses nothing: what is fetched is kept."""

    def __init__(self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request) -> None:
        self._connection = connection
        self._writer = writer
        self._head = request.method == b"HEAD"
        self._range = next((text.decode("latin-1") for name, text in request.headers if name == b"range"), "")
        self._gone = False
        self.begun = False

    @property
    def ranged(self) -> bool:
        """Whether it wants a part alone."""
        return bool(self._range)

    async def begin(self, status: int, kept: tuple[tuple[str, str], ...], theirs: list[tuple[bytes, bytes]]) -> None:
        """Begin an answer whose body is on its way; `theirs`: all headers that came with it."""
        length = [(name, text) for name, text in theirs if name.lower() == b"content-length"]
        await self._begin(status, [*((name, text) for name, text in _encoded(kept) if name != _LENGTH), *length])

    async def more(self, block: bytes) -> None:
        """Send a part of the body."""
        if not self._head and block:
            await self._write(self._connection.send(h11.Data(data=block)))

    async def end(self) -> None:
        """Say that there is no more."""
        await self._write(self._connection.send(h11.EndOfMessage()))

    async def refuse(self, status: int, why: str) -> None:
        """Answer with a text of the proxy's own."""
        body = f"# Affidavit: {why}\n".encode("utf-8", "replace")
        length = (_LENGTH, b"%d" % len(body))
        await self._begin(status, [(b"content-type", b"text/plain"), length])
        await self.more(body)
        await self.end()

    async def send_file(self, answer: CachedAnswer, file: BinaryIO) -> None:
        """Answer from a cache; only the part that was asked for."""
        first, last = self._part(answer)
        whole = (first, last) == (0, answer.size - 1)
        headers = _encoded(answer.headers)
        if all(name != _LENGTH for name, _ in headers):
            headers.append((_LENGTH, b"%d" % (last - first + 1)))
        if self._range and not whole:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (first, last, answer.size)))
        if answer.status == 200:
            headers.append((b"accept-ranges", b"bytes"))
        await self._begin(206 if self._range and not whole else answer.status, headers)
        if not self._head:
            file.seek(first)
            left = last - first + 1
            while left:
                block = file.read(min(left, _BLOCK))
                if not block:
                    raise _Broken
                left -= len(block)
                await self.more(block)
        await self.end()

    def _part(self, answer: CachedAnswer) -> tuple[int, int]:
        """The first and the last byte that are wanted."""
        everything = 0, answer.size - 1
        match = _RANGE.fullmatch(self._range)
        if answer.status != 200 or not match or not (match[1] or match[2]):
            return everything
        if not match[1]:
            return max(0, answer.size - int(match[2])), answer.size - 1
        first, last = int(match[1]), min(int(match[2] or answer.size - 1), answer.size - 1)
        return (first, last) if first <= last else everything

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        await self._write(self._connection.send(h11.Response(status_code=status, headers=headers)))

    async def _write(self, data: bytes | None) -> None:
        if self._gone or not data:
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, ssl.SSLError):
            self._gone = True


async def _next_request(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> tuple[h11.Request, bytes | None] | None:
    """The next request with its body; None in its place: it is too large. None: there are no more."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_BLOCK))
        elif isinstance(event, h11.Request):
            request = event
            if len(event.headers) > _MOST_HEADERS or len(event.target) > _MOST_URL:
                _break()
        elif isinstance(event, h11.Data):
            if len(body) + len(event.data) > _MOST_REQUEST_BYTES:
                return (request, None) if request is not None else None
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return None if request is None else (request, bytes(body))
        else:
            # The connection is closed, or waits for nothing.
            return None
        if event is not h11.NEED_DATA and isinstance(event, h11.Request) and event.method == b"CONNECT":
            return event, b""


def _break() -> NoReturn:
    raise _Broken


def _url(target: str, origin: str) -> str | None:
    """The whole URL that is asked for; None where it is none."""
    if origin:
        return origin + target if target.startswith("/") else None
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return target.partition("#")[0] if parts.path else f"{parts.scheme}://{parts.netloc}/"


def _kept(method: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """The headers of an answer that are kept with it: the length too where there is no body to tell it."""
    pairs = [(name.decode("latin-1").lower(), text.decode("latin-1")) for name, text in headers[:_MOST_HEADERS]]
    left_out = _NOT_KEPT - {"content-length"} if method == "HEAD" else _NOT_KEPT
    return [(name, text) for name, text in pairs if name not in left_out and len(text) <= _MOST_URL]


def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1", "replace"), text.encode("latin-1", "replace")) for name, text in headers]
