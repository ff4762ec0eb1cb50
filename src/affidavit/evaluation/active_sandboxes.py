"""The sandboxes that run right now, so that an interrupt can end them all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from affidavit.sandbox import Sandbox


class Interrupted(Exception):
    """The run is being stopped."""


class LiveSandboxes:
    """Thread-safe; one for each run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sandboxes: set[Sandbox] = set()
        self._stopped = False

    @contextmanager
    def holding(self, sandbox: Sandbox) -> Iterator[Sandbox]:
        """Hold `sandbox` while it runs.

        Raises:
            Interrupted: the run is being stopped.
        """
        with self._lock:
            if self._stopped:
                raise Interrupted
            self._sandboxes.add(sandbox)
        try:
            yield sandbox
        finally:
            with self._lock:
                self._sandboxes.discard(sandbox)
        if self._stopped:
            raise Interrupted

    def stop(self) -> None:
        """Kill all of them; none can be held afterwards."""
        with self._lock:
            self._stopped = True
            sandboxes = list(self._sandboxes)
        for sandbox in sandboxes:
            with suppress(Exception):
                sandbox.kill()
