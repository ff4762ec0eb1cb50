"""Asking a model behind an endpoint that speaks as OpenAI's chat completions do."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from affidavit.grading.text_sanitizing import storable

URL_VARIABLE = "AFFIDAVIT_MODEL_URL"
KEY_VARIABLE = "AFFIDAVIT_MODEL_KEY"
_MOST_BYTES = 1 << 20
_TRIES = 3
_PAUSE_S = 0.5


class NoReply(Exception):
    """The endpoint gave no reply that can be used; the text says why, without the key."""


@dataclass(frozen=True)
class Reply:
    """A model's reply.

    Attributes:
        content: its words.
        model: which model the endpoint says it was; empty where it does not say.
        raw: the whole body.
    """

    content: str
    model: str
    raw: bytes


@dataclass(frozen=True)
class Endpoint:
    """An endpoint.

    Attributes:
        url: the base, as in ``https://host/v1``.
        key: sent as bearer token; None where none is wanted.
    """

    url: str
    key: str | None = field(default=None, repr=False)

    def ask(self, body: Mapping[str, Any], timeout_s: float) -> Reply:
        """Ask for one completion. It is asked again, a moment later, where the endpoint is overloaded or gone.

        Args:
            body: the request: ``model``, ``messages`` …
            timeout_s: for all of it, however slowly the reply drips.

        Raises:
            NoReply: there was none in time, it was an error, or it is not what such an endpoint says.
        """
        deadline = time.monotonic() + timeout_s
        for attempt in range(1, _TRIES + 1):
            try:
                return self._ask(body, deadline)
            except _Passing as passing:
                pause = _PAUSE_S * attempt
                if attempt == _TRIES or time.monotonic() + pause >= deadline:
                    raise NoReply(str(passing)) from None
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, body: Mapping[str, Any], deadline: float) -> Reply:
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        left = deadline - time.monotonic()
        if left <= 0:
            raise NoReply("did not reply in time")
        try:
            with (
                httpx.Client(timeout=left, follow_redirects=False, headers=headers) as client,
                client.stream("POST", f"{self.url.rstrip('/')}/chat/completions", json=body) as response,
            ):
                raw = _body(response, deadline)
        except httpx.TimeoutException:
            raise NoReply("did not reply in time") from None
        except httpx.TransportError as error:
            raise _Passing(f"can't be reached: {type(error).__name__}") from None
        except (httpx.InvalidURL, httpx.HTTPError, UnicodeError, ValueError) as error:
            raise NoReply(f"can't be asked: {type(error).__name__}") from None
        if response.status_code == 429 or response.status_code >= 500:
            raise _Passing(f"answers with status {response.status_code}")
        if response.status_code != 200:
            raise NoReply(f"answers with status {response.status_code}")
        return _reply(raw)


class _Passing(Exception):
    """Something that may be over a moment later."""


def configured() -> Endpoint | None:
    """The endpoint that the environment names (AFFIDAVIT_MODEL_URL, AFFIDAVIT_MODEL_KEY); None where it names none."""
    url = os.environ.get(URL_VARIABLE, "").strip()
    return Endpoint(url, os.environ.get(KEY_VARIABLE) or None) if url else None


def _body(response: httpx.Response, deadline: float) -> bytes:
    raw = bytearray()
    for chunk in response.iter_bytes():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise NoReply(f"replies with more than {_MOST_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise NoReply("did not reply in time")
    return bytes(raw)


def _reply(raw: bytes) -> Reply:
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise NoReply("does not reply with JSON") from None
    match value:
        case {"choices": [{"message": {"content": str(content)}}, *_]}:
            model = value.get("model")
            return Reply(content, storable(model[:200]) if isinstance(model, str) else "", raw)
    raise NoReply("does not reply as a chat completion endpoint does")
