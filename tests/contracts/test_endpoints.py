import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import Endpoint, EndpointError


@pytest.mark.parametrize(
    ("text", "host", "addresses", "ports", "protocol"),
    [
        ("api.github.com", "api.github.com", None, None, None),
        ("API.github.com.:443", "api.github.com", None, (443, 443), None),
        ("*.pypi.org:443/tcp", "*.pypi.org", None, (443, 443), "tcp"),
        ("10.0.0.0/8:53/udp", None, "10.0.0.0/8", (53, 53), "udp"),
        ("10.0.0.0/8", None, "10.0.0.0/8", None, None),
        ("10.0.0.1:8000-8100", None, "10.0.0.1/32", (8000, 8100), None),
        ("[::1]:8080", None, "::1/128", (8080, 8080), None),
        ("[2001:db8::/32]/udp", None, "2001:db8::/32", None, "udp"),
        ("2001:db8::1", None, "2001:db8::1/128", None, None),
        ("localhost/tcp", "localhost", None, None, "tcp"),
    ],
)
def test_forms(text: str, host: str | None, addresses: str | None, ports: object, protocol: str | None) -> None:
    endpoint = Endpoint.parse(text)
    network = None if addresses is None else ipaddress.ip_network(addresses)
    assert endpoint == Endpoint(host, network, ports, protocol)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["a.b", "a.b:443", "*.a.b:80-90/tcp", "10.0.0.0/8:53/udp", "[::1/128]:8080", "10.0.0.1/32", "a.b/udp"],
)
def test_an_endpoint_is_spelled_as_it_is_read(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("a.x", "a.x", "a.x"),
        ("a.x", "b.x", None),
        ("*.x", "a.x:443", "a.x:443"),
        ("*.x", "a.b.x", "a.b.x"),
        ("*.x", "*.b.x", "*.b.x"),
        ("*.x", "x", None),
        ("*.b.x", "b.x", None),
        ("a.x:80-90", "a.x:85-443", "a.x:85-90"),
        ("a.x:80", "a.x:443", None),
        ("a.x/tcp", "a.x:53", "a.x:53/tcp"),
        ("a.x/tcp", "a.x/udp", None),
        ("10.0.0.0/8", "10.0.0.0/8", None),
        ("a.x", "10.0.0.0/8", None),
    ],
)
def test_what_two_endpoints_both_allow_by_name(one: str, other: str, both: str | None) -> None:
    for first, second in ((one, other), (other, one)):
        found = Endpoint.parse(first).common(Endpoint.parse(second))
        assert (None if found is None else str(found)) == both


@pytest.mark.parametrize(
    "text",
    ["", ":1", "a:", "a:0", "a:65536", "a:9-8", "a:1-", "a:-1", "a/sctp", "a:1/tcp/udp", "10.0.0.1/8", "10.0.0.0/33",
     "[::1", "[::1]8", "a..b", "-a", "*", "*.", "a.*.b", "http://a", "300.1.1.1", "a b", "a:٣", "x" * 300],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint.parse(text)


def test_a_range_that_is_none_is_mended() -> None:
    with pytest.raises(EndpointError, match=r"write 10\.0\.0\.0/8"):
        Endpoint.parse("10.0.0.1/8:53")


@given(st.text(max_size=40))
def test_whatever_is_written_parses_or_is_an_endpoint_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except EndpointError:
        return
    assert (endpoint.host is None) != (endpoint.addresses is None)
