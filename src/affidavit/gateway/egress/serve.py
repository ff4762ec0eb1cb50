"""The egress proxy's own process: ``python -m affidavit.gateway.egress.serve STREAMS SPOOL DATAGRAMS LISTENER…
NAMESPACE…``, descriptors all of them.

It is apart from the rest because what it parses is hostile, and because it must not wait for whoever takes in the
record. Settings come on standard input, after eight bytes of their length; its end ends the proxy. It says ``ready`` on
standard output once it serves.
"""

import asyncio
import encodings.idna  # noqa: F401  (loaded now, while everything can still be read)
import logging
import os
import socket
import sys

from affidavit.gateway.egress.proxy import EgressProxy
from affidavit.gateway.egress.records import EgressWriter
from affidavit.gateway.egress.settings import ProxySettings
from affidavit.gateway.serving import drop_privileges, end_of_input, read_settings
from affidavit.sandbox import JoinedNamespace


async def _serve(settings: ProxySettings, writer: EgressWriter, sockets: list[socket.socket]) -> None:
    # While that is allowed.
    entered = {descriptor: JoinedNamespace(descriptor) for descriptor in {*settings.namespaces.values()}}
    services = {name: entered[descriptor] for name, descriptor in settings.namespaces.items()}
    own = JoinedNamespace(settings.own_namespace) if services else None
    drop_privileges()
    proxy = EgressProxy(settings.reach, writer)
    await proxy.start(sockets[0], sockets[1], sockets[2:], settings.own)
    if own is not None:
        proxy.link(services, own)
    os.write(1, b"ready\n")
    await end_of_input()
    await proxy.stop()


def main(arguments: list[str]) -> None:
    """Serve until standard input ends."""
    logging.disable(logging.CRITICAL)
    streams, spool, datagrams, *others = map(int, arguments)
    settings = ProxySettings.load(read_settings())
    namespaces = {settings.own_namespace, *settings.namespaces.values()}
    sockets = (datagrams, streams, *(one for one in others if one not in namespaces))
    with os.fdopen(spool, "ab") as file:
        asyncio.run(_serve(settings, EgressWriter(file), [socket.socket(fileno=one) for one in sockets]))


if __name__ == "__main__":
    main(sys.argv[1:])
