"""Destinations and their delivery, with a real server, real programs and a real notification library."""

import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from affidavit.alerts import (
    AlertError,
    Alerts,
    Command,
    DeliveryError,
    Service,
    Webhook,
    read_destination,
    read_destinations,
)

ALERT: dict[str, Any] = {
    "id": "one",
    "run_id": "r",
    "task_id": "fix-it",
    "trial": 0,
    "agent": "cmd",
    "verdict": None,
    "violations": [{"rule": "files.deny", "severity": "high", "message": "cat read /tests/x"}],
}


class Server:
    """Keeps what it is sent, and answers with the given statuses, the last of them for ever."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                status = outer.statuses.pop(0) if len(outer.statuses) > 1 else outer.statuses[0]
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", f"{outer.url}/elsewhere")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_a_webhook_is_signed_over_time_and_body(server: Server) -> None:
    Webhook(server.url, b"secret").send(ALERT)
    [(headers, body)] = server.got
    signed = f"{headers['Affidavit-Timestamp']}.".encode() + body
    assert headers["Affidavit-Signature"] == "sha256=" + hmac.new(b"secret", signed, hashlib.sha256).hexdigest()
    assert abs(int(headers["Affidavit-Timestamp"]) - time.time()) < 60
    assert (headers["Affidavit-Delivery"], headers["Content-Type"]) == ("one", "application/json")
    assert json.loads(body) == ALERT


def test_without_a_secret_there_is_no_signature(server: Server) -> None:
    Webhook(server.url).send(ALERT)
    assert "Affidavit-Signature" not in server.got[0][0]


@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (503, True), (429, True), (400, False), (404, False), (307, False)]
)
def test_answers_that_are_no_delivery(server: Server, status: int, again: bool) -> None:
    server.statuses = [status]
    with pytest.raises(DeliveryError, match=f"it answered {status}") as caught:
        Webhook(server.url).send(ALERT)
    assert caught.value.again is again
    assert len(server.got) == 1


def test_nobody_there() -> None:
    with pytest.raises(DeliveryError, match="it can't be reached") as caught:
        Webhook("http://127.0.0.1:1/x").send(ALERT)
    assert caught.value.again


def test_a_webhooks_name_holds_no_secret() -> None:
    assert Webhook("https://hooks.example.org:8443/T0/secret?x=y").name == "https://hooks.example.org:8443"
    assert "secret" not in repr(Webhook("https://h/", b"secret"))


def test_a_command_gets_the_alert_on_its_standard_input(tmp_path: Path) -> None:
    Command(("sh", "-c", f'cat >"{tmp_path}/got"; echo "$#" >"{tmp_path}/arguments"')).send(ALERT)
    assert json.loads((tmp_path / "got").read_text()) == ALERT
    assert (tmp_path / "arguments").read_text() == "0\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("sh", "-c", "exit 3"), "it ended with status 3"),
        (("/nowhere/program",), "it can't be started: No such file or directory"),
        (("sleep", "60"), "it took longer than 0.2 s"),
    ],
)
def test_commands_that_fail(argv: tuple[str, ...], says: str) -> None:
    with pytest.raises(DeliveryError, match=says):
        Command(argv, 0.2).send(ALERT)


def test_a_command_that_reads_nothing_and_leaves_a_child_is_done_with(tmp_path: Path) -> None:
    began = time.monotonic()
    Command(("sh", "-c", "exec <&-; sleep 60 & exit 0")).send({**ALERT, "big": "x" * 1_000_000})
    assert time.monotonic() - began < 30


def test_a_service_of_the_library(server: Server) -> None:
    Service(f"json://{server.url.removeprefix('http://')}").send(ALERT)
    document = json.loads(server.got[0][1])
    assert document["title"] == "Affidavit: 1 violation in fix-it"
    assert "[high] files.deny: cat read /tests/x" in document["message"]
    server.statuses = [500]
    with pytest.raises(DeliveryError, match="it did not take the message"):
        Service(f"json://{server.url.removeprefix('http://')}").send(ALERT)


def test_deliveries_are_tried_again_under_the_same_id(server: Server) -> None:
    server.statuses = [500, 503, 200]
    alerts = Alerts([Webhook(server.url)], pauses=(0.0, 0.0, 0.0))
    alerts.tell({"violations": []})
    assert alerts.close() == []
    assert len(server.got) == 3
    [document] = {body for _, body in server.got}
    assert {"id", "at", "schema"} <= set(json.loads(document))


def test_what_is_not_delivered_is_said(server: Server) -> None:
    server.statuses = [400]
    alerts = Alerts([Webhook(server.url), Command(("sh", "-c", "cat >/dev/null; exit 1"))], pauses=(0.0,))
    alerts.tell({"violations": []})
    alerts.tell({"violations": []})
    said = [(one.destination, one.count, one.why) for one in alerts.close()]
    assert said == [(server.url, 2, "it answered 400"), ("command sh", 2, "it ended with status 1")]
    assert len(server.got) == 2


class Hanging:
    """A destination that never answers."""

    name = "hanging"

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def send(self, alert: Mapping[str, Any]) -> None:
        self.let_go.wait(60)


def test_one_that_hangs_keeps_nobody_waiting(server: Server) -> None:
    hanging = Hanging()
    alerts = Alerts([hanging, Webhook(server.url)])
    began = time.monotonic()
    for _ in range(1200):
        alerts.tell({"violations": []})
    assert time.monotonic() - began < 10
    [said] = [one for one in alerts.close(patience_s=0.2) if one.destination == "hanging"]
    assert said.count == 1200
    hanging.let_go.set()


def test_destinations_on_the_command_line() -> None:
    environment = {"AFFIDAVIT_ALERT_SECRET": "s"}
    assert read_destination("https://h/x", environment) == Webhook("https://h/x", b"s")
    assert read_destination("https://h/x", {}) == Webhook("https://h/x")
    assert read_destination("command:notify 'a b'", {}) == Command(("notify", "a b"))
    assert read_destination("json://localhost", {}) == Service("json://localhost")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be https://…, command:PROGRAM or a notification service's URL, not ''"),
        ("somebody", "must be https://…"),
        ("command:", "names no program"),
        ("command:a 'b", "No closing quotation"),
        ("https://", "a webhook is an http or https URL"),
        ("https://user:word@h/", "put no password into the URL"),
        ("https://h/\n", "a webhook is an http or https URL"),
        ("nosuch://token", "no notification service takes this nosuch:// URL"),
    ],
)
def test_wrong_destinations(text: str, says: str) -> None:
    with pytest.raises(AlertError) as caught:
        read_destination(text, {})
    assert says in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        (tmp_path / "alerts.toml").write_text(text)
        return tmp_path / "alerts.toml"

    return make


def test_destinations_of_a_file(file: Callable[[str], Path]) -> None:
    path = file(
        '[[alert]]\nwebhook = "https://h/x"\nsecret_env = "HOOK"\ntimeout_s = 3\n'
        '[[alert]]\ncommand = ["a", "b c"]\n[[alert]]\nservice_env = "CHAT"\n'
    )
    assert read_destinations(path, {"HOOK": "s", "CHAT": "json://localhost"}) == [
        Webhook("https://h/x", b"s", 3.0),
        Command(("a", "b c")),
        Service("json://localhost"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "alerts.toml: is not TOML"),
        ("", "must hold tables [[alert]] and nothing else"),
        ("[[alert]]\nwebhok = 'x'", "alert 1: must have one of the keys webhook, command, service, service_env"),
        ("[[alert]]\nwebhook = 'https://h'\ncommand = ['x']", "alert 1: must have one of the keys"),
        ("[[alert]]\nwebhook = 'https://h'\nsecret = 'x'", "alert 1: the key 'secret' has no meaning beside webhook"),
        ("[[alert]]\nwebhook = 'https://h'\nsecret_env = 'X'", "the environment variable 'X' is not set"),
        ("[[alert]]\ncommand = 'x'", "command must be a list such as"),
        ("[[alert]]\nwebhook = 'https://h'\ntimeout_s = 0", "timeout_s must be a number of seconds up to 300"),
    ],
)
def test_wrong_files(file: Callable[[str], Path], text: str, says: str) -> None:
    with pytest.raises(AlertError) as caught:
        read_destinations(file(text), {})
    assert says in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AlertError, match="can't be read: No such file"):
        read_destinations(tmp_path / "none.toml")


def test_the_library_is_loaded_only_where_it_is_needed() -> None:
    import subprocess

    code = "import sys, affidavit.alerts; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
