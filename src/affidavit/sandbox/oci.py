"""The configuration of one sandbox as an OCI runtime bundle (OCI runtime specification 1.0.2, config.md)."""

import math
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.sandbox.proc import MASKED
from affidavit.sandbox.protocol import ExecSpec, SandboxSpec
from affidavit.sandbox.user_namespace import IDS, first_id

_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/tty")

# What Docker gives to root (moby, daemon/pkg/oci/caps/defaults.go); in a user namespace none of them reaches beyond it.
_OF_CONTAINERS = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

MOUNT_POINTS = ("/proc", "/dev", "/sys")
"""Folders that the root file system must have before a runtime is asked to mount on them."""

_UNBOUNDED = (1 << 64) - 1


@dataclass(frozen=True)
class Place:
    """Where a folder or file of the host appears in the sandbox."""

    source: Path
    target: str
    writable: bool


def bundle_config(
    spec: SandboxSpec,
    root: Path,
    places: Sequence[Place],
    *,
    cgroup: str,
    seccomp: Mapping[str, Any],
    dev: Path | None = None,
    sealed_dev: bool = True,
    spare_pids: int = 0,
    spare_memory_mb: int = 0,
) -> dict[str, Any]:
    """config.json for a sandbox.

    Args:
        spec: what is wanted.
        root: its root file system, mounted.
        places: what is bound into it.
        cgroup: path of its control group below each hierarchy's root.
        seccomp: the filter of system calls.
        dev: the folder that is its /dev; None: the runtime makes one.
        sealed_dev: mount /dev read-only, which leaves its devices writable except under gVisor.
        spare_pids: threads of the runtime itself that are in the sandbox's control group.
        spare_memory_mb: memory of the runtime itself that is in the sandbox's control group.
    """
    return {
        "ociVersion": "1.0.2",
        "process": process_config(spec, ExecSpec(spec.argv, spec.env, spec.cwd, spec.first_user or spec.user)),
        "root": {"path": str(root), "readonly": spec.profile == "strict" and "/" not in spec.writable},
        "hostname": "sandbox",
        "mounts": [*_kernel_mounts(dev, sealed_dev), *(_bind(place) for place in places)],
        "linux": {
            "namespaces": [
                *({"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")),
                {"type": "network", **({"path": spec.network} if spec.network else {})},
                *([_user_namespace(spec)] if spec.profile == "container" else []),
            ],
            **(_id_mappings(spec.name) if spec.profile == "container" else {}),
            "cgroupsPath": cgroup,
            "resources": _resources(spec, spare_pids, spare_memory_mb),
            "seccomp": dict(seccomp),
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(_READ_ONLY),
            "rootfsPropagation": "rprivate",
        },
    }


def process_config(spec: SandboxSpec, command: ExecSpec) -> dict[str, Any]:
    """A process of a sandbox (``process`` of config.json): its first, or one that enters it later.

    Args:
        spec: the sandbox, whose limits and capabilities hold for every process in it.
        command: what runs.
    """
    granted = list(_OF_CONTAINERS if spec.profile == "container" else spec.capabilities)
    return {
        "terminal": command.terminal,
        "user": {"uid": command.user.uid, "gid": command.user.gid, "umask": 0o022, "additionalGids": []},
        "args": list(command.argv),
        "env": [f"{name}={value}" for name, value in command.env.items()],
        "cwd": command.cwd,
        # Who is not root has none; ambient and inheritable ones would stay with a process that becomes another user.
        "capabilities": {
            "bounding": granted,
            **{kind: granted if command.user.uid == 0 else [] for kind in ("effective", "permitted")},
            **{kind: [] for kind in ("inheritable", "ambient")},
        },
        "rlimits": _rlimits(spec),
        # A set-id program of a container (su, sudo) makes root of its user namespace, and no more.
        "noNewPrivileges": spec.profile == "strict",
    }


def _user_namespace(spec: SandboxSpec) -> dict[str, Any]:
    return {"type": "user", **({"path": spec.network_owner} if spec.network_owner else {})}


def _id_mappings(name: str) -> dict[str, Any]:
    mapping = {"containerID": 0, "hostID": first_id(name), "size": IDS}
    return {"uidMappings": [mapping], "gidMappings": [mapping]}


def _kernel_mounts(dev: Path | None, sealed_dev: bool) -> list[dict[str, Any]]:
    options = ["nosuid", "noexec", "strictatime", "mode=755", "size=64k", *(["ro"] if sealed_dev else [])]
    made = {"type": "tmpfs", "source": "tmpfs", "options": options}
    given = {"type": "bind", "source": str(dev), "options": ["bind", "ro", "nosuid", "noexec", "private"]}
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", **(made if dev is None else given)},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": shm},
    ]


def _bind(place: Place) -> dict[str, Any]:
    access = "rw" if place.writable else "ro"
    return {
        "destination": place.target,
        "type": "bind",
        "source": str(place.source),
        "options": ["bind", access, "nosuid", "nodev", "private"],
    }


def _rlimits(spec: SandboxSpec) -> list[dict[str, Any]]:
    limits = spec.limits
    # All that matter are named, so that none comes from whoever started affidavit.
    bounds = {
        "RLIMIT_AS": (_UNBOUNDED, _UNBOUNDED),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_DATA": (_UNBOUNDED, _UNBOUNDED),
        "RLIMIT_FSIZE": (limits.disk_mb << 20, limits.disk_mb << 20),
        "RLIMIT_MEMLOCK": (8 << 20, 8 << 20),
        "RLIMIT_MSGQUEUE": (819_200, 819_200),
        "RLIMIT_NOFILE": (limits.open_files, limits.open_files),
        "RLIMIT_NPROC": (_UNBOUNDED, _UNBOUNDED),
        "RLIMIT_STACK": (8 << 20, _UNBOUNDED),
    }
    if limits.cpu_ms is not None:
        seconds = math.ceil(limits.cpu_ms / 1000)
        # SIGXCPU, which the record tells from other ends; who ignores that gets SIGKILL a second later.
        bounds["RLIMIT_CPU"] = (seconds, seconds + 1)
    return [
        {"type": kind, "soft": min(soft, ceiling), "hard": min(hard, ceiling)}
        for kind, (soft, hard) in bounds.items()
        for ceiling in (_own_hard_limit(kind),)
    ]


def _own_hard_limit(kind: str) -> int:
    """This process's own limit, above which nobody gets without CAP_SYS_RESOURCE."""
    hard = resource.getrlimit(getattr(resource, kind))[1] if hasattr(resource, kind) else resource.RLIM_INFINITY
    return _UNBOUNDED if hard == resource.RLIM_INFINITY else hard


def _resources(spec: SandboxSpec, spare_pids: int, spare_memory_mb: int) -> dict[str, Any]:
    memory = (spec.limits.memory_mb + spare_memory_mb) << 20
    resources: dict[str, Any] = {
        "devices": [{"allow": False, "access": "rwm"}],
        # "swap" is memory and swap together: no swap.
        "memory": {"limit": memory, "swap": memory},
        "pids": {"limit": spec.limits.pids + spare_pids},
    }
    if spec.limits.cpus is not None:
        period = 100_000
        resources["cpu"] = {"period": period, "quota": max(1000, round(spec.limits.cpus * period))}
    return resources
