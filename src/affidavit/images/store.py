"""The image store: one OCI image layout in the state folder, in which every blob is named by its digest.

Images come from skopeo and buildah as a folder in the form of their ``dir:`` transport (``manifest.json`` and blobs by
their digests). Nothing of it is believed: each blob is hashed before it gets its name here. ``index.json`` says which
image has which name; it is replaced whole, under a lock, so that a killed writer leaves the old one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.images.errors import ImageError
from affidavit.sandbox import Owner, locked, owner_gone, remove_cgroups, remove_image_layers, sync_file_system

MOST_IMAGE_BYTES = 32 << 30
"""What the blobs of one image may take, and what its layers may take unpacked."""

_MOST_DOCUMENT = 4 << 20
_MOST_LAYERS = 256
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = "org.opencontainers.image.ref.name"
_KEY = "dev.affidavit.build.key"
_TITLE = "org.opencontainers.image.title"
_ADDED = "dev.affidavit.added"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)


@dataclass(frozen=True)
class StoredImage:
    """An image of the store.

    Attributes:
        name: what it was pulled or built as.
        digest: of its manifest.
        size: of all its blobs, bytes.
        key: what it was built from; empty where it was pulled.
        title: what it was built from, for people.
        added: when, UTC (RFC 3339).
        config: the ``config`` object of its configuration.
    """

    name: str
    digest: str
    size: int
    key: str
    title: str
    added: str
    config: Mapping[str, Any]

    @property
    def user(self) -> str:
        """``User``: empty, or a user and perhaps a group, by name or number."""
        return _text(self.config.get("User"))

    @property
    def workdir(self) -> str | None:
        """``WorkingDir``, where it is an absolute path."""
        value = _text(self.config.get("WorkingDir"))
        return value if value.startswith("/") else None

    @property
    def env(self) -> dict[str, str]:
        """``Env``."""
        entries = [entry for entry in self.config.get("Env") or () if isinstance(entry, str) and "\0" not in entry]
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """``Entrypoint``."""
        value = self.config.get("Entrypoint")
        return tuple(map(str, value)) if isinstance(value, list) else ()

    @property
    def healthcheck(self) -> Mapping[str, Any] | None:
        """``Healthcheck``; None where it has none, or NONE."""
        value = self.config.get("Healthcheck")
        if not isinstance(value, dict) or value.get("Test") in (None, [], ["NONE"]):
            return None
        return value

    @property
    def shell(self) -> tuple[str, ...]:
        """``Shell``, or the one that Docker takes."""
        value = self.config.get("Shell")
        return tuple(map(str, value)) if isinstance(value, list) and value else ("/bin/sh", "-c")


def _text(value: object) -> str:
    return value if isinstance(value, str) and "\0" not in value else ""


def build_group(staging: Path) -> str:
    """The name of the control groups of what a build runs, by its staging folder: whoever finds that one left behind
    removes them with it."""
    return f"build-{staging.name.rpartition('.')[2]}"


class ImageStore:
    """The image store of a state folder."""

    def __init__(self, state: Path) -> None:
        """
        Args:
            state: the state folder.

        Raises:
            ImageError: the store can't be written.
        """
        self.state = state
        self.layout = state / "oci"
        try:
            for folder in (self.layout / "blobs" / "sha256", self.layout / "staging"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write("oci-layout", {"imageLayoutVersion": "1.0.0"})
            for entry in (self.layout / "staging").glob(".new.*"):
                if owner_gone(entry):
                    remove_cgroups(build_group(entry))
                    shutil.rmtree(entry, ignore_errors=True)
        except OSError as problem:
            raise ImageError(
                f"{self.layout}: can't be written ({problem.strerror}); run as root, or point AFFIDAVIT_STATE to "
                "another folder"
            ) from None

    @property
    def builder(self) -> Path:
        """Where buildah keeps its own storage."""
        return self.layout / "builder"

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder on the store's disk that is gone afterwards; a later affidavit removes a killed one's."""
        owner = Owner.me()
        folder = self.layout / "staging" / f".new.{owner.pid}.{owner.start}.{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep :meth:`clear` away for as long as the images are needed."""
        fd = os.open(self.layout / "use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield
        finally:
            os.close(fd)

    def images(self) -> tuple[StoredImage, ...]:
        """All images by name.

        Raises:
            ImageError: the store is damaged.
        """
        return tuple(sorted((self._image(entry) for entry in self._entries()), key=lambda image: image.name))

    def find(self, name: str) -> StoredImage | None:
        """The image of a name, None where there is none. Raises ImageError."""
        return next((self._image(entry) for entry in self._entries() if _annotation(entry, _NAME) == name), None)

    def built(self, key: str) -> StoredImage | None:
        """The image that was built from what `key` stands for, None where there is none. Raises ImageError."""
        return next((self._image(entry) for entry in self._entries() if _annotation(entry, _KEY) == key), None)

    def add(self, folder: Path, name: str, key: str = "", *, title: str = "") -> StoredImage:
        """Take an image in.

        Args:
            folder: in the form of the ``dir:`` transport, on the store's disk; what is in it is moved away.
            name: what it is to be called; another image of that name loses it.
            key: what it was built from.
            title: what it was built from, for people.

        Raises:
            ImageError: it is not what its digests say, or not for this machine.
        """
        manifest = _read(folder / "manifest.json", _MOST_DOCUMENT, name)
        found = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        document = _object(manifest, f"{name}: its manifest")
        blobs = _blobs(document, name)
        for blob in blobs:
            _check_blob(folder / blob.hex, blob, name)
        config = _object(_read(folder / blobs[0].hex, _MOST_DOCUMENT, name), f"{name}: its configuration")
        _check_platform(config, name)
        entry = {
            "mediaType": document.get("mediaType") if document.get("mediaType") in _MANIFESTS else _MANIFESTS[1],
            "digest": found,
            "size": len(manifest),
            "annotations": {
                _NAME: name,
                _ADDED: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                **({_KEY: key} if key else {}),
                **({_TITLE: title} if title else {}),
            },
        }
        with self._locked():
            for blob in blobs:
                self._take(folder / blob.hex, blob.hex)
            self._take(folder / "manifest.json", found.removeprefix("sha256:"))
            sync_file_system(self.layout)
            others = [other for other in self._entries() if _annotation(other, _NAME) != name]
            self._write("index.json", {"schemaVersion": 2, "manifests": [*others, entry]})
        return self._image(entry)

    def export(self, image: StoredImage, folder: Path) -> None:
        """Put an image into an empty folder of the store's disk, in the form of the ``dir:`` transport, by links.

        Raises:
            ImageError: the store is damaged.
        """
        digest = image.digest.removeprefix("sha256:")
        blobs = _blobs(_object(self._blob(digest), f"{image.name}: its manifest"), image.name)
        try:
            (folder / "version").write_text("Directory Transport Version: 1.1\n")
            os.link(self.layout / "blobs" / "sha256" / digest, folder / "manifest.json")
            for name in {blob.hex for blob in blobs}:
                os.link(self.layout / "blobs" / "sha256" / name, folder / name)
        except OSError as problem:
            raise ImageError(f"{image.name}: {problem}; remove it with affidavit prune --images") from None

    def clear(self) -> tuple[StoredImage, ...]:
        """Remove every image, what was unpacked of them, and the builder's storage.

        Returns:
            the images that were there.

        Raises:
            ImageError: a run or a build needs them, or they can't be removed.
        """
        fd = os.open(self.layout / "use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ImageError(f"{self.layout}: a run or a build uses images; try again when it is done") from None
            with self._locked():
                there = self.images()
                self._write("index.json", {"schemaVersion": 2, "manifests": []})
                layers: set[str] = set()
                for image in there:
                    manifest = _object(self._blob(image.digest.removeprefix("sha256:")), image.name)
                    layers |= {f"sha256:{blob.hex}" for blob in _blobs(manifest, image.name)[1:]}
                remove_image_layers(self.state, layers)
                for blob in (self.layout / "blobs" / "sha256").iterdir():
                    blob.unlink()
                if self.builder.exists():
                    shutil.rmtree(self.builder)
        except OSError as problem:
            raise ImageError(f"{problem.filename}: can't be removed: {problem.strerror}") from None
        finally:
            os.close(fd)
        return there

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.layout / "lock"):
            yield

    def _take(self, source: Path, name: str) -> None:
        target = self.layout / "blobs" / "sha256" / name
        if not target.exists() and source.exists():
            source.chmod(0o600)
            source.rename(target)

    def _write(self, name: str, document: object) -> None:
        path = self.layout / name
        text = json.dumps(document, indent=1)
        with contextlib.suppress(FileNotFoundError):
            if path.read_text() == text:
                return
        fresh = path.with_name(f".{name}.{uuid.uuid4().hex}")
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def _entries(self) -> Sequence[Mapping[str, Any]]:
        path = self.layout / "index.json"
        if not path.exists():
            return ()
        entries = _object(_read(path, _MOST_DOCUMENT, str(path)), str(path)).get("manifests")
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and _DIGEST.fullmatch(str(entry.get("digest"))) for entry in entries
        ):
            raise ImageError(f"{path}: is damaged; empty the store with affidavit prune --images --remove")
        return entries

    def _blob(self, name: str) -> bytes:
        path = self.layout / "blobs" / "sha256" / name
        return _read(path, _MOST_DOCUMENT, str(path))

    def _image(self, entry: Mapping[str, Any]) -> StoredImage:
        digest, name = str(entry["digest"]), _annotation(entry, _NAME)
        manifest = _object(self._blob(digest.removeprefix("sha256:")), f"{name}: its manifest")
        blobs = _blobs(manifest, name)
        config = _object(self._blob(blobs[0].hex), f"{name}: its configuration").get("config")
        return StoredImage(
            name=name,
            digest=digest,
            size=sum(blob.size for blob in blobs),
            key=_annotation(entry, _KEY),
            title=_annotation(entry, _TITLE),
            added=_annotation(entry, _ADDED),
            config=config if isinstance(config, dict) else {},
        )


@dataclass(frozen=True)
class _Blob:
    hex: str
    size: int


def _blobs(manifest: Mapping[str, Any], name: str) -> list[_Blob]:
    """What a manifest names: its configuration first, then its layers."""
    layers = manifest.get("layers")
    if manifest.get("schemaVersion") != 2 or not isinstance(layers, list):
        raise ImageError(f"{name}: its manifest is of a form that is not known here; only schema 2 is")
    if not 1 <= len(layers) <= _MOST_LAYERS:
        raise ImageError(f"{name}: it has {len(layers)} layers; from 1 to {_MOST_LAYERS} can be used")
    blobs = []
    for value in (manifest.get("config"), *layers):
        digest, size = (value.get("digest"), value.get("size")) if isinstance(value, dict) else (None, None)
        match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if match is None or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ImageError(f"{name}: its manifest names a part without a proper sha256 digest and size")
        if value.get("urls"):
            raise ImageError(f"{name}: a layer of it lies elsewhere than in its registry; such images can't be used")
        blobs.append(_Blob(match[1], size))
    if sum(blob.size for blob in blobs) > MOST_IMAGE_BYTES:
        raise ImageError(f"{name}: takes more than {MOST_IMAGE_BYTES >> 30} GiB")
    return blobs


def _check_blob(path: Path, blob: _Blob, name: str) -> None:
    wrong = f"{name}: the part sha256:{blob.hex} is not what its digest says; get the image again"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_size != blob.size:
                raise ImageError(wrong)
            if hashlib.file_digest(file, "sha256").hexdigest() != blob.hex:
                raise ImageError(wrong)
    except OSError:
        raise ImageError(wrong) from None


def _check_platform(config: Mapping[str, Any], name: str) -> None:
    wanted = _MACHINES.get(platform.machine(), platform.machine())
    found = (config.get("os", "linux"), config.get("architecture", wanted))
    if found != ("linux", wanted):
        raise ImageError(f"{name}: is for {found[0]}/{found[1]}, and this machine needs linux/{wanted}")


def _annotation(entry: Mapping[str, Any], key: str) -> str:
    annotations = entry.get("annotations")
    return _text(annotations.get(key)) if isinstance(annotations, dict) else ""


def _read(path: Path, most: int, name: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            data = file.read(most + 1)
    except OSError as problem:
        raise ImageError(f"{name}: {path.name} can't be read: {problem.strerror}") from None
    if len(data) > most:
        raise ImageError(f"{name}: {path.name} is larger than {most >> 20} MiB")
    return data


def _object(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ImageError(f"{name} is not JSON") from None
    if not isinstance(document, dict):
        raise ImageError(f"{name} is not a JSON object")
    return document
