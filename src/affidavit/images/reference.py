"""Names of images as Docker spells them (distribution/reference, reference.go)."""

import re
from dataclasses import dataclass

from affidavit.images.errors import ImageError

_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]+)?"
)
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+)(?::[0-9]+)?")


@dataclass(frozen=True)
class Reference:
    """An image in a registry.

    Attributes:
        registry: its host, with a port where it has one.
        repository: its path there.
        tag: ``latest`` where neither a tag nor a digest is given; None where only a digest is.
        digest: ``sha256:…`` where it is pinned.
    """

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def source(self) -> str:
        """What skopeo is asked for; it takes a tag or a digest, and the digest says more."""
        rest = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"docker://{self.registry}/{self.repository}{rest}"

    @property
    def on_loopback(self) -> bool:
        """Whether the registry is this machine's own, which needs no TLS; Docker holds it the same way."""
        return _LOOPBACK.fullmatch(self.registry) is not None


def parse_reference(text: str) -> Reference:
    """Read ``[REGISTRY/]PATH[:TAG][@sha256:DIGEST]``; a name without a registry is Docker Hub's.

    Raises:
        ImageError: it is no such name.
    """
    rest, at, digest = text.partition("@")
    first, slash, path = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry = first
    else:
        registry, path = "docker.io", rest
    path, colon, tag = path.partition(":")
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    wrong = (
        len(text) > _LONGEST
        or not _DOMAIN.fullmatch(registry)
        or not _PATH.fullmatch(path)
        or (colon and not _TAG.fullmatch(tag))
        or (at and not _DIGEST.fullmatch(digest))
    )
    if wrong:
        raise ImageError(
            f"{text[:100]!r} is not an image name: use [REGISTRY/]PATH[:TAG][@sha256:DIGEST], the path in lower case"
        )
    return Reference(registry, path, tag or (None if digest else "latest"), digest or None)
