"""A network namespace for a sandbox, with sockets in it that the host listens on (network_namespaces(7), setns(2)).

Nothing leads out of it: no interface but loopback, no route, no forwarder. What a sandbox in it can reach are its own
sockets and those that the host opened there. A listening socket stays in its namespace whoever holds it, so the host
enters only once, in a thread that ends right after, and serves from outside.
"""

import contextlib
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self, TypeVar

from affidavit.sandbox import kernel
from affidavit.sandbox.protocol import SandboxError

_T = TypeVar("_T")

# netdevice(7), linux/sockios.h, linux/if.h
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = "16sh22x"
# Connections that wait while the host is busy: an agent may make many at once.
_BACKLOG = 512


class NetworkNamespace:
    """An empty network namespace with loopback. It is there until it is closed and no process is in it any more. A
    context manager: closes it."""

    def __init__(self) -> None:
        """
        Raises:
            SandboxError: the kernel refused.
        """
        self._descriptor = -1
        try:
            self._descriptor = _in_thread(_make)
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

    def listen(self, port: int) -> socket.socket:
        """A socket that listens on 127.0.0.1 in the namespace; whoever has it may accept from outside.

        Raises:
            SandboxError: the port is taken, or the namespace is closed.
        """

        def enter() -> socket.socket:
            kernel.enter_network(self._descriptor)
            return _listening(port)

        try:
            return _in_thread(enter)
        except OSError as problem:
            raise SandboxError(f"port {port} of a sandbox can't be listened on: {problem.strerror}") from problem

    def close(self) -> None:
        """Let go of it. Harmless when called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _make() -> int:
    """Leave for a new namespace, set up loopback, and return a descriptor of it."""
    kernel.new_network()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack(_IFREQ, b"lo", 0)
        flags = struct.unpack(_IFREQ, fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


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
