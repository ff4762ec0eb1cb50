"""The egress proxy and its name server, from inside of a network namespace, with servers on this machine's loopback."""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import dns.message
import dns.query
import dns.rcode
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from affidavit.events import NAMED_ADDRESSES
from affidavit.gateway import Connection, EgressReader, EgressSettings, GatewayError, read_allowed
from affidavit.gateway.egress import proxy as proxy_module
from affidavit.gateway.egress.hosts import is_public, resolve
from affidavit.gateway.egress.proxy import EgressProxy
from affidavit.gateway.egress.records import EgressWriter
from affidavit.sandbox import NetworkNamespace, kernel

T = TypeVar("T")
HOST = "mirror.example"


@dataclass
class Inside:
    """A namespace with a proxy, seen from inside, and what the proxy wrote."""

    namespace: NetworkNamespace
    spool: Path
    looked_up: list[str]
    stop: Callable[[], None]

    def do(self, work: Callable[[], T]) -> T:
        """Do something in the namespace."""

        def enter() -> T:
            with Path(self.namespace.path).open() as opened:
                kernel.enter_network(opened.fileno())
            return work()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(enter).result(30)

    def address(self, name: str, kind: str = "A", tcp: bool = False) -> tuple[str, list[str]]:
        """What the name server says: its code and its addresses."""
        ask = dns.query.tcp if tcp else dns.query.udp
        reply = self.do(lambda: ask(dns.message.make_query(name, kind), "127.0.0.1", timeout=10))
        return dns.rcode.to_text(reply.rcode()), [item.to_text() for answer in reply.answer for item in answer]

    def talk(self, address: str, port: int, said: bytes) -> bytes:
        """Say something, and take all that comes back; nothing where the connection is refused or broken off."""

        def work() -> bytes:
            heard = b""
            with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=10) as client:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                while chunk := client.recv(4096):
                    heard += chunk
            return heard

        return self.do(work)

    def connections(self) -> list[Connection]:
        """What became of all connections, once the proxy has ended."""
        self.stop()
        reader = EgressReader(self.spool)
        reader.refresh()
        assert reader.complete
        return sorted(reader.connections, key=lambda one: one.started_ns)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Callable[..., Inside]]:
    """Starts a proxy for a namespace; names are looked up in a table."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with contextlib.ExitStack() as stack:

        def start(settings: EgressSettings, table: dict[str, list[str]] | None = None) -> Inside:
            namespace = stack.enter_context(NetworkNamespace())
            namespace.add_local(NAMED_ADDRESSES)
            looked_up: list[str] = []

            async def look_up(name: str) -> list[str]:
                looked_up.append(name)
                return (table or {}).get(name, [])

            stop = _serve(stack, settings, namespace, tmp_path / "spool", look_up)
            return Inside(namespace, tmp_path / "spool", looked_up, stop)

        yield start


def _serve(
    stack: contextlib.ExitStack,
    settings: EgressSettings,
    namespace: NetworkNamespace,
    spool: Path,
    look_up: Callable[[str], Awaitable[list[str]]],
) -> Callable[[], None]:
    file = stack.enter_context(spool.open("wb"))
    loop = asyncio.new_event_loop()
    sockets = namespace.receive(53), namespace.listen(53)
    listeners = [namespace.listen(port, "0.0.0.0") for port in settings.ports()]
    served = EgressProxy(settings, EgressWriter(file), look_up)
    loop.run_until_complete(served.start(*sockets, listeners))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def stop() -> None:
        if thread.is_alive():
            asyncio.run_coroutine_threadsafe(served.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    stack.callback(stop)
    return stop


@dataclass
class Server:
    """A server on this machine's loopback, and what it heard."""

    port: int
    heard: list[bytes]


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None, greeting: bytes = b"") -> Iterator[Server]:
    """Answers ``echo `` and what it heard, once the client has said all; over TLS where there is a context."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1], [])

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain:
                plain.settimeout(10)
                client = context.wrap_socket(plain, server_side=True) if context else plain
                client.sendall(greeting)
                server.heard.append(client.recv(4096))
                client.sendall(b"echo " + server.heard[-1])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def allowed(*endpoints: str, at: str | None = "127.0.0.1") -> EgressSettings:
    hosts = [text.partition(":")[0] for text in endpoints]
    return EgressSettings(endpoints, dict.fromkeys(hosts, at) if at else {})


def test_an_allowed_host_is_reached_by_name(inside: Callable[..., Inside]) -> None:
    with serving() as server:
        there = inside(allowed(f"{HOST}:{server.port}"))
        assert there.address(HOST) == ("NOERROR", ["198.18.0.1"])
        assert there.address("MIRROR.Example.", tcp=True) == ("NOERROR", ["198.18.0.1"])
        # No IPv6, and no record of another kind: what a browser would need for QUIC or an encrypted SNI.
        assert there.address(HOST, "AAAA") == ("NOERROR", [])
        assert there.address(HOST, "HTTPS") == ("NOERROR", [])
        assert there.talk("198.18.0.1", server.port, b"hello") == b"echo hello"
    (connection,) = there.connections()
    assert (connection.name, connection.port, connection.outcome) == (HOST, server.port, "passed")
    assert (connection.address, connection.sent, connection.received) == ("127.0.0.1", 5, 10)
    assert 0 < connection.started_ns < connection.ended_ns


def test_no_other_name_is_known_and_nobody_outside_is_asked(inside: Callable[..., Inside]) -> None:
    there = inside(allowed(f"{HOST}:8000", "*.wild.example:8000", at=None))
    for name in ("other.example", f"x.{HOST}", "wild.example", "secret.tunnel.example", "mirror.example.evil.example"):
        assert there.address(name) == ("NXDOMAIN", []), name
    assert there.address("localhost") == ("NOERROR", ["127.0.0.1"])
    assert there.address("a.wild.example") == ("NOERROR", ["198.18.0.2"])
    assert there.address("b.c.wild.example") == ("NOERROR", ["198.18.0.3"])
    assert there.looked_up == []


def test_a_message_that_is_no_question_gets_no_answer(inside: Callable[..., Inside]) -> None:
    there = inside(allowed(f"{HOST}:8000"))

    def work() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            for rubbish in (b"", b"\0" * 11, b"\xff" * 600, dns.message.make_query(HOST, "A").to_wire()[:-3]):
                client.sendto(rubbish, ("127.0.0.1", 53))
            query = dns.message.make_query(HOST, "A")
            client.sendto(query.to_wire(), ("127.0.0.1", 53))
            return client.recv(4096)[:2] == query.id.to_bytes(2, "big")

    assert there.do(work)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.5.5",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.9",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "no address",
    ],
)
def test_addresses_that_are_nobodys_on_the_internet_are_refused(address: str) -> None:
    assert not is_public(address)


def test_addresses_of_the_internet_are_not() -> None:
    assert all(map(is_public, ("8.8.8.8", "151.101.0.223", "2606:4700::6810:84e5")))


@pytest.mark.parametrize("name", ["2130706433", "0x7f.1", "017700000001", "0x7f000001", "127.1", "localhost"])
def test_an_address_in_disguise_is_looked_at_as_the_address_that_it_is(name: str) -> None:
    found = asyncio.run(resolve(name))
    assert not any(map(is_public, found)), found


def test_a_name_whose_address_is_private_is_refused(inside: Callable[..., Inside]) -> None:
    with serving() as server:
        there = inside(
            allowed(f"rebound.example:{server.port}", f"both.example:{server.port}", at=None),
            {"rebound.example": ["127.0.0.1", "::ffff:127.0.0.1"]},
        )
        assert there.talk("198.18.0.1", server.port, b"hello") == b""
        assert there.talk("198.18.0.2", server.port, b"hello") == b""
        assert server.heard == []
    first, second = there.connections()
    assert (first.outcome, first.address) == ("refused", "")
    assert "private" in first.reason
    assert (second.outcome, second.reason) == ("failed", "the host has no address")


def test_an_address_that_stands_for_nothing_and_another_hosts_port_lead_nowhere(inside: Callable[..., Inside]) -> None:
    with serving() as one, serving() as other:
        there = inside(allowed(f"one.example:{one.port}", f"other.example:{other.port}"))
        assert there.talk("198.18.0.2", other.port, b"hello") == b"echo hello"
        assert there.talk("198.18.0.1", other.port, b"hello") == b""
        assert there.talk("198.19.7.7", other.port, b"hello") == b""
        assert there.talk("127.0.0.1", other.port, b"hello") == b""
        # No listener at all: refused by the kernel, which is no connection.
        assert there.talk("198.18.0.1", 9, b"hello") == b""
        assert (one.heard, other.heard) == ([], [b"hello"])
    assert [(one.name, one.outcome) for one in there.connections()] == [
        ("other.example", "passed"),
        ("one.example", "refused"),
        ("", "refused"),
        ("", "refused"),
    ]


def test_nothing_leaves_by_datagrams(inside: Callable[..., Inside]) -> None:
    there = inside(allowed(f"{HOST}:443"))

    def work() -> list[str]:
        found = []
        for address in ("198.18.0.1", "192.0.2.1", "8.8.8.8"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                try:
                    client.connect((address, 443))
                    client.send(b"quic")
                    client.recv(10)
                    found.append("answered")
                except ConnectionRefusedError:
                    found.append("refused")
                except OSError:
                    found.append("unreachable")
        return found

    assert there.do(work) == ["refused", "unreachable", "unreachable"]


def shake_hands(there: Inside, port: int, name: str | None) -> bytes:
    """Speak TLS to the first host; what it answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def work() -> bytes:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("198.18.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as client,
        ):
            client.sendall(b"hello")
            return client.recv(100)
        return b""

    return there.do(work)


@pytest.mark.parametrize("strict", [True, False])
def test_tls_must_ask_for_the_host_that_it_is_led_to(
    inside: Callable[..., Inside], tls: ssl.SSLContext, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tls) as server:
        # Some ports are for TLS only; on the others it is recognised.
        monkeypatch.setattr(proxy_module, "TLS_PORTS", {server.port} if strict else set())
        there = inside(allowed(f"{HOST}:{server.port}"))
        assert shake_hands(there, server.port, HOST) == b"echo hello"
        assert shake_hands(there, server.port, "fronted.example") == b""
        assert shake_hands(there, server.port, None) == b""
        assert server.heard == [b"hello"]
    connections = there.connections()
    assert [one.outcome for one in connections] == ["passed", "refused", "refused"]
    assert "another host (SNI): fronted.example" in connections[1].reason
    assert "no host by name" in connections[2].reason
    assert [one.sent for one in connections[1:]] == [0, 0]


def test_what_is_no_tls_does_not_leave_by_a_port_for_tls(
    inside: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        monkeypatch.setattr(proxy_module, "TLS_PORTS", {server.port})
        there = inside(allowed(f"{HOST}:{server.port}"))
        assert there.talk("198.18.0.1", server.port, b"GET / HTTP/1.1\r\nHost: mirror.example\r\n\r\n") == b""
        assert there.talk("198.18.0.1", server.port, b"\x16\x03\x01" + b"\xff" * 200) == b""
        assert server.heard == []
    assert {(one.outcome, one.address) for one in there.connections()} == {("refused", "")}


def test_a_server_may_speak_first(inside: Callable[..., Inside]) -> None:
    with serving(greeting=b"220 ready\n") as server:
        there = inside(allowed(f"{HOST}:{server.port}"))
        assert there.talk("198.18.0.1", server.port, b"HELO") == b"220 ready\necho HELO"


def test_a_host_that_can_not_be_reached_is_no_refusal(inside: Callable[..., Inside]) -> None:
    with serving() as server:
        port = server.port
    there = inside(allowed(f"{HOST}:{port}"))
    assert there.talk("198.18.0.1", port, b"hello") == b""
    (connection,) = there.connections()
    assert (connection.outcome, connection.address) == ("failed", "")


def test_a_connection_that_is_open_at_the_end_is_written_down(inside: Callable[..., Inside]) -> None:
    with serving(greeting=b"hello") as server:
        there = inside(allowed(f"{HOST}:{server.port}"))

        def work() -> socket.socket:
            client = socket.create_connection(("198.18.0.1", server.port), timeout=10)
            assert client.recv(5) == b"hello"
            return client

        with there.do(work):
            (connection,) = there.connections()
    assert (connection.outcome, connection.received) == ("passed", 5)


def test_what_users_allow_is_read() -> None:
    settings = read_allowed(["pypi.org", "*.Example.org:443", "mirror.corp:8000=10.0.0.5"])
    assert settings.endpoints == ("pypi.org", "*.example.org:443", "mirror.corp:8000")
    assert settings.addresses == {"mirror.corp": "10.0.0.5"}
    assert settings.ports() == (80, 443, 8000)
    assert EgressSettings.load(settings.dump()) == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1:80", "is an address"),
        ("10.0.0.0/8", "is an address"),
        ("https://x.example", "is a URL"),
        ("x.example=y", "is no IP address"),
        ("*.x.example=10.0.0.1", "many hosts"),
        ("x y", "must be HOST:PORT"),
    ],
)
def test_what_else_they_write_is_refused(text: str, said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        read_allowed([text])


@pytest.mark.parametrize("endpoint", ["x.example:8080", "x.example:53", "x.example:1-60000"])
def test_ports_that_can_not_be_had_are_refused(endpoint: str) -> None:
    with pytest.raises(GatewayError, match="port"):
        EgressSettings((endpoint,)).ports()


def test_half_a_line_waits_for_the_other_half(tmp_path: Path) -> None:
    path, found = tmp_path / "spool", {"198.18.0.1": "a.example"}
    path.write_bytes(b'{"address": "198.18.0.1", "name": "a.example"}\n{"address": "198.18')
    reader = EgressReader(path)
    reader.refresh()
    assert reader.names == found
    with path.open("ab") as file:
        file.write(b'.0.2", "name": "b.example"}\n')
    reader.refresh()
    assert reader.names == {**found, "198.18.0.2": "b.example"}
    assert not reader.complete


def test_what_is_no_record_of_a_proxy_is_an_error(tmp_path: Path) -> None:
    path: Any = tmp_path / "spool"
    path.write_bytes(b'{"connection": {"what": 1}}\n')
    with pytest.raises(GatewayError, match="can't be read"):
        EgressReader(path).refresh()
