"""The ``host`` root file system: the machine's programs, and nothing else of the machine.

A read-only copy of /usr is mounted by the sandbox. All else is made up here: a small /etc with only those files of the
machine that its programs read and that say nothing about it.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from affidavit.sandbox.cache import cached_layer
from affidavit.sandbox.protocol import SandboxError, User

_VERSION = 1

# Taken from the machine's /etc as they are: what the dynamic linker and the programs below /usr were configured with by
# their packages. No file here holds accounts, hosts, registries, keys or settings of the administrator.
_TAKEN = (
    "X11/app-defaults",
    "alternatives",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "gai.conf",
    "gprofng.rc",
    "groff",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "libaudit.conf",
    "locale.alias",
    "magic",
    "magic.mime",
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "perl",
    "protocols",
    "rpc",
    "services",
    "sgml",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "vim",
    "xml",
)
# Versioned folders: /etc/python3, /etc/python3.11, /etc/java-17-openjdk …
_TAKEN_PREFIXES = ("java-", "python3")

_FOLDERS = (
    "dev",
    "etc",
    "home",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "run/lock",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
    "var/cache",
    "var/lib",
    "var/log",
    "var/tmp",
)
_MODES = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777, "run/lock": 0o1777}
_LINKS = {"var/run": "/run", "var/lock": "/run/lock", "etc/mtab": "../proc/self/mounts"}
_USR_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")

NAMES = {
    "hostname": "sandbox\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n",
    # Without a server, the resolver asks 127.0.0.1, where nobody answers.
    "resolv.conf": "options timeout:1 attempts:1\n",
}
"""Files of /etc that say who and where a sandbox is."""

_ACCOUNTS = (
    ("root", 0, "/root", "/bin/bash"),
    ("daemon", 1, "/usr/sbin", "/usr/sbin/nologin"),
    ("bin", 2, "/bin", "/usr/sbin/nologin"),
    ("sys", 3, "/dev", "/usr/sbin/nologin"),
    ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
)
_GROUPS = (("root", 0), ("daemon", 1), ("bin", 2), ("sys", 3), ("adm", 4), ("tty", 5), ("utmp", 43), ("staff", 50))


def host_layer(state: Path, user: User) -> tuple[Path, str]:
    """The layer below everything else of the ``host`` root file system, for a user of the sandbox.

    Returns:
        (the layer, its key: the same for the same content).

    Raises:
        SandboxError: the machine's /bin or /lib is no link into /usr, or the state folder can't be written.
    """
    digest = hashlib.sha256(repr((_VERSION, user)).encode())
    for path, info in _taken():
        # Size and times instead of the content: these are the administrator's files, and this runs before every trial.
        digest.update(f"{path}\0{info.st_mode}\0{info.st_size}\0{info.st_mtime_ns}\0{info.st_ctime_ns}\n".encode())
    key = f"host:{digest.hexdigest()}"
    return cached_layer(state, key, lambda folder: _build(folder, user)), key


def _taken() -> Iterator[tuple[str, os.stat_result]]:
    """Files, links and folders of /etc that are copied, each folder before what is in it."""
    with os.scandir("/etc") as entries:
        waiting = sorted(entry.path for entry in entries if entry.name.startswith(_TAKEN_PREFIXES))
    waiting += [f"/etc/{name}" for name in _TAKEN if os.path.lexists(f"/etc/{name}")]
    while waiting:
        path = waiting.pop()
        # A thousand names before every trial: strings, not Path objects.
        info = os.lstat(path)
        yield path, info
        if stat.S_ISDIR(info.st_mode):
            with os.scandir(path) as entries:
                waiting += sorted((entry.path for entry in entries), reverse=True)


def _build(root: Path, user: User) -> None:
    for name in _FOLDERS:
        folder = root / name
        folder.mkdir()
        folder.chmod(_MODES.get(name, 0o755))
    for name in _USR_LINKS:
        place = Path("/", name)
        if place.is_symlink():
            (root / name).symlink_to(place.readlink())
        elif place.exists():
            raise SandboxError(
                f"{place} is not a link into /usr, so the machine's programs can't be used; give the task an image"
            )
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)
    for path, info in _taken():
        _copy(Path(path), info, root / path.lstrip("/"))
    for name, text in _made_up(user).items():
        file = root / "etc" / name
        file.write_text(text)
        file.chmod(0o644)
    for name, target in {"os-release": "../usr/lib/os-release", "localtime": "/usr/share/zoneinfo/Etc/UTC"}.items():
        (root / "etc" / name).symlink_to(target)
    home = root / user.home.lstrip("/")
    if user.home.startswith("/") and not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o755)
        os.chown(home, user.uid, user.gid)


def _copy(source: Path, info: os.stat_result, target: Path) -> None:
    for parent in reversed(target.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    if stat.S_ISDIR(info.st_mode):
        target.mkdir(exist_ok=True)
        target.chmod(0o755)
    elif stat.S_ISLNK(info.st_mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(info.st_mode) and info.st_mode & stat.S_IROTH:
        shutil.copyfile(source, target)
        target.chmod(0o755 if info.st_mode & stat.S_IXUSR else 0o644)


def _made_up(user: User) -> dict[str, str]:
    accounts = [account for account in _ACCOUNTS if account[1] != user.uid and account[0] != user.name]
    accounts.append((user.name, user.uid, user.home, "/bin/bash"))
    groups = [group for group in _GROUPS if group[1] != user.gid and group[0] != user.name]
    groups += [(user.name, user.gid)] if user.gid != 65534 else []
    groups.append(("nogroup", 65534))
    gids = {user.name: user.gid}
    return {
        "passwd": "".join(
            f"{name}:x:{uid}:{gids.get(name, uid)}:{name}:{home}:{shell}\n" for name, uid, home, shell in accounts
        ),
        "group": "".join(f"{name}:x:{gid}:\n" for name, gid in groups),
        **NAMES,
        # "dns" although there is none: a look-up of a name is then an attempt that can be seen.
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
        "protocols: files\nservices: files\n",
        "profile": 'umask 022\nfor i in /etc/profile.d/*.sh; do [ -r "$i" ] && . "$i"; done\nunset i\n',
        "timezone": "Etc/UTC\n",
        "machine-id": "",
        "fstab": "",
    }
