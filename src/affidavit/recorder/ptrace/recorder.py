"""Recording with strace(1) from outside the sandbox."""

import contextlib
import fcntl
import functools
import math
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.protocol import LIVE_MS, Availability, RecorderError, RecordSummary
from affidavit.recorder.ptrace.executions import Executions, executions_told
from affidavit.recorder.ptrace.refusals import Refusal, Refusals
from affidavit.recorder.ptrace.transcript import TRACED, Transcript
from affidavit.recorder.threaded_recording import ThreadedRecording
from affidavit.sandbox import Entrance, ExecSpec, RuntimeHooks, Sandbox

_REFUSALS_GAP = (
    "a call that the sandbox's own system-call filter refuses is not seen: the runtime handed over no listener"
)
_EXECUTIONS_GAP = (
    "which program runs is told by its name where it ended at once: watching what is run (fanotify) needs root"
)
GAPS: tuple[str, ...] = (
    "a call that the sandbox's own filter refuses for its arguments is seen of clone, seccomp and socket only",
    "the names in calls that return no descriptor (unlink, rename, a failed open …) are read once, before the call: "
    "another thread that changes them in between is not noticed",
    "such a name is resolved by what the record says of symlinks: one that another thread swaps during the call may "
    "mislead",
    "addresses are read once, before the call, those of sendmmsg after it: another thread that changes them in between "
    "is not noticed",
    "a file that was opened is told by its descriptor right after the call: another thread that puts another file in "
    "its place by then is not noticed",
    "an open that asks for a new file counts as one that creates it, also where the file was there",
    "system-call counts are of the traced calls only, not of read, write and the like",
    "a name that ends in /proc/…/fd/… is resolved while its process is there only, else it stays as it is spelled; one "
    "that goes on behind that makes the record incomplete",
    "the peer of an accepted connection is known only where the program asks for it",
    "questions to name servers that a program sends with write, writev, pwritev2, sendfile or splice are not seen",
    "a message of sendmmsg that fails after others were sent shows EAGAIN, whatever its error was",
    "of a program's arguments the first 4,096 bytes of each are kept, and not all where there are very many; flags is "
    "1 then",
    "the file that open_by_handle_at opened has no path",
    "of a call that strace has no name for only the number is known: one that was done makes the record incomplete",
    "the row of a refused call may stand behind later ones of its process, and has no executable where that has ended "
    "meanwhile",
    "clone3, of which a sandbox says that there is none, is not seen",
    "a call by the 32-bit or x32 entry is not seen, only that the filter ends its program (SIGSYS)",
    "a program in the sandbox can't trace another (debuggers fail): one tracer is there already",
    "a process that somebody on the machine puts into the sandbox by another way than a session's commands is not seen",
    "the parent of a process that ended within moments, while others were forking, is told from the order of pids",
)

_NEWER_GAP = "system calls that are newer than this strace are not seen"
_NO_CALL = 100_000

_TICK_S = 0.01
_PAUSE_S = 1.0
_PIPE_BYTES = 1 << 20
_BEFORE_ATTACH_BYTES = 64 << 20
_LONGEST_LINE = 64 << 20
_END_S = 20.0


class PtraceRecorder:
    """The recorder ``ptrace``: ``strace --seccomp-bpf`` around the runtime's ``create``."""

    name = "ptrace"

    def available(self) -> Availability:
        """Whether strace is here, knows what it must know and may trace."""
        strace = shutil.which("strace")
        fix = "apt install strace (6.1 or later)"
        if strace is None:
            return Availability(False, "strace is not installed", fix, GAPS)
        version = _version(strace)
        tried = _try(strace)
        if tried.returncode != 0 or "execve(" not in tried.stderr:
            said = (tried.stderr.strip().splitlines() or ["no reason given"])[0]
            return Availability(False, f"strace {version}: {said}", f"{fix}, and let this user trace", GAPS)
        newer = () if f"syscall_{_NO_CALL:#x}(" in tried.stderr else (_NEWER_GAP,)
        gaps = (*GAPS, *newer, *(() if executions_told() else (_EXECUTIONS_GAP,)))
        return Availability(True, f"strace {version}, stopped by seccomp-bpf", "", gaps)

    def open(self, sandbox_name: str, within_ms: int = LIVE_MS) -> "PtraceRecording":
        """See the protocol."""
        strace = shutil.which("strace")
        if strace is None:
            raise RecorderError("strace is not installed: apt install strace")
        return PtraceRecording(sandbox_name, strace, within_ms)


class PtraceRecording(ThreadedRecording[Transcript]):
    """The record of one sandbox, made with strace.

    strace runs from before the runtime's ``create`` and writes to a pipe that it opens by way of this process. The
    filter that it gives every process it follows makes the calls to be recorded fail with ENOSYS when strace is gone,
    so that no sandbox goes on unseen.
    """

    def __init__(self, sandbox_name: str, strace: str, within_ms: int) -> None:
        super().__init__("ptrace", sandbox_name, within_ms)
        self._strace = strace
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._wake_fd, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._refusals = Refusals(sandbox_name, self.poke)
        self._executions: Executions | None = None
        self._names: PathResolver | None = None
        self._tracer: int | None = None
        self._mounts = -1
        # The straces of commands that entered the sandbox, by the reading ends of their pipes; and those just begun.
        self._tracers: dict[int, _Tracer] = {}
        self._new: deque[_Tracer] = deque()
        self._refused: list[Refusal] = []

    def hooks(self) -> RuntimeHooks:
        """strace in front of the runtime's ``create``; it leaves when the last process that it follows has ended."""
        self._start()
        return RuntimeHooks(wrapper=self.wrapper(self._write_fd), refusals=self._refusals.path)

    def wrapper(self, descriptor: int) -> tuple[str, ...]:
        """strace's words, to print to a descriptor of this process."""
        return _options(self._strace, f"/proc/{os.getpid()}/fd/{descriptor}")

    def attach(self, sandbox: Sandbox, init_pid: int) -> None:
        """See that strace holds the sandbox's init. Raises RecorderError."""
        tracer = _tracer(init_pid)
        if tracer == 0:
            raise RecorderError(
                f"strace does not hold the init of sandbox {sandbox.name}: start the runtime with the wrapper asked for"
            )
        if Path(f"/proc/{tracer}/exe").readlink().name != Path(self._strace).resolve().name:
            raise RecorderError(f"another program traces the init of sandbox {sandbox.name}; stop it")
        self._tracer = os.pidfd_open(tracer)
        # strace has its own now: its end is the end of the pipe.
        self._close_write_end()
        # Else its mounts are gone from below its root as soon as its last process is.
        self._mounts = os.open(f"/proc/{init_pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._names = PathResolver(sandbox.root_fd(), sandbox.earlier_links)
        try:
            executions = Executions(init_pid, self._names, self._loss)
        except OSError as problem:
            raise RecorderError(f"sandbox {sandbox.name} can't be watched for what it runs: {problem}") from problem
        self._executions = executions
        self._transcript = Transcript(
            self._rows, self._loss, init_pid, self._names, self._clock.monotonic, executions.take
        )
        self._attached.set()
        self.poke()

    def entrance(self, command: ExecSpec) -> Entrance:
        """See the protocol: a strace of its own around the runtime's ``exec``."""
        return _Entrance(self, command)

    def follow(self, tracer: "_Tracer") -> None:
        """Read what another strace of the sandbox's says."""
        self._new.append(tracer)
        self.poke()

    def stop(self) -> None:
        """The sandbox has no process left: strace ends by itself, and is waited for a while."""
        super().stop()
        self.poke()

    def summary(self) -> RecordSummary:
        """What was recorded; only after `batches` has ended."""
        refusals = self._refusals.connected.is_set()
        facts = {"strace": _version(self._strace), "refusals": refusals, "unread": self._loss.unread}
        return self._summary(self._gaps(), facts)

    def _gaps(self) -> tuple[str, ...]:
        refusals = () if self._refusals.connected.is_set() else (_REFUSALS_GAP,)
        executions = () if self._executions is not None and self._executions.told else (_EXECUTIONS_GAP,)
        return (*GAPS, *refusals, *executions)

    def close(self) -> None:
        """End strace where it still runs. Harmless when called twice."""
        self._closing.set()
        self.poke()
        if self._tracer is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._tracer, signal.SIGKILL)
            os.close(self._tracer)
            self._tracer = None
        self._join()
        self._let_go()
        self._refusals.close()
        self._close_write_end()
        for tracer in (*self._tracers.values(), *self._new):
            tracer.close()
        for fd in (self._read_fd, self._wake_fd, self._wake):
            if fd >= 0:
                os.close(fd)
        self._read_fd = self._wake_fd = self._wake = -1

    # --- the reading thread ---

    def _all_read(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        """Hold no more of the sandbox's files."""
        if self._names is not None:
            self._names.close()
        if self._executions is not None:
            self._executions.close()
        if self._mounts >= 0:
            os.close(self._mounts)
            self._mounts = -1

    def _close_write_end(self) -> None:
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1

    def poke(self) -> None:
        """Wake the reading thread."""
        if self._wake >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"x")

    def _read_to_end(self) -> None:
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        poll.register(self._wake_fd, select.POLLIN)
        rest = b""
        left = math.inf
        ended = False
        while not (ended and not self._tracers and not self._new) and not self._closing.is_set():
            ready = dict(poll.poll(min(left, _PAUSE_S) * 1000))
            if self._wake_fd in ready:
                os.read(self._wake_fd, 4096)
            # What strace said before a refusal is in the pipe by the time that the refusal is here.
            self._refused += self._refusals.take() if self._attached.is_set() else []
            while self._new:
                tracer = self._new.popleft()
                self._tracers[tracer.read_fd] = tracer
                poll.register(tracer.read_fd, select.POLLIN)
            if self._read_fd in ready:
                chunk = os.read(self._read_fd, _PIPE_BYTES) if ready[self._read_fd] & select.POLLIN else b""
                if not chunk:
                    ended = True
                    poll.unregister(self._read_fd)
                rest += chunk
                if self._attached.is_set():
                    rest = self._take(rest)
                elif len(rest) > _BEFORE_ATTACH_BYTES:
                    self._loss.add("the runtime did too much before the sandbox's command began")
                    rest = b""
            for tracer in list(self._tracers.values()):
                if not self._follow(tracer, ready.get(tracer.read_fd, 0)):
                    poll.unregister(tracer.read_fd)
                    del self._tracers[tracer.read_fd]
                    tracer.close()
            left = self._outbox.offer()
            if self._transcript is not None and self._attached.is_set():
                self._take_refusals(entering=any(not tracer.settled for tracer in self._tracers.values()))
                every = [self._transcript, *(one.transcript for one in self._tracers.values() if one.transcript)]
                # Each has its turn, also where an earlier one still waits.
                waiting = [transcript.tick() for transcript in every]
                if any(waiting):
                    left = min(left, _TICK_S)
            if self._stop_at is not None and time.monotonic() - self._stop_at > _END_S:
                self._loss.add(f"strace had not ended {_END_S:.0f} s after the sandbox's last process")
                return
        if self._transcript is not None and self._attached.is_set():
            rest = self._take(rest)
            self._refused += self._refusals.take()
            self._take_refusals(entering=False)
            if self._refusals.failed:
                self._loss.add("the listener for refused system calls failed", 0)
        if rest and self._attached.is_set():
            self._loss.add("strace was cut off in the middle of a line")

    def _take_refusals(self, *, entering: bool) -> None:
        assert self._transcript is not None
        transcript = self._transcript
        self._refused = [one for one in self._refused if not transcript.refused(one, entering)]

    def _follow(self, tracer: "_Tracer", event: int) -> bool:
        """Take what the strace of a command says, once it is known which process that is; whether more may come."""
        assert self._transcript is not None
        ended = False
        if event:
            chunk = os.read(tracer.read_fd, _PIPE_BYTES) if event & select.POLLIN else b""
            ended = not chunk
            tracer.rest += chunk
        if not tracer.settled:
            if len(tracer.rest) > _BEFORE_ATTACH_BYTES:
                self._loss.add("a command did too much before it was known which process it is")
                tracer.rest = b""
            # Its end is seen again in the next turn.
            return True
        if tracer.pid is None:
            # The runtime let nothing in: what it did itself does not matter.
            return not ended
        if tracer.transcript is None:
            tracer.transcript = self._transcript.entered(tracer.pid, tracer.command)
        tracer.rest = self._take(tracer.rest, tracer.transcript)
        if ended:
            tracer.transcript.finish()
            if tracer.rest:
                self._loss.add("strace was cut off in the middle of a line")
        return not ended

    def _take(self, data: bytes, transcript: Transcript | None = None) -> bytes:
        """Work through the whole lines in `data`; what is left over of the last one comes back.

        Args:
            data: what strace printed.
            transcript: of which strace; None: of the first.
        """
        transcript = transcript or self._transcript
        assert transcript is not None
        self._clock.check(self._loss)
        whole, end, rest = data.rpartition(b"\n")
        if end:
            for line in whole.decode("ascii", "replace").split("\n"):
                transcript.feed(line)
        if len(rest) > _LONGEST_LINE:
            self._loss.add("strace printed a line without an end")
            return b""
        return rest


class _Tracer:
    """A strace around the runtime's ``exec``, for one command.

    Attributes:
        command: what enters the sandbox.
        read_fd: where its lines come from.
        settled: whether `pid` is known: the process that entered, as the machine counts, None where none did.
        transcript: what its lines come to, once that is known.
        rest: of its lines, what was not worked through.
    """

    def __init__(self, command: ExecSpec) -> None:
        self.command = command
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.settled = False
        self.pid: int | None = None
        self.transcript: Transcript | None = None
        self.rest = b""

    def close_write_end(self) -> None:
        """strace has its own now: its end is the end of the pipe."""
        # Closing it may wake the reading thread, which then closes all of this.
        descriptor, self.write_fd = self.write_fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the pipe. Harmless when called twice."""
        self.close_write_end()
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1


class _Entrance:
    """One command's way into the sandbox."""

    def __init__(self, recording: PtraceRecording, command: ExecSpec) -> None:
        self._recording = recording
        self._tracer = _Tracer(command)

    def hooks(self) -> RuntimeHooks:
        self._recording.follow(self._tracer)
        return RuntimeHooks(wrapper=self._recording.wrapper(self._tracer.write_fd))

    def entered(self, launcher: int, pid: int | None) -> None:
        self._tracer.pid, self._tracer.settled = pid, True
        self._tracer.close_write_end()
        self._recording.poke()


def _options(strace: str, output: str) -> tuple[str, ...]:
    return (
        strace,
        # The tracer becomes a grandchild: the runtime stays the caller's own child and ends as always.
        "-D",
        "-f",
        "--seccomp-bpf",
        "-q",
        "-y",
        "-xx",
        *("-X", "raw"),
        *("-a", "1"),
        *("-s", "4096"),
        *("-e", "signal=!chld"),
        "--absolute-timestamps=unix,ns",
        *(("--kill-on-exit",) if "--kill-on-exit" in _help(strace) else ()),
        *("-e", "trace=" + _traced()),
        *("-o", output),
        "--",
    )


def _try(strace: str) -> subprocess.CompletedProcess[str]:
    """A program that makes a system call which no kernel has, under strace as it is used here."""
    options = [option for option in _options(strace, "/dev/stderr") if option != "-D"]
    program = f"import ctypes; ctypes.CDLL(None).syscall({_NO_CALL})"
    return subprocess.run(
        [*options, sys.executable, "-ISc", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _traced() -> str:
    """What strace stops at.

    On x86_64 every call by another entry than the native one is traced, and the list is for the native one alone: so
    strace chooses the form of filter that also stops at calls that are newer than itself (its other form lets them
    pass).
    """
    if platform.machine() == "x86_64":
        return ",".join(("/.@32", "/.@x32", *(f"?{name}@64" for name in TRACED)))
    return ",".join(f"?{name}" for name in TRACED)


@functools.cache
def _help(strace: str) -> str:
    return subprocess.run([strace, "--help"], capture_output=True, text=True, check=False).stdout


def _version(strace: str) -> str:
    said = subprocess.run([strace, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"strace -- version (\S+)", said)
    return found[1] if found else "of unknown version"


def _tracer(pid: int) -> int:
    """pid of who traces a process, 0 where nobody does or it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return 0
    found = re.search(r"^TracerPid:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
