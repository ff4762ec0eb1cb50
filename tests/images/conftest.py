"""Fixtures: a registry on loopback with a base image in it, and an empty image store."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from making import missing, programs_layer, push, registry, write_image

from affidavit.images import ImageStore


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback that has the image ``base``: a shell, a few programs, the users root and web."""
    if os.geteuid() != 0:
        pytest.skip("sandboxes need root")
    if reason := missing(("docker-registry", "skopeo", "buildah", "bwrap", "runc")):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder / "registry") as host:
        write_image(folder / "base", programs_layer(), compress=True)
        push(folder / "base", f"{host}/base")
        yield host


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty image store."""
    return ImageStore(tmp_path / "state")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """A store that the tests of builds share, so that the base image is unpacked once."""
    return ImageStore(tmp_path_factory.mktemp("shared") / "state")
