"""strace's lines, one after the other, turned into rows of the event schema."""

import errno
import os
import sys
from bisect import bisect, insort
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from affidavit.events import Op
from affidavit.recorder.calls import HANDLED, Call, Calls, Folder, Loss, Process, Site
from affidavit.recorder.names import Names
from affidavit.recorder.ptrace import lines
from affidavit.recorder.ptrace.lines import Begun, Ended, Line, Resumed, Superseded
from affidavit.recorder.ptrace.refusals import Refusal
from affidavit.recorder.rows import Rows

_CLONE_FS = 0x200
_CLONE_PARENT = 0x8000
_CLONE_THREAD = 0x10000
_NUMBERS_KEPT = 4096
_FORKS = ("clone", "clone3", "fork", "vfork")

# A C library's first call in a new task: so the task is seen while the kernel still knows where it came from.
_FIRST_CALL = "set_robust_list"

TRACED: tuple[str, ...] = (*HANDLED, *_FORKS, _FIRST_CALL)
"""The calls that strace is asked to stop at."""

# Calls of Linux 6.6 and later that strace may have no name for: it prints their arguments as numbers, so the name of
# the file is lost. Those that change nothing may go by.
_NEWER = {452: Op.CHMOD, 463: Op.SETXATTR, 466: Op.SETXATTR, 467: Op.MOUNT, 469: Op.SETXATTR}
_NEWER_HARMLESS = frozenset((451, *range(453, 463), 464, 465, 468))


@dataclass(eq=False)
class _Fork:
    """A fork or clone whose child has not been seen yet.

    Attributes:
        number: the child's, as its parent counts; None where the call has not returned.
    """

    parent: Process
    tid: int
    time_ns: int
    flags: int
    number: int | None = None

    @property
    def thread(self) -> bool:
        return bool(self.flags & _CLONE_THREAD)


class Transcript:
    """What strace has said so far of one sandbox.

    Rows begin with the first execve(2) of the sandbox's init: everything before that, and every process that does not
    descend from it, is the runtime's own work.

    Args:
        rows: where events go.
        loss: where losses are counted.
        init_pid: the sandbox's init, as the machine counts; it waits for the sandbox's start.
        names: resolution of names below the sandbox's root.
        to_monotonic: turns CLOCK_REALTIME nanoseconds into CLOCK_MONOTONIC ones.
    """

    def __init__(self, rows: Rows, loss: Loss, init_pid: int, names: Names, to_monotonic: Callable[[int], int]) -> None:
        self._calls = Calls("ptrace", rows, loss, names, lambda process: _link(process.pid, "exe"))
        self._loss = loss
        self._init = init_pid
        self._cwd = _link(init_pid, "cwd") or b"/"
        self._to_monotonic = to_monotonic
        self._tasks: dict[int, Process] = {}
        self._begun: dict[int, tuple[int, Begun]] = {}
        # Calls that make a task and have not returned, by the caller; and those whose child has not been seen.
        self._forking: dict[int, _Fork] = {}
        self._unseen: list[_Fork] = []
        # (number on the machine, number in the sandbox) of tasks seen lately, in order.
        self._numbers: list[tuple[int, int]] = []
        self._started = False

    def feed(self, text: str) -> None:
        """Take one line, without its line end."""
        line = lines.parse(text)
        if line is None:
            self._loss.add("strace printed a line that can't be read")
            return
        process = self._tasks.get(line.tid) or self._claim(line)
        if process is None:
            return
        match line.body:
            case Call():
                self._call(process, line.tid, line.time_ns, line.body)
            case Begun():
                self._begin(process, line, line.body)
            case Resumed():
                self._resume(process, line, line.body)
            case Ended():
                self._end(process, line, line.body)
            case Superseded():
                self._supersede(process, line.tid, line.body.by)
            case _:
                pass

    def finish(self) -> None:
        """Say that no line comes any more."""
        alive = {process.pid for process in self._tasks.values() if process.inside}
        if not self._started:
            self._loss.add("strace ended before the sandbox's command began", 0)
        if alive:
            self._loss.add(f"strace ended while {len(alive)} of the sandbox's processes were alive", 0)
        unseen = sum(fork.parent.inside for fork in self._unseen if fork.number is not None)
        if unseen:
            self._loss.add("a process began and was never seen by strace", unseen)

    # --- tasks ---

    def _claim(self, line: Line) -> Process | None:
        """The process of a task that is seen for the first time: the child of a fork or clone that has no child yet."""
        tid = line.tid
        fork = self._fork_of(tid)
        if fork is None:
            if self._started and isinstance(line.body, Ended):
                # A thread of the init's from before its execve, which says no more than that it is gone.
                return None
            # The runtime, which strace started itself.
            process = Process(tid, 0, Folder(b"/"), inside=self._started)
            if self._started:
                self._loss.add("strace showed a process that none of the sandbox's began", 0)
        elif fork.thread:
            process = fork.parent
        else:
            parent = fork.parent
            process = Process(
                tid,
                parent.ppid if fork.flags & _CLONE_PARENT else parent.pid,
                parent.folder if fork.flags & _CLONE_FS else Folder(parent.folder.path),
                parent.uid,
                parent.gid,
                parent.exe,
                parent.comm,
                parent.inside,
            )
            if parent.inside:
                self._calls.emit(self._site(parent, fork.tid, fork.time_ns), Op.FORK, ret=tid, flags=tid)
        self._tasks[tid] = process
        return process

    def _fork_of(self, tid: int) -> _Fork | None:
        """The call that made a task."""
        if not self._unseen:
            return None
        fork = self._unseen[0] if len(self._unseen) == 1 else self._likeliest(tid)
        self._unseen.remove(fork)
        if fork.number is not None:
            insort(self._numbers, (tid, fork.number))
            del self._numbers[:-_NUMBERS_KEPT]
        return fork

    def _likeliest(self, tid: int) -> _Fork:
        """Which of several calls made a task: the kernel tells while the task is there. Later its number does, since
        the kernel counts upwards on the machine and in the sandbox alike."""
        status = _status(tid)
        if status:
            group, parent, number = status.get("Tgid", 0), status.get("PPid", 0), status.get("NSpid", 0)
            for fork in self._unseen:
                same = fork.parent.pid == group if fork.thread else fork.parent.pid == parent and group == tid
                if fork.number == number or (fork.number is None and same):
                    return fork
        at = bisect(self._numbers, (tid, 0))
        low = self._numbers[at - 1][1] if at else 0
        high = self._numbers[at][1] if at < len(self._numbers) else sys.maxsize
        numbered = [fork for fork in self._unseen if fork.number is not None and low < fork.number < high]
        return min(numbered, key=lambda fork: fork.number or 0) if numbered else self._unseen[0]

    def _begin(self, process: Process, line: Line, begun: Begun) -> None:
        tid = line.tid
        if begun.moved is not None:
            # A thread that is not its process's first called execve: it goes on under the first one's number, which
            # ends in the middle of what it did.
            self._cut_short(process, begun.moved)
            self._begun[begun.moved] = (line.time_ns, begun)
            return
        self._begun[tid] = (line.time_ns, begun)
        if begun.name in _FORKS:
            fork = _Fork(process, tid, line.time_ns, _fork_flags(lines.call(begun.name, begun.text)))
            self._forking[tid] = fork
            self._unseen.append(fork)

    def _resume(self, process: Process, line: Line, resumed: Resumed) -> None:
        time_ns, begun = self._begun.pop(line.tid, (0, None))
        call = lines.join(begun, resumed) if begun and begun.name == resumed.name else None
        if call is None:
            self._loss.add("strace printed the end of a call that it did not begin")
            return
        if begun is not None and begun.moved is not None:
            # strace 6.1 prints nonsense as the result then; that the thread moved proves that the call was done.
            call = call._replace(ret=0)
        self._call(process, line.tid, time_ns, call)

    def _cut_short(self, process: Process, tid: int) -> None:
        """A task is gone: what it was in the middle of is done or not, nobody knows."""
        time_ns, begun = self._begun.pop(tid, (0, None))
        if begun is not None:
            self._call(process, tid, time_ns, lines.call(begun.name, begun.text))
        self._forking.pop(tid, None)

    def _end(self, process: Process, line: Line, ended: Ended) -> None:
        tid = line.tid
        self._cut_short(process, tid)
        if process.inside and tid == process.pid:
            self._calls.ended(self._site(process, tid, line.time_ns), ended.code, ended.signal)
        self._tasks.pop(tid, None)

    def _supersede(self, process: Process, tid: int, by: int) -> None:
        begun = self._begun.get(tid)
        if begun is not None and begun[1].moved != tid:
            self._cut_short(process, tid)
        self._forking.pop(by, None)
        self._tasks.pop(by, None)

    # --- calls ---

    def refused(self, refusal: Refusal) -> None:
        """Take a call that the sandbox's filter refused."""
        if not self._started:
            return
        process = self._tasks.get(refusal.tid)
        if process is None:
            # A task that has done nothing else yet.
            status = _status(refusal.tid)
            group = status.get("Tgid", refusal.tid)
            process = self._tasks.get(group) or Process(group, status.get("PPid", 0), Folder(b"/"))
        site = self._site(process, refusal.tid, refusal.time_ns)
        self._calls.emit(site, Op.DENIED, flags=refusal.number, ret=-errno.EPERM)

    def counts(self) -> pa.Table:
        """Traced calls by process, COUNT_SCHEMA."""
        return self._calls.counts()

    def _call(self, process: Process, tid: int, time_ns: int, call: Call) -> None:
        if call.name in _FORKS:
            self._fork(process, tid, time_ns, call)
        if tid == self._init and not self._started and call.name in ("execve", "execveat"):
            process = self._start()
        if not process.inside:
            return
        site = self._site(process, tid, time_ns)
        self._calls.take(site, call)
        if call.name.startswith("syscall_0x"):
            self._unnamed(site, call)

    def _site(self, process: Process, tid: int, time_ns: int) -> Site:
        return Site(process, tid, self._to_monotonic(time_ns))

    def _start(self) -> Process:
        """The runtime's work is over: what its processes were does not matter from here on."""
        self._started = True
        self._unseen.clear()
        self._forking.clear()
        status = _status(self._init)
        init = Process(self._init, 0, Folder(self._cwd), status.get("Uid", 0), status.get("Gid", 0), inside=True)
        self._tasks[self._init] = init
        return init

    def _fork(self, process: Process, tid: int, time_ns: int, call: Call) -> None:
        fork = self._forking.pop(tid, None)
        if call.ret is None:
            return
        if call.ret < 0:
            if fork in self._unseen:
                self._unseen.remove(fork)
            if process.inside:
                self._calls.emit(self._site(process, tid, time_ns), Op.FORK, ret=call.ret)
        elif fork is None:
            self._unseen.append(_Fork(process, tid, time_ns, _fork_flags(call), call.ret))
        elif fork in self._unseen:
            fork.number = call.ret

    def _unnamed(self, site: Site, call: Call) -> None:
        number = int(call.name[len("syscall_") :], 16)
        op = _NEWER.get(number)
        if op is not None:
            self._calls.emit(site, op, ret=call.result, source="ptrace/memory")
        if number not in _NEWER_HARMLESS and call.result >= 0:
            self._loss.add(f"system call {number} was done, which this strace has no name for")


def _status(pid: int) -> dict[str, int]:
    """Numbers of a task from proc(5): of several in a line the last of NSpid and the effective one of Uid and Gid.
    Empty where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if key in ("Tgid", "PPid", "NSpid", "Uid", "Gid") and words:
            found[key] = int(words[-1] if key == "NSpid" else words[1 if key in ("Uid", "Gid") else 0])
    return found


def _link(pid: int, name: str) -> bytes | None:
    """What a link in a process's folder of proc(5) says, None where the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/{name}".encode())  # noqa: PTH115 (bytes)
    except OSError:
        return None


def _fork_flags(call: Call) -> int:
    args = call.args
    assert isinstance(args, lines.Texts)
    if call.name == "clone3":
        return args.field(0, "flags") if len(args) else 0
    return next((lines.number(text[6:]) for text in args.texts if text.startswith("flags=")), 0)
