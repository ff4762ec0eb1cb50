"""Where alerts can be sent, and how."""

import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from affidavit.errors import AffidavitError

# Answers after which trying again may help (RFC 9110, 15; RFC 6585, 4; RFC 8470, 5.2).
_TRY_AGAIN = (408, 425, 429)


class AlertError(AffidavitError):
    """A destination can't be used: one line that says what to do."""


class DeliveryError(Exception):
    """An alert was not delivered; `again`: trying once more may help."""

    def __init__(self, text: str, again: bool = True) -> None:
        super().__init__(text)
        self.again = again


class Destination(Protocol):
    """Where alerts are sent.

    Attributes:
        name: how it is called in reports: without anything that is a secret.
    """

    @property
    def name(self) -> str: ...

    def send(self, alert: Mapping[str, Any]) -> None:
        """Deliver one alert; returns within some seconds.

        Args:
            alert: as docs/alerts.md has it; ``id`` is the same in each attempt.

        Raises:
            DeliveryError: it was not delivered.
        """


@dataclass(frozen=True)
class Webhook:
    """An HTTP request with the alert as its JSON body.

    Where there is a secret, ``Affidavit-Signature`` is ``sha256=`` and, in hex, the HMAC-SHA256 (RFC 2104) of the
    header ``Affidavit-Timestamp`` (Unix seconds), a full stop, and the body. Redirects are not followed: a signed body
    goes to nobody but the one who is named.
    """

    url: str
    secret: bytes | None = field(default=None, repr=False)
    timeout_s: float = 10.0

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    def send(self, alert: Mapping[str, Any]) -> None:
        """See Destination."""
        body = json.dumps(alert).encode()
        moment = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "affidavit",
            "Affidavit-Timestamp": moment,
            "Affidavit-Delivery": str(alert["id"]),
        }
        if self.secret is not None:
            digest = hmac.new(self.secret, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
            headers["Affidavit-Signature"] = f"sha256={digest}"
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout_s):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            again = error.code >= 500 or error.code in _TRY_AGAIN
            raise DeliveryError(f"it answered {error.code}", again) from error
        except urllib.error.URLError as error:
            raise DeliveryError(f"it can't be reached: {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeliveryError(f"it can't be reached: {error}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        """None: the answer itself is the error."""


@dataclass(frozen=True)
class Command:
    """A program of this machine, with the alert as JSON on its standard input and nothing of it in its arguments."""

    argv: tuple[str, ...]
    timeout_s: float = 30.0

    @property
    def name(self) -> str:
        return f"command {self.argv[0]}"

    def send(self, alert: Mapping[str, Any]) -> None:
        """See Destination."""
        try:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Its own group: all of it can be ended, and a Ctrl-C for the run is none for it.
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"it can't be started: {error.strerror}", again=False) from error
        with process:
            try:
                process.communicate(json.dumps(alert).encode() + b"\n", self.timeout_s)
            except subprocess.TimeoutExpired:
                raise DeliveryError(f"it took longer than {self.timeout_s:g} s", again=False) from None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise DeliveryError(f"it ended with status {process.returncode}")


@dataclass(frozen=True)
class Service:
    """Any service that the library apprise knows, by its URL there (https://appriseit.com/services/)."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        return f"service {self.url.partition(':')[0]}"

    def send(self, alert: Mapping[str, Any]) -> None:
        """See Destination."""
        import apprise

        service = apprise.Apprise()
        service.add(self.url)
        title, body = spoken(alert)
        if not service.notify(title=title, body=body, notify_type=apprise.NotifyType.WARNING):
            raise DeliveryError("it did not take the message")


def spoken(alert: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of an alert for people."""
    count = len(alert["violations"])
    title = f"Affidavit: {count} violation{'s' if count != 1 else ''} in {alert['task_id']}"
    lines = [f"[{one['severity']}] {one['rule']}: {one['message']}" for one in alert["violations"][:10]]
    if count > 10:
        lines.append(f"and {count - 10} more")
    verdict = alert["verdict"] or "the agent is still running"
    lines.append(f"{verdict}; run {alert['run_id']}, trial {alert['trial']}, agent {alert['agent']}")
    return title, "\n".join(lines)
