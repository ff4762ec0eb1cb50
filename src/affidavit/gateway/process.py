"""Processes that serve a sandbox, seen from the trial."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from affidavit.gateway.errors import GatewayError
from affidavit.gateway.keyed import HostDoor
from affidavit.gateway.settings import GatewaySettings
from affidavit.gateway.spool import Spool

_START_S = 60.0
_STOP_S = 20.0
# What the gateway may know of this process's environment: how to load itself, and how its machine reaches others.
_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    *(name for base in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (base, base.upper())),
)


class ServerProcess:
    """A server in a process of its own, which takes a listening socket with it and appends to a file, its spool. A
    context manager: ends it.

    Attributes:
        pid: of the process.
    """

    def __init__(
        self,
        module: str,
        settings: bytes,
        listener: socket.socket,
        spool: Path,
        what: str,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start it; it serves when this returns.

        Args:
            module: to be run, with the descriptors of the listener, the spool and the others as its arguments.
            settings: given to it on its standard input.
            listener: where it listens; closed here, so that nobody waits there for a server that is gone.
            spool: the file that it writes to, which does not exist.
            what: what it is called in an error.
            descriptors: what else it is given; the caller closes them.

        Raises:
            GatewayError: it does not start.
        """
        self._what = what
        self._spool = spool
        with contextlib.ExitStack() as ours:
            ours.callback(listener.close)
            opened = os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            ours.callback(os.close, opened)
            given = (listener.fileno(), opened, *descriptors)
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=given,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                cwd="/",
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self._tell(settings)
            self._await_ready()
        except BaseException:
            self._kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._kill()

    def _tell(self, settings: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(len(settings).to_bytes(8, "big") + settings)
            self._process.stdin.flush()

    def _await_ready(self) -> None:
        assert self._process.stdout is not None
        said, _, _ = select.select([self._process.stdout], [], [], _START_S)
        if not said or self._process.stdout.readline() != b"ready\n":
            raise GatewayError(f"{self._what} did not start")

    def end(self) -> bool:
        """Let it end, and end it where it does not; whether it was still there."""
        there = self._process.poll() is None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + _STOP_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        self._kill()
        return there

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class GatewayProcess(ServerProcess):
    """A model gateway in a process of its own. A context manager: ends it."""

    def __init__(
        self, settings: GatewaySettings, listener: socket.socket, spool: Path, door: HostDoor | None = None
    ) -> None:
        """Start it; it serves when this returns.

        Args:
            settings: its settings.
            listener, spool: see ServerProcess.
            door: for programs outside the sandbox, closed here; None: there is none.

        Raises:
            GatewayError: it does not start.
        """
        told = settings
        descriptors: tuple[int, ...] = ()
        with contextlib.ExitStack() as ours:
            if door is not None:
                ours.callback(door.listener.close)
                told, descriptors = replace(settings, host_key=door.key), (door.listener.fileno(),)
            super().__init__("affidavit.gateway.serve", told.dump(), listener, spool, "the model gateway", descriptors)

    def stop(self) -> Spool:
        """End it and take what it wrote.

        Raises:
            GatewayError: that can't be read.
        """
        there = self.end()
        spool = Spool(self._spool)
        spool.complete = spool.complete and there
        return spool
