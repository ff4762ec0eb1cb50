"""The way from a sandbox to the services of its task, each of which is in a network namespace of its own.

A port of a service can be reached as soon as something in it listens there, and no longer: a listener of the proxy
comes and goes with it, at the address that stands for the service. Only for those services whose name was asked for, so
that a sandbox can use the ports of the others for itself.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping

from affidavit.events import NAMED_ADDRESSES
from affidavit.sandbox import JoinedNamespace

OWN_ADDRESS = str(NAMED_ADDRESSES[NAMED_ADDRESSES.num_addresses - 2])
"""What stands for a service in its own namespace."""

_LOOK_S = 0.05


class ServiceLinks:
    """The services that a sandbox reaches.

    Args:
        services: their namespaces, by each of their names.
        own: the sandbox's namespace.
        serve: takes a socket that listens in the sandbox.
        taken: is told of a service and a port on which the sandbox itself listens.
    """

    def __init__(
        self,
        services: Mapping[str, JoinedNamespace],
        own: JoinedNamespace,
        serve: Callable[[socket.socket], Callable[[], None]],
        taken: Callable[[str, int], None],
    ) -> None:
        self._services = services
        self._own = own
        self._serve = serve
        self._taken = taken
        self._asked: dict[str, str] = {}
        # By service and port: what ends the listener; None where the port is taken.
        self._listeners: dict[tuple[str, int], Callable[[], None] | None] = {}

    def ask(self, name: str, address: str) -> None:
        """The sandbox is about to learn the address that stands for a service: what listens there can be reached."""
        self._asked[name] = address
        self._look(name, address)

    async def watch(self) -> None:
        """See what begins to listen, and what ends."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for name, address in self._asked.items():
                self._look(name, address)

    def _look(self, name: str, address: str) -> None:
        ports = self._services[name].listening((OWN_ADDRESS,))
        for known in [port for one, port in self._listeners if one == name]:
            if known not in ports:
                end = self._listeners.pop((name, known))
                if end is not None:
                    end()
        for port in ports:
            if (name, port) in self._listeners:
                continue
            try:
                self._listeners[name, port] = self._serve(self._own.listener(address, port))
            except OSError:
                self._listeners[name, port] = None
                self._taken(name, port)

    async def connect(self, name: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a service. Raises OSError."""
        made = self._services[name].connecting()
        try:
            await asyncio.get_running_loop().sock_connect(made, (OWN_ADDRESS, port))
            return await asyncio.open_connection(sock=made)
        except BaseException:
            with contextlib.suppress(OSError):
                made.close()
            raise
