"""Names of images."""

import pytest

from affidavit.images import ImageError, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("someone/thing:v1.0_x-2", "docker.io/someone/thing:v1.0_x-2"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("registry.example:5000/a/b/c", "registry.example:5000/a/b/c:latest"),
        ("localhost/x", "localhost/x:latest"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"docker.io/library/debian:12@{DIGEST}"),
    ],
)
def test_names(text: str, meant: str) -> None:
    assert str(parse_reference(text)) == meant


def test_digest_is_what_is_asked_for() -> None:
    assert parse_reference(f"debian:12@{DIGEST}").source == f"docker://docker.io/library/debian@{DIGEST}"


@pytest.mark.parametrize(
    "text",
    ["", "Debian", "a//b", "../x", "a/../b", "-x", "--authfile=/x", "a b", "a:", "a:b:c", "a@sha256:12", "a@md5:0",
     "oci:/etc", "dir:/etc", "docker://a", "a\nb", "x" * 300],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ImageError, match="is not an image name"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "own"),
    [("127.0.0.1:5000/x", True), ("localhost/x", True), ("debian", False), ("127.evil.example/x", False)],
)
def test_loopback(text: str, own: bool) -> None:
    assert parse_reference(text).on_loopback is own
