"""A network namespace for a sandbox, with sockets in it that the host listens on (network_namespaces(7), setns(2)).

Nothing leads out of it: no interface but loopback, no route but to itself, no forwarder. What a sandbox in it can reach
are its own sockets and those that the host opened there. A listening socket stays in its namespace whoever holds it, so
the host enters only once, in a thread that ends right after, and serves from outside.
"""

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from affidavit.sandbox import kernel
from affidavit.sandbox.protocol import SandboxError
from affidavit.sandbox.user_namespace import sandbox_user_namespace, unshared

_T = TypeVar("_T")

# netdevice(7), linux/sockios.h, linux/if.h
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = "16sh22x"
# netlink(7), rtnetlink(7), linux/rtnetlink.h
_RTM_NEWROUTE = 24
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 0x1, 0x4, 0x400
_NLMSG_ERROR = 2
_RT_TABLE_LOCAL, _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL = 255, 4, 254, 2
_RTA_DST, _RTA_OIF = 1, 4
# proc(5), net/tcp_states.h
_LISTENING = b"0A"
_ANY, _ANY_6, _ANY_4_IN_6 = b"00000000", b"0" * 32, b"0000000000000000FFFF000000000000"
# Connections that wait while the host is busy: an agent may make many at once.
_BACKLOG = 512


class NetworkNamespace:
    """An empty network namespace with loopback. It is there until it is closed and no process is in it any more. A
    context manager: closes it."""

    def __init__(self, owner: str = "", *, low_ports: bool = False, path: str = "") -> None:
        """
        Args:
            owner: name of the sandbox of the container profile whose user namespace owns it, so that commands can enter
                that sandbox; empty: it is the machine's, as for other sandboxes.
            low_ports: whoever is in it may listen on the ports below 1024, too.
            path: of one that is there, on which this is a further hold; empty: a new one is made.

        Raises:
            SandboxError: the kernel refused.
        """
        self._descriptor = self._owner = -1
        try:
            if owner:
                with sandbox_user_namespace(owner) as users:
                    self._owner = os.dup(users)
            if path:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            else:
                self._descriptor = _made_in(self._owner) if owner else _in_thread(_make)
            _in_thread(lambda: _set_up(self._descriptor, low_ports=low_ports))
        except OSError as problem:
            raise SandboxError(f"a network namespace can't be made: {problem.strerror}; run as root") from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """Where another process finds it, for ``linux.namespaces[].path`` of the OCI runtime specification."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @property
    def owner_path(self) -> str:
        """Where another process finds the user namespace that owns it; empty where that is the machine's."""
        return f"/proc/{os.getpid()}/fd/{self._owner}" if self._owner >= 0 else ""

    def fileno(self) -> int:
        """A descriptor of it, for `JoinedNamespace`; it is good until this is closed."""
        return self._descriptor

    def listen(self, port: int, address: str = "127.0.0.1") -> socket.socket:
        """A socket that listens in the namespace; whoever has it may accept from outside.

        Args:
            port: of TCP.
            address: of IPv4; ``0.0.0.0``: all that are local there.

        Raises:
            SandboxError: the port is taken, or the namespace is closed.
        """
        return self._open(socket.SOCK_STREAM, address, port)

    def receive(self, port: int) -> socket.socket:
        """A socket that takes datagrams on 127.0.0.1 in the namespace.

        Args:
            port: of UDP.

        Raises:
            SandboxError: the port is taken, or the namespace is closed.
        """
        return self._open(socket.SOCK_DGRAM, "127.0.0.1", port)

    def add_local(self, addresses: ipaddress.IPv4Network) -> None:
        """Make all of some addresses the namespace's own (a route of type ``local``), as 127.0.0.0/8 is: what is sent
        there stays in it, and reaches sockets that listen on every address.

        Raises:
            SandboxError: the kernel refused.
        """

        def enter() -> None:
            kernel.enter_network(self._descriptor)
            _add_local(addresses)

        try:
            _in_thread(enter)
        except OSError as problem:
            raise SandboxError(f"{addresses} can't be routed in a sandbox: {problem.strerror}") from problem

    def _open(self, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        def enter() -> socket.socket:
            kernel.enter_network(self._descriptor)
            return _bound(kind, address, port)

        try:
            return _in_thread(enter)
        except OSError as problem:
            raise SandboxError(f"port {port} of a sandbox can't be listened on: {problem.strerror}") from problem

    def close(self) -> None:
        """Let go of it. Harmless when called twice."""
        for descriptor in (self._descriptor, self._owner):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._owner = -1


class JoinedNamespace:
    """A network namespace as a thread that has entered it sees it. It has to be made while this process has its
    privileges, and goes on without them."""

    def __init__(self, descriptor: int) -> None:
        """
        Args:
            descriptor: of the namespace.

        Raises:
            OSError: the kernel refused.
        """
        self._thread = ThreadPoolExecutor(1, "network namespace")
        self._tables = self._thread.submit(_enter, descriptor).result()

    def listening(self, addresses: Collection[str]) -> frozenset[int]:
        """The ports of TCP on which somebody in it listens for connections to all of its addresses, or to one of some.

        Args:
            addresses: of IPv4.

        Raises:
            OSError: the kernel does not say.
        """
        wanted = {_ANY, _ANY_6, _ANY_4_IN_6, *map(_hex, addresses)}
        found: set[int] = set()
        for table in self._tables:
            os.lseek(table, 0, os.SEEK_SET)
            # The kernel gives whole lines.
            while chunk := os.read(table, 1 << 16):
                for line in chunk.splitlines():
                    fields = line.split()
                    address, _, port = fields[1].partition(b":") if len(fields) > 3 else (b"", b"", b"")
                    if len(fields) > 3 and fields[3] == _LISTENING and address in wanted:
                        found.add(int(port, 16))
        return frozenset(found)

    def connecting(self) -> socket.socket:
        """A socket of it that is not connected, and does not block. Raises OSError."""
        made = self._thread.submit(socket.socket, socket.AF_INET, socket.SOCK_STREAM).result()
        made.setblocking(False)
        return made

    def listener(self, address: str, port: int) -> socket.socket:
        """A socket that listens in it. Raises OSError."""
        return self._thread.submit(_bound, socket.SOCK_STREAM, address, port).result()


def _enter(descriptor: int) -> tuple[int, ...]:
    """Enter a namespace for good, and open the tables of its sockets of TCP (proc(5))."""
    kernel.enter_network(descriptor)
    return tuple(os.open(f"/proc/thread-self/net/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("tcp", "tcp6"))


def _hex(address: str) -> bytes:
    """As the tables have it: a number of the machine's own byte order."""
    (number,) = struct.unpack("=I", ipaddress.IPv4Address(address).packed)
    return b"%08X" % number


def _made_in(users: int) -> int:
    """A descriptor of a new network namespace that a user namespace owns. Raises OSError."""
    with unshared("nsenter", f"--user=/proc/self/fd/{users}", "--", "unshare", "--net", passed=(users,)) as process:
        if process is None:
            raise OSError(errno.EPERM, "it can't be made in a user namespace")
        return os.open(process / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)


def _make() -> int:
    """Leave for a new namespace, and return a descriptor of it."""
    kernel.new_network()
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _set_up(descriptor: int, *, low_ports: bool) -> None:
    """Enter a namespace and set it up."""
    kernel.enter_network(descriptor)
    if low_ports:
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack(_IFREQ, b"lo", 0)
        flags = struct.unpack(_IFREQ, fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        if kind == socket.SOCK_STREAM:
            bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _add_local(addresses: ipaddress.IPv4Network) -> None:
    """``ip route add local ADDRESSES dev lo`` in this thread's namespace. Raises OSError."""
    where = struct.pack("=HH4s", 8, _RTA_DST, addresses.network_address.packed)
    device = struct.pack("=HHI", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    # struct rtmsg: family, bits of the destination, of the source, tos, table, protocol, scope, type, flags
    route = struct.pack(
        "=BBBBBBBBI",
        socket.AF_INET,
        addresses.prefixlen,
        0,
        0,
        _RT_TABLE_LOCAL,
        _RTPROT_STATIC,
        _RT_SCOPE_HOST,
        _RTN_LOCAL,
        0,
    )
    body = route + where + device
    head = struct.pack("=IHHII", 16 + len(body), _RTM_NEWROUTE, _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(head + body)
        answer = netlink.recv(4096)
    kind, error = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
    if kind != _NLMSG_ERROR or error:
        raise OSError(-error, os.strerror(-error))


def _in_thread(work: Callable[[], _T]) -> _T:
    """What `work` returns, called in a thread of its own, which takes the namespace that it entered with it."""
    done: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as problem:
            failed.append(problem)

    thread = threading.Thread(target=run, name="network namespace")
    thread.start()
    thread.join()
    with contextlib.suppress(IndexError):
        raise failed[0]
    return done[0]
