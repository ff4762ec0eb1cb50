"""What the descriptors of a sandbox's tasks are open on, as far as that is certain.

The sentry says what a descriptor in an argument is open on, but not one whose number is a part of a name
(``/proc/self/fd/5/file``). That follows from the calls before: an open gives a number its file, and until that number
is freed (close, close_range) or given another file (dup2, dup3), nothing changes it. Whatever else makes descriptors
takes numbers that are free.

Several tasks may use one table, and what a call does happens at some moment between the line of its beginning and that
of its end. So a number counts as freed from the beginning of the call that frees it. What an open gave it counts only
for calls that began after the open's end, and only where nothing that overlaps the open could have freed the number or
changed the name. A number of which something else is the case is not known, which is never wrong.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from affidavit.recorder.gvisor.log import Said, call
from affidavit.recorder.syscall_interpreter import OWN_TASK, Call, Folder, Process, Site

_CLONE_FILES = 0x400
_FREES = ("close", "close_range", "dup2", "dup3")
_COPIES = ("dup", "dup2", "dup3")
_OPENS = ("open", "openat", "creat", *_COPIES)
_EXECS = ("execve", "execveat")
# Calls that take a name away, or put something else in its place.
_CHANGES = (
    *("unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "symlink", "symlinkat", "link", "linkat"),
)
# More numbers of one table are not known, and no open is that goes on during more changes of names.
_NUMBERS_KEPT = 1024
_CHANGES_KEPT = 4096

_ALL = range(1 << 32)
_NONE = range(0)


@dataclass(eq=False)
class _Table:
    """A table of descriptors, which tasks may share.

    Attributes:
        files: what numbers are open on, and since which line.
        freeing: numbers that calls in flight free, by the calling task.
        certain: whether all that changes it is seen.
    """

    files: dict[int, tuple[int, Folder]] = field(default_factory=dict)
    freeing: dict[int, range] = field(default_factory=dict)
    certain: bool = True


@dataclass(eq=False)
class _Open:
    """An open or a copy in flight: numbers that may have been freed since it began, and names that were changed."""

    table: _Table
    freed: list[range]
    changed: set[bytes] = field(default_factory=set)


class TaskDescriptors:
    """The tables of a sandbox's tasks (:class:`affidavit.recorder.syscall_interpreter.Descriptors`).

    It is told of each line in the order of the lines' times.
    """

    def __init__(self) -> None:
        self._line = 0
        self._tables: dict[int, _Table] = {}
        # By task: the line that its latest call began with; an open in flight; a call in flight that changes names,
        # with what was opened meanwhile and the names that led there.
        self._began: dict[int, int] = {}
        self._opens: dict[int, _Open] = {}
        self._changing: dict[int, list[tuple[Folder, Collection[bytes]]]] = {}

    # --- what tasks do ---

    def started(self, tid: int) -> None:
        """A task began, with descriptors that nothing is known of."""
        self._tables[tid] = _Table()

    def cloned(self, tid: int, child: int, flags: int) -> None:
        """A task made another one, in a call that is in flight."""
        table = self._tables.get(tid)
        if table is None or flags & _CLONE_FILES:
            self._tables.pop(child, None)
            if table is not None:
                self._tables[child] = table
            return
        # What changed since the call began may not be in the copy.
        began = self._began.get(tid, 0)
        files = {number: one for number, one in table.files.items() if one[0] < began}
        self._tables[child] = _Table(files, certain=table.certain)

    def ended(self, tid: int) -> None:
        """A task is gone."""
        table = self._tables.pop(tid, None)
        if table is not None:
            table.freeing.pop(tid, None)
        for of in (self._began, self._opens, self._changing):
            of.pop(tid, None)

    def begins(self, said: Said) -> None:
        """A call began."""
        self._line += 1
        tid, name = said.tid, said.name
        self._began[tid] = self._line
        table = self._tables.get(tid)
        if table is None:
            return
        if name in _FREES:
            self._free(tid, table, _freed(said))
        if name in _OPENS:
            self._opens[tid] = _Open(table, [freed for other, freed in table.freeing.items() if other != tid])
        elif name in _CHANGES:
            self._changing[tid] = []
        elif name == "unshare":
            # Whether it leaves the task its table, and when, is not followed.
            table.certain = False

    def ends(self, site: Site, done: Call) -> None:
        """A call has ended, and what it opened was told."""
        tid, table = site.tid, self._tables.get(site.tid)
        if done.name in _EXECS and done.ret == 0:
            # Which descriptors stay open is not followed.
            self.ended(tid)
            self.started(site.process.pid)
            return
        if table is not None:
            table.freeing.pop(tid, None)
            if done.name in _COPIES and done.result >= 0:
                copied = self._file(tid, table, done.args.fd(0).number)
                if copied is not None:
                    self._give(tid, done.result, copied)
        self._opens.pop(tid, None)
        self._changing.pop(tid, None)

    def _free(self, tid: int, table: _Table, numbers: range) -> None:
        table.freeing[tid] = numbers
        for one in self._opens.values():
            if one.table is table:
                one.freed.append(numbers)
        if len(numbers) == 1:
            table.files.pop(numbers[0], None)
        else:
            table.files = {number: file for number, file in table.files.items() if number not in numbers}

    def _give(self, tid: int, number: int, folder: Folder) -> bool:
        """A call in flight has given a number a file; False where that is not certain."""
        opened = self._opens.get(tid)
        if opened is None or any(number in freed for freed in opened.freed):
            return False
        self._line += 1
        files = opened.table.files
        files.pop(number, None)
        if len(files) >= _NUMBERS_KEPT:
            files.pop(next(iter(files)))
        files[number] = self._line, folder
        return True

    # --- what they are open on ---

    def opened(self, site: Site, number: int, folder: Folder, names: Collection[bytes]) -> None:
        """See the protocol."""
        one = self._opens.get(site.tid)
        if one is None or len(one.changed) > _CHANGES_KEPT or not one.changed.isdisjoint(names):
            return
        if self._give(site.tid, number, folder):
            for meanwhile in self._changing.values():
                meanwhile.append((folder, names))

    def changed(self, site: Site, names: Collection[bytes]) -> None:
        """See the protocol."""
        for one in self._opens.values():
            if len(one.changed) <= _CHANGES_KEPT:
                one.changed.update(names)
        for folder, through in self._changing.pop(site.tid, ()):
            folder.lost = folder.lost or any(name in through for name in names)

    def own(self, site: Site, number: int) -> bytes | None:
        """See the protocol."""
        table = self._tables.get(site.tid)
        return _path(None if table is None else self._file(site.tid, table, number))

    def linked(self, site: Site, process: Process, task: int | None, number: int) -> bytes | None:
        """See the protocol."""
        if task is None:
            task = process.pid
        elif task == OWN_TASK:
            task = site.tid
        # Another process's table may change by an execve(2) in flight.
        table = self._tables.get(task)
        if process is not site.process or table is None or table is not self._tables.get(site.tid):
            return None
        return _path(self._file(site.tid, table, number))

    def _file(self, tid: int, table: _Table, number: int) -> Folder | None:
        """What a number was open on all the time of a task's latest call."""
        since, folder = table.files.get(number, (0, None))
        return folder if table.certain and since < self._began.get(tid, 0) else None


def _freed(said: Said) -> range:
    """Numbers that a call frees; all of them where that can't be read."""
    try:
        args = call(said).args
        first, last = (args.fd(at).number & 0xFFFFFFFF for at in (0, min(1, len(args) - 1)))
    except ValueError:
        return _ALL
    match said.name:
        case "close":
            return range(first, first + 1)
        case "close_range":
            return range(first, last + 1)
    # A copy of a descriptor to its own number changes nothing.
    return _NONE if first == last else range(last, last + 1)


def _path(folder: Folder | None) -> bytes | None:
    return None if folder is None or folder.lost else folder.path
