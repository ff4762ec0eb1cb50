"""A report that is served on this machine alone, while its run goes on.

Anything on the machine, and any web page in its browser, can reach a port of 127.0.0.1. So an address holds a token
that nobody can guess; a request must name this host, since other names can be made to lead here, and must come from a
page of ours; and there is nothing to change: only GET and HEAD are answered.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.report.behaviour import read_behaviour
from affidavit.report.figures import Report, Subject, make_report
from affidavit.report.html import Live, content_policy, index_page, key_of, trial_page
from affidavit.report.runs import RUN_FILE, ReportError, TrialView, find_bundles, read_runs

_LOOK_S = 1.0
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class _State:
    """What there is to show; `digest` changes with it."""

    trials: int
    finished: bool
    digest: str


class LiveReport:
    """An ASGI application (https://asgi.readthedocs.io) with the pages of one run.

    Attributes:
        token: the first part of every address.
    """

    def __init__(self, folder: Path, port: int) -> None:
        """
        Args:
            folder: of the run; it may still go on.
            port: that it is served on.

        Raises:
            ReportError: there is no run.
        """
        self.token = secrets.token_urlsafe(24)
        self._folder = folder
        self._hosts = {f"{host}:{port}".encode() for host in ("127.0.0.1", "localhost")}
        self._lock = threading.Lock()
        self._made: tuple[str, Report] | None = None
        self._report(self._state())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        if headers.get(b"host") not in self._hosts or headers.get(b"sec-fetch-site", b"none") not in (
            b"none",
            b"same-origin",
        ):
            await _answer(send, 403, "forbidden")
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, "a report can be read and nothing else", allow="GET, HEAD")
            return
        _, token, *rest = scope["path"].split("/")
        if len(rest) != 1 or not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            await _answer(send, 404, "there is nothing here; take the whole address that affidavit view has printed")
        elif rest[0] == "events":
            await self._events(receive, send)
        else:
            await self._page(rest[0], send, body=scope["method"] == "GET")

    async def _page(self, name: str, send: Send, *, body: bool) -> None:
        try:
            text = await asyncio.to_thread(self._render, name)
        except ReportError as error:
            await _answer(send, 500, str(error))
            return
        if text is None:
            await _answer(send, 404, "there is no such page")
            return
        await _answer(send, 200, text if body else "", kind="text/html")

    async def _events(self, receive: Receive, send: Send) -> None:
        """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): `progress`, whenever the
        state has changed, until the run is finished or the reader has gone."""
        await send({"type": "http.response.start", "status": 200, "headers": _headers("text/event-stream")})
        gone = asyncio.ensure_future(_gone(receive))
        told = ""
        try:
            while not gone.done():
                state = await asyncio.to_thread(self._state)
                text = ": nothing new\n\n"
                if state.digest != told:
                    told = state.digest
                    data = {"trials": state.trials, "finished": state.finished, "state": state.digest}
                    text = f"event: progress\ndata: {json.dumps(data)}\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": not state.finished})
                if state.finished:
                    return
                await asyncio.wait([gone], timeout=_LOOK_S)
        finally:
            gone.cancel()

    def _state(self) -> _State:
        bundles = find_bundles(self._folder)
        finished = (self._folder / RUN_FILE).is_file()
        named = "\0".join([str(finished), *map(str, bundles)])
        return _State(len(bundles), finished, hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:16])

    def _report(self, state: _State) -> Report:
        with self._lock:
            if self._made is None or self._made[0] != state.digest:
                self._made = (state.digest, make_report(read_runs([self._folder]), read_behaviour))
            return self._made[1]

    def _render(self, name: str) -> str | None:
        """The page of that name; None where there is none."""
        state = self._state()
        report, live = self._report(state), Live("events", state.digest)
        pages = _pages(report)
        if name in ("", "index.html"):
            return index_page(report, {key_of(trial): page for page, (_, trial) in pages.items()}, live)
        if name not in pages:
            return None
        subject, trial = pages[name]
        names = list(pages)
        at = names.index(name)
        return trial_page(
            subject.name if len(report.subjects) > 1 else "",
            trial,
            before=names[at - 1] if at else None,
            after=names[at + 1] if at + 1 < len(names) else None,
            live=live,
        )


def serve(folder: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the report of a run on 127.0.0.1 until it is interrupted.

    Args:
        folder: of the run.
        port: 0 for any free one.
        ready: is called with the address.

    Raises:
        ReportError: there is no run, or the port can't be used.
    """
    import uvicorn

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise ReportError(
                f"--port {port}: can't be used: {error.strerror}; leave it out, or name another"
            ) from error
        listener.listen()
        app = LiveReport(folder, listener.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=64,
            timeout_graceful_shutdown=1,
        )
        ready(f"http://127.0.0.1:{listener.getsockname()[1]}/{app.token}/")
        uvicorn.Server(config).run(sockets=[listener])


def _pages(report: Report) -> dict[str, tuple[Subject, TrialView]]:
    """The trials by the names of their pages, which stay when others come between them."""
    return {
        f"trial-{hashlib.sha256(repr(key_of(trial)).encode()).hexdigest()[:16]}.html": (subject, trial)
        for subject in report.subjects
        for trial in subject.trials
    }


def _headers(kind: str, **more: str) -> list[tuple[bytes, bytes]]:
    policy = f"{content_policy(live=True)}; frame-ancestors 'none'"
    named = {**_HEADERS, "content-type": f"{kind}; charset=utf-8", "content-security-policy": policy, **more}
    return [(name.encode(), value.encode()) for name, value in named.items()]


async def _answer(send: Send, status: int, text: str, kind: str = "text/plain", **more: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _headers(kind, **more)})
    await send({"type": "http.response.body", "body": text.encode()})


async def _gone(receive: Receive) -> None:
    """Ends when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
