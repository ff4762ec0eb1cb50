"""Which root file system a task wants, and what an OCI image says of itself."""

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from affidavit.tasks.errors import TaskError

_MAX_JSON = 4 << 20
_MAX_DEPTH = 4
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Rootfs:
    """A root file system.

    Attributes:
        kind: ``host`` (the machine's /usr and a made-up rest), ``tarball``, ``oci`` (an image layout: its folder, or
            the folder as a tar archive), ``dockerfile`` (to be built) or ``registry`` (to be pulled). The last two
            become ``oci`` when the image is there.
        source: the tarball, the layout, or the folder that holds the Dockerfile; None for the others.
        reference: the image's name; empty where it has none.
        manifest: digest of the image's manifest, where it was built or pulled.
    """

    kind: Literal["host", "tarball", "oci", "dockerfile", "registry"]
    source: Path | None = None
    reference: str = ""
    manifest: str | None = None

    @property
    def to_be_had(self) -> bool:
        """Whether its image is still to be built or pulled."""
        return self.kind in ("dockerfile", "registry")

    @property
    def is_image(self) -> bool:
        """Whether it is an image's, had already or not."""
        return self.to_be_had or self.kind == "oci"


@dataclass(frozen=True)
class TaskUser:
    """Who the agent runs as; same fields as :class:`affidavit.sandbox.User`."""

    uid: int = 1000
    gid: int = 1000
    name: str = "agent"
    home: str = "/home/agent"


@dataclass(frozen=True)
class ImageSettings:
    """What an image's configuration says (OCI image-spec, config.md).

    Attributes:
        user: ``User`` as it stands there: empty, ``uid``, ``uid:gid``, or names.
        workdir: ``WorkingDir``, None where it has none.
        env: ``Env``.
    """

    user: str
    workdir: str | None
    env: dict[str, str]


def image_settings(layout: Path) -> ImageSettings:
    """Read the configuration of the first Linux image of an OCI image layout.

    Raises:
        TaskError: there is no such image, or the layout is broken.
    """
    try:
        index = _read_json(layout, "index.json")
        for _ in range(_MAX_DEPTH):
            if "manifests" not in index:
                break
            index = _read_blob(layout, _linux(index["manifests"])["digest"])
        config = _read_blob(layout, index["config"]["digest"]).get("config") or {}
        env = dict(entry.split("=", 1) for entry in config.get("Env") or ())
        workdir = config.get("WorkingDir") or None
        user = config.get("User") or ""
        if not (isinstance(user, str) and (workdir is None or str(workdir).startswith("/"))):
            raise ValueError("User or WorkingDir")
    except OSError as error:
        raise TaskError(f"{layout}: is not an OCI image layout: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, tarfile.TarError) as error:
        raise TaskError(
            f"{layout}: is not an OCI image layout that can be read ({type(error).__name__}: {error})"
        ) from error
    return ImageSettings(user, workdir, env)


def _linux(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The entry for Linux; entries without a platform count as such (attestations call themselves "unknown")."""
    return next(entry for entry in manifests if entry.get("platform", {}).get("os", "linux") == "linux")


def _read_blob(layout: Path, digest: str) -> Any:
    match = _DIGEST.fullmatch(digest)
    if not match:
        raise ValueError(f"digest {digest[:80]!r}")
    return _read_json(layout, f"blobs/sha256/{match[1]}")


def _read_json(layout: Path, name: str) -> Any:
    if layout.is_dir():
        with (layout / name).open("rb") as file:
            return json.loads(file.read(_MAX_JSON))
    with tarfile.open(layout) as archive:
        for candidate in (name, f"./{name}"):
            try:
                member = archive.extractfile(candidate)
            except KeyError:
                continue
            if member is not None:
                return json.loads(member.read(_MAX_JSON))
    raise KeyError(name)
