"""Building images from Dockerfiles, by buildah.

buildah runs what a Dockerfile says as root, under runc, with Docker's capabilities and system-call filter. buildah
itself runs in namespaces of its own (bubblewrap) that hold the machine's programs, read-only, its own storage, and a
copy of the context: nothing else of the machine is there for a Dockerfile, or for a fault of buildah's, to reach.
Images from elsewhere are put into its storage from the image store; it pulls nothing itself.
"""

import hashlib
import json
import platform
import re
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

from affidavit.images.context import copy_context
from affidavit.images.dockerfile import BuildPlan, plan_build, read_dockerfile
from affidavit.images.errors import ImageError
from affidavit.images.pull import stored_or_pulled
from affidavit.images.store import MOST_IMAGE_BYTES, ImageStore, StoredImage, build_group
from affidavit.images.tool import find_tool, last_words, run_tool
from affidavit.sandbox import cgroup_path, locked, remove_cgroups

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# Part of every key: what is built differently from now on must not be found under an old one.
_KEY_VERSION = "1"
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
_STEP = re.compile(r"(?:\[([0-9]+)/[0-9]+\] )?STEP ([0-9]+)/[0-9]+: (.*)", re.DOTALL)
_OFFLINE = re.compile(
    r"resolv|name resolution|Network is unreachable|network is unreachable|ENETUNREACH|EAI_AGAIN|getaddrinfo|Could not "
    r"connect|Failed to fetch|dial tcp|No route to host|Connection refused|unable to access",
)
_MEMORY = "8g"
_OPEN_FILES = 65536
_RUNTIME = re.compile(r"runc create failed: ([^\"]*)")


def build_image(
    store: ImageStore,
    folder: Path,
    *,
    network: bool = False,
    arguments: Mapping[str, str] | None = None,
    timeout_s: float = 3600,
    progress: Callable[[str], None] | None = None,
    dockerfile: str = "Dockerfile",
) -> StoredImage:
    """Build a folder's Dockerfile, unless the store has an image that was built from the same.

    Args:
        store: where base images come from, and where the image goes.
        folder: holds ``Dockerfile`` and all that it copies.
        network: let the build use this machine's network; else it has none.
        arguments: values for its ``ARG``.
        timeout_s: seconds it may take, without pulls.
        progress: called with what is being done, a sentence each.
        dockerfile: the Dockerfile's path in the folder.

    Raises:
        ImageError: it can't be built; the line of the Dockerfile is named where one is to blame.
    """
    if folder.is_symlink():
        raise ImageError(f"{folder}: is a link; name the folder itself")
    path = folder / dockerfile
    text = read_dockerfile(path)
    bases: dict[str, StoredImage] = {}
    tell = progress or (lambda _: None)

    def base(name: str, line: int) -> str:
        tell(f"{name}: looking for the image")
        try:
            image = stored_or_pulled(store, name)
        except ImageError as problem:
            raise ImageError(f"{path}:{line}: {problem}") from None
        local = f"localhost/affidavit-base:{image.digest.removeprefix('sha256:')}"
        bases[local] = image
        return local

    machine = _MACHINES.get(platform.machine(), platform.machine())
    values = dict(arguments or {})
    plan = plan_build(text, path, base, platform=f"linux/{machine}", arguments=values, network=network)
    with store.in_use(), store.staging() as staging:
        context = copy_context(folder, staging / "context", plan.files)
        key = _key(plan, context, values)
        if (there := store.built(key)) is not None:
            return there
        tell("waiting for another build")
        with locked(store.layout / "build.lock"):
            if (there := store.built(key)) is not None:
                return there
            build = _Build(store, staging, network, timeout_s, tell)
            for local, image in bases.items():
                build.provide(local, image)
            build.run(path, plan, values, key)
            return store.add(staging / "out" / "image", f"build/{key[:16]}", key, title=str(folder))


def _key(plan: BuildPlan, context: str, arguments: Mapping[str, str]) -> str:
    files = {name: hashlib.sha256(content).hexdigest() for name, content in plan.files.items()}
    what = [_KEY_VERSION, plan.text, files, context, dict(arguments)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class _Build:
    def __init__(
        self, store: ImageStore, staging: Path, network: bool, timeout_s: float, tell: Callable[[str], None]
    ) -> None:
        self._store = store
        self._staging = staging
        self._network = network
        self._timeout_s = timeout_s
        self._tell = tell
        for name in ("bases", "etc", "out", "tmp"):
            (staging / name).mkdir(mode=0o700)
        store.builder.mkdir(mode=0o700, exist_ok=True)

    def provide(self, local: str, image: StoredImage) -> None:
        """Put an image into the builder's storage under the name `local`."""
        folder = self._staging / "bases" / image.digest.removeprefix("sha256:")
        folder.mkdir()
        self._store.export(image, folder)
        self._tell(f"{image.name}: unpacking")
        target = f"containers-storage:[overlay@/storage+/run/storage]{local}"
        skopeo = find_tool("skopeo", "skopeo")
        log = self._staging / "log"
        status = self._call([skopeo, "copy", "--quiet", f"dir:/bases/{folder.name}", target], log)
        if status != 0:
            raise ImageError(f"{image.name}: can't be unpacked: {last_words(log)}")

    def run(self, path: Path, plan: BuildPlan, arguments: Mapping[str, str], key: str) -> None:
        """Build, and leave the image in ``out/image`` of the staging folder."""
        (self._staging / "etc" / "Dockerfile").write_text(plan.text)
        name = f"localhost/affidavit-build:{key}"
        # A container can't be allowed more than this process.
        files = min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        group = build_group(self._staging)
        command = [
            *self._buildah(), "bud", "--pull=never", "--format=docker", "--layers", "--isolation=oci",
            "--identity-label=false", f"--network={'host' if self._network else 'none'}", "--cgroupns=private",
            f"--cgroup-parent={cgroup_path(group)}", f"--memory={_MEMORY}", f"--ulimit=nofile={files}:{files}",
            f"--ulimit=fsize={MOST_IMAGE_BYTES}", "--ulimit=core=0",
            *(f"--build-arg={argument}={value}" for argument, value in arguments.items()),
            "--file=/etc/Dockerfile.build", f"--tag={name}", "/context",
        ]  # fmt: skip
        log = self._staging / "log"
        try:
            status = self._call(command, log, self._step)
        finally:
            remove_cgroups(group)
        if status != 0:
            raise ImageError(_explain(path, plan, log, self._network))
        self._tell("storing the image")
        if self._call([*self._buildah(), "push", "--quiet", name, "dir:/out/image"], log) != 0:
            raise ImageError(f"{path}: the image was built and can't be stored: {last_words(log)}")

    def _buildah(self) -> list[str]:
        return [
            find_tool("buildah", "buildah"), "--root=/storage", "--runroot=/run/storage", "--storage-driver=overlay",
            "--log-level=error",
        ]  # fmt: skip

    def _step(self, line: str) -> None:
        if match := _STEP.match(line):
            self._tell(f"step {match[2]}: {match[3]}")

    def _call(self, argv: list[str], log: Path, line: Callable[[str], None] | None = None) -> int:
        etc, staging = self._staging / "etc", self._staging
        (etc / "policy.json").write_text(_POLICY)
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\n")
        (etc / "Dockerfile").touch()
        outside = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl"] if self._network else []
        find_tool("runc", "runc")
        wrapper = [
            find_tool("bwrap", "bubblewrap"), "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc",
            "--unshare-uts", *([] if self._network else ["--unshare-net"]), "--cap-add", "ALL",
            "--tmpfs", "/", "--ro-bind", "/usr", "/usr",
            *(part for name in ("bin", "sbin", "lib", "lib64") for part in ("--symlink", f"usr/{name}", f"/{name}")),
            "--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys", "--bind", "/sys/fs/cgroup",
            "/sys/fs/cgroup", "--tmpfs", "/run", "--tmpfs", "/tmp", "--dir", "/root",
            "--ro-bind", str(etc / "policy.json"), "/etc/containers/policy.json",
            "--ro-bind", str(etc / "passwd"), "/etc/passwd", "--ro-bind", str(etc / "group"), "/etc/group",
            "--ro-bind", str(etc / "Dockerfile"), "/etc/Dockerfile.build",
            *(part for name in outside if Path(name).exists() for part in ("--ro-bind", name, name)),
            "--bind", str(self._store.builder), "/storage", "--ro-bind", str(staging / "bases"), "/bases",
            "--ro-bind", str(staging / "context"), "/context", "--bind", str(staging / "out"), "/out",
            "--bind", str(staging / "tmp"), "/var/tmp", "--chdir", "/",
        ]  # fmt: skip
        return run_tool(
            [*wrapper, "--", *argv],
            {"HOME": "/root"},
            log,
            timeout_s=self._timeout_s,
            writes_to=self._store.layout,
            most_bytes=MOST_IMAGE_BYTES,
            line=line,
        )


def _explain(path: Path, plan: BuildPlan, log: Path, network: bool) -> str:
    """One line on why a build failed: the Dockerfile's line, what the builder said, and what to do."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - (1 << 20)))
        lines = file.read().decode("utf-8", "replace").split("\n")
    lines = ["".join(c if c.isprintable() else " " for c in line).rstrip() for line in lines]
    steps = [(number, match) for number, line in enumerate(lines) if (match := _STEP.match(line))]
    begin, last = steps[-1] if steps else (0, None)
    place = _line(plan, last) if last else None
    where = f"{path}:{place[0]}: {place[1][:80]}" if place else f"{path}:"
    printed = [line for line in lines[begin + 1 :] if line and not line.startswith(("Error: ", "time=", "error "))]
    if (refused := _RUNTIME.search("\n".join(lines[begin:]))) is not None:
        return f"{where}: the container could not be started: {refused[1][:300]}"
    said = re.sub(r'^building at STEP ".*?": ', "", last_words(log))
    status = re.search(r"exit status ([0-9]+)$", said)
    said = f"ended with status {status[1]}" if status and printed else said
    tail = f", and printed {' / '.join(line[:160] for line in printed[-2:])!r}" if printed else ""
    advice = ""
    if not network and _OFFLINE.search("\n".join([*printed[-40:], said])):
        advice = "; builds have no network: allow it with affidavit image build --network"
    return f"{where}: {said}{tail}{advice}"


def _line(plan: BuildPlan, step: re.Match[str]) -> tuple[int, str] | None:
    """Line and text of the instruction that the builder calls a step."""
    stage, number, text = int(step[1] or 1) - 1, int(step[2]) - 1, step[3].strip()
    if stage < len(plan.steps) and number < len(plan.steps[stage]):
        line, written = plan.steps[stage][number]
        if _same(written, text):
            return line, text
    return next(((line, text) for steps in plan.steps for line, written in steps if _same(written, text)), None)


def _same(written: str, shown: str) -> bool:
    return " ".join(written.split())[:60] == " ".join(shown.split())[:60]
