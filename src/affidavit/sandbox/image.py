"""OCI image layouts on disk: a folder or a tar archive of one (image specification 1.1, image-layout.md)."""

import contextlib
import json
import platform
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from affidavit.sandbox.archive import HashedReader
from affidavit.sandbox.protocol import SandboxError

_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_LARGEST_DOCUMENT = 4 << 20
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image for this machine.

    Attributes:
        digest: of its manifest.
        layers: descriptors of its layers, lowest first.
        config: the ``config`` object of its configuration.
    """

    digest: str
    layers: tuple["Descriptor", ...]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Descriptor:
    """A blob: its digest and size in bytes."""

    digest: str
    size: int


class Layout:
    """An image layout, open for reading."""

    def __init__(self, source: Path) -> None:
        """
        Args:
            source: a folder, or a tar archive of one.

        Raises:
            SandboxError: it is neither.
        """
        self.source = source
        if source.is_dir():
            self._archive = None
        else:
            try:
                self._archive = tarfile.open(source)  # noqa: SIM115
            except (OSError, tarfile.TarError) as problem:
                raise SandboxError(
                    f"{source}: is not an OCI image layout, neither a folder nor a tar of one: {problem}"
                ) from None

    def image(self, manifest: str | None = None) -> Image:
        """The image in it that is for this machine.

        Args:
            manifest: digest of its manifest, where the layout may hold several images.

        Raises:
            SandboxError: there is none, several, or the layout is damaged.
        """
        wanted = _MACHINES.get(platform.machine(), platform.machine())
        with self._open("index.json") as stream:
            index = _document(stream.read(_LARGEST_DOCUMENT + 1), f"{self.source}: index.json")
        found = list(dict.fromkeys(self._manifests(index, wanted)))
        if manifest is not None:
            found = [descriptor for descriptor in found if descriptor.digest == manifest]
        if len(found) != 1:
            what = "no image" if not found else f"{len(found)} images"
            raise SandboxError(f"{self.source}: holds {what} for linux/{wanted}; it must hold exactly one")
        document = self._json(found[0])
        config = self._json(_descriptor(document.get("config"), self.source))
        for key, value in (("os", "linux"), ("architecture", wanted)):
            if config.get(key, value) != value:
                raise SandboxError(f"{self.source}: the image is for {key} {config[key]}, this machine needs {value}")
        layers = document.get("layers")
        if not isinstance(layers, list) or not layers:
            raise SandboxError(f"{self.source}: the manifest {found[0].digest} names no layers")
        settings = config.get("config") or {}
        if not isinstance(settings, dict):
            raise SandboxError(f"{self.source}: the image's config is not an object")
        return Image(found[0].digest, tuple(_descriptor(layer, self.source) for layer in layers), settings)

    def _manifests(self, index: Mapping[str, Any], wanted: str, depth: int = 0) -> Iterator[Descriptor]:
        entries = index.get("manifests")
        if not isinstance(entries, list) or depth > 4:
            raise SandboxError(f"{self.source}: index.json names no manifests")
        for entry in entries:
            descriptor = _descriptor(entry, self.source)
            system = entry.get("platform") or {}
            # A platform is named by indexes of several; attestations say "unknown".
            if system and (system.get("os"), system.get("architecture")) != ("linux", wanted):
                continue
            if str(entry.get("mediaType", "")).endswith((".index.v1+json", ".manifest.list.v2+json")):
                yield from self._manifests(self._json(descriptor), wanted, depth + 1)
            else:
                yield descriptor

    def _json(self, descriptor: Descriptor) -> dict[str, Any]:
        if descriptor.size > _LARGEST_DOCUMENT:
            raise SandboxError(f"{self.source}: {descriptor.digest} is too large for a document")
        with self.blob(descriptor) as stream:
            content = stream.read(_LARGEST_DOCUMENT)
        return _document(content, f"{self.source}: {descriptor.digest}")

    @contextlib.contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[HashedReader]:
        """A blob as a stream; when the ``with`` ends without an error, all of it was what its digest says.

        Raises:
            SandboxError: it is missing or not what its digest says.
        """
        algorithm, _, value = descriptor.digest.partition(":")
        with self._open(f"blobs/{algorithm}/{value}") as stream:
            reader = HashedReader(stream, algorithm)
            yield reader
            if reader.hexdigest() != value or reader.size != descriptor.size:
                raise SandboxError(
                    f"{self.source}: the blob {descriptor.digest} is not what its digest says; get the image again"
                )

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        missing = f"{self.source}: {name} is not there; it must be an OCI image layout"
        if self._archive is None:
            try:
                stream: BinaryIO = (self.source / name).open("rb")
            except OSError:
                raise SandboxError(missing) from None
        else:
            for candidate in (name, f"./{name}"):
                with contextlib.suppress(KeyError):
                    member = self._archive.extractfile(candidate)
                    if member is not None:
                        stream = cast(BinaryIO, member)
                        break
            else:
                raise SandboxError(missing)
        with stream:
            yield stream

    def close(self) -> None:
        """Close the archive, if it is one."""
        if self._archive is not None:
            self._archive.close()


def _document(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise SandboxError(f"{name}: is not a JSON document: {problem}") from None
    if not isinstance(document, dict):
        raise SandboxError(f"{name}: is not a JSON object")
    return document


def _descriptor(value: object, source: Path) -> Descriptor:
    if isinstance(value, dict):
        digest, size = value.get("digest"), value.get("size")
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and isinstance(size, int):
            return Descriptor(digest, size)
    raise SandboxError(f"{source}: a descriptor without a proper digest (sha256 or sha512) and size")
