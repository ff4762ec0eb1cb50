"""The recorder in Python: it starts a loader for each record and reads the loader's output."""

import os
import platform
import select
import struct
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import empty_counts
from affidavit.recorder.ebpf.frames import FrameError, Totals, batch, end
from affidavit.recorder.ebpf.loader import LOADER, Loader, ReadyLoaders
from affidavit.recorder.ebpf.unresolved_paths import astray
from affidavit.recorder.protocol import LIVE_MS, Availability, RecorderError, RecordSummary
from affidavit.sandbox import Entrance, ExecSpec, RuntimeHooks, Sandbox

RING_BYTES = 32 << 20
"""Room between kernel and loader: what the busiest machine makes while the loader waits for its turn."""

_BTF = Path("/sys/kernel/btf/vmlinux")
_HEAD = struct.Struct("=II")
_ENTRANT = struct.Struct("=II")
_LOADED = struct.Struct("=II")
# What the loader says of its programs, in the order of `enum programs` of record.c.
_PROGRAMS = ("loads", "helper", "helper, no sends")
_FRAME_MAX = 256 << 20
_ATTACH_S = 20.0
# Of an earlier sandbox; the loader keeps twice as many in mind (LINKS_KEPT in resolve.c).
_MOST_LINKS = 1 << 15
_MOST_LINK_BYTES = 64 << 20
_GAPS = (
    "names in unlink, rename, mkdir, link, symlink, chmod, chown, truncate and failed calls are read from the caller's "
    "memory before and after the call; a change between is shown as ebpf/raced",
    "such a name on a page of a mapped file that was not in memory before the call is taken as it is after it: a file "
    "that is written meanwhile, and twice within one tick of the clock, may mislead",
    "addresses and questions that a call sends are compared likewise, those of each message of sendmmsg from the end "
    "of the message before it to its own end",
    "symlinks in such names are followed a moment after the call; those that the sandbox made are known by then, not "
    "one that was there from the start and that it removed in between",
    "questions to name servers that a program sends with sendfile or splice are not seen",
    "of a program's arguments the first 131,072 bytes are kept; flags is 1 where there are more",
)

NO_SENDS_GAP = (
    "this kernel does not let a program see the end of each message of sendmmsg: such messages are shown as "
    "ebpf/raced, and their addresses and questions are those of the end of the call; one that fails after another was "
    "sent is not shown"
)

_UNPROVEN = (
    "the tables of tests/conformance and tests/evasion were not run to their end with the programs for older kernels"
)


class _OtherSources(RecorderError):
    """The loader and this package don't belong together."""


class EbpfRecorder:
    """Records with tracepoint programs.

    Args:
        ring_bytes: room of the ring buffer, a power of two and a multiple of the page size.
        older: take the programs for older kernels, also where the others load.
    """

    name = "ebpf"

    def __init__(self, ring_bytes: int = RING_BYTES, *, older: bool = False) -> None:
        self._ring_bytes = ring_bytes
        self._older = older
        self._ready: ReadyLoaders | None = None

    def keep_ready(self, recordings: int) -> None:
        """See the protocol: loaders that have loaded."""
        self.let_go()
        self._ready = ReadyLoaders(self._ring_bytes, recordings, older=self._older)

    def let_go(self) -> None:
        """See the protocol."""
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()

    def available(self) -> Availability:
        """Loads and attaches the programs once, and lets them go again."""
        if platform.machine() != "x86_64":
            return Availability(False, f"machine {platform.machine()}", "use an x86-64 machine, or --recorder ptrace")
        if os.geteuid() != 0:
            return Availability(False, "not root", "run as root")
        if not _BTF.exists():
            return Availability(False, f"{_BTF} is missing", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")
        if not LOADER.exists():
            return Availability(False, f"{LOADER} is not built", "run: make setup")
        started = time.monotonic()
        try:
            recording = self.open("available")
            try:
                recording.hooks()
                recording.ready(_ATTACH_S)
            finally:
                recording.close()
        except _OtherSources as error:
            return Availability(False, str(error), "run: make setup")
        except RecorderError as error:
            return Availability(False, str(error), "use Linux 6.3 or newer with BPF, or --recorder ptrace")
        took = round((time.monotonic() - started) * 1000)
        newest = recording.fields_read_by == _PROGRAMS[0]
        programs = "programs" if newest else "programs for older kernels, not proven there,"
        return Availability(
            True,
            f"Linux {platform.release()}, {programs} loaded in {took} ms",
            gaps=recording.gaps,
            unproven="" if newest else _UNPROVEN,
        )

    def open(self, sandbox_name: str, within_ms: int = LIVE_MS) -> "EbpfRecording":
        """See the protocol. Where none is ready, the loader loads while the sandbox is made.

        Raises:
            RecorderError: it does not start.
        """
        ready = self._ready
        loader = None if ready is None else ready.take()
        return EbpfRecording(loader or Loader(self._ring_bytes, older=self._older), self._ring_bytes, within_ms)


class EbpfRecording:
    """One record. Its loader ends with it, and with this process."""

    def __init__(self, loader: Loader, ring_bytes: int, within_ms: int) -> None:
        self._loader = loader
        self._socket = loader.socket
        self._ring_bytes = ring_bytes
        self._within_ms = within_ms
        self._ready_ms: int | None = None
        self._programs = ""
        self._attached: bool | None = None  # None: not asked for
        self._events = 0
        self._astray = 0
        # Processes that entered the sandbox, each with who made it; likewise those that were let in.
        self._entrants: list[tuple[int, int]] = []
        self._launchers: set[int] = set()
        self._let_in: list[tuple[int, int]] = []
        self._totals: Totals | None = None
        self._counts = empty_counts()
        # What the machine has for the sandbox's user 0, and how many users that is so for.
        self._users = (0, 0)
        # Links that were there from the start, and are too many to be told.
        self._unknown_links = 0
        self._broken = ""
        self._closed = False

    @property
    def loader_pid(self) -> int:
        """Process that records."""
        return self._loader.process.pid

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is not seen on this kernel, a sentence each; after `ready`."""
        return (*_GAPS, NO_SENDS_GAP) if self._programs == _PROGRAMS[-1] else _GAPS

    @property
    def fields_read_by(self) -> str:
        """How the programs in the kernel read its objects; after `ready`."""
        return self._programs

    def hooks(self) -> RuntimeHooks:
        """None: the runtime runs as ever. The programs are attached while it makes the sandbox, and not before: they
        cost every system call of the machine a little."""
        self._attached = False
        self._order("P", self._within_ms)
        return RuntimeHooks()

    def ready(self, timeout_s: float) -> None:
        """Wait until the programs are loaded and, where `hooks` was asked, attached. Raises RecorderError."""
        if self._ready_ms is None:
            loaded = self._expect("R", timeout_s)
            if len(loaded) != _LOADED.size:
                raise _OtherSources(f"{LOADER} was built from other sources than these")
            self._ready_ms, programs = _LOADED.unpack(loaded)
            self._programs = _PROGRAMS[programs]
        if self._attached is False:
            self._expect("P", timeout_s)
            self._attached = True

    def attach(self, sandbox: Sandbox, init_pid: int) -> None:
        self.ready(_ATTACH_S)
        self._users = _users(init_pid)
        links = sandbox.earlier_links
        text = b"".join(path + b"\0" + target + b"\0" for path, target in links.items())
        if len(links) > _MOST_LINKS or len(text) > _MOST_LINK_BYTES:
            self._unknown_links = len(links)
        elif links:
            self._order("L", len(text), text)
        self._order("T", init_pid)
        self._expect("A", _ATTACH_S)

    def entrance(self, command: ExecSpec) -> Entrance:
        """See the protocol. The kernel's programs follow the sandbox's PID namespace: nothing is to be done before."""
        return _Entrance(self)

    def explain(self, launcher: int, pid: int | None) -> None:
        """Say that a process of the runtime's was asked to let one into the sandbox, and which came of it."""
        self._launchers.add(launcher)
        if pid is not None:
            self._let_in.append((pid, launcher))

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            while self._totals is None:
                kind, payload = self._frame()
                if kind == "B":
                    rows = batch(payload, self._events)
                    self._events += rows.num_rows
                    self._astray += astray(rows)
                    yield counted_inside(rows, *self._users)
                elif kind == "N":
                    self._entrants.append(_ENTRANT.unpack(payload))
                elif kind == "F":
                    self._totals, self._counts = end(payload)
                else:
                    self._broken = payload.decode(errors="replace")
                    return
        except EOFError:
            self._broken = "the recorder ended before its end-of-stream mark"
        except (OSError, FrameError, struct.error, pa.ArrowException) as error:
            self._broken = f"the recorder's stream broke: {error}"

    def stop(self) -> None:
        self._order("S", 0)

    def summary(self) -> RecordSummary:
        totals = self._totals
        facts: dict[str, Any] = {
            "kernel": platform.release(),
            "ring_bytes": self._ring_bytes,
            "ready_ms": self._ready_ms,
            "fields_read_by": self._programs,
            "totals": asdict(totals) if totals else None,
        }
        reasons = [self._broken] if self._broken else []
        lost = 0
        if totals is None:
            reasons = reasons or ["the record was not read to its end"]
        else:
            missing = totals.emitted - totals.received
            losses = {
                f"{missing} events did not fit into the ring buffer": missing,
                f"{totals.unmarked} processes could not be marked": totals.unmarked,
                f"{totals.uncounted} system calls were not counted": totals.uncounted,
                f"{totals.foreign} calls came by the 32-bit or x32 entry or set up io_uring": totals.foreign,
                f"{totals.reentered + totals.missed} runs of a program were left out": totals.reentered + totals.missed,
                f"{totals.malformed} events could not be read": totals.malformed,
                f"{totals.cut} events have a path that is too long": totals.cut,
                f"{self._unknown_links} links of an earlier sandbox are too many to be kept": self._unknown_links,
                f"{self._astray} names could not be read, or lead nobody knows where": self._astray,
            }
            reasons += [reason for reason, number in losses.items() if number]
            lost = sum(abs(number) for number in losses.values())
            reasons += unexplained(self._entrants, self._launchers, self._let_in)
            if totals.live > 0:
                reasons.append(f"{totals.live} tasks of the sandbox still ran as the record ended")
        return RecordSummary("ebpf", self._events, lost, not reasons, tuple(reasons), self.gaps, self._counts, facts)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loader.close(kill=self._totals is None)

    def _order(self, kind: str, number: int, more: bytes = b"") -> None:
        try:
            self._socket.sendall(_HEAD.pack(ord(kind), number) + more)
        except OSError:
            self._broken = self._broken or "the recorder ended before it was told to"

    def _expect(self, kind: str, timeout_s: float) -> bytearray:
        if not select.select([self._socket], [], [], timeout_s)[0]:
            raise RecorderError(f"the eBPF loader did not answer within {timeout_s:.0f} s")
        try:
            came, payload = self._frame()
        except (EOFError, OSError, FrameError) as error:
            raise RecorderError(
                f"the eBPF loader ended (status {self._loader.process.poll()}); run: make setup"
            ) from error
        if came != kind:
            raise RecorderError(payload.decode(errors="replace") or f"the eBPF loader answered {came}")
        return payload

    def _frame(self) -> tuple[str, bytearray]:
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        if chr(kind) not in "RPAEBFN" or length > _FRAME_MAX:
            raise FrameError(f"a frame of kind {kind}, {length} bytes")
        return chr(kind), self._exactly(length)

    def _exactly(self, length: int) -> bytearray:
        payload = bytearray(length)
        view, have = memoryview(payload), 0
        while have < length:
            got = self._socket.recv_into(view[have:])
            if not got:
                raise EOFError
            have += got
        return payload


class _Entrance:
    """One command's way into the sandbox."""

    def __init__(self, recording: EbpfRecording) -> None:
        self._recording = recording

    def hooks(self) -> RuntimeHooks:
        return RuntimeHooks()

    def entered(self, launcher: int, pid: int | None) -> None:
        self._recording.explain(launcher, pid)


def counted_inside(rows: pa.RecordBatch, first: int, count: int) -> pa.RecordBatch:
    """Events with users and groups as the sandbox's user namespace counts them; the kernel gave the machine's numbers.

    Args:
        rows: of EVENT_SCHEMA.
        first: what the machine has for user 0 of the namespace.
        count: how many users, and groups, are counted from there.
    """
    if not first:
        return rows
    columns = {name: rows.column(name) for name in rows.schema.names}
    for name in ("uid", "gid"):
        numbers = columns[name]
        inside = pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, first + count))
        columns[name] = pc.if_else(inside, pc.subtract(numbers, first), numbers)
    return pa.RecordBatch.from_arrays([*columns.values()], schema=rows.schema)


def _users(pid: int) -> tuple[int, int]:
    """What the machine has for user 0 of a process's user namespace, and for how many after it (user_namespaces(7)); 0
    where it counts likewise."""
    try:
        inside, outside, count = map(int, Path(f"/proc/{pid}/uid_map").read_text().split()[:3])
    except (OSError, ValueError):
        # It has ended already, or has no users: there will be nothing to count.
        return 0, 0
    return (outside, count) if inside == 0 else (0, 0)


def unexplained(
    entrants: Sequence[tuple[int, int]], launchers: Collection[int], let_in: Sequence[tuple[int, int]]
) -> list[str]:
    """Why the record of a sandbox that processes entered is not complete; nothing where each of them is explained.

    Args:
        entrants: the processes that were seen to enter, each with the one that made it.
        launchers: the processes of the runtime that were asked to let one in.
        let_in: what came of that, likewise with the launcher.
    """
    strangers = sum(maker not in launchers for _, maker in entrants)
    unseen = len(set(let_in) - set(entrants))
    reasons = [f"{strangers} processes entered the sandbox that no command explains"] if strangers else []
    return [*reasons, *([f"{unseen} commands were not seen to enter the sandbox"] if unseen else [])]
