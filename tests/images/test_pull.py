"""Pulling from a registry on loopback."""

from pathlib import Path

import pytest
from making import layer, member, push, write_image

from affidavit.images import ImageError, ImageStore, pull_image, stored_or_pulled


def test_pinned_by_digest(host: str, store: ImageStore, tmp_path: Path) -> None:
    first = write_image(tmp_path / "1", layer(member("f", b"1")), compress=True)
    push(tmp_path / "1", f"{host}/moving:tag")
    assert pull_image(store, f"{host}/moving:tag").digest == first
    second = write_image(tmp_path / "2", layer(member("f", b"2")), compress=True)
    push(tmp_path / "2", f"{host}/moving:tag")
    # The store's stays what the name means until somebody pulls again.
    assert stored_or_pulled(store, f"{host}/moving:tag").digest == first
    assert pull_image(store, f"{host}/moving:tag").digest == second
    assert pull_image(store, f"{host}/moving@{first}").digest == first
    assert [image.name for image in store.images()] == [f"{host}/moving:tag", f"{host}/moving@{first}"]


def test_a_name_on_a_mirror(host: str, store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "registries.conf"
    settings.write_text(f'[[registry]]\nprefix = "docker.io/library"\nlocation = "{host}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
    assert pull_image(store, "base").name == "docker.io/library/base:latest"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("base:gone", r"base:gone: can't be pulled: .*manifest unknown; see whether the registry has this tag$"),
        ("base@sha256:" + "0" * 64, r"can't be pulled: .*manifest unknown"),
    ],
)
def test_what_is_not_there(host: str, store: ImageStore, name: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        pull_image(store, f"{host}/{name}")
    assert store.images() == ()
    assert not [*(store.layout / "staging").iterdir()]


def test_nobody_there(host: str, store: ImageStore) -> None:
    with pytest.raises(ImageError, match=r"can't be pulled: .*connection refused; see whether the registry can be"):
        pull_image(store, "127.0.0.1:1/x")
