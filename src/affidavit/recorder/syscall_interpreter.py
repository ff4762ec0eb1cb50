"""Turns system calls into rows of the event schema, for recorders that see calls one by one as they return.

How the call's arguments are spelled is the recorder's own affair (:class:`Arguments`); what they mean is not.
"""

import errno
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

import pyarrow as pa

from affidavit.events import COUNT_SCHEMA, LONGEST_TEXT_BYTES, Op, decode_name, encode_name
from affidavit.recorder import sockets
from affidavit.recorder.path_resolver import PathResolver
from affidavit.recorder.rows import Rows

AT_FDCWD = -100
OWN_TASK = 0
"""The caller's own task, where tasks are told by their numbers."""

_AT_SYMLINK_NOFOLLOW = 0x100
_AT_REMOVEDIR = 0x200
_AT_SYMLINK_FOLLOW = 0x400
_AT_EMPTY_PATH = 0x1000
_OWN_EXECUTABLE = (b"/proc/self/exe", b"/proc/thread-self/exe")
# With zeros before a number, and a descriptor's with a sign, where a kernel takes them.
_PROC_LINK = re.compile(rb"/proc/(?:(self|thread-self)|(\d+))(?:/task/(\d+))?/(cwd|root|fd/\+?\d+)")
_PROC_SELF = re.compile(rb"/proc/(?:self|thread-self)(?:/.*)?", re.DOTALL)
_RENAME_EXCHANGE = 2
_O_TMPFILE = 0o20000000
_O_PATH = 0o10000000
_COMM = 15
_UNREAD = 200
_SOCKETS_KEPT = 65536
_DNS_PORT = 53

_ARGV_BYTES = 128 << 10

PRIVILEGED = {
    "acct": 163,
    "add_key": 248,
    "adjtimex": 159,
    "bpf": 321,
    "clock_adjtime": 305,
    "clock_settime": 227,
    "delete_module": 176,
    "fanotify_init": 300,
    "finit_module": 313,
    "init_module": 175,
    "io_uring_setup": 425,
    "ioperm": 173,
    "iopl": 172,
    "kcmp": 312,
    "kexec_file_load": 320,
    "kexec_load": 246,
    "keyctl": 250,
    "lookup_dcookie": 212,
    "name_to_handle_at": 303,
    "perf_event_open": 298,
    "quotactl": 179,
    "reboot": 169,
    "request_key": 249,
    "setdomainname": 171,
    "sethostname": 170,
    "setns": 308,
    "settimeofday": 164,
    "swapoff": 168,
    "swapon": 167,
    "syslog": 103,
    "unshare": 272,
    "userfaultfd": 323,
}
"""Calls that only a privileged program has a use for, with their x86_64 numbers: an attempt is an event of its own."""


class Fd(NamedTuple):
    """A descriptor: its number, and the path or name that the kernel has for it."""

    number: int
    path: bytes | None


class Arguments(Protocol):
    """The arguments of one call, by position from 0. IndexError and ValueError say that they can't be read."""

    def __len__(self) -> int: ...

    def name(self, at: int) -> bytes | None:
        """A string; None for a null pointer and for memory that could not be read."""

    def null(self, at: int) -> bool:
        """Whether it is a null pointer."""

    def fd(self, at: int) -> Fd: ...

    def number(self, at: int) -> int: ...

    def field(self, at: int, name: str) -> int:
        """A number in a struct, 0 where it is not there."""

    def argv(self, at: int) -> tuple[list[bytes], bool]:
        """A vector of strings as far as it is known, and whether a part of it is not."""

    def address(self, at: int) -> sockets.Address | None: ...

    def messages(self, at: int) -> list[tuple[sockets.Address | None, bytes]]:
        """(address, data) of each ``struct msghdr``."""

    def data(self, at: int) -> bytes:
        """Bytes that the call sends, as far as they are known."""


class Call(NamedTuple):
    """A system call that has returned.

    Attributes:
        name: of the call.
        args: see Arguments.
        ret: result, negative errno on failure; None where the call never returned, since its caller was killed in it.
        fd: what the kernel calls the descriptor in `ret`, None where it is none or not known.
        raced: the name that the caller's memory held after the call, where that is not the one before it.
    """

    name: str
    args: Arguments
    ret: int | None
    fd: bytes | None = None
    raced: bytes | None = None

    @property
    def result(self) -> int:
        """The result as a number: a caller that was killed in the call counts as interrupted."""
        return -errno.EINTR if self.ret is None else self.ret


@dataclass(eq=False)
class Folder:
    """A working directory, shared by tasks that clone(2) gave the same file system context; or what a descriptor is
    open on.

    Attributes:
        path: where it is.
        pid: the process that chose it by name, of which it may be a folder in proc(5).
        lost: whether it was removed or replaced, so that `path` may be something else by now.
    """

    path: bytes
    pid: int = 0
    lost: bool = False


@dataclass
class Process:
    """A process as far as rows need it.

    Attributes:
        inside: whether it is the sandbox's own and not the runtime's.
        found: an executable that the kernel named after an execve(2) of another one; a later execve explains it, or
            another thread changed the name during the call.
        asked: all the files that it asked to be run as.
    """

    pid: int
    ppid: int
    folder: Folder
    uid: int = 0
    gid: int = 0
    exe: str | None = None
    comm: str | None = None
    inside: bool = True
    found: bytes | None = None
    asked: set[bytes] = field(default_factory=set)

    def child(self, pid: int, ppid: int, folder: Folder) -> "Process":
        """What fork(2) makes of it: the same, but for what it asked to be run as itself."""
        return replace(self, pid=pid, ppid=ppid, folder=folder, found=None, asked=set())


class Site(NamedTuple):
    """Who made a call, and when (CLOCK_MONOTONIC, nanoseconds)."""

    process: Process
    tid: int
    ts_ns: int


class Descriptors(Protocol):
    """What descriptors are open on, for calls that don't say so. The calls are those that are being taken."""

    def opened(self, site: Site, number: int, folder: Folder, names: Collection[bytes]) -> None:
        """A call opened something, by way of certain names; that nothing else is said of the descriptor."""

    def changed(self, site: Site, names: Collection[bytes]) -> None:
        """A call removed something with a name, or put something else in its place."""

    def own(self, site: Site, number: int) -> bytes | None:
        """The path that a descriptor of the caller's is open on; None where it is not known."""

    def linked(self, site: Site, process: Process, task: int | None, number: int) -> bytes | None:
        """What a link in a folder ``fd`` of proc(5) leads to: a path, or a name of the kernel's; None where it is not
        known. The folder is that of a process, or of a task of it: OWN_TASK, or one by its number in the sandbox."""


@dataclass
class Loss:
    """What is known to be missing from a record: how many events, a sentence for each kind of loss, and for some the
    beginning of the first thing that could not be read."""

    events: int = 0
    reasons: dict[str, None] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def add(self, reason: str, events: int = 1, unread: str = "") -> None:
        """Count a loss."""
        self.events += events
        if unread and reason not in self.reasons:
            self.unread.append(unread[:_UNREAD])
        self.reasons[reason] = None


class _Socket(NamedTuple):
    domain: int
    proto: str | None
    local: sockets.Address | None = None
    peer: sockets.Address | None = None


_NO_SOCKET = _Socket(0, None)


def first_words(argv: list[bytes]) -> tuple[list[str], bool]:
    """What a record keeps of a program's arguments, as the eBPF recorder keeps them: the first 128 KiB, each with its
    NUL; and whether there are more."""
    kept: list[bytes] = []
    room = _ARGV_BYTES
    for word in argv:
        if room <= 0:
            break
        kept.append(word[:room])
        room -= len(word) + 1
    return [encode_name(word) for word in kept], kept != argv


class SyscallInterpreter:
    """Turns calls into rows.

    Args:
        recorder: its name, for the column ``source``.
        rows: where events go.
        loss: where losses are counted.
        names: resolution of names below the sandbox's root.
        executable: what the kernel says a process runs, right after its execve(2); None where it does not say.
        descriptors: what descriptors are open on.
        process: the process that has a number in the sandbox; None where it is not known.
    """

    def __init__(
        self,
        recorder: str,
        rows: Rows,
        loss: Loss,
        names: PathResolver,
        *,
        executable: Callable[[Process], bytes | None],
        descriptors: Descriptors,
        process: Callable[[int], Process | None],
    ) -> None:
        self._kernel = f"{recorder}/kernel"
        self._memory = f"{recorder}/memory"
        self._raced = f"{recorder}/raced"
        self._rows = rows
        self._loss = loss
        self._names = names
        self._executable = executable
        self._descriptors = descriptors
        self._process = process
        # Whether a name of this call goes through an unresolved link of proc(5).
        self._astray = False
        # Whether one could not be read, or starts at an unknown folder.
        self._adrift = False
        self._counts: Counter[tuple[int, str | None, str]] = Counter()
        # Working directories, and what descriptors are open on.
        self._folders: WeakSet[Folder] = WeakSet()
        self._opened: WeakSet[Folder] = WeakSet()
        # By what the kernel calls the socket, or by process and descriptor where it does not say.
        self._sockets: OrderedDict[object, _Socket] = OrderedDict()

    def take(self, site: Site, call: Call) -> None:
        """Count a call, and add a row where it means one."""
        self._folders.add(site.process.folder)
        self._counts[(site.process.pid, site.process.exe, call.name)] += 1
        handler = _HANDLERS.get(call.name)
        if handler is None:
            return
        self._astray = self._adrift = False
        try:
            handler(self, site, call)
        except (IndexError, ValueError):
            self._loss.add(f"the arguments of a call of {call.name} could not be read")
        if self._astray and call.result >= 0:
            self._loss.add("a name goes through an unresolved /proc link")
        if self._adrift and call.result >= 0:
            self._loss.add("a name could not be read, or starts at a folder descriptor that is not known")

    def ended(self, site: Site, code: int, signal: int, ran: Collection[bytes] = ()) -> None:
        """Add the row of a process's end; `ran` is all that it ran, where the kernel tells."""
        process = site.process
        found = {process.found} if process.found is not None else set()
        for path in sorted(found | (set(ran) - process.asked)):
            # None of the names that were asked for is what ran.
            self.emit(site, Op.EXEC, path=path, exe=encode_name(path), ret=0, source=self._raced)
        self.emit(site, Op.EXIT, ret=code, flags=signal)

    def counts(self) -> pa.Table:
        """Calls so far by process, COUNT_SCHEMA."""
        keys = list(self._counts)
        columns = [
            pa.array([key[0] for key in keys], pa.int32()),
            pa.array([_shortened(key[1]) for key in keys], pa.utf8()),
            pa.array([key[2] for key in keys], pa.utf8()),
            pa.array([self._counts[key] for key in keys], pa.int64()),
        ]
        return pa.table(columns, schema=COUNT_SCHEMA)

    def emit(self, site: Site, op: Op, **columns: Any) -> None:
        """Add a row; `columns` beside those that the site gives, ``source`` being the kernel where it is left out."""
        process = site.process
        row = {
            "ts_ns": site.ts_ns,
            "pid": process.pid,
            "tid": site.tid,
            "ppid": process.ppid,
            "op": op.value,
            "exe": process.exe,
            "comm": process.comm,
            "uid": process.uid,
            "gid": process.gid,
            "source": self._kernel,
            **columns,
        }
        for name in ("path", "path2", "exe"):
            text = row.get(name)
            if isinstance(text, bytes):
                text = encode_name(text)
            # A reader refuses what is longer, and with it the whole record.
            row[name] = kept = _shortened(text)
            if kept != text:
                self._loss.add("an event has a path that is too long")
        self._rows.add(row)

    # --- names ---

    def _base(self, site: Site, args: Arguments, at: int | None) -> bytes | None:
        """The folder that a relative name starts at: the descriptor in argument `at`, None where it is none or its path
        is not known, else the working directory."""
        folder = site.process.folder
        if at is not None:
            number, path = args.fd(at)
            known = _known(path)
            if number != AT_FDCWD:
                return known or self._descriptors.own(site, number)
            # The kernel's word for the working directory.
            folder.path = known or folder.path
        if folder.pid != site.process.pid and _PROC_SELF.fullmatch(folder.path):
            # It is that of the process that chose it.
            return None
        return folder.path

    def _path(
        self,
        site: Site,
        args: Arguments,
        name: int,
        at: int | None = None,
        follow: bool = True,
        through: set[bytes] | None = None,
    ) -> bytes | None:
        """The path in the sandbox that the name in argument `name` stands for; None where it could not be read. The
        names that lead there are added to `through`."""
        base = self._base(site, args, at)
        raw = args.name(name)
        if raw is None:
            self._adrift = True
            return None
        return self._resolve(site, raw, base, follow, through)

    def _resolve(
        self, site: Site, name: bytes, base: bytes | None, follow: bool = True, through: set[bytes] | None = None
    ) -> bytes | None:
        if base is None and not name.startswith(b"/"):
            self._adrift = True
            return None

        def link(path: bytes, goes_on: bool) -> bytes | None:
            if through is not None:
                through.add(path)
            match = _PROC_LINK.fullmatch(path)
            if match is None:
                return None
            process = site.process if match[1] else self._process(int(match[2]))
            task = int(match[3]) if match[3] else OWN_TASK if match[1] == b"thread-self" else None
            target = self._linked(site, process, task, match[4])
            self._astray = self._astray or (target is None and goes_on)
            return target

        path = self._names.resolve(name, base or b"/", follow, link)
        if through is not None:
            through.add(path)
            through.update(_above(base or b"/"))
        return path

    def _linked(self, site: Site, process: Process | None, task: int | None, link: bytes) -> bytes | None:
        """What a link in proc(5)'s folder of a process, or of a task of it, leads to; None where that is not known, or
        no file."""
        if process is None:
            return None
        match link:
            case b"cwd":
                return process.folder.path
            case b"root":
                # chroot(2) and pivot_root(2) are refused.
                return b"/"
        number = int(link.removeprefix(b"fd/"))
        return _without_deleted(_known(self._descriptors.linked(site, process, task, number)))

    def _on_path(self, site: Site, call: Call) -> None:
        shape = _ON_PATH[call.name]
        args, at = call.args, shape.folder
        at_flags = args.number(shape.at_flags) if shape.at_flags is not None else 0
        source = self._memory
        if at is not None and (args.null(shape.path) or (at_flags & _AT_EMPTY_PATH and not args.name(shape.path))):
            path, source = _known(args.fd(at).path), self._kernel
        else:
            follow = shape.follow and not at_flags & _AT_SYMLINK_NOFOLLOW
            path = self._path(site, args, shape.path, at, follow)
        op = Op.RMDIR if call.name == "unlinkat" and at_flags & _AT_REMOVEDIR else shape.op
        if op in (Op.UNLINK, Op.RMDIR) and call.ret in (0, None) and path is not None:
            if call.ret == 0:
                self._names.removed(path)
                self._lose(self._folders, path)
            self._lose(self._opened, path)
            self._descriptors.changed(site, (path,))
        mode = args.number(shape.mode) & 0o7777 if shape.mode is not None else 0
        self.emit(site, op, path=path, mode=mode, ret=call.result, source=source)

    def _on_fd(self, site: Site, call: Call) -> None:
        op, mode_at = _ON_FD[call.name]
        mode = call.args.number(mode_at) & 0o7777 if mode_at is not None else 0
        self.emit(site, op, path=_known(call.args.fd(0).path), mode=mode, ret=call.result)

    def _on_two(self, site: Site, call: Call) -> None:
        op = Op.LINK if call.name.startswith("link") else Op.RENAME
        args, flags = call.args, 0
        path: bytes | None
        if len(args) == 2:
            path, path2 = self._path(site, args, 0, None, False), self._path(site, args, 1, None, False)
        else:
            flags = args.number(4) if len(args) > 4 else 0
            if op is Op.LINK and flags & _AT_EMPTY_PATH and not args.name(1):
                path = _known(args.fd(0).path)
            else:
                path = self._path(site, args, 1, 0, op is Op.LINK and bool(flags & _AT_SYMLINK_FOLLOW))
            path2 = self._path(site, args, 3, 2, False)
        if call.ret in (0, None) and path is not None and path2 is not None:
            if call.ret is None:
                self._lose(self._opened, path, path2)
            elif op is Op.LINK:
                self._names.copied(path, path2)
            else:
                self._moved(path, path2, bool(flags & _RENAME_EXCHANGE))
            self._descriptors.changed(site, (path, path2))
        self.emit(site, op, path=path, path2=path2, flags=flags, ret=call.result, source=self._memory)

    def _moved(self, old: bytes, new: bytes, exchange: bool) -> None:
        self._names.moved(old, new, exchange)
        if not exchange:
            self._lose(self._folders, new)
            self._lose(self._opened, new)
        # Whoever works in it now works there.
        for folder in (*self._folders, *self._opened):
            for one, other in ((old, new), (new, old))[: 1 + exchange]:
                # What is lost stays where it was, in a folder that may move.
                if folder.path.startswith(one + b"/") or (folder.path == one and not folder.lost):
                    folder.path = other + folder.path[len(one) :]
                    break

    def _lose(self, folders: WeakSet[Folder], *paths: bytes) -> None:
        """Something was removed or replaced, or may have been."""
        for folder in folders:
            folder.lost = folder.lost or any((folder.path + b"/").startswith(path + b"/") for path in paths)

    def _symlink(self, site: Site, call: Call) -> None:
        args = call.args
        path, target = self._path(site, args, len(args) - 1, 1 if len(args) == 3 else None, False), args.name(0)
        if call.ret == 0 and path is not None and target is not None:
            self._names.linked(path, target)
            self._descriptors.changed(site, (path,))
        self.emit(site, Op.SYMLINK, path=path, path2=target, ret=call.result, source=self._memory)

    def _open(self, site: Site, call: Call) -> None:
        args, at, name, mode = call.args, None, 0, 0
        match call.name:
            case "open":
                flags, mode = args.number(1), _mode(args, 2)
            case "creat":
                flags, mode = os.O_CREAT | os.O_WRONLY | os.O_TRUNC, _mode(args, 1)
            case "openat":
                at, name, flags, mode = 0, 1, args.number(2), _mode(args, 3)
            case _:
                at, name, flags, mode = 0, 1, args.field(2, "flags"), args.field(2, "mode") & 0o7777
        op = Op.OPEN_READ
        if flags & (os.O_CREAT | _O_TMPFILE):
            op = Op.CREATE
        elif flags & (os.O_ACCMODE | os.O_TRUNC):
            op = Op.OPEN_WRITE
        if op is not Op.CREATE:
            mode = 0
        path: bytes | None
        path, source = _known(call.fd), self._kernel
        follow = not (flags & os.O_NOFOLLOW or (flags & os.O_CREAT and flags & os.O_EXCL))
        if path is not None:
            self._base(site, args, at)
        else:
            through: set[bytes] = set()
            path, source = self._path(site, args, name, at, follow, through), self._memory
            if call.result >= 0 and path is not None and call.raced is None and not _opens_no_name(flags):
                opened = Folder(path)
                self._opened.add(opened)
                self._descriptors.opened(site, call.result, opened, through)
        path2 = None
        if call.raced is not None:
            source = self._raced
            path2 = self._resolve(site, call.raced, self._base(site, args, at), follow)
        self.emit(site, op, path=path, path2=path2, flags=flags, mode=mode, ret=call.result, source=source)

    def _open_by_handle(self, site: Site, call: Call) -> None:
        flags = call.args.number(len(call.args) - 1)
        op = Op.OPEN_WRITE if flags & (os.O_ACCMODE | os.O_TRUNC) else Op.OPEN_READ
        self.emit(site, op, path=_known(call.fd), flags=flags, ret=call.result)

    def _exec(self, site: Site, call: Call) -> None:
        args, process = call.args, site.process
        name = 1 if call.name == "execveat" else 0
        raw = args.name(name)
        if name and not raw and args.number(4) & _AT_EMPTY_PATH:
            path = _without_deleted(args.fd(0).path)
        else:
            path = None if raw is None else self._resolve(site, raw, self._base(site, args, 0 if name else None))
        if path in _OWN_EXECUTABLE and process.exe is not None:
            path = decode_name(process.exe)
        source = self._memory
        if path is not None:
            process.asked.add(path)
        if call.ret == 0:
            exe, told = self._runs(process, path)
            source = self._kernel if told and exe == path else source
            process.exe = _text(exe)
            process.comm = _text((raw or path or b"").rpartition(b"/")[2][:_COMM])
            # Whichever thread asked for it goes on under the number of the process's first one.
            site = site._replace(tid=process.pid)
        argv, cut = args.argv(name + 1)
        if call.ret == 0 and raw and path is not None and process.exe != _text(path):
            # A script: the kernel puts its name in place of the first argument.
            argv[:1] = [raw]
        words, more = first_words(argv)
        self.emit(site, Op.EXEC, path=path, flags=int(cut or more), ret=call.result, argv=words, source=source)

    def _runs(self, process: Process, path: bytes | None) -> tuple[bytes | None, bool]:
        """What a process runs after its execve(2) of a file, and whether the kernel says the same."""
        named = None if path is None else self._names.interpreter(path)
        found = _without_deleted(self._executable(process))
        if found is not None and path is not None and found == path + b" (deleted)":
            found = path
        if found is None or found == named:
            if (named or path) == process.found:
                process.found = None
            return named or path, found is not None and process.found is None
        if named is None:
            # A link of proc(5)'s, a file that is gone, a kind of executable that is not known here.
            process.found = None
            process.asked.add(found)
            return found, True
        process.found = found
        return named, False

    def _chdir(self, site: Site, call: Call) -> None:
        if call.ret == 0:
            raw = call.args.name(0)
            if raw is not None:
                folder = site.process.folder
                path = self._resolve(site, raw, self._base(site, call.args, None))
                if path is not None:
                    folder.path, folder.pid, folder.lost = path, site.process.pid, False

    def _fchdir(self, site: Site, call: Call) -> None:
        path = call.args.fd(0).path
        if call.ret == 0 and path is not None:
            folder = site.process.folder
            folder.path, folder.lost = path, False

    def _mount(self, site: Site, call: Call) -> None:
        args, path, path2, flags = call.args, None, None, 0
        match call.name:
            case "mount":
                path, path2, flags = self._path(site, args, 1), args.name(0), args.number(3)
            case "pivot_root":
                path, path2 = self._path(site, args, 0), self._path(site, args, 1)
            case "umount" | "umount2" | "chroot":
                path = self._path(site, args, 0)
            case "move_mount":
                path, path2 = self._path(site, args, 3, 2), self._path(site, args, 1, 0)
            case "open_tree" | "mount_setattr" | "fspick":
                path = self._path(site, args, 1, 0)
        self.emit(site, Op.MOUNT, path=path, path2=path2, flags=flags, ret=call.result, source=self._memory)

    # --- processes ---

    def _signal(self, site: Site, call: Call) -> None:
        signal = call.args.number(2 if call.name in ("tgkill", "rt_tgsigqueueinfo") else 1)
        # Whom it is for, as the sandbox counts.
        target = None if call.name == "pidfd_send_signal" else f"pid:{_signed(call.args.number(0))}"
        # A program that kills itself does not see the call return.
        ret = 0 if call.ret is None else call.ret
        self.emit(site, Op.SIGNAL, flags=signal, ret=ret, addr=target, source=self._memory)

    def _ptrace(self, site: Site, call: Call) -> None:
        request, target = _OTHERS_MEMORY.get(call.name, 0), None
        if call.name == "ptrace":
            request = call.args.number(0)
        if call.name != "pidfd_getfd":
            target = f"pid:{_signed(call.args.number(1 if call.name == 'ptrace' else 0))}"
        self.emit(site, Op.PTRACE, flags=request, addr=target, ret=call.result, source=self._memory)

    def _memfd(self, site: Site, call: Call) -> None:
        named = call.name == "memfd_create"
        path = _known(call.fd)
        if path is None and named:
            path = b"/memfd:" + (call.args.name(0) or b"")
        flags = call.args.number(1 if named else 0)
        self.emit(site, Op.MEMFD, path=path, flags=flags, ret=call.result, source=self._memory)

    def _set_id(self, site: Site, call: Call) -> None:
        # The effective one; -1 keeps it.
        wanted = call.args.number(1 if len(call.args) > 1 else 0)
        if call.ret == 0 and 0 <= wanted < 0xFFFFFFFF:
            setattr(site.process, _SET_ID[call.name], wanted)

    def _privileged(self, site: Site, call: Call) -> None:
        if call.name == "io_uring_setup" and call.result >= 0:
            self._loss.add("io_uring was set up: what is done through it can't be seen")
        self.emit(site, Op.DENIED, flags=PRIVILEGED[call.name], ret=call.result, source=self._memory)

    # --- sockets ---

    def _keep(self, site: Site, fd: Fd, of: _Socket) -> None:
        """Remember a socket by the kernel's name of it, which has its inode, and until that is known by its number."""
        key = (site.process.pid, fd.number) if fd.path is None else fd.path
        self._sockets[key] = of
        self._sockets.move_to_end(key)
        if len(self._sockets) > _SOCKETS_KEPT:
            self._sockets.popitem(last=False)

    def _known_socket(self, site: Site, fd: Fd) -> _Socket:
        known = self._sockets.get(fd.path) if fd.path is not None else None
        return known or self._sockets.get((site.process.pid, fd.number), _NO_SOCKET)

    def _socket(self, site: Site, call: Call) -> None:
        domain, kind, number = (call.args.number(at) for at in range(3))
        of = _Socket(domain, sockets.protocol(domain, kind, number))
        if call.result >= 0:
            self._keep(site, Fd(call.result, call.fd), of)
        self.emit(site, Op.SOCKET, flags=domain, ret=call.result, proto=of.proto, source=self._memory)

    def _on_address(self, site: Site, call: Call) -> None:
        fd = call.args.fd(0)
        of = self._known_socket(site, fd)
        address = call.args.address(1)
        bind = call.name == "bind"
        if call.ret in (0, -errno.EINPROGRESS):
            self._keep(site, fd, of._replace(local=address) if bind else of._replace(peer=address))
        self._emit_address(site, Op.BIND if bind else Op.CONNECT, of, address, call.result)

    def _listen(self, site: Site, call: Call) -> None:
        of = self._known_socket(site, call.args.fd(0))
        self._emit_address(site, Op.LISTEN, of, of.local, call.result)

    def _accept(self, site: Site, call: Call) -> None:
        of = self._known_socket(site, call.args.fd(0))
        peer = call.args.address(1)
        if call.result >= 0:
            self._keep(site, Fd(call.result, call.fd), of._replace(peer=peer))
        self._emit_address(site, Op.ACCEPT, of, peer, call.result)

    def _send(self, site: Site, call: Call) -> None:
        args = call.args
        of = self._known_socket(site, args.fd(0))
        messages = [(args.address(4), args.data(1))] if call.name == "sendto" else args.messages(1)
        results = [call.result] * len(messages)
        if call.name == "sendmmsg":
            results = _results(call.result, len(messages))
        for (named, data), ret in zip(messages, results, strict=False):
            address = None if named is None else named.meant(of.domain, sent=True)
            # Sends without an address go where connect said, and so do all of a stream that has a peer.
            target = of.peer if address is None or (of.proto == "tcp" and of.peer is not None) else address
            if address is not None:
                self._emit_address(site, Op.SENDTO, of, address, ret)
            if target is not None and target.port == _DNS_PORT:
                for asked in sockets.dns_names(data, of.proto == "tcp"):
                    self._emit_address(site, Op.DNS, of, target, ret, path2=asked)

    def _emit_address(
        self, site: Site, op: Op, of: _Socket, address: sockets.Address | None, ret: int, **columns: Any
    ) -> None:
        address = (address or sockets.Address(of.domain)).meant(of.domain, sent=False)
        path = None
        if address.path is not None:
            path = self._resolve(site, address.path, site.process.folder.path, op is not Op.BIND)
        self.emit(
            site,
            op,
            path=path,
            flags=address.family,
            addr=address.addr,
            port=address.port,
            proto=of.proto,
            ret=ret,
            source=self._memory,
            **columns,
        )


@dataclass(frozen=True)
class _Shape:
    """Where the arguments of a call that works on one name stand."""

    op: Op
    path: int
    folder: int | None = None
    follow: bool = False
    mode: int | None = None
    at_flags: int | None = None


_ON_PATH = {
    "unlink": _Shape(Op.UNLINK, 0),
    "unlinkat": _Shape(Op.UNLINK, 1, 0, at_flags=2),
    "rmdir": _Shape(Op.RMDIR, 0),
    "mkdir": _Shape(Op.MKDIR, 0, mode=1),
    "mkdirat": _Shape(Op.MKDIR, 1, 0, mode=2),
    "mknod": _Shape(Op.CREATE, 0, mode=1),
    "mknodat": _Shape(Op.CREATE, 1, 0, mode=2),
    "chmod": _Shape(Op.CHMOD, 0, follow=True, mode=1),
    "fchmodat": _Shape(Op.CHMOD, 1, 0, follow=True, mode=2),
    "fchmodat2": _Shape(Op.CHMOD, 1, 0, follow=True, mode=2, at_flags=3),
    "chown": _Shape(Op.CHOWN, 0, follow=True),
    "lchown": _Shape(Op.CHOWN, 0),
    "fchownat": _Shape(Op.CHOWN, 1, 0, follow=True, at_flags=4),
    "truncate": _Shape(Op.TRUNCATE, 0, follow=True),
    "utime": _Shape(Op.UTIME, 0, follow=True),
    "utimes": _Shape(Op.UTIME, 0, follow=True),
    "futimesat": _Shape(Op.UTIME, 1, 0, follow=True),
    "utimensat": _Shape(Op.UTIME, 1, 0, follow=True, at_flags=3),
    "setxattr": _Shape(Op.SETXATTR, 0, follow=True),
    "lsetxattr": _Shape(Op.SETXATTR, 0),
    "removexattr": _Shape(Op.SETXATTR, 0, follow=True),
    "lremovexattr": _Shape(Op.SETXATTR, 0),
}
# Operation, and where the mode stands.
_ON_FD: dict[str, tuple[Op, int | None]] = {
    "fchmod": (Op.CHMOD, 1),
    "fchown": (Op.CHOWN, None),
    "ftruncate": (Op.TRUNCATE, None),
    "fsetxattr": (Op.SETXATTR, None),
    "fremovexattr": (Op.SETXATTR, None),
}
_SET_ID = {
    "setuid": "uid",
    "setgid": "gid",
    "setreuid": "uid",
    "setregid": "gid",
    "setresuid": "uid",
    "setresgid": "gid",
}

# Calls that are of one kind with ptrace(2) and have no request of their own: flags is their number on x86_64.
_OTHERS_MEMORY = {"process_vm_readv": 310, "process_vm_writev": 311, "pidfd_getfd": 438}

_Handler = Callable[[SyscallInterpreter, Site, Call], None]
_HANDLERS: dict[str, _Handler] = {
    name: handler
    for handler, names in (
        (SyscallInterpreter._on_path, tuple(_ON_PATH)),
        (SyscallInterpreter._on_fd, tuple(_ON_FD)),
        (SyscallInterpreter._open, ("open", "openat", "openat2", "creat")),
        (SyscallInterpreter._open_by_handle, ("open_by_handle_at",)),
        (SyscallInterpreter._exec, ("execve", "execveat")),
        (SyscallInterpreter._on_two, ("rename", "renameat", "renameat2", "link", "linkat")),
        (SyscallInterpreter._symlink, ("symlink", "symlinkat")),
        (SyscallInterpreter._chdir, ("chdir",)),
        (SyscallInterpreter._fchdir, ("fchdir",)),
        (
            SyscallInterpreter._mount,
            ("mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "mount_setattr", "chroot"),
        ),
        (SyscallInterpreter._mount, ("fsopen", "fsmount", "fspick")),
        (
            SyscallInterpreter._signal,
            ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"),
        ),
        (SyscallInterpreter._ptrace, ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd")),
        (SyscallInterpreter._memfd, ("memfd_create", "memfd_secret")),
        (SyscallInterpreter._set_id, tuple(_SET_ID)),
        (SyscallInterpreter._socket, ("socket",)),
        (SyscallInterpreter._on_address, ("bind", "connect")),
        (SyscallInterpreter._listen, ("listen",)),
        (SyscallInterpreter._accept, ("accept", "accept4")),
        (SyscallInterpreter._send, ("sendto", "sendmsg", "sendmmsg")),
        (SyscallInterpreter._privileged, tuple(PRIVILEGED)),
    )
    for name in names
}

HANDLED: tuple[str, ...] = tuple(sorted(_HANDLERS))
"""The calls that mean something; clone and its kin aside, which make processes."""


def _text(path: bytes | None) -> str | None:
    return None if path is None else encode_name(path)


def _shortened(text: str | None) -> str | None:
    """At most the first LONGEST_TEXT_BYTES of a text."""
    if text is None or len(text) <= LONGEST_TEXT_BYTES // 4:
        return text
    return text.encode()[:LONGEST_TEXT_BYTES].decode(errors="ignore")


def _known(path: bytes | None) -> bytes | None:
    """A path of the kernel's, None where it is none: the name of a pipe, say."""
    return path if path is not None and path.startswith(b"/") else None


def _above(path: bytes) -> list[bytes]:
    """An absolute path and the folders that it is in, the root left out."""
    parts = path.strip(b"/").split(b"/")
    return [b"/" + b"/".join(parts[: count + 1]) for count in range(len(parts))]


def _opens_no_name(flags: int) -> bool:
    """Whether an open is of a file without a name, or of what may be a symlink: a name does not go on behind it."""
    symlink = flags & _O_PATH and flags & os.O_NOFOLLOW and not flags & os.O_DIRECTORY
    return bool(symlink) or flags & _O_TMPFILE == _O_TMPFILE


def _without_deleted(path: bytes | None) -> bytes | None:
    """A path of the kernel's, which says of a file in memory that it is deleted."""
    return path.removesuffix(b" (deleted)") if path is not None and path.startswith(b"/memfd:") else path


def _results(result: int, messages: int) -> list[int]:
    """What came of each message of sendmmsg that the kernel looked at: after one that fails it goes no further, and its
    error is told where it is the first."""
    if result < 0:
        return [result][:messages]
    return [*[0] * result, -errno.EAGAIN][:messages]


def _signed(number: int) -> int:
    """A pid, which a recorder may give without its sign."""
    low = number & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _mode(args: Arguments, at: int) -> int:
    return args.number(at) & 0o7777 if len(args) > at else 0
