"""Root file systems: the host's, tar archives, OCI image layouts."""

import gzip
import hashlib
import io
import json
import os
import platform
import stat
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from affidavit.sandbox import (
    RootFilesystem,
    SandboxError,
    User,
    clean_stale,
    host_rootfs,
    lay_over,
    oci_rootfs,
    tarball_rootfs,
)
from affidavit.sandbox.kernel import unmount
from affidavit.sandbox.layers import mount_overlay

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]

# Far more than any of these takes.
MOST = 64 << 20


def entry(name: str, content: bytes | None = None, **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    if content is None and "type" not in attributes:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    info.size = len(content or b"")
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content or b""


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def tarball(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    path.write_bytes(archive(*entries))
    return path


class ImageLayout:
    """An OCI image layout in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes) -> dict[str, Any]:
        value = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / value).write_bytes(content)
        return {"digest": f"sha256:{value}", "size": len(content), "mediaType": "application/octet-stream"}

    def document(self, value: object) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode())

    def manifest(self, *layers: bytes, architecture: str = ARCHITECTURE, **config: object) -> dict[str, Any]:
        settings = self.document({"os": "linux", "architecture": architecture, "config": config})
        described = self.document({"config": settings, "layers": [self.blob(layer) for layer in layers]})
        return {**described, "mediaType": "application/vnd.oci.image.manifest.v1+json"}

    def index(self, *manifests: dict[str, Any]) -> Path:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(manifests)}))
        return self.folder


@pytest.fixture
def layout(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "layout")


PASSWD = b"root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34:web:/srv/web:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:\n"


def own(folder: Path, rootfs: RootFilesystem) -> Path:
    """The lowest layer."""
    return rootfs.layers[-1]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_headers_that_take_gigabytes(state: Path, tmp_path: Path, kind: bytes) -> None:
    """They are read whole before a member is one, and compress to next to nothing."""
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 1 << 31
    path = tmp_path / "root.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(SandboxError, match="a header of 2147483648 bytes"):
        tarball_rootfs(state, path, User(), MOST)


def test_host_tells_nothing_of_the_machine(state: Path) -> None:
    rootfs = host_rootfs(state, User(1234, 1235, "worker", "/home/worker"))
    (layer,) = rootfs.layers
    assert rootfs.host_usr
    assert stat.S_IMODE((layer / "tmp").stat().st_mode) == 0o1777
    assert ((layer / "home/worker").stat().st_uid, (layer / "home/worker").stat().st_gid) == (1234, 1235)
    assert "worker:x:1234:1235" in (layer / "etc/passwd").read_text()
    names = {path.name for path in (layer / "etc").iterdir()}
    assert not names & {
        "shadow",
        "gshadow",
        "sudoers",
        "ssh",
        "pip.conf",
        "npmrc",
        "gitconfig",
        "environment",
        "machine-id0",
    }
    assert not (layer / "etc/ssl/private").exists()
    assert (layer / "etc/hostname").read_text() == "sandbox\n"
    assert host_rootfs(state, User(1234, 1235, "worker", "/home/worker")) == rootfs
    assert host_rootfs(state, User()).digest != rootfs.digest


def test_laying_over(state: Path, rootfs: RootFilesystem, tmp_path: Path, run: Callable[..., Any]) -> None:
    source = tmp_path / "root"
    (source / "workspace/sub").mkdir(parents=True)
    (source / "workspace/run.sh").write_text("echo ran\n")
    (source / "workspace/run.sh").chmod(0o4755)
    (source / "workspace/link").symlink_to("run.sh")
    (source / "tmp").mkdir()
    (source / "tmp/file").write_text("x")
    (source / "etc").mkdir()
    (source / "etc/extra").write_text("extra\n")
    over = lay_over(rootfs, source, state)
    assert over.layers[1:] == rootfs.layers
    ran = run(
        "runc",
        "/bin/sh",
        "-c",
        "./link; cat /etc/extra; stat -c '%a %u %n' . sub run.sh link /tmp /tmp/file /etc /etc/extra; touch sub/new",
        rootfs=over.layers,
    )
    assert ran.stdout.splitlines() == [
        "ran",
        "extra",
        "755 1000 .",
        "755 1000 sub",
        "755 1000 run.sh",
        "777 1000 link",
        "1777 0 /tmp",
        "644 1000 /tmp/file",
        "755 0 /etc",
        "644 1000 /etc/extra",
    ]
    assert ran.exit.code == 0
    (source / "workspace/run.sh").write_text("echo other\n")
    assert lay_over(rootfs, source, state).digest != over.digest


def test_laying_over_refuses_what_is_no_file(state: Path, rootfs: RootFilesystem, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    os.mkfifo(tmp_path / "root/fifo")
    with pytest.raises(SandboxError, match="fifo: only files"):
        lay_over(rootfs, tmp_path / "root", state)


@pytest.mark.parametrize(
    ("folder", "message"), [("usr/lib", "machine's /usr"), ("bin", "put the files where it leads")]
)
def test_laying_over_hides_no_programs(
    state: Path, rootfs: RootFilesystem, tmp_path: Path, folder: str, message: str
) -> None:
    (tmp_path / "root" / folder).mkdir(parents=True)
    with pytest.raises(SandboxError, match=message):
        lay_over(rootfs, tmp_path / "root", state)


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz", "zstd"])
def test_tarball(state: Path, tmp_path: Path, compression: str) -> None:
    content = archive(
        entry("./", mode=0o755),
        entry("./bin"),
        entry("./bin/tool", b"#!" + compression.encode(), mode=0o4755, uid=7, gid=8, mtime=1000),
        link("sbin", "bin"),
        entry("sbin/other", b"by the link"),
        entry("hard", type=tarfile.LNKTYPE, linkname="bin/tool"),
        entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("bin/tool.wh", b""),
        entry(".wh.kept", b"an ordinary name here"),
        entry("a/b/c", b"no folders named"),
    )
    path = tmp_path / "root.tar"
    if compression == "zstd":
        content = pa.compress(content, codec="zstd", asbytes=True)
    elif compression:
        module = {"gz": "gzip", "bz2": "bz2", "xz": "lzma"}[compression]
        content = __import__(module).compress(content)
    path.write_bytes(content)
    rootfs = tarball_rootfs(state, path, User(), MOST)
    layer = rootfs.layers[-1]
    info = (layer / "bin/tool").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), info.st_mtime) == (7, 8, 0o4755, 1000)
    assert (layer / "hard").stat().st_ino == info.st_ino
    assert (layer / "bin/other").read_text() == "by the link"
    assert (layer / "sbin").readlink() == Path("bin")
    assert (layer / "a/b/c").read_text() == "no folders named"
    assert (layer / ".wh.kept").exists()
    assert not (layer / "dev/null").exists()
    assert not rootfs.host_usr
    assert rootfs.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("../out", b"x")], "leads out"),
        ([entry("a/../../out", b"x")], "leads out"),
        ([entry("hard", type=tarfile.LNKTYPE, linkname="../../../../etc/passwd")], "leads out"),
        ([entry("hard", type=tarfile.LNKTYPE, linkname="/etc/hostname")], "does not come before"),
        ([entry("file", b"x"), entry("file/below", b"x")], "can't be unpacked"),
    ],
)
def test_tarball_that_leads_out(
    state: Path, tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], message: str
) -> None:
    before = {path.name for path in (state / "layers").iterdir()}
    with pytest.raises(SandboxError, match=message):
        tarball_rootfs(state, tarball(tmp_path / "root.tar", *entries), User(), MOST)
    assert not (tmp_path / "out").exists()
    assert {path.name for path in (state / "layers").iterdir()} == before, "no half layer"


def test_tarball_links_stay_inside(state: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tarball(
        tmp_path / "root.tar",
        link("absolute", str(outside)),
        link("up", "../../../../../../../../../../" + str(outside)),
        entry(str(outside).lstrip("/")),
        entry("absolute/a", b"x"),
        entry("up/b", b"x"),
    )
    layer = tarball_rootfs(state, path, User(), MOST).layers[-1]
    assert list(outside.iterdir()) == []
    assert {inside.name for inside in (layer / str(outside).lstrip("/")).iterdir()} == {"a", "b"}


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, archive(entry("a", b"x" * 5000))[:2000]])
def test_tarball_that_is_none(state: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "root.tar"
    path.write_bytes(content)
    with pytest.raises(SandboxError, match=r"root\.tar"):
        tarball_rootfs(state, path, User(), MOST)
    with pytest.raises(SandboxError, match=r"missing\.tar: can't be read"):
        tarball_rootfs(state, tmp_path / "missing.tar", User(), MOST)


def test_image_layers_and_whiteouts(state: Path, layout: ImageLayout, tmp_path: Path) -> None:
    files = {"etc/passwd": PASSWD, "etc/group": GROUP, "a/1": b"1", "a/2": b"2", "b/1": b"1", "c": b"c"}
    lowest = archive(*(entry(name, content) for name, content in files.items()))
    middle = archive(entry("a/.wh.1", b""), entry("b/.wh..wh..opq", b""), entry("b/2", b"2"), entry(".wh.c", b""))
    top = archive(entry("c", b"again"), entry("d"), entry("d/.wh.gone", b""), entry(".wh..wh.plnk", b""))
    layers = [gzip.compress(lowest), pa.compress(middle, codec="zstd", asbytes=True), top]
    manifest = layout.manifest(*layers, Env=["PATH=/bin", "A=b=c"], WorkingDir="/srv", User="web:staff", Cmd=["sh"])
    rootfs = oci_rootfs(state, layout.index(manifest), None, MOST)
    assert rootfs.digest == manifest["digest"]
    assert rootfs.user == User(33, 50, "web", "/srv/web")
    assert rootfs.env == {"PATH": "/bin", "A": "b=c"}
    assert (rootfs.workdir, rootfs.command) == ("/srv", ("sh",))
    for part in ("upper", "work", "merged"):
        (tmp_path / part).mkdir()
    merged = tmp_path / "merged"
    mount_overlay(rootfs.layers, tmp_path / "upper", tmp_path / "work", merged)
    try:
        seen = {str(path.relative_to(merged)): path.read_text() for path in merged.rglob("*") if path.is_file()}
    finally:
        unmount(merged)
    assert seen["etc/passwd"].encode() == PASSWD
    assert "localhost" in seen["etc/hosts"]
    assert {name: text for name, text in seen.items() if not name.startswith("etc/")} == {
        "a/2": "2",
        "b/2": "2",
        "c": "again",
    }


def test_image_as_a_tar_archive(state: Path, layout: ImageLayout, tmp_path: Path) -> None:
    folder = layout.index(layout.manifest(archive(entry("file", b"packed"))))
    packed = tmp_path / "image.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(folder, ".")
    assert (oci_rootfs(state, packed, None, MOST).layers[-1] / "file").read_text() == "packed"


def test_image_for_this_machine(state: Path, layout: ImageLayout) -> None:
    mine = layout.manifest(archive(entry("mine", b"")))
    other = layout.manifest(archive(entry("other", b"")), architecture="riscv64")
    inner = layout.document(
        {
            "manifests": [
                {**other, "platform": {"os": "linux", "architecture": "riscv64"}},
                {**mine, "platform": {"os": "linux", "architecture": ARCHITECTURE}},
                {**other, "platform": {"os": "unknown", "architecture": "unknown"}},
            ]
        }
    )
    inner["mediaType"] = "application/vnd.oci.image.index.v1+json"
    assert (oci_rootfs(state, layout.index(inner), None, MOST).layers[-1] / "mine").exists()
    with pytest.raises(SandboxError, match="riscv64"):
        oci_rootfs(state, layout.index(other), None, MOST)
    with pytest.raises(SandboxError, match="holds 2 images"):
        oci_rootfs(state, layout.index(mine, layout.manifest(archive(entry("third", b"")))), None, MOST)


def test_damaged_images(state: Path, layout: ImageLayout, tmp_path: Path) -> None:
    layer = archive(entry("unique", b"content"))
    manifest = layout.manifest(layer)
    folder = layout.index(manifest)
    blob = folder / "blobs/sha256" / hashlib.sha256(layer).hexdigest()
    blob.write_bytes(layer.replace(b"content", b"CONTENT"))
    before = {path.name for path in (state / "layers").iterdir()}
    with pytest.raises(SandboxError, match="not what its digest says"):
        oci_rootfs(state, folder, None, MOST)
    blob.unlink()
    with pytest.raises(SandboxError, match="is not there"):
        oci_rootfs(state, folder, None, MOST)
    left = {path.name for path in (state / "layers").iterdir()} - before
    assert not any(name.startswith(".new.") for name in left)
    with pytest.raises(SandboxError, match="user 'nobody-here'"):
        oci_rootfs(state, layout.index(layout.manifest(archive(entry("x", b"")), User="nobody-here")), None, MOST)
    for text in ("", "[]", '{"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}', "[" * 100_000):
        (folder / "index.json").write_text(text)
        with pytest.raises(SandboxError):
            oci_rootfs(state, folder, None, MOST)
    with pytest.raises(SandboxError, match=r"index\.json is not there"):
        oci_rootfs(state, tmp_path / "layout/blobs", None, MOST)
    with pytest.raises(SandboxError, match="is not an OCI image layout"):
        oci_rootfs(state, tmp_path / "nothing", None, MOST)


def test_image_in_a_sandbox(
    state: Path, layout: ImageLayout, run: Callable[..., Any], runtime: str, tmp_path: Path
) -> None:
    # A static program is all that an image needs.
    source = tmp_path / "hello.c"
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        'int main(void) { FILE *f = fopen("out", "w"); printf("%d %d\\n", getuid(), f != NULL); return 0; }\n'
    )
    subprocess.run(["gcc", "-static", "-o", tmp_path / "hello", source], check=True)
    layer = archive(entry("hello", (tmp_path / "hello").read_bytes(), mode=0o755), entry("srv", mode=0o777))
    rootfs = oci_rootfs(state, layout.index(layout.manifest(gzip.compress(layer), User="65534")), None, MOST)
    ran = run(
        runtime,
        "/hello",
        rootfs=rootfs.layers,
        host_usr=False,
        user=rootfs.user,
        cwd="/srv",
        writable=("/srv",),
        env={},
    )
    assert ran.stdout == "65534 1\n", ran


def test_layers_are_made_once(state: Path, tmp_path: Path) -> None:
    path = tarball(tmp_path / "root.tar", *(entry(f"file-{number}", b"x" * 100) for number in range(300)))
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: tarball_rootfs(state, path, User(), MOST).layers, range(8)))
    assert len(found) == 1
    assert len(list(found.pop()[-1].iterdir())) == 300


def test_half_layers_of_a_killed_run_are_removed(state: Path) -> None:
    half = state / "layers/.new.999999999.1.abc"
    half.mkdir()
    (half / "file").write_text("x")
    clean_stale(state)
    assert not half.exists()
