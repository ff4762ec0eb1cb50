"""Records by gVisor's sentry: its remote trace sink, and its log of system calls."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import uuid
from typing import Any

from affidavit.recorder.gvisor import log, wire
from affidavit.recorder.gvisor.transcript import Transcript
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.protocol import LIVE_MS, Availability, RecorderError, RecordSummary
from affidavit.recorder.threaded_recording import ThreadedRecording
from affidavit.sandbox import Entrance, ExecSpec, RuntimeHooks, Sandbox

GAPS: tuple[str, ...] = (
    "a call that the sandbox's own system-call filter refuses is not seen: the sentry asks that filter first",
    "runsc does not say which file was opened: its path is the one that the caller named, read before the call and "
    "after it (a difference shows): another thread that changes it and changes it back within the call goes unnoticed",
    "the names in other calls are read once, before the call: another thread that changes them then is not noticed",
    "an open that asks for a new file counts as one that creates it, also where the file was there",
    "a name is resolved by what the record says of symlinks: one that another thread swaps during the call may mislead",
    "bytes of a name that are not UTF-8 show as U+FFFD",
    "a folder descriptor as the second one of renameat and linkat is known by its open: where it was there before an "
    "execve, was received or copied by fcntl, or changed during the call, the record is incomplete",
    "a descriptor in /proc/…/fd/… is known likewise, of the caller's own process only: a name that ends in any other "
    "stays as it is spelled; one that goes on behind that makes the record incomplete",
    "the peer of an accepted connection is known only where the program asks for it",
    "messages of sendmsg and sendmmsg are not seen, nor the names that DNS queries ask for",
    "of a program's arguments the first 131,072 bytes are kept; flags is 1 where there are more",
    "system-call counts are of the logged calls only, not of read, write and the like",
)

# Without strings in their context: a protobuf string that is not UTF-8 makes the sentry drop the message unsaid, and
# the sandbox chooses the names of its programs and folders.
_CONTEXT = ("time", "thread_id", "group_id", "credentials")
_POINTS = (
    *("container/start", "sentry/clone", "sentry/execve", "sentry/task_exit"),
    *("syscall/open/exit", "syscall/openat/exit", "syscall/creat/exit"),
)
_FLAGS = ("pod-init-config", "debug-log", "debug-log-format", "debug-command", "strace", "strace-syscalls")

_TICK_S = 0.01
# The sentry stamps the time a moment before it writes.
_SETTLED_NS = 5_000_000
_CONNECT_S = 20.0
_END_S = 20.0
_CHUNK = 4 << 20
_LONGEST_LINE = 64 << 20
_FURTHEST_BEHIND = 512 << 20
_SOCKET_BYTES = 4 << 20
_FALLOC_FL_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02

_libc = ctypes.CDLL(None, use_errno=True)


class GvisorRecorder:
    """The recorder ``gvisor``: what the sentry itself says of the programs that it runs."""

    name = "gvisor"

    def available(self) -> Availability:
        """Whether runsc is here and has the trace points and flags that are needed."""
        runsc = shutil.which("runsc")
        fix = "install runsc with a remote trace sink (Debian's package of 2022-12 or a later release)"
        if runsc is None:
            return Availability(False, "runsc is not installed", fix, GAPS)
        metadata = _output(runsc, "trace", "metadata")
        flags = _output(runsc, "flags")
        missing = [point for point in _POINTS if not re.search(rf"Name: {point}\b", metadata)]
        missing += [f"--{flag}" for flag in _FLAGS if not re.search(rf"^ +-{flag}\b", flags, re.MULTILINE)]
        if not re.search(r"^Name: remote\b", metadata, re.MULTILINE):
            missing.append("the remote sink")
        if missing:
            return Availability(False, f"{_version(runsc)} has no {', '.join(missing)}", fix, GAPS)
        return Availability(True, f"{_version(runsc)}, remote sink and sentry log", "", GAPS)

    def open(self, sandbox_name: str, within_ms: int = LIVE_MS) -> "GvisorRecording":
        """See the protocol."""
        runsc = shutil.which("runsc")
        if runsc is None:
            raise RecorderError("runsc is not installed: apt install runsc")
        return GvisorRecording(sandbox_name, runsc, within_ms)


class GvisorRecording(ThreadedRecording[Transcript]):
    """The record of one sandbox.

    The sentry connects to a socket that is this sandbox's alone and that only root may connect to. It writes its log to
    a file in memory, of which what has been read is freed as it grows. Nothing of it lies in a folder, so nothing can
    be left behind.
    """

    def __init__(self, sandbox_name: str, runsc: str, within_ms: int) -> None:
        super().__init__("gvisor", sandbox_name, within_ms)
        self._runsc = runsc
        self._log = os.memfd_create(f"affidavit {sandbox_name} log")
        name = f"affidavit-{uuid.uuid4().hex}"
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.bind(f"\0{name}")
        self._server.listen(1)
        self._config = os.memfd_create(f"affidavit {sandbox_name} session")
        os.write(self._config, json.dumps(_session(f"@{name}")).encode())
        self._names = PathResolver(None)
        self._connected = threading.Event()
        self._read_to = 0
        self._rest = b""

    def hooks(self) -> RuntimeHooks:
        """runsc's flags: a trace session, and a log of the calls that are to be recorded."""
        self._start()
        own = f"/proc/{os.getpid()}/fd"
        return RuntimeHooks(
            flags=(
                f"--pod-init-config={own}/{self._config}",
                "--strace",
                f"--strace-syscalls={','.join(log.SHAPES)}",
                f"--debug-log={own}/{self._log}",
                "--debug-log-format=json",
                "--debug-command=boot",
            )
        )

    def attach(self, sandbox: Sandbox, init_pid: int) -> None:
        """See that the sentry has connected. Raises RecorderError."""
        deadline = time.monotonic() + _CONNECT_S
        while not self._connected.wait(_TICK_S):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RecorderError(f"the sentry of sandbox {sandbox.name} did not connect to the recorder")
        self._names = PathResolver(sandbox.root_fd(), sandbox.earlier_links)
        self._transcript = Transcript(
            self._rows, self._loss, self._names, self._clock.monotonic, by_program=sandbox.enters_by_program
        )
        self._attached.set()

    def entrance(self, command: ExecSpec) -> Entrance:
        """See the protocol. Raises RecorderError before `attach`."""
        if self._transcript is None:
            raise RecorderError("the sandbox is not recorded yet: no command can enter it")
        return _Entrance(self._transcript, command)

    def summary(self) -> RecordSummary:
        """What was recorded; only after `batches` has ended."""
        ended = self._transcript is not None and self._transcript.ended
        facts = {"runsc": _version(self._runsc), "unread": self._loss.unread, "init_ended": ended}
        return self._summary(GAPS, facts)

    def close(self) -> None:
        """Let go of the socket and the log. Harmless when called twice."""
        self._closing.set()
        self._join()
        self._server.close()
        self._names.close()
        if self._log >= 0:
            os.close(self._log)
            os.close(self._config)
            self._log = self._config = -1

    # --- the reading thread ---

    def _read_to_end(self) -> None:
        with self._accept() as sink:
            self._follow(sink)

    def _accept(self) -> socket.socket:
        """The sentry's connection, its handshake answered."""
        self._server.settimeout(0.1)
        while True:
            if self._closing.is_set() or self._stop_at is not None:
                raise RecorderError("the sentry did not connect")
            with contextlib.suppress(TimeoutError):
                sink, _ = self._server.accept()
                if _peer_uid(sink) == 0:
                    break
                sink.close()
        sink.settimeout(_CONNECT_S)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
        if wire.peer_version(sink.recv(4096)) < wire.VERSION:
            raise RecorderError("the sentry speaks an older protocol")
        sink.send(wire.handshake())
        sink.setblocking(False)
        self._connected.set()
        return sink

    def _follow(self, sink: socket.socket) -> None:
        while not self._attached.wait(_TICK_S):
            if self._closing.is_set():
                return
        transcript = self._transcript
        assert transcript is not None
        open_ = True
        while open_ and not self._closing.is_set():
            began = time.time_ns()
            self._clock.check(self._loss)
            # First the log: what made a process has then been said on the sink before its first line is read here.
            busy = self._read_log(transcript)
            open_ = self._read_sink(sink, transcript)
            transcript.advance(began - _SETTLED_NS)
            self._outbox.offer()
            if self._stop_at is not None and time.monotonic() - self._stop_at > _END_S:
                self._loss.add(f"the sentry had not ended {_END_S:.0f} s after the sandbox's last process", 0)
                return
            if open_ and not busy:
                time.sleep(_TICK_S)
        while self._read_log(transcript):
            transcript.advance(time.time_ns() - _SETTLED_NS)
            self._outbox.hand_over()
        # A line without its end is one that the sentry was killed in: of a call that had not begun, or of one that is
        # known to have begun.
        transcript.line(self._rest.decode("utf-8", "replace"), last=True)

    def _read_sink(self, sink: socket.socket, transcript: Transcript) -> bool:
        """Take what has come on the sink; whether it is still open."""
        while True:
            try:
                data, _, flags, _ = sink.recvmsg(wire.MAX_MESSAGE)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not data:
                return False
            if flags & socket.MSG_TRUNC:
                self._loss.add("the sentry sent a message that is too long")
            else:
                transcript.packet(data)

    def _read_log(self, transcript: Transcript) -> bool:
        """Take the next piece of the log; whether there is more."""
        data = os.pread(self._log, _CHUNK, self._read_to)
        if not data:
            return False
        self._read_to += len(data)
        _libc.fallocate(
            self._log, _FALLOC_FL_KEEP_SIZE_PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(self._read_to & ~0xFFF)
        )
        if os.fstat(self._log).st_size - self._read_to > _FURTHEST_BEHIND:
            raise RecorderError("the sentry logs faster than the recorder can read")
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end:
            for line in whole.decode("utf-8", "replace").split("\n"):
                if line:
                    transcript.line(line)
        elif len(self._rest) > _LONGEST_LINE:
            self._loss.add("the sentry's log has a line without an end")
            self._rest = b""
        return True


class _Entrance:
    """One command's way into the sandbox; the sentry records it by itself, but for its first program."""

    def __init__(self, transcript: Transcript, command: ExecSpec) -> None:
        self._transcript = transcript
        self._command = command

    def hooks(self) -> RuntimeHooks:
        self._transcript.expect()
        return RuntimeHooks()

    def entered(self, launcher: int, pid: int | None) -> None:
        self._transcript.entered(pid, self._command)


def _peer_uid(of: socket.socket) -> int:
    """Who connected: struct ucred {pid, uid, gid} (unix(7))."""
    raw = of.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", raw)[1])


def _session(endpoint: str) -> dict[str, Any]:
    """The trace session that ``--pod-init-config`` names."""
    return {
        "trace_session": {
            "name": "Default",
            "points": [{"name": point, "context_fields": list(_CONTEXT)} for point in _POINTS],
            # A sink that is full holds the sandbox up rather than losing something.
            "sinks": [{"name": "remote", "config": {"endpoint": endpoint, "retries": 3000, "backoff_max": "10ms"}}],
        }
    }


def _output(runsc: str, *words: str) -> str:
    done = subprocess.run([runsc, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def _version(runsc: str) -> str:
    found = re.search(r"runsc version (\S+)", _output(runsc, "--version"))
    return f"runsc {found[1]}" if found else "runsc of unknown version"
