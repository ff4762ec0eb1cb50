"""The engine as a daemon: sessions over a Unix socket, for clients in other processes and other interpreters."""

from affidavit.server.access import Access
from affidavit.server.daemon import ServerOptions, serve
from affidavit.server.errors import ServerError

__all__ = ["Access", "ServerError", "ServerOptions", "serve"]
