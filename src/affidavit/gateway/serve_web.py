"""The process of a web server: ``python -m affidavit.gateway.serve_web LISTENER SPOOL``, two descriptors.

It is apart from the rest because what it parses is hostile, from the sandbox and from the web. Settings come on
standard input, after eight bytes of their length; its end ends the server. It says ``ready`` on standard output once it
serves.
"""

import asyncio
import encodings.idna  # noqa: F401  (loaded now, while everything can still be read)
import logging
import os
import socket
import sys

import anyio._backends._asyncio  # noqa: F401  (likewise)

from affidavit.gateway.serving import drop_privileges, end_of_input, read_settings
from affidavit.gateway.web_cache import BODIES, WebCache
from affidavit.gateway.web_process import WebSettings
from affidavit.gateway.web_server import Web, WebServer
from affidavit.gateway.web_spool import WebSpoolWriter


async def _serve(settings: WebSettings, listener: socket.socket, spool: WebSpoolWriter) -> None:
    cache = WebCache.read(settings.folder)
    bodies = os.open(settings.folder / BODIES, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    web = Web(settings.allowed, settings.proxies) if settings.fetch else None
    drop_privileges(bodies if settings.fetch else None)
    server = WebServer(cache.answers, bodies, spool, settings.authority, web)
    serving = await asyncio.start_server(server.connected, sock=listener, limit=1 << 20)
    os.write(1, b"ready\n")
    await end_of_input()
    serving.close()
    spool.end()
    # Whoever is still connected is no longer there.
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Serve until standard input ends."""
    logging.disable(logging.CRITICAL)
    listener = socket.socket(fileno=int(arguments[0]))
    settings = WebSettings.load(read_settings())
    with os.fdopen(int(arguments[1]), "ab") as file:
        asyncio.run(_serve(settings, listener, WebSpoolWriter(file)))


if __name__ == "__main__":
    main(sys.argv[1:])
