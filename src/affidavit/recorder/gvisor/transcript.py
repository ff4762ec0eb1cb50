"""What the sentry says, on the sink and in its log, put into one order and turned into rows of the event schema."""

import heapq
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pyarrow as pa

from affidavit.events import Op, encode_name
from affidavit.recorder.gvisor import log, wire
from affidavit.recorder.gvisor.descriptors import TaskDescriptors
from affidavit.recorder.gvisor.log import Said
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.rows import Rows
from affidavit.recorder.syscall_interpreter import Call, Folder, Loss, Process, Site, SyscallInterpreter, first_words
from affidavit.sandbox import ExecSpec

INIT = 1
"""The sandbox's init, as the sandbox counts."""

_CLONE_FS = 0x200
_CLONE_PARENT = 0x8000
_FORKS = ("fork", "vfork", "clone", "clone3")
_EXECS = ("execve", "execveat")
# What a unix socket takes at once by default (net.core.wmem_default), a little less.
_PACKET = 200_000
_OPENS = ("open", "openat", "creat")
# The sentry makes its own /dev, with these.
_DEVICE_LINKS = {
    b"/dev/fd": b"/proc/self/fd",
    b"/dev/stdin": b"/proc/self/fd/0",
    b"/dev/stdout": b"/proc/self/fd/1",
    b"/dev/stderr": b"/proc/self/fd/2",
}
_NOT_TEXT = "\ufffd"
# What comes later than this on the sink than in the log does not come at all.
_LATE_NS = 2_000_000_000
_COMM = 15


class Transcript:
    """What the sentry has said so far.

    Args:
        rows: where events go.
        loss: where losses are counted.
        names: resolution of names below the sandbox's root.
        to_monotonic: turns CLOCK_REALTIME nanoseconds into CLOCK_MONOTONIC ones.
        by_program: whether a process that enters is at first a program of ours, which becomes the command.

    Attributes:
        ended: whether the sandbox's init has ended; else the sentry was killed with it.
    """

    def __init__(
        self,
        rows: Rows,
        loss: Loss,
        names: PathResolver,
        to_monotonic: Callable[[int], int],
        *,
        by_program: bool = False,
    ) -> None:
        self._descriptors = TaskDescriptors()
        self._calls = SyscallInterpreter(
            "gvisor",
            rows,
            loss,
            names,
            executable=self._executable,
            descriptors=self._descriptors,
            process=lambda number: self._processes.get(number),
        )
        for link, target in _DEVICE_LINKS.items():
            names.linked(link, target)
        self._loss = loss
        self._names = names
        self._to_monotonic = to_monotonic
        self._waiting: list[tuple[int, int, Said | wire.Event]] = []
        self._order = count()
        self._processes: dict[int, Process] = {}
        self._parents: dict[int, int] = {}
        self._threads: dict[int, int] = {}
        # What the sentry said a process is about to run.
        self._binaries: dict[int, bytes] = {}
        self._entered: dict[int, tuple[int, Said]] = {}
        # What the sink says of opens, by task; and the time of each task's latest line.
        self._opened: dict[int, deque[wire.Opened]] = {}
        self._latest: dict[int, int] = {}
        # Messages that the sentry dropped, and those of them that it had to, being longer than a packet can be.
        self._dropped = self._too_long = 0
        # Commands that the runtime was asked to let in and whose number is not known yet; those whose is; and the
        # numbers of processes that have ended.
        self._lock = threading.Lock()
        self._awaited = 0
        self._commands: dict[int, ExecSpec] = {}
        self._by_program = by_program
        # Processes that entered and have not become their commands yet: what they call meanwhile is ours.
        self._becoming: set[int] = set()
        self._past: set[int] = set()
        self._started = False
        self._over = False
        self.ended = False

    def expect(self) -> None:
        """Say, from any thread, that a command is about to enter the sandbox."""
        with self._lock:
            self._awaited += 1

    def entered(self, pid: int | None, command: ExecSpec) -> None:
        """Say, from any thread, which process came of it, None where none did."""
        with self._lock:
            self._awaited -= 1
            if pid is not None:
                self._commands[pid] = command

    def packet(self, data: bytes) -> None:
        """Take a packet of the sink's."""
        try:
            packet = wire.packet(data)
        except wire.WireError as problem:
            self._loss.add(f"the sentry sent {problem}")
            return
        # It wraps around at 32 bits.
        self._dropped += (packet.dropped - self._dropped) & 0xFFFFFFFF
        if isinstance(packet.event, wire.Clone) and not packet.event.thread:
            self._parents[packet.event.child_pid] = packet.event.context.pid
        if isinstance(packet.event, wire.Opened):
            self._opened.setdefault(packet.event.context.tid, deque()).append(packet.event)
        elif packet.event is not None:
            heapq.heappush(self._waiting, (packet.event.context.time_ns, next(self._order), packet.event))

    def line(self, text: str, last: bool = False) -> None:
        """Take a line of the log's; the `last` one may be cut off."""
        for entry in log.entries(text):
            if entry is None:
                if not last:
                    self._loss.add("the sentry's log has a line that can't be read", unread=text)
                continue
            try:
                said = log.said(entry.text)
            except ValueError as problem:
                self._loss.add(f"the sentry's log has {problem}")
                continue
            if said is not None:
                self._latest[said.tid] = entry.time_ns
                heapq.heappush(self._waiting, (entry.time_ns, next(self._order), said))

    def advance(self, until_ns: int | None) -> None:
        """Turn into rows what happened before a time (CLOCK_REALTIME), all where it is None."""
        while self._waiting and (until_ns is None or self._waiting[0][0] < until_ns):
            time_ns, _, what = self._waiting[0]
            if isinstance(what, Said) and self._is_half(time_ns, what, until_ns):
                return
            if not self._explained(what.pid if isinstance(what, Said) else what.context.pid, time_ns):
                return
            heapq.heappop(self._waiting)
            match what:
                case Said():
                    self._said(time_ns, what)
                case wire.Start():
                    self._start(what)
                case wire.Clone():
                    self._clone(what)
                case wire.Exec():
                    self._binaries[what.context.pid] = what.binary
                    self._credentials(what.context)
                case wire.TaskExit():
                    self._exit(what)

    def _explained(self, pid: int, time_ns: int) -> bool:
        """Whether it is known where a process came from; False where it will be once the runtime has reported it."""
        with self._lock:
            command = self._commands.pop(pid, None)
            awaited = self._awaited > 0 and not self._over
        if command is not None:
            self._enter(pid, command, time_ns)
        elif pid not in self._processes and pid not in self._parents and pid != INIT and pid not in self._past:
            if awaited:
                return False
            self._loss.add("a process is in the sandbox that no command and no fork explains", 0)
            self._past.add(pid)
        return True

    def _is_half(self, time_ns: int, said: Said, until_ns: int | None) -> bool:
        """Whether an open's end has come in the log and what the sink says of it is still on its way."""
        return (
            said.left
            and said.name in _OPENS
            and not self._opened.get(said.tid)
            and _NOT_TEXT not in said.text
            and self._latest.get(said.tid) == time_ns
            and until_ns is not None
            and until_ns - time_ns < _LATE_NS
        )

    def finish(self) -> None:
        """Say that nothing comes any more."""
        self._over = True
        self.advance(None)
        for time_ns, said in list(self._entered.values()):
            self._call(time_ns, said)
        if self._dropped > self._too_long:
            self._loss.add("the sentry dropped messages to the recorder", self._dropped - self._too_long)
        if not self._started:
            self._loss.add("the sentry did not say that the sandbox's command began", 0)

    def _checked(self, said: Said, call: Call) -> Call:
        """An open with the name that was there after it, where that is another one."""
        before = call.args.name(1 if said.name == "openat" else 0) or b""
        opened = self._opened.get(said.tid)
        if _NOT_TEXT in said.text and (not opened or opened[0].name != before):
            # Bytes that are not UTF-8 don't come on the sink.
            return call
        if not opened and self._over:
            # The sandbox ended before the sink could say it: with what was opened nothing could be done any more, and
            # what was made under another name shows among the changes.
            return call
        after = opened.popleft().name if opened else b""
        return call if after == before else call._replace(raced=after)

    def counts(self) -> pa.Table:
        """Logged calls by process, COUNT_SCHEMA."""
        return self._calls.counts()

    def _process(self, pid: int) -> Process:
        if pid not in self._processes:
            parent = self._processes.get(self._parents.get(pid, 0))
            if parent is None:
                self._processes[pid] = Process(pid, self._parents.get(pid, 0), Folder(b"/"))
            else:
                self._processes[pid] = parent.child(pid, parent.pid, replace(parent.folder))
            self._threads[pid] = 1
        return self._processes[pid]

    def _site(self, pid: int, tid: int, time_ns: int) -> Site:
        return Site(self._process(pid), tid, self._to_monotonic(time_ns))

    def _executable(self, process: Process) -> bytes | None:
        # Releases differ in whether they name a script or what runs it.
        binary = self._binaries.pop(process.pid, None)
        return None if binary is None else self._names.interpreter(binary) or binary

    def _credentials(self, context: wire.Context) -> None:
        process = self._process(context.pid)
        process.uid, process.gid = context.uid, context.gid

    def _start(self, start: wire.Start) -> None:
        if self._started or not start.argv:
            self._loss.add("the sentry said twice that the sandbox's command began" if self._started else "no command")
            return
        self._started = True
        self._descriptors.started(INIT)
        init = self._process(INIT)
        init.folder.path = start.cwd or b"/"
        self._credentials(start.context)
        self._first_program(init, start.argv, start.argv[0], start.context.time_ns)

    def _enter(self, pid: int, command: ExecSpec, time_ns: int) -> None:
        """A command began. The sentry says nothing of the first program: it is what the runtime was asked to run."""
        self._parents.pop(pid, None)
        process = Process(pid, 0, Folder(self._names.resolve(os.fsencode(command.cwd), b"/")))
        process.uid, process.gid = command.user.uid, command.user.gid
        self._processes[pid], self._threads[pid] = process, 1
        self._descriptors.started(pid)
        if self._by_program:
            self._becoming.add(pid)
            return
        argv = [os.fsencode(word) for word in command.argv]
        self._first_program(process, argv, self._found(argv[0], command), time_ns)

    def _found(self, name: bytes, command: ExecSpec) -> bytes:
        """Where a program is that is looked up on the PATH."""
        if b"/" in name:
            return name
        places = os.fsencode(command.env.get("PATH", "")).split(b":")
        return next((path for path in (b"%s/%s" % (place, name) for place in places) if self._names.there(path)), name)

    def _first_program(self, process: Process, argv: list[bytes], name: bytes, time_ns: int) -> None:
        path = self._names.resolve(name, process.folder.path)
        process.exe = encode_name(self._names.interpreter(path) or path)
        process.comm = encode_name(name.rpartition(b"/")[2][:_COMM])
        words, cut = first_words(argv)
        site = self._site(process.pid, process.pid, time_ns)
        self._calls.emit(site, Op.EXEC, path=path, ret=0, flags=int(cut), argv=words, source="gvisor/memory")

    def _clone(self, clone: wire.Clone) -> None:
        context = clone.context
        parent = self._process(context.pid)
        self._descriptors.cloned(context.tid, clone.child_tid, clone.flags)
        if clone.thread:
            self._threads[parent.pid] = self._threads.get(parent.pid, 1) + 1
            return
        child = self._process(clone.child_pid)
        child.ppid = parent.ppid if clone.flags & _CLONE_PARENT else parent.pid
        if clone.flags & _CLONE_FS:
            child.folder = parent.folder
        site = self._site(context.pid, context.tid, context.time_ns)
        self._calls.emit(site, Op.FORK, ret=clone.child_pid, flags=clone.child_pid)

    def _forget(self, context: wire.Context) -> None:
        """Forget what is waited for of a task that has ended; a thread that runs execve goes on under the number of its
        process's first one, and may have said something already."""
        opened = self._opened.pop(context.tid, None)
        later = deque(one for one in opened or () if one.context.time_ns > context.time_ns)
        if later:
            self._opened[context.tid] = later
        if self._latest.get(context.tid, 0) <= context.time_ns:
            self._latest.pop(context.tid, None)

    def _exit(self, ended: wire.TaskExit) -> None:
        context = ended.context
        process = self._process(context.pid)
        entered = self._entered.pop(context.tid, None)
        self._forget(context)
        if entered is not None:
            # Killed in the middle of it.
            self._call(*entered)
        self._descriptors.ended(context.tid)
        self._threads[process.pid] -= 1
        if self._threads[process.pid] > 0:
            return
        code, signal = ended.status >> 8 & 0xFF, ended.status & 0x7F
        site = self._site(process.pid, process.pid, context.time_ns)
        self._calls.ended(site, 0 if signal else code, signal)
        self.ended = self.ended or process.pid == INIT
        del self._processes[process.pid], self._threads[process.pid]
        self._past.add(process.pid)
        self._becoming.discard(process.pid)
        self._parents.pop(process.pid, None)
        self._binaries.pop(process.pid, None)

    def _said(self, time_ns: int, said: Said) -> None:
        if said.left:
            self._entered.pop(said.tid, None)
            self._call(time_ns, said)
        else:
            self._descriptors.begins(said)
            self._entered[said.tid] = (time_ns, said)

    def _call(self, time_ns: int, said: Said) -> None:
        try:
            call = log.call(said)
        except ValueError as problem:
            self._loss.add(f"the sentry's log has {problem}")
            return
        if said.left and call.name in _OPENS:
            call = self._checked(said, call)
        site = self._site(said.pid, said.tid, time_ns)
        if call.name in _EXECS and call.ret == 0 and said.pid not in self._binaries and len(said.text) > _PACKET:
            # The log says the same, but for the executable.
            self._too_long += 1
        site.process.comm = encode_name(said.comm.encode())
        if said.pid in self._becoming and call.name in _EXECS and call.ret == 0:
            self._becoming.discard(said.pid)
        if said.pid not in self._becoming:
            self._calls.take(site, call)
        self._descriptors.ends(site, call)
        if call.name in _FORKS and call.result < 0:
            self._calls.emit(site, Op.FORK, ret=call.result)
