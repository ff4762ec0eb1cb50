"""The image store."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from making import folder, layer, member, write_image

from affidavit.images import ImageError, ImageStore


def _image(store: ImageStore, name: str, content: bytes = b"x", **more: object) -> Path:
    place = store.layout / "staging" / name
    write_image(place, layer(folder("a"), member("a/file", content)), **more)
    return place


def test_images_by_name_and_key(store: ImageStore) -> None:
    first = store.add(_image(store, "one"), "one")
    second = store.add(_image(store, "two", b"y", config={"User": "web", "WorkingDir": "/srv"}), "two", "k", title="T")
    assert store.images() == (first, second)
    assert store.find("one") == first
    assert store.built("k") == second
    assert (second.user, second.workdir, second.env, second.title) == ("web", "/srv", {"PATH": "/usr/bin:/bin"}, "T")
    assert store.find("three") is None
    # What another process finds.
    assert ImageStore(store.state).images() == (first, second)


def test_a_name_moves_to_the_newer_image(store: ImageStore) -> None:
    store.add(_image(store, "one"), "name")
    newer = store.add(_image(store, "two", b"y"), "name")
    assert store.images() == (newer,)


def test_export_is_what_was_added(store: ImageStore, tmp_path: Path) -> None:
    digest = write_image(tmp_path / "state" / "x", layer(member("f", b"1")), layer(member("f", b"1")))
    image = store.add(tmp_path / "state" / "x", "x")
    out = tmp_path / "state" / "out"
    out.mkdir()
    store.export(image, out)
    assert image.digest == digest
    assert store.add(out, "again").digest == digest


def _lie(place: Path, what: str) -> None:
    manifest = json.loads((place / "manifest.json").read_text())
    blob = place / manifest["layers"][0]["digest"].removeprefix("sha256:")
    if what == "content":
        blob.write_bytes(b"z" * blob.stat().st_size)
    elif what == "longer":
        blob.write_bytes(blob.read_bytes() + b"\0")
    elif what == "link":
        blob.unlink()
        blob.symlink_to("/etc/passwd")
    elif what == "missing":
        blob.unlink()
    elif what == "pipe":
        blob.unlink()
        os.mkfifo(blob)
    else:
        manifest["layers"][0] |= json.loads(what)
        (place / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("what", ["content", "longer", "link", "missing", "pipe", '{"size": 1}'])
def test_a_part_that_is_not_what_its_digest_says(store: ImageStore, what: str) -> None:
    place = _image(store, "one")
    _lie(place, what)
    with pytest.raises(ImageError, match=r"one: the part sha256:[0-9a-f]{64} is not what its digest says"):
        store.add(place, "one")
    assert store.images() == ()
    assert not [*(store.layout / "blobs/sha256").iterdir()]


@pytest.mark.parametrize(
    "what", ['{"digest": "sha256:../../../etc/passwd"}', '{"digest": 1}', '{"digest": "md5:00"}', '{"size": -1}']
)
def test_a_digest_that_is_none(store: ImageStore, what: str) -> None:
    place = _image(store, "one")
    _lie(place, what)
    with pytest.raises(ImageError, match="without a proper sha256 digest and size"):
        store.add(place, "one")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("[" * 100_000, "its manifest is not JSON"),
        ("[]", "its manifest is not a JSON object"),
        ('{"schemaVersion": 1, "fsLayers": []}', "only schema 2 is"),
        ('{"schemaVersion": 2, "layers": []}', "it has 0 layers"),
        (json.dumps({"schemaVersion": 2, "layers": [{}] * 300}), "it has 300 layers"),
        (" " * (5 << 20), "manifest.json is larger than 4 MiB"),
    ],
)
def test_manifests_that_are_none(store: ImageStore, manifest: str, message: str) -> None:
    place = _image(store, "one")
    (place / "manifest.json").write_text(manifest)
    with pytest.raises(ImageError, match=message):
        store.add(place, "one")


def test_too_large_by_what_it_says(store: ImageStore) -> None:
    place = _image(store, "one")
    _lie(place, f'{{"size": {1 << 40}}}')
    with pytest.raises(ImageError, match="takes more than 32 GiB"):
        store.add(place, "one")


def test_for_another_machine(store: ImageStore) -> None:
    place = store.layout / "staging" / "other"
    write_image(place, layer(member("f")))
    manifest = json.loads((place / "manifest.json").read_text())
    config = place / manifest["config"]["digest"].removeprefix("sha256:")
    write_image(store.layout / "staging" / "mine", config.read_bytes())
    about = json.loads(config.read_text()) | {"architecture": "s390x"}
    text = json.dumps(about).encode()
    import hashlib

    digest = hashlib.sha256(text).hexdigest()
    (place / digest).write_bytes(text)
    manifest["config"] |= {"digest": f"sha256:{digest}", "size": len(text)}
    (place / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ImageError, match="is for linux/s390x, and this machine needs"):
        store.add(place, "other")


def test_a_killed_writer_leaves_nothing(store: ImageStore) -> None:
    context = multiprocessing.get_context("fork")

    def write() -> None:
        with store.staging() as staging:
            (staging / "half").write_text("half")
            os._exit(9)

    process = context.Process(target=write)
    process.start()
    process.join()
    assert len([*(store.layout / "staging").iterdir()]) == 1
    again = ImageStore(store.state)
    assert not [*(again.layout / "staging").iterdir()]
    assert again.images() == ()


def test_two_at_once(store: ImageStore) -> None:
    context = multiprocessing.get_context("fork")

    def write(number: int) -> None:
        for index in range(5):
            name = f"{number}-{index}"
            ImageStore(store.state).add(_image(store, name, name.encode()), name)

    processes = [context.Process(target=write, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {image.name for image in store.images()} == {
        f"{number}-{index}" for number in range(4) for index in range(5)
    }


def test_clearing(store: ImageStore) -> None:
    image = store.add(_image(store, "one"), "one")
    with store.in_use(), pytest.raises(ImageError, match="a run or a build uses images"):
        ImageStore(store.state).clear()
    assert store.images() == (image,)
    assert store.clear() == (image,)
    assert store.images() == ()
    assert not [*(store.layout / "blobs/sha256").iterdir()]


def test_a_damaged_index(store: ImageStore) -> None:
    (store.layout / "index.json").write_text('{"manifests": [{"digest": "sha256:../x"}]}')
    with pytest.raises(ImageError, match=r"index\.json: is damaged"):
        store.images()
