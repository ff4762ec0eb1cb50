"""The gateway's process, seen from the trial."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from affidavit.gateway.errors import GatewayError
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


class GatewayProcess:
    """A gateway in a process of its own. A context manager: ends it.

    Attributes:
        pid: of the process.
    """

    def __init__(self, settings: GatewaySettings, listener: socket.socket, spool: Path) -> None:
        """Start it; it serves when this returns.

        Args:
            settings: what it is told.
            listener: where it listens; closed here, so that nobody waits there for a gateway that is gone.
            spool: the file that it writes to, which does not exist.

        Raises:
            GatewayError: it does not start.
        """
        self._spool = spool
        self._ended_early = False
        descriptor = os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "affidavit.gateway.serve", str(listener.fileno()), str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(listener.fileno(), descriptor),
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
            listener.close()
        self.pid = self._process.pid
        try:
            self._tell(settings.dump())
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
            raise GatewayError("the model gateway did not start")

    def stop(self) -> Spool:
        """End it and take what it wrote.

        Raises:
            GatewayError: that can't be read.
        """
        died = self._process.poll() is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + _STOP_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        self._kill()
        spool = Spool(self._spool)
        spool.complete = spool.complete and not died
        return spool

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
