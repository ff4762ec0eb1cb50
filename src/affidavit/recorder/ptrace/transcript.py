"""strace's lines, one after the other, turned into rows of the event schema."""

import errno
import math
import os
import sys
import time
from bisect import bisect, insort
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pyarrow as pa

from affidavit.events import Op
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.ptrace import lines
from affidavit.recorder.ptrace.lines import Begun, Ended, Line, Resumed, Superseded
from affidavit.recorder.ptrace.refusals import Refusal
from affidavit.recorder.ptrace.tasks import ProcDescriptors, task_link, task_status
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import HANDLED, Call, Folder, Loss, Process, Site, SyscallInterpreter
from affidavit.sandbox import ExecSpec

_CLONE_FS = 0x200
_CLONE_VFORK = 0x4000
_CLONE_UNTRACED = 0x800000
_CLONE_PARENT = 0x8000
_CLONE_THREAD = 0x10000
_NUMBERS_KEPT = 4096
# Lines of a task wait this long for others that tell who made it, on a loaded machine too.
_HOLD_S = 5.0
_LOOK_S = 0.005
# A task that nobody has seen by then was killed before its first instruction.
_STILLBORN_NS = 10_000_000_000
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
        vfork: whether the call returns only when its child runs another program or is gone.
        number: the child's, as its parent counts; None where the call has not returned.
        child: the child's number on the machine, None where it has not been seen.
        there: whether the child is known to have been there a moment ago.
    """

    parent: Process
    tid: int
    time_ns: int
    flags: int
    vfork: bool
    number: int | None = None
    child: int | None = None
    there: bool = False

    @property
    def thread(self) -> bool:
        return bool(self.flags & _CLONE_THREAD)


@dataclass
class _Held:
    """Lines of a task whose parent is not known yet; since when (time.monotonic); how many tasks it made in them."""

    since: float
    lines: list[Line] = field(default_factory=list)
    forks: int = 0

    def add(self, line: Line) -> None:
        self.lines.append(line)
        if isinstance(line.body, Call | Begun) and line.body.name in _FORKS:
            self.forks += 1


@dataclass(frozen=True)
class _Entry:
    """A command that entered a sandbox: the transcript of that, its working directory, and whose it is."""

    first: "Transcript"
    cwd: bytes
    uid: int
    gid: int


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
        ran: the paths of what a process that has ended was made to run, as far as the kernel tells.
        entry: where this is about a command that entered the sandbox; None: about what began with the sandbox.
        calls: what turns calls into rows, of the sandbox's other transcripts; None: one of its own.
    """

    def __init__(
        self,
        rows: Rows,
        loss: Loss,
        init_pid: int,
        names: PathResolver,
        to_monotonic: Callable[[int], int],
        ran: Callable[[Process], Collection[bytes]] = lambda process: (),
        entry: "_Entry | None" = None,
        calls: SyscallInterpreter | None = None,
    ) -> None:
        self._entry = entry
        # The transcripts of the sandbox, its own first, which share what they know of sockets and descriptors.
        self._all: list[Transcript] = entry.first._all if entry else []
        self._all.append(self)
        self._calls = calls or SyscallInterpreter(
            "ptrace",
            rows,
            loss,
            names,
            executable=lambda process: task_link(process.pid, "exe"),
            descriptors=ProcDescriptors(),
            process=self._numbered,
        )
        self._rows = rows
        self._loss = loss
        self._names = names
        self._ran = ran
        self._init = init_pid
        self._cwd = entry.cwd if entry else task_link(init_pid, "cwd") or b"/"
        self._to_monotonic = to_monotonic
        self._tasks: dict[int, Process] = {}
        self._begun: dict[int, tuple[int, Begun]] = {}
        # Calls that make a task and have not returned, by the caller; and those whose child has not been seen.
        self._forking: dict[int, _Fork] = {}
        self._unseen: list[_Fork] = []
        # Likewise of the runtime that let a command in, which goes on beside that for a moment.
        self._outer: list[_Fork] = []
        # (number on the machine, number in the sandbox) of tasks seen lately, in order.
        self._numbers: list[tuple[int, int]] = []
        self._held: dict[int, _Held] = {}
        # Processes whose end is known and whose forks are not all known yet.
        self._leaving: dict[int, tuple[Site, Ended]] = {}
        self._look_at = 0.0
        self._now_ns = 0
        self._started = False

    def entered(self, pid: int, command: ExecSpec) -> "Transcript":
        """The transcript of another strace, of a command that entered the sandbox.

        Args:
            pid: its first process, as the machine counts.
            command: what it is.
        """
        cwd = self._names.resolve(os.fsencode(command.cwd), b"/")
        entry = _Entry(self._all[0], cwd, command.user.uid, command.user.gid)
        transcript = Transcript(
            self._rows, self._loss, pid, self._names, self._to_monotonic, self._ran, entry, self._calls
        )
        number = task_status(pid).get("NSpid")
        if number is not None:
            transcript._numbers.append((pid, number))
        return transcript

    def feed(self, text: str) -> None:
        """Take one line, without its line end."""
        line = lines.parse(text)
        if line is None:
            self._loss.add("strace printed a line that can't be read", unread=text)
        else:
            self._now_ns = line.time_ns
            self._take(line)

    def tick(self) -> bool:
        """Go on with what waited for other lines long enough; whether something still waits."""
        self._release()
        return bool(self._held)

    def _take(self, line: Line) -> None:
        tid = line.tid
        if tid not in self._tasks and not self._meet(tid, line):
            return
        process = self._tasks[tid]
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

    def finish(self) -> None:
        """Say that no line comes any more."""
        if self._entry is not None:
            self._all.remove(self)
        self._release(all_of_them=True)
        for site, _ in list(self._leaving.values()):
            self._leave(site.process, now=True)
        alive = {process.pid for process in self._tasks.values() if process.inside}
        if not self._started:
            self._loss.add("strace ended before the sandbox's command began", 0)
        if alive:
            self._loss.add(f"strace ended while {len(alive)} of the sandbox's processes were alive", 0)
        # Others that are not seen were killed before their first instruction: strace has them from then on.
        untraced = sum(fork.parent.inside and bool(fork.flags & _CLONE_UNTRACED) for fork in self._unseen)
        if untraced:
            self._loss.add("a process began that strace was kept from following", untraced)

    # --- tasks ---

    def _numbered(self, number: int) -> Process | None:
        """The process that has a number in the sandbox."""
        if number == 1:
            first = self._all[0]
            return first._tasks.get(first._init)
        # Its own first: numbers may be used again.
        every = (self, *(other for other in self._all if other is not self))
        found = (one._tasks.get(tid) for one in every for tid, own in reversed(one._numbers) if own == number)
        return next((process for process in found if process is not None), None)

    def _meet(self, tid: int, line: Line) -> bool:
        """Find the process of a task that is not known yet; False where its lines wait, or don't matter."""
        held = self._held.get(tid)
        if held is not None:
            held.add(line)
            return False
        if self._is_outer(tid):
            return True
        if not self._held and not self._outer_is_forking() and len(self._unseen) < 2:
            return self._claim(tid, line, self._unseen[0] if self._unseen else None)
        fork = self._maker(tid)
        if fork is not None or not self._started:
            return self._claim(tid, line, fork)
        self._held[tid] = _Held(time.monotonic())
        self._held[tid].add(line)
        self._release()
        return False

    def _is_outer(self, tid: int) -> bool:
        """Whether a new task is the runtime's own, beside the command that it let in; then it is one of no interest.

        The runtime counts tasks as the machine does, so that what its calls returned is what strace calls them.
        """
        for fork in self._outer:
            if fork.number == tid:
                self._outer.remove(fork)
                self._tasks[tid] = fork.parent if fork.thread else Process(tid, 0, Folder(b"/"), inside=False)
                return True
        return False

    def _outer_is_forking(self) -> bool:
        return any(fork.number is None for fork in self._outer)

    def _claim(self, tid: int, line: Line, fork: _Fork | None) -> bool:
        """Give a task to the call that made it; False where its lines don't matter."""
        if fork is not None:
            self._adopt(tid, fork)
            return True
        if self._started:
            if isinstance(line.body, Ended):
                # A thread of the init's from before its execve, which says no more than that it is gone.
                return False
            self._loss.add("strace showed a process that none of the sandbox's began", 0)
        # Else the runtime, which strace started itself.
        self._tasks[tid] = Process(tid, 0, Folder(b"/"), inside=self._started)
        return True

    def _maker(self, tid: int) -> _Fork | None:
        """Which call made a task, as the kernel tells while the task is there."""
        status = task_status(tid)
        group, parent, number = status.get("Tgid"), status.get("PPid"), status.get("NSpid")
        for fork in self._unseen:
            if fork.number is not None:
                if fork.number == number:
                    return fork
            elif fork.parent.pid == (group if fork.thread else parent) and (fork.thread or group == tid):
                return fork
        return None

    def _release(self, all_of_them: bool = False) -> None:
        """Take the lines of tasks that were gone when they were first seen, where it is known by now, or will never be
        known better, which calls made them.

        Their numbers tell, once all calls have returned and all their children have shown up: the kernel counts upwards
        on the machine and in the sandbox alike.
        """
        now = time.monotonic()
        if not self._held or (now < self._look_at and not all_of_them):
            return
        # Not again for a call among the lines below: its caller's next ones may have made the tasks that still wait.
        self._look_at = math.inf
        self._look()
        possible = self._possible()
        # Some may have been made by others of them.
        first = len(self._held) - sum(held.forks for held in self._held.values())
        # A call that has not returned may fail yet: it must not be given a task that another made.
        returned = not any(fork is self._forking.get(fork.tid) and not fork.vfork for fork in possible)
        returned = returned and not self._outer_is_forking()
        settled = returned and len(possible) <= first
        for tid in sorted(self._held):
            held = self._held.get(tid)
            if held is not None and (settled or all_of_them or (returned and now - held.since > _HOLD_S)):
                del self._held[tid]
                if self._is_outer(tid) or self._claim(tid, held.lines[0], self._likeliest(tid)):
                    for line in held.lines:
                        self._take(line)
        self._look_at = now + _LOOK_S

    def _look(self) -> None:
        """See which tasks that have not shown up yet are there."""
        for fork in list(self._unseen):
            fork.there = fork.number is not None and self._names.there(b"/proc/%d" % fork.number)
            late = self._now_ns - fork.time_ns > _STILLBORN_NS
            if late and fork.number is not None and not fork.there and not fork.flags & _CLONE_UNTRACED:
                self._unseen.remove(fork)
                self._leave(fork.parent)

    def _possible(self) -> list[_Fork]:
        """The calls that may have made a task which is gone."""
        return [fork for fork in self._unseen if not fork.there]

    def _likeliest(self, tid: int) -> _Fork | None:
        """Which call made a task, by their numbers."""
        possible = self._possible() or self._unseen
        at = bisect(self._numbers, (tid, 0))
        low = self._numbers[at - 1][1] if at else 0
        high = self._numbers[at][1] if at < len(self._numbers) else sys.maxsize
        numbered = [fork for fork in possible if fork.number is not None and low < fork.number < high]
        if numbered:
            return min(numbered, key=lambda fork: fork.number or 0)
        return possible[0] if possible else None

    def _adopt(self, tid: int, fork: _Fork) -> None:
        """Give a task to the call that made it."""
        self._unseen.remove(fork)
        fork.child = tid
        self._number(fork)
        parent = fork.parent
        if fork.thread:
            self._tasks[tid] = parent
            return
        ppid = parent.ppid if fork.flags & _CLONE_PARENT else parent.pid
        folder = parent.folder if fork.flags & _CLONE_FS else Folder(parent.folder.path)
        self._tasks[tid] = parent.child(tid, ppid, folder)
        if parent.inside:
            self._calls.emit(self._site(parent, fork.tid, fork.time_ns), Op.FORK, ret=tid, flags=tid)
            self._leave(parent)

    def _number(self, fork: _Fork) -> None:
        if fork.number is not None and fork.child is not None:
            insort(self._numbers, (fork.child, fork.number))
            del self._numbers[:-_NUMBERS_KEPT]

    def _forks_of(self, process: Process) -> list[_Fork]:
        """Where a process's forks are noted until their children show up."""
        return self._unseen if process.inside or not (self._started and self._entry) else self._outer

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
            self._forking[tid] = _fork(process, tid, line.time_ns, lines.call(begun.name, begun.text), self._loss)
            self._forks_of(process).append(self._forking[tid])

    def _resume(self, process: Process, line: Line, resumed: Resumed) -> None:
        time_ns, begun = self._begun.pop(line.tid, (0, None))
        call = lines.join(begun, resumed) if begun and begun.name == resumed.name else None
        if call is None:
            self._loss.add("strace printed the end of a call that it did not begin", unread=f"{line.tid} {resumed}")
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
        fork = self._forking.pop(tid, None)
        if fork in self._outer:
            self._outer.remove(fork)

    def _end(self, process: Process, line: Line, ended: Ended) -> None:
        tid = line.tid
        self._cut_short(process, tid)
        if process.inside and tid == process.pid:
            self._leaving[tid] = (self._site(process, tid, line.time_ns), ended)
            self._leave(process)
        self._tasks.pop(tid, None)

    def _leave(self, process: Process, now: bool = False) -> None:
        """Add the row of a process's end, once the rows of all its forks are there."""
        if process.pid in self._leaving:
            open_ = any(fork.parent is process and not fork.thread for fork in self._unseen)
            if now or not open_:
                site, ended = self._leaving.pop(process.pid)
                self._calls.ended(site, ended.code, ended.signal, self._ran(process))

    def _supersede(self, process: Process, tid: int, by: int) -> None:
        begun = self._begun.get(tid)
        if begun is None or begun[1].moved != tid:
            self._cut_short(process, tid)
            # Another task's line came between the call and this.
            time_ns, called = self._begun.pop(by, (0, None))
            if called is not None:
                self._begun[tid] = (time_ns, called._replace(moved=tid))
        self._forking.pop(by, None)
        self._tasks.pop(by, None)

    # --- calls ---

    def refused(self, refusal: Refusal, entering: bool = False) -> bool:
        """Take a call that the sandbox's filter refused.

        Args:
            refusal: the call.
            entering: whether commands are entering the sandbox whose processes are not known yet.

        Returns:
            False where it can't be taken before that is known.
        """
        if not self._started:
            return True
        tasks = (one._tasks.get(number) for one in self._all for number in (refusal.tid, refusal.pid))
        process = next((task for task in tasks if task is not None), None)
        if process is None and entering:
            return False
        # A task may have done nothing else yet.
        process = process or Process(refusal.pid, 0, Folder(b"/"), inside=True)
        if process.inside:
            site = self._site(process, refusal.tid, refusal.time_ns)
            self._calls.emit(site, Op.DENIED, flags=refusal.number, ret=-errno.EPERM)
        return True

    def counts(self) -> pa.Table:
        """Traced calls by process, COUNT_SCHEMA."""
        return self._calls.counts()

    def _call(self, process: Process, tid: int, time_ns: int, call: Call) -> None:
        if call.name in _FORKS:
            self._fork(process, tid, time_ns, call)
        if tid == self._init and not self._started and call.name in ("execve", "execveat"):
            process = self._start() if self._entry is None or call.ret == 0 else process
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
        if self._entry is None:
            self._unseen.clear()
            self._forking.clear()
            status = task_status(self._init)
            uid, gid = status.get("Uid", 0), status.get("Gid", 0)
        else:
            # The runtime's own processes go on for a while beside it; threads of this one are gone.
            self._outer = [fork for fork in self._unseen if fork.parent is not self._tasks.get(self._init)]
            self._unseen.clear()
            uid, gid = self._entry.uid, self._entry.gid
        init = Process(self._init, 0, Folder(self._cwd), uid, gid, inside=True)
        self._tasks[self._init] = init
        return init

    def _fork(self, process: Process, tid: int, time_ns: int, call: Call) -> None:
        fork = self._forking.pop(tid, None)
        if call.ret is None:
            return
        if call.ret < 0:
            for forks in (self._unseen, self._outer):
                if fork in forks:
                    forks.remove(fork)
            if process.inside:
                self._calls.emit(self._site(process, tid, time_ns), Op.FORK, ret=call.ret)
            return
        if fork is None:
            fork = _fork(process, tid, time_ns, call, self._loss)
            self._forks_of(process).append(fork)
        fork.number = call.ret
        if self._forks_of(process) is self._unseen:
            self._number(fork)
        self._release()

    def _unnamed(self, site: Site, call: Call) -> None:
        number = int(call.name[len("syscall_") :], 16)
        op = _NEWER.get(number)
        if op is not None:
            self._calls.emit(site, op, ret=call.result, source="ptrace/memory")
        if number not in _NEWER_HARMLESS and call.result >= 0:
            self._loss.add(f"system call {number} was done, which this strace has no name for")


def _fork(parent: Process, tid: int, time_ns: int, call: Call, loss: Loss) -> _Fork:
    args, flags = call.args, 0
    assert isinstance(args, lines.Texts)
    try:
        if call.name == "clone3":
            flags = args.field(0, "flags") if len(args) else 0
        elif call.name == "clone":
            flags = next((lines.number(text[6:]) for text in args.texts if text.startswith("flags=")), 0)
    except ValueError:
        loss.add(f"the arguments of a call of {call.name} could not be read")
    return _Fork(parent, tid, time_ns, flags, call.name == "vfork" or bool(flags & _CLONE_VFORK))
