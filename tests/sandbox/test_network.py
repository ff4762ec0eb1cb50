"""Sandboxes in a network namespace with sockets of the host's."""

import contextlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.sandbox import NetworkNamespace, SandboxError

_LOOK = """
import socket
print(sorted(name for _, name in socket.if_nameindex()))
print(socket.create_connection(("127.0.0.1", 8080), timeout=10).makefile().read())
for address, port in (("127.0.0.1", 8081), ("127.0.0.2", 8080), ("192.0.2.1", 80), ("169.254.169.254", 80)):
    try:
        socket.create_connection((address, port), timeout=2)
        print("connected", address)
    except OSError:
        print("unreachable", address)
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))
    print("sent")
except OSError:
    print("not sent")
"""


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with NetworkNamespace() as made:
        yield made


@contextlib.contextmanager
def answering(listener: socket.socket, text: bytes) -> Iterator[None]:
    """Send `text` to whoever connects, and hang up."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(text)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_sandbox_reaches_the_hosts_socket_and_nothing_else(
    run: Callable[..., Any], runtime: str, namespace: NetworkNamespace
) -> None:
    with answering(namespace.listen(8080), b"from outside"):
        ran = run(runtime, "/usr/bin/python3", "-c", _LOOK, network=namespace.path)
    assert ran.stdout.splitlines() == [
        "['lo']",
        "from outside",
        "unreachable 127.0.0.1",
        "unreachable 127.0.0.2",
        "unreachable 192.0.2.1",
        "unreachable 169.254.169.254",
        "not sent",
    ], ran.stderr


def test_so_does_one_of_the_container_profile(run: Callable[..., Any], namespace: NetworkNamespace) -> None:
    """Its user namespace does not own the network that it was given."""
    look = "import socket; print(socket.create_connection(('127.0.0.1', 8080), timeout=10).makefile().read())"
    with answering(namespace.listen(8080), b"from outside"):
        ran = run("runc", "/usr/bin/python3", "-c", look, network=namespace.path, profile="container")
    assert ran.stdout == "from outside\n", ran.stderr


def test_this_process_stays_where_it_is(namespace: NetworkNamespace) -> None:
    before = Path("/proc/self/ns/net").readlink()
    namespace.listen(8080).close()
    assert Path("/proc/self/ns/net").readlink() == before
    assert Path(namespace.path).readlink() != before


def test_two_namespaces_have_ports_of_their_own(namespace: NetworkNamespace) -> None:
    with namespace.listen(8080), NetworkNamespace() as other:
        other.listen(8080).close()
        with pytest.raises(SandboxError, match="port 8080"):
            namespace.listen(8080)


def test_addresses_can_be_made_a_namespaces_own(namespace: NetworkNamespace, run: Callable[..., Any]) -> None:
    namespace.add_local(ipaddress.IPv4Network("198.18.0.0/15"))
    script = """
import socket
for address in ("198.18.0.1", "198.19.255.254", "127.0.0.1", "198.20.0.1"):
    try:
        print(address, socket.create_connection((address, 4430), timeout=10).makefile().read())
    except OSError as error:
        print(address, error.strerror)
"""
    with answering(namespace.listen(4430, "0.0.0.0"), b"from outside"):
        ran = run("runc", "/usr/bin/python3", "-c", script, network=namespace.path)
    assert ran.stdout.splitlines() == [
        "198.18.0.1 from outside",
        "198.19.255.254 from outside",
        "127.0.0.1 from outside",
        "198.20.0.1 Network is unreachable",
    ]


def test_datagrams_reach_the_hosts_socket(namespace: NetworkNamespace, run: Callable[..., Any]) -> None:
    script = "import socket; print(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53)))"
    with namespace.receive(53) as receiver:
        receiver.settimeout(10)
        assert run("runc", "/usr/bin/python3", "-c", script, network=namespace.path).stdout == "1\n"
        assert receiver.recv(10) == b"x"


def test_a_closed_namespace_can_not_be_listened_in(namespace: NetworkNamespace) -> None:
    namespace.close()
    namespace.close()
    with pytest.raises(SandboxError, match="can't be listened on"):
        namespace.listen(8080)
