"""Who may connect, and which folders they may name."""

import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from affidavit.server.errors import Refusal, ServerError

_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Peer:
    """Who connected, as the kernel says (SO_PEERCRED, unix(7)).

    Attributes:
        uid: of the process, when it connected.
        pid: likewise; 0 where this server's PID namespace does not show it.
    """

    uid: int
    pid: int

    @classmethod
    def of(cls, connection: socket.socket) -> "Peer":
        """The other side of a connected Unix socket."""
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(data)
        return cls(uid, pid)


@dataclass(frozen=True)
class Access:
    """Who may do what. The server reads tasks with its own rights, so users other than its own name only what lies in
    folders that were opened to them.

    Attributes:
        users: uids that may connect beside root and the server's own.
        tasks: real paths of the folders whose tasks and contracts they may name.
    """

    users: frozenset[int] = frozenset()
    tasks: tuple[Path, ...] = ()

    @classmethod
    def of(cls, users: Iterable[str], tasks: Iterable[Path]) -> "Access":
        """Access for users by name or number, to tasks below folders.

        Raises:
            ServerError: there is no such user or folder.
        """
        uids, folders = set(), []
        for name in users:
            try:
                uids.add(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
            except KeyError:
                raise ServerError(f"--user {name}: there is no such user") from None
        for folder in tasks:
            try:
                folders.append(folder.resolve(strict=True))
            except (OSError, RuntimeError) as error:
                raise ServerError(f"--tasks {folder}: can't be used: {error}") from None
        if uids and not folders:
            raise ServerError("--user: say with --tasks which folders hold the tasks that they may use")
        return cls(frozenset(uids), tuple(folders))

    def may_connect(self, peer: Peer) -> bool:
        """Whether somebody may ask for anything at all."""
        return self._is_own(peer) or peer.uid in self.users

    def path(self, peer: Peer, name: str, what: str) -> Path:
        """A path that a client names, with every link followed.

        Args:
            peer: the client.
            name: absolute.
            what: what it is, for the message.

        Raises:
            Refusal: they may not name it; the same whether it is there or not.
        """
        path = Path(name)
        if not path.is_absolute() or "\0" in name:
            raise Refusal(422, f"{what} {name!r}: give an absolute path")
        if self._is_own(peer):
            return path
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            real = None
        if real is None or not any(real.is_relative_to(folder) for folder in self.tasks):
            raise Refusal(403, f"{what} {name!r}: is not in a folder that --tasks of the server names")
        return real

    @staticmethod
    def _is_own(peer: Peer) -> bool:
        return peer.uid in (0, os.geteuid())
