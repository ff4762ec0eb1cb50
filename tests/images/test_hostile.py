"""Dockerfiles, images and registries that mean harm: nothing reaches the machine, and each ends in one clear line."""

import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from making import MANIFEST, folder, layer, member, programs_layer, push, write_image

from affidavit.images import ImageError, ImageStore, build_image, pull_image
from affidavit.sandbox import SandboxError, User, oci_rootfs

SECRET = "what no build may see"
Build = Callable[..., Any]


def one_line(error: Exception) -> str:
    """The text of an error, which must be one line."""
    text = str(error)
    assert "\n" not in text
    return text


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the machine's, beside the build's folder."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


@pytest.fixture
def build(host: str, shared: ImageStore, tmp_path: Path) -> Build:
    """Builds a Dockerfile; gives the texts of all files of the image's own layers, or the error."""

    def build(text: str, **options: Any) -> list[str] | str:
        place = tmp_path / "environment"
        place.mkdir(exist_ok=True)
        (place / "Dockerfile").write_text(text.replace("BASE", f"{host}/base"))
        try:
            image = build_image(shared, place, timeout_s=300, **options)
        except ImageError as error:
            return one_line(error)
        rootfs = oci_rootfs(shared.state, shared.layout, User(), 1 << 32, manifest=image.digest)
        own = [top for top in rootfs.layers if not (top / "usr/bin/bash").exists()]
        files = [path for top in own for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
        return [path.read_bytes()[:10_000].decode("utf-8", "replace") for path in files]

    return build


@pytest.mark.parametrize(
    "what",
    [
        "COPY {up}secret /x",
        "COPY link /x",
        "COPY folder/secret /x",
        "ADD link /x",
        "RUN --mount=type=bind,source=folder,target=/m cat /m/secret >/x; true",
        "RUN --mount=type=bind,source=link,target=/m cat /m >/x; true",
        "RUN --mount=type=cache,id=../../../../../..,target=/m cat /m{path} >/x; true",
        "RUN --mount=type=bind,from=BASE,source=../../../..,target=/m cat /m{path} >/x; true",
        "RUN cat /proc/1/root{path} /proc/self/cwd{path} /host{path} >/x; true",
        "RUN mknod /d b 8 0 && cat /d >/x; true",
    ],
)
def test_no_file_of_the_machine_comes_in(build: Build, tmp_path: Path, secret: Path, what: str) -> None:
    place = tmp_path / "environment"
    place.mkdir()
    (place / "link").symlink_to(secret)
    (place / "folder").symlink_to(tmp_path)
    found = build("FROM BASE\n" + what.format(up="../" * 12 + str(tmp_path)[1:] + "/", path=secret) + "\n")
    if isinstance(found, str):
        assert "Dockerfile:2: " in found
    else:
        assert not any(SECRET in text for text in found)


def test_a_dockerfile_or_folder_that_is_a_link(shared: ImageStore, tmp_path: Path, secret: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Dockerfile").symlink_to(secret)
    with pytest.raises(ImageError, match=r"a/Dockerfile: is a link; put the file itself there"):
        build_image(shared, tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ImageError, match=r"b: is a link; name the folder itself"):
        build_image(shared, tmp_path / "b")


@pytest.mark.parametrize("name", ["oci:/etc", "dir:/context", "docker-archive:/context/x", "../x", "a/../../b"])
def test_bases_from_elsewhere_than_a_registry(build: Build, name: str) -> None:
    assert "Dockerfile:1: " in build(f"FROM {name}\n")
    assert "Dockerfile:2: " in build(f"FROM BASE\nCOPY --from={name} / /\n")


def test_an_archive_that_leads_out_is_added(build: Build, tmp_path: Path) -> None:
    place = tmp_path / "environment"
    place.mkdir()
    out = "../" * 12 + str(tmp_path)[1:]
    content = layer(
        member(f"{out}/written", b"x"),
        member("up", type=tarfile.SYMTYPE, linkname="/" + out),
        member("up/written", b"x"),
        member("dev", type=tarfile.CHRTYPE, devmajor=1, devminor=1),
    )
    (place / "archive.tar").write_bytes(content)
    build("FROM BASE\nADD archive.tar /opt/\n")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ("COPY --from=registry.example/evil / /", "Dockerfile:"),
        ("ADD http://127.0.0.1:1/x /x", "Dockerfile:"),
        ("RUN touch /triggered", None),
    ],
)
def test_triggers_of_a_base(
    host: str, build: Build, shared: ImageStore, tmp_path: Path, trigger: str, says: str | None
) -> None:
    name = f"{host}/trigger:{hashlib.sha256(trigger.encode()).hexdigest()[:8]}"
    write_image(tmp_path / "i", programs_layer(), config={"OnBuild": [trigger]}, compress=True)
    push(tmp_path / "i", name)
    found = build(f"FROM {name}\n")
    assert isinstance(found, list) if says is None else says in found


def _layers(outside: Path) -> dict[str, bytes]:
    up = "../" * 12 + str(outside)[1:]
    return {
        "a name that leads out": layer(member(f"{up}/written", b"x")),
        "an absolute name": layer(member(f"{outside}/written", b"x")),
        "a link to the outside": layer(
            member("l", type=tarfile.SYMTYPE, linkname=str(outside)), member("l/written", b"x")
        ),
        "a link up": layer(member("l", type=tarfile.SYMTYPE, linkname=up), member("l/written", b"x")),
        "a hard link to the outside": layer(member("written", type=tarfile.LNKTYPE, linkname=f"{up}/kept")),
        "a whiteout of the folder above": layer(member("a/.wh...", b""), member(".wh...", b"")),
        "a whiteout through a link": layer(
            member("l", type=tarfile.SYMTYPE, linkname=str(outside)), member("l/.wh.kept", b"")
        ),
        "an opaque folder through a link": layer(
            member("l", type=tarfile.SYMTYPE, linkname=str(outside)), member("l/.wh..wh..opq", b"")
        ),
        "a device node": layer(member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0)),
        "half an archive": layer(member("f", b"x" * 5000))[:3000],
        "no archive": b"\0\1\2" * 1000,
    }


@pytest.mark.parametrize("what", _layers(Path("/x")))
def test_layers(host: str, store: ImageStore, build: Build, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    name = f"{host}/layer:{hashlib.sha256(what.encode()).hexdigest()[:8]}"
    write_image(tmp_path / "i", programs_layer(), _layers(outside)[what], compress=True)
    push(tmp_path / "i", name)
    # As a base of a build, and as a sandbox's root file system.
    build(f"FROM {name}\nRUN true\n")
    image = pull_image(store, name)
    try:
        rootfs = oci_rootfs(store.state, store.layout, User(), 1 << 30, manifest=image.digest)
    except SandboxError as error:
        one_line(error)
    else:
        assert not any(path.is_block_device() for top in rootfs.layers for path in top.rglob("*"))
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"
    assert (outside / "kept").stat().st_nlink == 1


def test_a_layer_that_is_a_bomb(host: str, store: ImageStore, tmp_path: Path) -> None:
    sparse = tarfile.TarInfo("zeros")
    sparse.size = 1 << 28
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(sparse, io.BytesIO(bytes(1 << 28)))
    write_image(tmp_path / "i", out.getvalue(), compress=True)
    push(tmp_path / "i", f"{host}/bomb")
    image = pull_image(store, f"{host}/bomb")
    assert image.size < 1 << 20
    with pytest.raises(SandboxError, match="takes more than 64 MiB unpacked"):
        oci_rootfs(store.state, store.layout, User(), 64 << 20, manifest=image.digest)


@contextmanager
def lying(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """A registry that gives answers by path; others are not there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path, (404, {}, b"{}"))
            if self.path == "/v2/":
                status, headers, body = 200, {}, b"{}"
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _answers(how: str, secret: Path) -> dict[str, tuple[int, dict[str, str], bytes]]:
    content = gzip.compress(layer(folder("a")), mtime=0)
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    digest, about = (f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (content, config))
    size = 1 << 50 if how == "a size of a petabyte" else len(content)
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": about, "size": len(config)},
        "layers": [{"mediaType": kind, "digest": digest, "size": size}],
    }
    if how == "a layer that lies elsewhere":
        document["layers"][0] |= {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "urls": [f"file://{secret}", "http://127.0.0.1:1/x"],
        }
    manifest = json.dumps(document).encode()
    if how == "a manifest that is none":
        manifest = b"[" * 10_000
    if how == "a manifest that is huge":
        manifest = b" " * (8 << 20)
    blob: tuple[int, dict[str, str], bytes] = (200, {}, content)
    if how == "a layer with another content":
        blob = (200, {}, content[:-1] + b"x")
    if how == "a layer that is cut off":
        blob = (200, {"Content-Length": str(len(content) - 10)}, content[:-10])
    if how == "a redirect to a file":
        blob = (307, {"Location": f"file://{secret}"}, b"")
    if how == "a redirect without an end":
        blob = (307, {"Location": f"/v2/x/blobs/{digest}"}, b"")
    return {
        "/v2/x/manifests/latest": (200, {"Content-Type": MANIFEST}, manifest),
        f"/v2/x/manifests/sha256:{'0' * 64}": (200, {"Content-Type": MANIFEST}, manifest),
        f"/v2/x/blobs/{digest}": blob,
        f"/v2/x/blobs/{about}": (200, {}, config),
    }


@pytest.mark.parametrize(
    "how",
    [
        "a size of a petabyte",
        "a layer that lies elsewhere",
        "a manifest that is none",
        "a manifest that is huge",
        "a layer with another content",
        "a layer that is cut off",
        "a redirect to a file",
        "a redirect without an end",
    ],
)
def test_a_registry_that_lies(host: str, store: ImageStore, secret: Path, how: str) -> None:
    with lying(_answers(how, secret)) as liar, pytest.raises(ImageError, match=f"^{liar}/x:latest: ") as raised:
        pull_image(store, f"{liar}/x", timeout_s=120)
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)
    assert store.images() == ()
    assert not [*(store.layout / "blobs/sha256").iterdir()]
    assert not [*(store.layout / "staging").iterdir()]


def test_a_registry_that_gives_another_image_than_the_pinned_one(host: str, store: ImageStore, secret: Path) -> None:
    with lying(_answers("honest", secret)) as liar:
        with pytest.raises(ImageError, match=r"can't be pulled"):
            pull_image(store, f"{liar}/x@sha256:{'0' * 64}", timeout_s=120)
        assert pull_image(store, f"{liar}/x", timeout_s=120).digest.startswith("sha256:")
