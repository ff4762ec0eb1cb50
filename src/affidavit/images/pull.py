"""Pulling images from registries, by skopeo."""

import os
from pathlib import Path

from affidavit.images.errors import ImageError
from affidavit.images.reference import Reference, parse_reference
from affidavit.images.store import MOST_IMAGE_BYTES, ImageStore, StoredImage
from affidavit.images.tool import find_tool, last_words, run_tool

# What skopeo may know of the user's: where credentials and settings are, and how to get out.
_PASSED_ON = (
    "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
_ADVICE = (
    ("unauthorized", "log in with skopeo login, or see whether the name is right"),
    ("denied", "log in with skopeo login, or see whether the name is right"),
    ("manifest unknown", "see whether the registry has this tag"),
    ("no image found", "it has no image for this machine"),
    ("signature", "see /etc/containers/policy.json"),
)


def pull_image(store: ImageStore, name: str, *, timeout_s: float = 3600) -> StoredImage:
    """Get an image from its registry, also where the store has one of that name already.

    Args:
        store: where to.
        name: as in ``docker pull``.
        timeout_s: seconds it may take.

    Raises:
        ImageError: it can't be had.
    """
    reference = parse_reference(name)
    with store.in_use(), store.staging() as staging:
        folder = staging / "image"
        _copy(reference, folder, staging / "log", timeout_s)
        # A digest may be that of an index, of which only this machine's image was taken; skopeo has checked that one.
        return store.add(folder, str(reference))


def stored_or_pulled(store: ImageStore, name: str, *, timeout_s: float = 3600) -> StoredImage:
    """The image of that name which the store has, else the registry's. Raises ImageError."""
    return store.find(str(parse_reference(name))) or pull_image(store, name, timeout_s=timeout_s)


def _copy(reference: Reference, folder: Path, log: Path, timeout_s: float) -> None:
    skopeo = find_tool("skopeo", "skopeo")
    tls = ["--src-tls-verify=false"] if reference.on_loopback else []
    # Podman reads this variable; this skopeo needs it set.
    settings = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    registries = ["--registries-conf", os.path.abspath(settings)] if settings else []  # noqa: PTH100
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        status = run_tool(
            [skopeo, *registries, "copy", "--quiet", *tls, reference.source, f"dir:{folder}"],
            env,
            log,
            timeout_s=timeout_s,
            writes_to=folder.parent,
            most_bytes=MOST_IMAGE_BYTES,
        )
    except ImageError as problem:
        raise ImageError(f"{reference}: the pull {problem}") from None
    if status != 0:
        said = last_words(log)
        advice = next((text for sign, text in _ADVICE if sign in said), "see whether the registry can be reached")
        raise ImageError(f"{reference}: can't be pulled: {said}; {advice}")
