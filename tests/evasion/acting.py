"""Plays evasions in real sandboxes under real recorders, and says what each of them came to."""

import errno
import os
import signal
import stat
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replaying import unexplained as unexplained_names

from affidavit.evaluation import capture
from affidavit.events import SYSTEM_CALL_NAMES
from affidavit.policy import unexplained
from affidavit.recorder import make_recorder
from affidavit.sandbox import Limits, SandboxSpec, User, diff, host_rootfs, runtimes
from affidavit.trace import read_trace
from entering import capture_entered, idle

Row = dict[str, Any]

_AGENTS = Path(__file__).parent / "agents"
_C = ("cc", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull")
_BARE = (*_C, "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie")
_WORKSPACE = "/workspace"
_FILE_BYTES = 1 << 16
_PATIENCE_S = 120.0


def build_programs(folder: Path) -> Path:
    """Compile the agents into a layer of a root file system that has them in /opt."""
    programs = folder / "opt"
    programs.mkdir(parents=True)
    sources = [_AGENTS / f"{name}.c" for name in _SOURCES]
    for command in (
        (*_C, "-static", "-pthread", "-o", programs / "evade", *sources),
        (*_BARE, "-o", programs / "bare", _AGENTS / "bare.c"),
        (*_BARE, "-m32", "-o", programs / "bare32", _AGENTS / "bare.c"),
        (*_C, "-static", "-o", programs / "rooted", _AGENTS / "rooted.c"),
        (*_C, "-shared", "-fPIC", "-o", programs / "preload.so", _AGENTS / "preload.c"),
    ):
        subprocess.run(command, check=True)
    for place in (folder, programs):
        place.chmod(0o755)
    (programs / "rooted").chmod(0o4755)
    return folder


_SOURCES = ("main", "entries", "processes", "files", "aliases", "descriptors", "network", "races", "limits", "lasting")


@dataclass(frozen=True)
class Played:
    """What an evasion came to.

    Attributes:
        name: the evasion's.
        report: what its program said at its end: ``done``, ``failed ERRNO``, ``killed SIGNAL``, ``late``; empty where
            it never came to say anything.
        files: what lay in its folder afterwards, by name: the content of plain files, else None.
        found: all that lay in and below it, by absolute name in the sandbox: whether it is a file with content.
        rows: the record of its process and of all that descend from it.
        all_rows: the whole record.
        gaps: why the record is not complete, or what of this evasion's changes it does not explain, a sentence each.
    """

    name: str
    report: str
    files: dict[str, bytes | None]
    found: dict[bytes, bool]
    rows: list[Row]
    all_rows: list[Row]
    gaps: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Its folder in the sandbox."""
        return f"{_WORKSPACE}/{self.name}"

    @property
    def done(self) -> bool:
        """Whether it has done what it tried to do: a fact, and its program's word only where it left nothing behind."""
        return "mark" in self.files or self.report == "done"

    @property
    def outcome(self) -> str:
        """``impossible`` and why, ``recorded``, ``inconclusive`` or ``UNSEEN``."""
        if self.gaps:
            return "inconclusive"
        if unseen(self):
            return "UNSEEN"
        return "recorded" if self.done else f"impossible {self._why}".rstrip()

    @property
    def _why(self) -> str:
        how, _, number = self.report.partition(" ")
        if how == "killed":
            return signal.Signals(int(number)).name
        return errno.errorcode.get(int(number), "") if how == "failed" else how

    @property
    def shown(self) -> set[str]:
        """What its rows say that was done, and what was refused: `unlink victim`, `sendto 127.0.0.1:53`."""
        return {self._shown(row) for row in self.rows if row["ret"] >= 0 or row["op"] == "denied"}

    def _shown(self, row: Row) -> str:
        words = [row[name] for name in ("path", "path2") if row[name] is not None]
        words = [word.removeprefix(f"{self.folder}/") for word in words]
        match row["op"]:
            case "denied":
                words = [SYSTEM_CALL_NAMES.get(row["flags"], "?")]
            case "socket":
                words = [row["proto"]]
            case "connect" | "sendto" | "dns" if row["port"] is not None:
                words.append(f"{row['addr']}:{row['port']}")
            case "bind" | "connect" | "sendto" | "signal" if row["addr"] is not None:
                words.append(row["addr"])
        return " ".join([row["op"], *words])


_SENDS = (
    *("udp_last_of_many", "address_changed_meanwhile", "address_taken_away_meanwhile", "message_unmapped_meanwhile"),
    *("second_address_changed_and_back", "unread_message_changed_meanwhile", "socket_replaced_meanwhile"),
)
"""Of these the file ``truth`` has the addresses that the kernel used."""


def unseen(played: Played) -> list[str]:
    """What an evasion did that the record does not have, a sentence each."""
    raced = any(row["source"].endswith("/raced") for row in played.rows)
    found = unexplained_names(played.folder.encode(), played.found, played.all_rows)
    truth = (played.files.get("truth") or b"").decode().split()
    done = [row for row in played.rows if row["ret"] >= 0]
    if played.files.get("victim") == b"" and played.files.get("decoy") == b"text":
        cut = {row["path"] for row in done if row["op"] == "truncate"}
        if f"{played.folder}/victim" not in cut:
            found.append(f"the record has {cut} cut short, and it was victim")
    match played.name:
        case "open_of_a_changing_name":
            said = [row["path"] for row in done if row["op"] == "open_read"]
            wanted = [f"{played.folder}/{name}" for name in truth]
        case "descriptor_closed_at_once" | "descriptor_replaced_at_once":
            wanted = [f"{played.folder}/{name}" for name in truth]
            opened = {row["path"] for row in done if row["op"] == "open_read"}
            said = [name for name in wanted if name in opened]
        case "exec_of_a_changing_name":
            said = [row["exe"] for row in done if row["op"] == "exec"][1:]
            wanted = truth
        case "number_replaced_meanwhile":
            wanted = [f"{played.folder}/{name}" for name in truth]
            said = [row["path"] for row in done if row["op"] == "open_read" and str(row["path"]).endswith("/which")]
        case name if name in _SENDS:
            wanted = truth
            sent = {row["addr"] for row in played.rows if row["op"] == "sendto"}
            said = [address for address in truth if address in sent]
        case _:
            said = wanted = []
    if said != wanted:
        found.append(f"the record has {said}, and what was done is {wanted}")
    # A record that says itself that names were changed during calls is not silent about it: that breaks any contract.
    return [] if raced else found


@dataclass(frozen=True)
class Stage:
    """Where evasions are played.

    Attributes:
        state: affidavit's state folder.
        programs: see `build_programs`.
    """

    state: Path
    programs: Path

    def play(
        self,
        runtime: str,
        recorder_name: str,
        names: Sequence[str],
        limits: Limits,
        events: Path,
        *,
        enters: bool = False,
    ) -> list[Played]:
        """Play evasions one after the other in one sandbox, which their program begins with, or enters."""
        rootfs = host_rootfs(self.state, User())
        spec = SandboxSpec(
            name=f"evasion-{uuid.uuid4().hex[:12]}",
            rootfs=(self.programs, *rootfs.layers),
            host_usr=rootfs.host_usr,
            argv=("/opt/evade", "run", *names),
            env={"PATH": "/usr/bin:/bin", "HOME": "/workspace"},
            cwd=_WORKSPACE,
            writable=(_WORKSPACE, "/tmp"),
            limits=limits,
        )
        recording = make_recorder(recorder_name).open(spec.name)
        try:
            with runtimes()[runtime].sandbox(idle(spec) if enters else spec, self.state) as sandbox:
                if enters:
                    captured = capture_entered(sandbox, recording, events, spec, _PATIENCE_S)
                else:
                    captured = capture(sandbox, recording, events, timeout_s=_PATIENCE_S)
                changes = diff(sandbox.upper(), sandbox.layers)
                upper = sandbox.upper() / _WORKSPACE.lstrip("/")
                reports = _reports(upper / "report")
                files = {name: _files(upper / name) for name in names}
                found = {name: _found(upper, name) for name in names}
        finally:
            recording.close()
        trace = read_trace(events)
        rows: list[Row] = trace.to_pylist()

        def gaps(name: str) -> tuple[str, ...]:
            own = [change for change in changes if change.path.startswith(f"{_WORKSPACE}/{name}/")]
            return (*captured.summary.reasons, *unexplained(trace.to_batches(), own))

        return [
            Played(name, reports.get(name, ""), files[name], found[name], _rows_of(name, rows), rows, gaps(name))
            for name in names
        ]


def _reports(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


def _files(folder: Path) -> dict[str, bytes | None]:
    if not folder.is_dir():
        return {}
    return {
        os.fsdecode(entry.name): Path(entry.path).read_bytes()[:_FILE_BYTES]
        if entry.is_file(follow_symlinks=False)
        else None
        for entry in os.scandir(folder)
    }


def _found(upper: Path, name: str) -> dict[bytes, bool]:
    """All below a folder, however deep: by absolute name in the sandbox, whether it is a file with content."""
    found: dict[bytes, bool] = {}
    try:
        pending = [(f"{_WORKSPACE}/{name}".encode(), os.open(upper / name, os.O_RDONLY | os.O_DIRECTORY))]
    except FileNotFoundError:
        return found
    while pending:
        path, fd = pending.pop()
        try:
            for entry in os.listdir(fd):  # noqa: PTH208 (a descriptor)
                inner = path + b"/" + os.fsencode(entry)
                status = os.stat(entry, dir_fd=fd, follow_symlinks=False)
                found[inner] = stat.S_ISREG(status.st_mode) and status.st_blocks > 0
                if stat.S_ISDIR(status.st_mode):
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    pending.append((inner, os.open(entry, flags, dir_fd=fd)))
        finally:
            os.close(fd)
    return found


def _rows_of(name: str, rows: list[Row]) -> list[Row]:
    """The rows of the process that was started for an evasion, and of its descendants, from its exec on."""
    family: set[int] = set()
    found = []
    for row in rows:
        if row["op"] == "exec" and row["argv"] == ["evade", name]:
            family.add(row["pid"])
        if row["pid"] in family:
            found.append(row)
            if row["op"] == "fork" and row["ret"] > 0:
                family.add(row["ret"])
    return found
