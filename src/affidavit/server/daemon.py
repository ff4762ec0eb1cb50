"""Runs the server on a Unix socket until it is stopped."""

import asyncio
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from affidavit.evaluation import ChosenOnce, clean_workplaces
from affidavit.gateway import GatewaySettings
from affidavit.recorder import kept_ready
from affidavit.sandbox import SandboxError, clean_stale, state_dir
from affidavit.server.access import Access, Peer
from affidavit.server.app import Server
from affidavit.server.errors import ServerError

_logger = logging.getLogger(__name__)

# More would only wait: each client has a connection that it lives by, and one for each thing that it waits for.
_CONNECTIONS = 2048
_BACKLOG = 256
_LAST_ANSWERS_S = 5
# For two sessions that are opened at the same time; each has a recording of its own sandbox and one of its tests'.
_READY_RECORDINGS = 4


@dataclass(frozen=True)
class ServerOptions:
    """How a server serves.

    Attributes:
        socket: path of the Unix socket that it makes.
        out: the folder that gets a folder for each session.
        access: who may do what.
        sessions: at the same time, of all clients.
        model: what sessions may ask of models; None: nothing.
    """

    socket: Path
    out: Path
    access: Access = field(default_factory=Access)
    sessions: int = 32
    model: GatewaySettings | None = None


class _PeerProtocol(H11Protocol):
    """uvicorn's HTTP/1.1; the ASGI scope's ``client`` is uid and pid of whoever connected."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            peer = Peer.of(transport.get_extra_info("socket"))
        except OSError:
            # Gone again already.
            transport.abort()
            return
        self.client = (str(peer.uid), peer.pid)


def serve(options: ServerOptions, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, which end every session.

    Args:
        options: how.
        ready: is called once clients can connect.

    Raises:
        ServerError: the socket can't be made, another server has it, or sandboxes can't be made here.
        RunError: no runtime and recorder work here.
    """
    if os.geteuid() != 0:
        raise ServerError("making sandboxes needs root: run affidavit serve with sudo, or as a service of the system")
    choose = ChosenOnce()
    # Found out now, once for all sessions; and what a server that was killed left is removed before anybody comes.
    best = choose("auto", "auto")
    try:
        clean_stale(state_dir())
        clean_workplaces(state_dir())
    except SandboxError as error:
        raise ServerError(str(error)) from error
    listener, identity = _listener(options.socket, open_to_others=bool(options.access.users))
    try:
        engine = Server(options.access, options.out, options.sessions, options.model, choose)
        with kept_ready(best.recorder, _READY_RECORDINGS):
            asyncio.run(_serve(engine, listener, ready))
    finally:
        listener.close()
        _remove(options.socket, identity)


async def _serve(engine: Server, listener: socket.socket, ready: Callable[[], None]) -> None:
    config = uvicorn.Config(
        engine.app,
        http=_PeerProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=600,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # In place of uvicorn's own, which would wait for clients to go.
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    _logger.info("serving on %s", listener.getsockname())
    ready()
    _notify(b"READY=1")
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    _notify(b"STOPPING=1")
    await engine.stop()
    server.should_exit = True
    await serving


def _listener(path: Path, *, open_to_others: bool) -> tuple[socket.socket, tuple[int, int]]:
    """A socket that listens at a path, and device and inode of what stands there for it."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Nobody else connects before it is said who may.
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            if open_to_others:
                path.chmod(0o666)
            listener.listen(_BACKLOG)
            status = path.lstat()
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ServerError(f"--socket {path}: can't be made: {error.strerror or error}; name another place") from error
    return listener, (status.st_dev, status.st_ino)


def _clear(path: Path) -> None:
    """Remove the socket of a server that was killed.

    Raises:
        ServerError: something else is there, or a server that lives.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ServerError(f"--socket {path}: is there already and is no socket; name another place")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ServerError(f"--socket {path}: another server serves there; stop it, or name another place")


def _remove(path: Path, identity: tuple[int, int]) -> None:
    """Remove our socket, unless another one stands in its place."""
    try:
        status = path.lstat()
        if (status.st_dev, status.st_ino) == identity:
            path.unlink()
    except OSError:
        _logger.warning("%s: can't be removed", path)


def _notify(state: bytes) -> None:
    """Tell the service manager, where one started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(state, "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            _logger.warning("the service manager can't be notified: %s", error)
