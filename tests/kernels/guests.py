"""Boots a guest for each kernel of kernels.toml, and shows what Affidavit's recorders do there: `make test-kernels`.

Everything is made in build/kernels: the root file system and the kernels with mmdebstrap, the disks without a mount.
What a guest found stands in build/kernels/NAME/results.
"""

import argparse
import contextlib
import json
import lzma
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TREE = HERE.parents[1]
OUT = TREE / "build" / "kernels"
ROOT_BYTES = 6 << 30
RESULT_BYTES = 64 << 20
MEMORY_MB = 3072
# What a guest says first, and how long that may take: KVM is quick, where it works.
UP = b"guest: up"
UP_WITHIN_S = {"kvm": 20.0, "tcg": 300.0}
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host,-arch-capabilities", "-smp", "2"),
    "tcg": ("-accel", "tcg", "-cpu", "max"),
}
# What an initial file system needs to get at disks; each with what it depends on.
DRIVERS = ("virtio_pci", "virtio_blk", "ext4")
TABLES = ("conformance", "evasion")
STEPS = ("doctor", "task", *TABLES)


class GuestError(Exception):
    """A guest could not be made, or did not come to its end."""


@dataclass(frozen=True)
class Kernel:
    """A line of kernels.toml."""

    name: str
    suite: str
    package: str
    also: str = ""

    @property
    def folder(self) -> Path:
        return OUT / self.name


def kernels() -> list[Kernel]:
    """The kernels of kernels.toml, in its order."""
    return [Kernel(**entry) for entry in tomllib.loads((HERE / "kernels.toml").read_text())["kernel"]]


def run(*command: str | Path) -> None:
    """Run a command; its output is shown only where it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E: ")] or done.stderr.splitlines()
        raise GuestError(f"{command[0]} {command[-1]}: {'; '.join(errors[:2])}")


def listed(path: Path) -> list[str]:
    """Packages of a list, one a line; # begins a comment."""
    return [name for line in path.read_text().splitlines() if (name := line.split("#")[0].strip())]


def make_root() -> Path:
    """The disk of a guest's root file system, made once for a list of packages."""
    disk, packages = OUT / "root.ext4", listed(HERE / "guest-packages.txt")
    made_of = OUT / "root.packages"
    if disk.exists() and made_of.exists() and made_of.read_text() == "\n".join(packages):
        return disk
    folder = OUT / "root"
    shutil.rmtree(folder, ignore_errors=True)
    run("mmdebstrap", "--variant=essential", f"--include={','.join(packages)}", "bookworm", folder)
    shutil.copy2(folder / "usr" / "bin" / "busybox", OUT / "busybox")
    new = disk.with_suffix(".new")
    new.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-d", folder, new, f"{ROOT_BYTES // 1024}k")
    shutil.rmtree(folder)
    new.rename(disk)
    made_of.write_text("\n".join(packages))
    return disk


def environment() -> Path:
    """The virtual environment that runs this, where it really is."""
    return Path(sys.prefix).resolve()


def make_environment() -> Path:
    """A disk of the virtual environment, made again where a package came or went."""
    venv = environment()
    (packages,) = (venv / "lib").glob("python3*/site-packages")
    disk = OUT / "venv.erofs"
    if not disk.exists() or disk.stat().st_mtime < packages.stat().st_mtime:
        new = disk.with_suffix(".new")
        new.unlink(missing_ok=True)
        run("mkfs.erofs", new, venv)
        new.rename(disk)
    return disk


def fetch(kernel: Kernel) -> Path:
    """The folder that a kernel's packages were extracted into.

    Raises:
        GuestError: the archive does not have it.
    """
    folder = kernel.folder / "root"
    if folder.exists():
        return folder
    new = kernel.folder / "root.new"
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    package, hooks = kernel.package, []
    if kernel.also:
        package += f"/{kernel.also}"
        # The mirror is that of the first suite, whichever it is here.
        add = f"s/^(deb .*) {kernel.suite} main$/\\1 {kernel.suite} main\\n\\1 {kernel.also} main/"
        hooks = [f'--setup-hook=sed -Ei {shlex.quote(add)} "$1"/etc/apt/sources.list']
    run("mmdebstrap", "--variant=extract", f"--include={package}", *hooks, kernel.suite, new)
    new.rename(folder)
    return folder


def release(folder: Path) -> str:
    """The release of the newest kernel in a folder."""
    (image,) = (folder / "boot").glob("vmlinuz-*")
    return image.name.removeprefix("vmlinuz-")


def drivers(modules: Path) -> list[Path]:
    """The files of DRIVERS and of what they depend on, in the order to load them; what is built in has none."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[file] = others.split()
    by_name = {Path(file).name.split(".")[0]: file for file in needs}
    ordered: dict[str, None] = {}

    def add(file: str) -> None:
        for other in needs[file]:
            add(other)
        ordered.setdefault(file)

    for name in DRIVERS:
        if name in by_name:
            add(by_name[name])
    return [modules / file for file in ordered]


def cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """An initial file system of names, modes and contents, in the newc format of cpio(5)."""
    out = bytearray()
    for inode, (name, mode, data) in enumerate((*entries, ("TRAILER!!!", 0, b"")), 1):
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def make_initrd(kernel: Kernel, modules: Path) -> Path:
    """The initial file system of a guest: a shell, the drivers of its disks."""
    files = drivers(modules)
    script = (HERE / "initrd.sh").read_text()
    for mark, text in {
        "@MODULES@": " ".join(file.name.split(".")[0] for file in files),
        "@TREE@": shlex.quote(str(TREE)),
        "@VENV@": shlex.quote(str(environment())),
    }.items():
        script = script.replace(mark, text)
    entries = [(name, 0o40755, b"") for name in ("bin", "dev", "modules", "root")]
    entries += [("bin/busybox", 0o100755, (OUT / "busybox").read_bytes()), ("init", 0o100755, script.encode())]
    for file in files:
        data = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        entries.append((f"modules/{file.name.split('.')[0]}.ko", 0o100644, data))
    path = kernel.folder / "initrd"
    path.write_bytes(cpio(entries))
    return path


def make_project(kernel: Kernel, modules: Path) -> Path:
    """A disk with the project as it is, what its recorder was built to, and the kernel's modules."""
    path = kernel.folder / "project.tar"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TREE,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    build = TREE / "src" / "affidavit" / "recorder" / "ebpf" / "_build"
    with tarfile.open(path, "w") as archive:
        for name in filter(None, map(os.fsdecode, names)):
            if (file := TREE / name).exists():
                archive.add(file, file.relative_to("/"))
        archive.add(build, build.relative_to("/"))
        archive.add(modules, Path("usr/lib/modules") / modules.name)
    return path


def accelerators() -> list[str]:
    """What to try, in this order: the processor's own virtualisation where the machine offers it, then emulation."""
    return ["kvm", "tcg"] if os.access("/dev/kvm", os.W_OK) else ["tcg"]


def run_guest(command: Sequence[str], console: Path, up_within: float, seconds: float) -> bool:
    """Run a guest to its end; False where it was not up in time, as on machines that offer KVM and can't do it.

    Raises:
        GuestError: it was up, and did not end.
    """
    console.write_bytes(b"")
    began = time.monotonic()
    with subprocess.Popen([*command, "-serial", f"file:{console}"], stdin=subprocess.DEVNULL) as guest:
        try:
            while guest.poll() is None and UP not in console.read_bytes():
                if time.monotonic() - began > up_within:
                    return False
                time.sleep(0.2)
            guest.wait(seconds)
        except subprocess.TimeoutExpired:
            raise GuestError(f"did not end within {seconds:.0f} s; see {console}") from None
        finally:
            guest.kill()
    return UP in console.read_bytes()


def unpack(result: Path, found: Path) -> None:
    """Put what a guest wrote to its last disk into a folder, also of one that was stopped."""
    found.mkdir()
    # A disk that nothing was written to is an archive without an entry.
    with contextlib.suppress(tarfile.TarError), tarfile.open(result) as archive:
        for member in archive:
            if member.isfile() and (data := archive.extractfile(member)):
                (found / Path(member.name).name).write_bytes(data.read())


def boot(kernel: Kernel, steps: str, select: str, seconds: float) -> Path:
    """Boot a guest and wait until it ends; the folder of what it found.

    Raises:
        GuestError: it can't be made, or found nothing.
    """
    root, venv = make_root(), make_environment()
    folder = fetch(kernel)
    modules = folder / "lib" / "modules" / release(folder)
    if not (modules / "modules.dep").exists():
        run("depmod", "-b", folder, modules.name)
    project, initrd = make_project(kernel, modules), make_initrd(kernel, modules)
    result = kernel.folder / "result.tar"
    with result.open("wb") as file:
        file.truncate(RESULT_BYTES)
    disks: list[str] = []
    for disk, snapshot in ((root, "on"), (project, "on"), (venv, "on"), (result, "off")):
        disks += ["-drive", f"file={disk},format=raw,if=virtio,snapshot={snapshot},cache=unsafe"]
    found = kernel.folder / "results"
    shutil.rmtree(found, ignore_errors=True)
    machine = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-m", str(MEMORY_MB)]
    machine += ["-kernel", str(folder / "boot" / f"vmlinuz-{modules.name}"), "-initrd", str(initrd)]
    machine += [
        "-append",
        f'console=ttyS0 quiet panic=-1 affidavit.steps="{steps}" affidavit.select="{select}"',
        *disks,
    ]
    try:
        for accelerator in accelerators():
            began = time.monotonic()
            if run_guest(
                [*machine, *ACCELERATORS[accelerator]], kernel.folder / "console", UP_WITHIN_S[accelerator], seconds
            ):
                break
        else:
            raise GuestError(f"did not boot; see {kernel.folder / 'console'}")
    finally:
        unpack(result, found)
    took = time.monotonic() - began
    if not (found / "release").exists():
        raise GuestError(f"found nothing; see {kernel.folder / 'console'}")
    (found / "seconds").write_text(f"{took:.0f}")
    (found / "accelerator").write_text(accelerator)
    return found


def counted(path: Path, recorder: str) -> str:
    """How many of a report's tests that name a recorder passed, failed and were skipped."""
    if not path.exists():
        return "no report"
    counts: Counter[str] = Counter()
    for case in ET.parse(path).iter("testcase"):
        if recorder in case.get("name", ""):
            kinds = {child.tag for child in case}
            counts["skipped" if "skipped" in kinds else "failed" if kinds & {"failure", "error"} else "passed"] += 1
    return ", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "failed", "skipped") if counts[kind]) or "none"


def status(path: Path) -> str:
    """What a step came to by its exit status."""
    number = path.read_text().strip() if path.exists() else ""
    return {"": "not run", "0": "passed", "124": "took too long"}.get(number, f"exit status {number}")


def recorded(summary: Path) -> str:
    """Whether the record of a task is complete, as a clause; nothing where there is none."""
    if not summary.exists():
        return ""
    record = json.loads(summary.read_text())
    return f", record of {record['recorder']} {'complete' if record['complete'] else 'not complete'}"


def line(kernel: Kernel, found: Path) -> str:
    """A row of the table."""
    cells = [f"{kernel.name}, {(found / 'release').read_text().strip()}"]
    if (found / "doctor.out").exists():
        try:
            cells.append(json.loads((found / "doctor.out").read_text())["auto"])
        except (ValueError, KeyError):
            cells.append((found / "doctor.err").read_text().strip()[-200:])
    else:
        cells.append("not asked")
    for recorder in ("ebpf", "ptrace"):
        cells += [counted(found / f"{table}.xml", recorder) for table in TABLES]
    cells.append(f"{status(found / 'task.status')}{recorded(found / 'task.summary')}")
    cells.append(f"{(found / 'seconds').read_text()} s, {(found / 'accelerator').read_text()}")
    return f"| {' | '.join(map(str, cells))} |"


def main(arguments: Sequence[str]) -> int:
    known = {kernel.name: kernel for kernel in kernels()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"kernels to boot: {', '.join(known)}; all of them where none is named")
    parser.add_argument("--steps", default=",".join(STEPS), help="what a guest does (default: %(default)s)")
    parser.add_argument(
        "--select", default="ebpf or ptrace", help="cases of the tables, as pytest's -k (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=7200, help="how long a guest may take")
    options = parser.parse_args(arguments)
    if strange := set(options.steps.split(",")) - set(STEPS):
        parser.error(f"no such step: {', '.join(sorted(strange))}; there are {', '.join(STEPS)}")
    if unknown := set(options.name) - known.keys():
        parser.error(f"no such kernel: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    OUT.mkdir(parents=True, exist_ok=True)
    rows, failed = [], False
    for name in options.name or known:
        try:
            rows.append(line(known[name], boot(known[name], options.steps, options.select, options.seconds)))
        except GuestError as error:
            failed = True
            rows.append(f"| {name} | not run: {error} |")
        print(rows[-1], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
