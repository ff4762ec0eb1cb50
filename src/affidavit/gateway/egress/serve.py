"""The egress proxy's own process: ``python -m affidavit.gateway.egress.serve STREAMS SPOOL DATAGRAMS LISTENER…``,
descriptors all of them.

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
from affidavit.gateway.egress.settings import EgressSettings
from affidavit.gateway.serving import drop_privileges, end_of_input, read_settings


async def _serve(settings: EgressSettings, writer: EgressWriter, sockets: list[socket.socket]) -> None:
    drop_privileges()
    proxy = EgressProxy(settings, writer)
    await proxy.start(sockets[0], sockets[1], sockets[2:])
    os.write(1, b"ready\n")
    await end_of_input()
    await proxy.stop()


def main(arguments: list[str]) -> None:
    """Serve until standard input ends."""
    logging.disable(logging.CRITICAL)
    streams, spool, datagrams, *listeners = map(int, arguments)
    sockets = (datagrams, streams, *listeners)
    settings = EgressSettings.load(read_settings())
    with os.fdopen(spool, "ab") as file:
        asyncio.run(_serve(settings, EgressWriter(file), [socket.socket(fileno=one) for one in sockets]))


if __name__ == "__main__":
    main(sys.argv[1:])
