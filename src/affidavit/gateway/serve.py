"""The gateway's own process: ``python -m affidavit.gateway.serve LISTENER SPOOL [HOST]``, descriptors.

It is apart from the rest because what it parses is hostile, because it alone holds the model's key, and because it must
not wait for whoever takes in the record. Settings come on standard input, after eight bytes of their length; its end
ends the gateway. It says ``ready`` on standard output once it serves.
"""

import asyncio
import encodings.idna  # noqa: F401  (loaded now, while everything can still be read)
import gc
import logging
import os
import socket
import sys

import anyio._backends._asyncio  # noqa: F401  (likewise)
import uvicorn
import uvloop

from affidavit.gateway.app import Gateway
from affidavit.gateway.keyed import Keyed
from affidavit.gateway.serving import drop_privileges, end_of_input, read_settings
from affidavit.gateway.settings import GatewaySettings
from affidavit.gateway.sources import source_of
from affidavit.gateway.spool import SpoolWriter


async def _serve(
    settings: GatewaySettings, listener: socket.socket, spool: SpoolWriter, host: socket.socket | None
) -> None:
    source = source_of(settings)
    drop_privileges()
    gateway = Gateway(settings, source, spool)
    config = uvicorn.Config(
        gateway if host is None else Keyed(gateway, host.getsockname()[1], settings.host_key),
        http="httptools",
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=600,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[one for one in (listener, host) if one is not None]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    os.write(1, b"ready\n")
    stopped = asyncio.create_task(end_of_input())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await gateway.stop()
    spool.end()
    server.force_exit = True
    await serving
    await source.close()


def main(arguments: list[str]) -> None:
    """Serve until standard input ends."""
    logging.disable(logging.CRITICAL)
    listener = socket.socket(fileno=int(arguments[0]))
    host = socket.socket(fileno=int(arguments[2])) if len(arguments) > 2 else None
    settings = GatewaySettings.load(read_settings())
    with os.fdopen(int(arguments[1]), "ab") as file:
        # What is loaded stays: a collector that walks it holds up a stream.
        gc.freeze()
        uvloop.run(_serve(settings, listener, SpoolWriter(file), host))


if __name__ == "__main__":
    main(sys.argv[1:])
