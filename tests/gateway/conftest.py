"""A gateway in its own process, and clients for it."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from affidavit.gateway import DIALECTS, Exchange, GatewayProcess, GatewaySettings, HostDoor, Upstream
from affidavit.gateway.settings import base_of

KEY = "sk-planted-Key/0123456789+abcdef"


class Running:
    """A gateway, and what it wrote once it is stopped."""

    def __init__(self, process: GatewayProcess, url: str) -> None:
        self.process = process
        self.client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.complete = False

    def stop(self) -> list[Exchange]:
        """End it; the exchanges in turn."""
        self.client.close()
        spool = self.process.stop()
        self.complete = spool.complete
        return [*spool]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a gateway in front of an upstream, or with other settings."""
    with contextlib.ExitStack() as stack:

        def start(upstream: str = "", door: HostDoor | None = None, **changes: Any) -> Running:
            upstreams = {name: Upstream(base_of(upstream, "a test"), KEY) for name in DIALECTS} if upstream else {}
            settings = replace(GatewaySettings("live", ("model-1",), upstreams), **changes)
            listener = socket.create_server(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            process = stack.enter_context(GatewayProcess(settings, listener, tmp_path / "spool", door))
            running = Running(process, url)
            stack.callback(running.client.close)
            return running

        yield start


def chat(**more: Any) -> dict[str, Any]:
    """A request for a chat completion."""
    return {"model": "model-1", "messages": [{"role": "user", "content": "hi"}], **more}
