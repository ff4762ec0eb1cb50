"""Building Dockerfiles on a base image from a registry on loopback."""

import contextlib
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from affidavit.images import ImageError, ImageStore, StoredImage, build_image
from affidavit.sandbox import User, oci_rootfs

Build = Callable[..., StoredImage]


@pytest.fixture
def build(host: str, shared: ImageStore, tmp_path: Path) -> Build:
    """Builds a Dockerfile on ``base``, with other files in its folder."""

    def build(text: str, files: dict[str, str] | None = None, **options: object) -> StoredImage:
        folder = tmp_path / "environment"
        folder.mkdir(exist_ok=True)
        for name, content in {"Dockerfile": text.replace("BASE", f"{host}/base"), **(files or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        return build_image(shared, folder, **options)  # type: ignore[arg-type]

    return build


def content(store: ImageStore, image: StoredImage, path: str) -> Path:
    """A file of an image, in the topmost layer that has it."""
    rootfs = oci_rootfs(store.state, store.layout, User(), 1 << 32, manifest=image.digest)
    return next(layer / path for layer in rootfs.layers if os.path.lexists(layer / path))


def test_what_a_dockerfile_says(build: Build, shared: ImageStore) -> None:
    image = build(
        'FROM BASE AS first\nARG X=3\nENV GREETING="a b"\nRUN echo $X >/x\n'
        'FROM BASE\nENV A=1 B="two words"\nSHELL ["/bin/bash", "-c"]\nWORKDIR /srv/app\nCOPY --chmod=640 data .\n'
        "COPY --from=first /x /y\nRUN --mount=type=cache,target=/c [[ -d /c ]] && touch /c/x && id -u >/uid\n"
        'USER web:staff\nENTRYPOINT ["/bin/sh", "-c"]\nHEALTHCHECK CMD true\n',
        {"data": "content", "other": "left out"},
    )
    assert (image.user, image.workdir) == ("web:staff", "/srv/app")
    assert image.env == {"PATH": "/usr/bin:/bin", "A": "1", "B": "two words"}
    assert image.entrypoint == ("/bin/sh", "-c")
    assert image.healthcheck
    data = content(shared, image, "srv/app/data")
    assert (data.read_text(), data.stat().st_mode & 0o777) == ("content", 0o640)
    assert content(shared, image, "y").read_text() == "3\n"
    assert content(shared, image, "uid").read_text() == "0\n"


def test_heredocs(build: Build, shared: ImageStore) -> None:
    image = build(
        "FROM BASE\nRUN <<EOF\necho one >/a\necho two >>/a\nEOF\n"
        'RUN <<EOF\n#!/bin/bash\necho "$BASH" >/b\nEOF\n'
        "RUN cat <<'X' >/c\n$HOME\nX\n"
        "COPY <<'script' /opt/\necho $1\nscript\n",
        {".dockerignore": "*\n"},
    )
    found = [content(shared, image, name).read_text() for name in ("a", "b", "c", "opt/script")]
    assert found == ["one\ntwo\n", "/bin/bash\n", "$HOME\n", "echo $1\n"]


def test_built_once(build: Build) -> None:
    told: list[str] = []
    text = "FROM BASE\nARG V=1\nCOPY data /data\n"
    first = build(text, {"data": "1"}, progress=told.append)
    assert any("step 3" in line for line in told)
    told.clear()
    assert build(text, {"data": "1"}, progress=told.append) == first
    assert not any("step" in line for line in told)
    # Another content, another argument: another image.
    assert build(text, {"data": "2"}).key != first.key
    assert build(text, {"data": "1"}, arguments={"V": "2"}).key != first.key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "FROM BASE\n\nRUN echo no; false\n",
            r"environment/Dockerfile:3: RUN echo no; false: ended with status 1.*'no'$",
        ),
        ("FROM BASE AS a\nRUN true\nFROM BASE\nCOPY --from=a /x /\nCOPY gone /\n", r"Dockerfile:(4|5): COPY .*"),
        ("FROM BASE\nCOPY gone /\n", r"environment/Dockerfile:2: COPY gone /: .*no such file"),
        ("# a\nFROM BASE-gone\n", r"environment/Dockerfile:2: 127.*base-gone:latest: can't be pulled: .*unknown"),
        ("FROM BASE\nRUN echo Could not resolve host x; exit 6\n", r"builds have no network: allow it with affidavit"),
        ("FROM BASE\nRUN sleep 1000\n", r"took more than 3 s"),
    ],
)
def test_what_fails_names_its_line(build: Build, shared: ImageStore, text: str, message: str) -> None:
    before = shared.images()
    with pytest.raises(ImageError, match=message) as raised:
        build(text.replace("BASE-gone", "BASE-gone"), timeout_s=3 if "sleep" in text else 600)
    assert "\n" not in str(raised.value)
    assert {image.name for image in shared.images()} - {image.name for image in before} <= {
        image.name for image in shared.images() if image.name.endswith("/base:latest")
    }
    assert not [*(shared.layout / "staging").iterdir()]


def test_a_build_has_no_network_and_sees_nothing_of_the_machine(build: Build, shared: ImageStore) -> None:
    image = build(
        "FROM BASE\nRUN cat /proc/net/dev >/net; ls / >/top; cat /proc/self/status >/status; "
        "echo >/proc/sys/kernel/hostname; ls /proc >/processes; true\n"
    )
    interfaces = [line.split(":")[0].strip() for line in content(shared, image, "net").read_text().splitlines()[2:]]
    assert interfaces == ["lo"]
    assert "work" not in content(shared, image, "top").read_text().split()
    status = content(shared, image, "status").read_text()
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    # Neither CAP_SYS_ADMIN, CAP_SYS_MODULE, CAP_SYS_PTRACE nor CAP_SYS_RAWIO.
    assert not capabilities & (1 << 21 | 1 << 16 | 1 << 19 | 1 << 17)
    processes = content(shared, image, "processes").read_text().split()
    assert len([name for name in processes if name.isdecimal()]) < 4


def test_context_is_files_folders_and_links(build: Build, tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    os.mkfifo(tmp_path / "environment" / "pipe")
    with pytest.raises(ImageError, match=r"environment/pipe: is a device, a pipe or a socket"):
        build("FROM BASE\n")


@pytest.mark.parametrize(
    "text", ["COPY link /x", "COPY link/passwd /x", "COPY ../../../../etc/passwd /x", "ADD link /x"]
)
def test_links_in_the_context_lead_nowhere_else(build: Build, shared: ImageStore, tmp_path: Path, text: str) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "link").symlink_to("/etc")
    try:
        image = build(f"FROM BASE\n{text}\n")
    except ImageError:
        return
    found = content(shared, image, "x")
    texts = [path.read_text() for path in [found, *found.rglob("*")] if path.is_file() and not path.is_symlink()]
    assert all(Path("/etc/passwd").read_text() != text for text in texts)


def test_layers_are_archives_that_anybody_can_read(build: Build, shared: ImageStore) -> None:
    image = build("FROM BASE\nRUN mkdir /d && rm -r /root && ln -s /etc/passwd /l\n")
    manifest = json.loads((shared.layout / "blobs/sha256" / image.digest.removeprefix("sha256:")).read_text())
    names: list[str] = []
    for part in manifest["layers"]:
        with tarfile.open(shared.layout / "blobs/sha256" / part["digest"].removeprefix("sha256:")) as archive:
            names += archive.getnames()
    assert {"d", "l", ".wh.root"} <= set(names)


def test_a_killed_build_leaves_nothing_running_and_the_next_one_works(
    host: str, shared: ImageStore, build: Build, tmp_path: Path
) -> None:
    mark = f"sleep 98765.{os.getpid()}"
    place = tmp_path / "killed"
    place.mkdir()
    (place / "Dockerfile").write_text(f"FROM {host}/base\nRUN {mark}\n")
    code = (
        "import sys; from pathlib import Path; from affidavit.images import ImageStore, build_image\n"
        "build_image(ImageStore(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(shared.state), str(place)])
    wait_for(lambda: running(mark))
    [staging] = (shared.layout / "staging").iterdir()
    groups = f"affidavit-build-{staging.name.rpartition('.')[2]}"
    assert [*Path("/sys/fs/cgroup").glob(f"**/{groups}")]
    process.kill()
    process.wait()
    wait_for(lambda: not running(mark))
    again = ImageStore(shared.state)
    assert not [*(again.layout / "staging").iterdir()]
    assert not [*Path("/sys/fs/cgroup").glob(f"**/{groups}")]
    image = build("FROM BASE\nRUN echo next >/x\n")
    assert content(shared, image, "x").read_text() == "next\n"


def test_two_builds_of_one_thing_at_once(build: Build, shared: ImageStore, tmp_path: Path) -> None:
    told: list[str] = []
    text = "FROM BASE\nRUN echo both >/x\n"
    build(text.replace("both", "first"))
    place = tmp_path / "environment"
    (place / "Dockerfile").write_text((place / "Dockerfile").read_text().replace("first", "both"))
    with ThreadPoolExecutor() as pool:
        found = [*pool.map(lambda _: build_image(shared, place, progress=told.append), range(3))]
    assert found[0] == found[1] == found[2]
    assert len([line for line in told if line.startswith("step 2")]) == 1


def running(command: str) -> bool:
    """Whether some process of the machine runs a command."""
    wanted = command.replace(" ", "\0").encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if process.read_bytes().startswith(wanted):
                return True
    return False


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for as long as the test may take."""
    while not holds():
        time.sleep(0.1)
