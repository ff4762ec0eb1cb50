"""This machine's proxies, as the environment names them."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from affidavit.gateway.proxies import proxy_for
from gateway.conftest import KEY, chat
from scripted_model import scripted_model

PROXIES = {"http": "http://a:1", "all": "http://b:2", "no": "localhost, .inside.example,192.0.2.7"}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://model.example/v1", "http://a:1"),
        ("https://model.example/v1", "http://b:2"),
        ("http://localhost:8000", ""),
        ("http://192.0.2.7:8000", ""),
        ("https://model.inside.example", ""),
        ("https://besideinside.example", "http://b:2"),
    ],
)
def test_the_proxy_for_a_url(url: str, proxy: str) -> None:
    assert proxy_for(url, PROXIES) == proxy


def test_a_star_is_every_host() -> None:
    assert proxy_for("http://model.example", {**PROXIES, "no": "*"}) == ""


def test_the_gateway_takes_the_proxy(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # The scripted model stands where the proxy is: it is asked for whole URLs.
    with scripted_model({"text": "x"}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:p%40ss@").removesuffix("/v1"))
        running = gateway("http://model.example")
        answer = running.client.post("/v1/chat/completions", json=chat())
        running.stop()
    assert answer.status_code == 200
    (received,) = proxy.received
    assert received.path == "http://model.example/v1/chat/completions"
    assert received.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert received.headers["authorization"] == f"Bearer {KEY}"
