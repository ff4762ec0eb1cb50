"""Images made by hand, and a registry on loopback that holds them."""

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_PROGRAMS = (
    "bash", "cat", "chmod", "chown", "cp", "env", "grep", "id", "ln", "ls", "mkdir", "mkfifo", "mknod", "rm", "sh",
    "sleep", "stat", "tee", "touch", "tr", "true", "wc",
)  # fmt: skip
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:50:web:/srv/web:/bin/sh\n",
    "etc/group": "root:x:0:\nweb:x:50:\nstaff:x:60:\n",
}


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of an archive; `fields` are attributes of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o755
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=mode)


def programs_layer() -> bytes:
    """This machine's shell and a few programs with the libraries that they load."""
    files: dict[str, Path] = {}
    for name in _PROGRAMS:
        found = shutil.which(name)
        assert found is not None, name
        files[f"usr/bin/{name}"] = Path(found).resolve()
        linked = subprocess.run(["ldd", found], capture_output=True, text=True).stdout
        for word in linked.split():
            if word.startswith("/"):
                files[word.replace("/lib", "/usr/lib", 1).lstrip("/") if not word.startswith("/usr") else word[1:]] = (
                    Path(word).resolve()
                )
    links = [member(n, type=tarfile.SYMTYPE, linkname=f"usr/{n}") for n in ("bin", "lib", "lib64")]
    return layer(
        *map(folder, ("usr", "usr/bin", "usr/lib", "usr/lib64", "etc", "root", "var", "proc", "sys", "dev")),
        folder("tmp", 0o1777),
        *links,
        *(member(name, text.encode(), mode=0o644) for name, text in ACCOUNTS.items()),
        *(member(name, path.read_bytes()) for name, path in sorted(files.items())),
    )


def write_image(
    where: Path, *layers: bytes, config: Mapping[str, Any] | None = None, compress: bool = False, **manifest: Any
) -> str:
    """An image in the form of the ``dir:`` transport.

    Returns:
        the digest of its manifest.
    """
    where.mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (where / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    packed = [gzip.compress(one, mtime=0) if compress else one for one in layers]
    kind = f"{_LAYER}.gzip" if compress else _LAYER
    diff_ids = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    about = {
        "os": "linux",
        "architecture": MACHINE,
        "config": {"Env": ["PATH=/usr/bin:/bin"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "by hand"} for _ in layers],
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(json.dumps(about).encode(), _CONFIG),
        "layers": [blob(one, kind) for one in packed],
        **manifest,
    }
    text = json.dumps(document).encode()
    (where / "manifest.json").write_bytes(text)
    (where / "version").write_text("Directory Transport Version: 1.1\n")
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


@contextmanager
def registry(where: Path) -> Iterator[str]:
    """A registry on loopback; gives its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    where.mkdir()
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(where / "data")}},
        "http": {"addr": host},
    }
    (where / "config.yml").write_text(json.dumps(settings))
    with (where / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(where / "config.yml")],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", int(host.partition(":")[2]))).close()
                break
            except OSError:
                assert process.poll() is None, (where / "log").read_text()
                time.sleep(0.1)
        yield host
    finally:
        process.kill()
        process.wait()


def push(image: Path, name: str) -> None:
    """Put an image into a registry on loopback."""
    subprocess.run(
        [
            "skopeo",
            "--insecure-policy",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            f"dir:{image}",
            f"docker://{name}",
        ],
        check=True,
        capture_output=True,
    )


def missing(programs: Iterable[str]) -> str:
    """Those of some programs that are not installed, as a reason to skip."""
    absent = [name for name in programs if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    return f"{', '.join(absent)}: not installed" if absent else ""
