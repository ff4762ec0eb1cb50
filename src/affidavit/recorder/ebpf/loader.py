"""The process that loads the programs into the kernel and records one sandbox; and those that are ready beforehand."""

import logging
import os
import signal
import socket
import subprocess
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path

from affidavit.recorder.protocol import RecorderError

_logger = logging.getLogger(__name__)

LOADER = Path(__file__).parent / "_build" / "affidavit-record"

# Loading takes a tenth of a second of a processor, for which the sandbox that was just given a loader has more use.
_REST_S = 0.25
_LOADING_S = 0.15
_NICE = 10


class Loader:
    """A loader, which serves one recording. It ends with its socket, and so with this process.

    Args:
        ring_bytes: room of the ring buffer.
        older: take the programs for older kernels.
        waits: it has no sandbox yet, and loads when others leave it a processor; else it is urgent.

    Attributes:
        socket: takes orders and gives frames; see ``record.c``.
        process: the loader.

    Raises:
        RecorderError: it does not start.
    """

    def __init__(self, ring_bytes: int, *, older: bool = False, waits: bool = False) -> None:
        self.socket, theirs = socket.socketpair()
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [str(LOADER), str(ring_bytes), *(["older"] * older), *(["waits"] * waits)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C"},
            )
        except OSError as error:
            self.socket.close()
            raise RecorderError(f"{LOADER}: {error.strerror}; run: make setup") from error
        finally:
            theirs.close()

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def close(self, *, kill: bool) -> None:
        """Let it end; `kill`: also where it is in the middle of something."""
        self.socket.close()
        if kill and self.lives:
            self.process.send_signal(signal.SIGKILL)
        # Taking the programs out takes the kernel a while, which nobody needs to wait for.
        threading.Thread(target=self.process.wait, daemon=True).start()

    def discard(self) -> None:
        """End one that has recorded nothing."""
        self.socket.close()
        self.process.kill()
        self.process.wait()


class ReadyLoaders:
    """Loaders that load their programs, and don't attach them, before a sandbox wants them. Each is given to one
    recording and is new: nothing of another one was ever in it.

    Args:
        ring_bytes: as `Loader` has it.
        number: how many are kept.
        older: as `Loader` has it.
    """

    def __init__(self, ring_bytes: int, number: int, *, older: bool) -> None:
        self._make = partial(Loader, ring_bytes, older=older, waits=True)
        self._number = number
        self._lock = threading.Lock()
        self._taken, self._closed = threading.Event(), threading.Event()
        self._ready: deque[Loader] = deque()
        while len(self._ready) < number and self._add(0):
            pass
        threading.Thread(target=self._refill, name="ready loaders", daemon=True).start()

    def take(self) -> Loader | None:
        """The one that was started first, which may still be loading; None where there is none. Another one takes its
        place, a moment later."""
        with self._lock:
            while self._ready:
                loader = self._ready.popleft()
                self._taken.set()
                if loader.lives:
                    _renice(loader, 0)
                    return loader
                loader.discard()
        return None

    def close(self) -> None:
        """End those that nobody took."""
        with self._lock:
            self._closed.set()
            self._taken.set()
            while self._ready:
                self._ready.pop().discard()

    def _refill(self) -> None:
        while self._taken.wait() and not self._closed.wait(_REST_S):
            self._taken.clear()
            while len(self._ready) < self._number and self._add(_NICE):
                # One after the other: the other processors are for sandboxes.
                self._closed.wait(_LOADING_S)

    def _add(self, nice: int) -> bool:
        """Start one more; whether there may be another after it."""
        try:
            loader = self._make()
        except RecorderError as error:
            # Whoever wants one starts it, and is told.
            _logger.warning("no recorder can be got ready: %s", error)
            return False
        _renice(loader, nice)
        with self._lock:
            if self._closed.is_set():
                loader.discard()
                return False
            self._ready.append(loader)
        return True


def _renice(loader: Loader, nice: int) -> None:
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, loader.process.pid, nice)
