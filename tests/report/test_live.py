"""A served report: who may read it, what it says while a run goes on, and that nothing else is answered."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from affidavit.report import LiveReport, ReportError, serve
from page_reader import read_page
from run_folders import MakeRun, trial, write_bundle

HOST = "127.0.0.1:4711"


class Asked:
    """An answer of the application."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.bodies = [message["body"].decode() for message in messages[1:]]
        self.body = "".join(self.bodies)


def ask(app: LiveReport, path: str, method: str = "GET", steps: int = 0, **headers: str) -> Asked:
    """One request. Of an endless answer `steps` bodies are taken, then the reader goes away."""
    given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    encoded = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": encoded}

    async def run() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if steps and len(sent) > steps:
                gone.set()

        await app(scope, receive, send)
        return sent

    return Asked(asyncio.run(run()))


def unfinished(make_run: MakeRun, *trials: dict[str, Any]) -> Path:
    folder = make_run(trials)
    (folder / "run.json").unlink()
    return folder


def test_the_report_and_its_trials_are_served(make_run: MakeRun, tmp_path: Path) -> None:
    app = LiveReport(make_run([trial("a"), trial("b", 0, "violation")]), 4711)
    for path in ("", "index.html"):
        found = ask(app, f"/{app.token}/{path}")
        assert (found.status, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
    (tmp_path / "page.html").write_text(found.body)
    page = read_page(tmp_path / "page.html")
    assert "1 of 2 trials earned points that do not count" in page.text
    links = {link for link in page.links if link.startswith("trial-")}
    assert len(links) == 2
    for link in links:
        assert ask(app, f"/{app.token}/{link}").status == 200
    assert ask(app, f"/{app.token}/trial-0000000000000000.html").status == 404
    head = ask(app, f"/{app.token}/", "HEAD")
    assert (head.status, head.body) == (200, "")


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/", "GET", {}, 404),
        ("/index.html", "GET", {}, 404),
        ("/wrong/index.html", "GET", {}, 404),
        ("/TOKEN", "GET", {}, 404),
        ("/TOKEN/../index.html", "GET", {}, 404),
        ("/TOKEN/private/key", "GET", {}, 404),
        ("/é/", "GET", {}, 404),
        ("/TOKEN/", "GET", {"host": "evil.example:4711"}, 403),
        ("/TOKEN/", "GET", {"host": "127.0.0.1:80"}, 403),
        ("/TOKEN/", "GET", {"sec_fetch_site": "cross-site"}, 403),
        ("/TOKEN/events", "GET", {"sec_fetch_site": "same-site"}, 403),
        ("/TOKEN/", "POST", {}, 405),
        ("/TOKEN/", "DELETE", {}, 405),
        ("/TOKEN/", "OPTIONS", {"origin": "http://evil.example"}, 405),
    ],
)
def test_nobody_else_reads_it_and_nothing_changes_it(
    make_run: MakeRun, path: str, method: str, headers: dict[str, str], status: int
) -> None:
    app = LiveReport(make_run([trial("secret-task")]), 4711)
    found = ask(app, path.replace("TOKEN", app.token), method, **headers)
    assert found.status == status
    assert "secret-task" not in found.body
    assert "access-control-allow-origin" not in found.headers


def test_each_answer_is_closed_to_others(make_run: MakeRun) -> None:
    app = LiveReport(make_run([trial()]), 4711)
    for path in (f"/{app.token}/", f"/{app.token}/events", "/"):
        headers = ask(app, path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert headers["content-security-policy"].endswith("frame-ancestors 'none'")
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_tokens_differ(make_run: MakeRun) -> None:
    folder = make_run([trial()])
    assert LiveReport(folder, 1).token != LiveReport(folder, 1).token
    assert len(LiveReport(folder, 1).token) == 32


def progress(body: str) -> dict[str, Any]:
    kind, data, *_ = body.split("\n")
    assert kind == "event: progress"
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


def test_a_finished_run_says_so_once(make_run: MakeRun) -> None:
    app = LiveReport(make_run([trial()]), 4711)
    (body,) = ask(app, f"/{app.token}/events").bodies
    found = progress(body)
    assert (found["trials"], found["finished"]) == (1, True)
    assert f'data-state="{found["state"]}"' in ask(app, f"/{app.token}/").body


def test_a_run_that_goes_on_tells_of_what_is_new(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affidavit.report.live._LOOK_S", 0)
    folder = unfinished(make_run, trial("a"))
    app = LiveReport(folder, 4711)
    shown = ask(app, f"/{app.token}/").body
    assert "The run is not finished, or was interrupted" in shown
    first, quiet = ask(app, f"/{app.token}/events", steps=2).bodies[:2]
    assert (progress(first)["trials"], progress(first)["finished"], quiet) == (1, False, ": nothing new\n\n")
    write_bundle(folder / "b/0/bundle", "20260101T000000Z-abcdef", trial("b"), {})
    again = progress(ask(app, f"/{app.token}/events", steps=1).bodies[0])
    assert again["trials"] == 2
    assert again["state"] != progress(first)["state"]
    assert "2 trials of 2 tasks" in ask(app, f"/{app.token}/").body


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is not a folder of a run"):
        LiveReport(tmp_path, 1)


def test_a_port_in_use_is_named(make_run: MakeRun) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ReportError, match=r"--port \d+: can't be used: Address already in use"):
            serve(make_run([trial()]), taken.getsockname()[1], print)
