"""A sandbox as small as can be, by a runtime's own commands: enough for a recorder, without the sandbox room's care."""

import json
import os
import select
import signal
import subprocess
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from affidavit.events import EVENT_SCHEMA
from affidavit.recorder import Recorder, RecordSummary
from affidavit.sandbox import RuntimeHooks

_FOLDERS = ("usr", "proc", "dev", "tmp", "etc", "workspace")
_LINKS = ("bin", "lib", "lib64", "sbin")
_CAPABILITIES = ("bounding", "effective", "permitted", "ambient", "inheritable")
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount")


class Box:
    """One sandbox of runc or runsc with the machine's /usr and an empty, writable /workspace, run as uid 1000.

    Args:
        folder: where its bundle lies.
        argv: its command.
        flags: global flags of the runtime, before the recorder's.
        seccomp: the ``linux.seccomp`` part of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        argv: Sequence[str],
        runtime: str = "runc",
        flags: Sequence[str] = (),
        seccomp: dict[str, Any] | None = None,
        cwd: str = "/workspace",
    ) -> None:
        self.name = f"afftest-{uuid.uuid4().hex[:12]}"
        self.runtime = runtime
        self.folder = folder
        self.root = folder / "rootfs"
        self.workspace = self.root / "workspace"
        self.flags = tuple(flags)
        self.pid = 0
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in _LINKS:
            (self.root / name).symlink_to(f"usr/{name}")
        (self.root / "tmp").chmod(0o1777)
        os.chown(self.workspace, 1000, 1000)
        self.config: dict[str, Any] = {
            "ociVersion": "1.0.2-dev",
            "process": {
                "user": {"uid": 1000, "gid": 1000},
                "args": list(argv),
                "env": ["PATH=/usr/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8"],
                "cwd": cwd,
                "noNewPrivileges": True,
                "capabilities": {kind: [] for kind in _CAPABILITIES},
            },
            "root": {"path": "rootfs"},
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in _NAMESPACES]}
            | ({"seccomp": seccomp} if seccomp else {}),
        }

    def create(self, hooks: RuntimeHooks) -> int:
        self.flags += tuple(hooks.flags)
        seccomp = self.config["linux"].get("seccomp")
        if seccomp and hooks.refusals:
            seccomp["listenerPath"] = hooks.refusals
        (self.folder / "config.json").write_text(json.dumps(self.config))
        pid_file = self.folder / "pid"
        self._output = (self.folder / "output").open("wb")
        command = [*hooks.wrapper, *self._command("create", "--bundle", str(self.folder), "--pid-file", str(pid_file))]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output)
        self.pid = int(pid_file.read_text())
        self._handle = os.pidfd_open(self.pid)
        return self.pid

    @property
    def earlier_links(self) -> dict[bytes, bytes]:
        return {}

    @property
    def enters_by_program(self) -> bool:
        return False

    def root_fd(self) -> int:
        path = f"/proc/{self.pid}/root" if self.runtime == "runc" else self.root
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def start(self) -> None:
        subprocess.run(self._command("start"), check=True, stdin=subprocess.DEVNULL)

    def wait(self, timeout_s: float = 60) -> bool:
        return bool(select.select([self._handle], [], [], timeout_s)[0])

    def kill(self) -> None:
        if not self.wait(0):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            self.wait()

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def close(self) -> None:
        if self.pid and not self.wait(0):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            self.wait()
        if self.runtime == "runc":
            subprocess.run(self._command("delete", "--force"), capture_output=True, check=False)
        if self.pid:
            os.close(self._handle)
            self._output.close()
            self.pid = 0

    def _command(self, verb: str, *options: str) -> list[str]:
        return [self.runtime, f"--root={self.folder}/state", *self.flags, verb, *options, self.name]


def record(recorder: Recorder, box: Box, timeout_s: float = 60) -> tuple[pa.Table, RecordSummary]:
    """The record of a box's whole life."""
    recording = recorder.open(box.name)
    try:
        recording.attach(box, box.create(recording.hooks()))  # type: ignore[arg-type]
        batches: list[pa.RecordBatch] = []
        reader = threading.Thread(target=lambda: batches.extend(recording.batches()))
        reader.start()
        box.start()
        assert box.wait(timeout_s), f"the box did not end; it said {box.output()[-2000:]}"
        box.kill()
        recording.stop()
        reader.join(timeout=60)
        assert not reader.is_alive()
        return pa.Table.from_batches(batches, EVENT_SCHEMA), recording.summary()
    finally:
        box.close()
        recording.close()
