"""Plays cases in real sandboxes under real recorders, and keeps the record of each."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "recorder"))

import oci
from table import PROGRAM, Case, Row

from affidavit.evaluation import capture
from affidavit.recorder import RecordSummary, make_recorder
from affidavit.sandbox import SandboxSpec, User, host_rootfs, runtimes
from affidavit.trace import read_trace
from entering import capture_entered, idle

_RUNTIMES = {"ebpf": "runc", "ptrace": "runc", "gvisor": "gvisor"}
_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_SETGID"),
    *("CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"),
)
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Played:
    """What the cases of one box came to.

    Attributes:
        table: the whole record.
        summary: what the recorder says of it.
        status: what each case ended with, as a shell tells.
        said: what the cases said of calls that did not do what they must.
    """

    table: pa.Table
    summary: RecordSummary
    status: dict[str, int]
    said: str

    def processes(self, case: Case) -> list[list[Row]]:
        """The rows of a case from its exec on, process by process, in the order of their beginnings."""
        found: dict[int, list[Row]] = {}
        for row in self.table.to_pylist():
            if row["op"] == "exec" and row["argv"] == ["conform", case.name]:
                found = {row["pid"]: []}
            elif row["pid"] in found:
                found[row["pid"]].append(row)
                if row["op"] == "fork" and row["ret"] > 0:
                    found.setdefault(row["ret"], [])
        return list(found.values())


def build_programs(folder: Path) -> Path:
    """Compile the cases into a layer of a root file system that has them in /opt."""
    place = folder / "opt"
    place.mkdir(parents=True)
    sources = sorted((Path(__file__).parent / "programs").glob("*.c"))
    program = folder / PROGRAM.lstrip("/")
    subprocess.run(
        ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull", "-static", "-o", program, *sources],
        check=True,
    )
    (place / "old").symlink_to("/workspace")
    shutil.copy(Path(__file__).parent / "programs" / "standard_library.py", place)
    for made in (folder, place):
        made.chmod(0o755)
    return folder


def play(
    recorder_name: str,
    box: str,
    cases: Sequence[Case],
    programs: Path,
    state: Path,
    folder: Path,
    *,
    enters: bool = False,
) -> Played:
    """Play cases one after the other in one sandbox, which their program begins with, or enters."""
    argv = (PROGRAM, "all", *(case.name for case in cases))
    if box == "root":
        return _play_as_root(recorder_name, argv, programs, folder)
    rootfs = host_rootfs(state, User())
    spec = SandboxSpec(
        name=f"conformance-{uuid.uuid4().hex[:12]}",
        rootfs=(programs, *rootfs.layers),
        host_usr=rootfs.host_usr,
        argv=argv,
        env={"PATH": "/usr/bin:/bin", "HOME": "/workspace"},
        cwd="/workspace",
        writable=("/workspace", "/tmp"),
    )
    with (
        closing(make_recorder(recorder_name).open(spec.name)) as recording,
        runtimes()[_RUNTIMES[recorder_name]].sandbox(idle(spec) if enters else spec, state) as sandbox,
    ):
        events = folder / "events.parquet"
        if enters:
            captured = capture_entered(sandbox, recording, events, spec, _PATIENCE_S)
        else:
            captured = capture(sandbox, recording, events, timeout_s=_PATIENCE_S)
    said, status = captured.output.stderr.decode(), captured.output.stdout.decode()
    return Played(read_trace(folder / "events.parquet"), captured.summary, _status(status), said)


def _play_as_root(recorder_name: str, argv: Sequence[str], programs: Path, folder: Path) -> Played:
    gvisor = _RUNTIMES[recorder_name] == "gvisor"
    flags = ("--network=none", "--overlay2=none", "--ignore-cgroups") if gvisor else ()
    box = oci.Box(folder, argv, "runsc" if gvisor else "runc", flags)
    subprocess.run(["cp", "-a", programs / "opt", box.root / "opt"], check=True)
    process = box.config["process"]
    process["user"] = {"uid": 0, "gid": 0}
    process["capabilities"] = {kind: list(_CAPABILITIES) for kind in process["capabilities"]}
    table, summary = oci.record(make_recorder(recorder_name), box, _PATIENCE_S)
    return Played(table, summary, _status(box.output()), box.output())


def _status(said: str) -> dict[str, int]:
    lines = (line.rpartition(" ") for line in said.splitlines())
    return {name: int(status) for name, _, status in lines if status.isdecimal()}
