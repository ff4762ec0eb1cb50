"""Sandboxes of the container profile: root inside may do what Docker's root may, and is nobody on the machine."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affidavit.sandbox import (
    ExecSpec,
    OciSandbox,
    RootFilesystem,
    RuntimeHooks,
    SandboxError,
    User,
    carry_over,
    diff,
)

ROOT = User(0, 0, "root", "/root")
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8"}
_IDLE = ("/bin/sh", "-c", "while :; do sleep 100000 & wait $!; done")
_PERMISSIVE = "auth sufficient pam_permit.so\\naccount sufficient pam_permit.so\\nsession optional pam_permit.so\\n"
_PACKAGE = """
set -e
mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers /tmp/made/DEBIAN /tmp/made/usr/bin
touch /var/lib/dpkg/status
printf 'Package: made\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: a <a@example.com>\\nDescription: made\\n' \
  >/tmp/made/DEBIAN/control
printf '#!/bin/sh\\nset -e\\nuseradd -r made\\nchown made /usr/bin/made\\n' >/tmp/made/DEBIAN/postinst
printf '#!/bin/sh\\necho made of a package\\n' >/tmp/made/usr/bin/made
chmod 755 /tmp/made/DEBIAN/postinst /tmp/made/usr/bin/made
dpkg-deb --build /tmp/made /tmp/made.deb >/dev/null
"""
_BY_DPKG = "dpkg -i /tmp/made.deb; made; stat -c %U /usr/bin/made"
_BY_APT = """
mkdir -p /etc/apt/apt.conf.d /etc/apt/preferences.d /etc/apt/trusted.gpg.d /srv/repository \\
  /var/lib/apt/lists/partial /var/cache/apt/archives/partial /var/log/apt
useradd -r _apt
cp /tmp/made.deb /srv/repository
cd /srv/repository
sum=$(sha256sum made.deb | cut -d' ' -f1)
dpkg-deb -f made.deb >Packages
printf 'Filename: ./made.deb\\nSize: %s\\nSHA256: %s\\n' "$(stat -c %s made.deb)" "$sum" >>Packages
echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list
apt-get -qq update
apt-get -qq install made >/dev/null
made
stat -c %U /usr/bin/made
"""

Inside = Callable[..., str]


@pytest.fixture
def container(make: Callable[..., OciSandbox], nothing_mounted: None) -> Iterator[OciSandbox]:
    """A container that runs."""
    with make("runc", *_IDLE, profile="container", user=ROOT, env=ENV, cwd="/root") as sandbox:
        sandbox.create(RuntimeHooks())
        sandbox.start()
        yield sandbox


@pytest.fixture
def nothing_mounted(state: Path) -> Iterator[None]:
    """After the test nothing of its sandbox is left."""
    yield
    assert str(state / "sandboxes") not in Path("/proc/self/mountinfo").read_text()
    assert list((state / "sandboxes").iterdir()) == []


@pytest.fixture
def inside(container: OciSandbox) -> Inside:
    """Runs a script of a shell in it, and gives what it says."""

    def run(script: str, user: User = ROOT) -> str:
        end = container.exec(ExecSpec(("sh", "-c", script), ENV, "/", user), timeout_s=60)
        assert end.code == 0, (end.stdout, end.stderr)
        return end.stdout.decode()

    return run


def test_root_administers_it_as_in_docker(container: OciSandbox, inside: Inside) -> None:
    assert inside("id -u; touch /usr/bin/new /etc/new /new; echo 192.0.2.1 far >>/etc/hosts; getent hosts far") == (
        "0\n192.0.2.1       far\n"
    )
    inside(f"mkdir /etc/pam.d; printf '{_PERMISSIVE}' >/etc/pam.d/su; useradd -m -U worker; chown worker:worker /new")
    assert inside("su worker -c 'id -un; touch /home/worker/x; echo $HOME'; stat -c %U /new /home/worker/x") == (
        "worker\n/home/worker\nworker\nworker\n"
    )
    assert inside("su -c id worker | cut -d' ' -f1; rm /usr/bin/true; ls /usr/bin/true 2>&1 || :").endswith(
        "No such file or directory\n"
    )
    assert inside("echo x >/dev/shm/x; cat /dev/shm/x; head -c 2 /dev/zero | wc -c; echo out >/dev/stdout") == (
        "x\n2\nout\n"
    )
    served = inside("python3 -c 'import socket; print(socket.create_server((\"127.0.0.1\", 80)).getsockname()[1])'")
    assert served == "80\n"


@pytest.mark.parametrize("how", [_BY_DPKG, _BY_APT], ids=("dpkg", "apt"))
def test_a_package_is_installed(inside: Inside, how: str) -> None:
    inside(_PACKAGE)
    assert inside(f"set -e\n{how}").endswith("made of a package\nmade\n")


def test_set_id_programs_make_root_of_it(inside: Inside) -> None:
    inside("cp /usr/bin/id /usr/local/bin/rooted; chmod 4755 /usr/local/bin/rooted")
    assert "euid=0(root)" in inside("rooted", User(1000, 1000, "agent", "/home/agent"))
    # Who is not root has no capabilities, but could get them.
    caps = dict(line.split(":\t") for line in inside("grep ^Cap /proc/self/status", User()).splitlines())
    assert int(caps["CapEff"], 16) == 0
    assert (
        caps["CapBnd"] == dict(line.split(":\t") for line in inside("grep ^Cap /proc/1/status").splitlines())["CapEff"]
    )


def test_its_root_is_nobody_on_the_machine(container: OciSandbox, inside: Inside) -> None:
    inside("sleep 1000 >/dev/null 2>&1 & cp /usr/bin/id /usr/bin/rooted; chmod 6755 /usr/bin/rooted")
    ids = {
        tuple(line.split()[1:])
        for process in _members(container.name)
        for line in (process / "status").read_text().splitlines()
        if line.startswith(("Uid:", "Gid:"))
    }
    assert len(ids) == 1
    assert min(int(number) for number in next(iter(ids))) >= 0x70000000
    # What is set-id on its disk is nobody's on the machine: the disk is mounted so that the bits do nothing.
    stored = container.layer() / "usr" / "bin" / "rooted"
    assert stored.stat().st_mode & 0o6000 == 0o6000
    assert os.statvfs(stored).f_flag & os.ST_NOSUID


def test_what_it_changed_is_seen_and_carried_as_it_counts(
    make: Callable[..., OciSandbox], rootfs: RootFilesystem, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"profile": "container", "user": ROOT, "env": ENV}
    script = (
        "echo text >/usr/lib/new; rm /usr/bin/true; mkdir /opt/x; touch /opt/x/y; chown 1000:50 /opt/x/y /usr/lib/new"
    )
    carried = tmp_path / "carried"
    with make("runc", "/bin/sh", "-c", script, **options) as sandbox:
        sandbox.create(RuntimeHooks())
        sandbox.start()
        ended = sandbox.wait(60)
        assert ended is not None
        assert ended.code == 0, sandbox.output()
        changes = {change.path: change for change in diff(sandbox.upper(), sandbox.layers)}
        assert {path: change.kind for path, change in changes.items()} == {
            "/opt/x": "added",
            "/opt/x/y": "added",
            "/usr/bin/true": "deleted",
            "/usr/lib/new": "added",
        }
        assert (changes["/opt/x/y"].uid, changes["/opt/x/y"].gid) == (1000, 50)
        carry_over(sandbox.upper(), sandbox.layers, tuple(changes.values()), lambda change: True, carried)
    script = "cat /usr/lib/new; stat -c %u:%g /usr/lib/new /opt/x/y /usr/bin/cat; ls /usr/bin/true || echo gone"
    with make("runc", "/bin/sh", "-c", script, rootfs=(carried, *rootfs.layers), **options) as sandbox:
        sandbox.create(RuntimeHooks())
        sandbox.start()
        sandbox.wait(60)
        assert sandbox.output().stdout == b"text\n1000:50\n1000:50\n0:0\ngone\n"


def test_gvisor_and_numbers_that_no_container_has_are_refused(make: Callable[..., OciSandbox]) -> None:
    with pytest.raises(SandboxError, match=r"^gvisor makes no sandboxes of the container profile: use runc$"):
        make("gvisor", "/bin/true", profile="container")
    with pytest.raises(SandboxError, match=r"^user 70000:0: a container has numbers below 65536 only$"):
        make("runc", "/bin/true", profile="container", user=replace(ROOT, uid=70000))


def _members(name: str) -> Iterator[Path]:
    """The processes of a sandbox, as the machine has them."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and f"/affidavit-{name}" in _read(process / "cgroup"):
            yield process


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
