"""``affidavit image`` and ``prune --images``."""

import json
import shutil
from pathlib import Path

import pytest

from harness import Command


@pytest.fixture(autouse=True)
def own_state(affidavit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder for one test: it is emptied."""
    monkeypatch.setenv("AFFIDAVIT_STATE", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Dockerfile that needs no other image."""
    if not all(shutil.which(name) for name in ("buildah", "bwrap", "skopeo")):
        pytest.skip("buildah, bwrap, skopeo: not installed")
    (tmp_path / "task" / "environment").mkdir(parents=True)
    (tmp_path / "task" / "environment" / "Dockerfile").write_text("FROM scratch\nARG A=1\nCOPY file /\n")
    (tmp_path / "task" / "environment" / "file").write_text("x")
    return tmp_path / "task"


def test_building_listing_and_removing(affidavit: Command, folder: Path) -> None:
    built = json.loads(affidavit("image", "build", folder, "--json").out)
    assert built["built_from"] == str(folder / "environment")
    again = json.loads(affidavit("image", "build", folder / "environment", "--json").out)
    assert again == built
    other = json.loads(affidavit("image", "build", folder, "--build-arg", "A=2", "--json").out)
    assert other["name"] != built["name"]
    listed = json.loads(affidavit("image", "list", "--json").out)["images"]
    assert {image["name"] for image in listed} == {built["name"], other["name"]}
    assert built["digest"][:19] in affidavit("image", "list").out
    assert "2 images to remove: affidavit prune --images --remove" in affidavit("prune", "--images").out
    assert "2 images removed" in affidavit("prune", "--images", "--remove").out
    assert affidavit("image", "list").out == "no images\n"


def test_wrong_use(affidavit: Command, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "Dockerfile").write_text("FROM scratch\nRUN --security=insecure true\n")
    for arguments, says in (
        (("image", "build", tmp_path / "wrong"), "wrong/Dockerfile:2: RUN --security=insecure is not allowed here"),
        (("image", "build", tmp_path), "holds no Dockerfile and no environment/Dockerfile"),
        (("image", "build", tmp_path / "wrong", "--build-arg", "A"), "--build-arg A: must be NAME=VALUE"),
        (("image", "pull", "Not A Name"), "is not an image name"),
        (("image", "pull", "127.0.0.1:1/x"), "can't be pulled"),
    ):
        ran = affidavit(*arguments)
        assert (ran.status, ran.out) == (2, "")
        [line] = ran.err.splitlines()
        assert says in line
