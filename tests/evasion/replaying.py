"""What a record says that is there: its rows, done again on nothing but names.

What really lies in a sandbox's changed layer is a fact that no agent and no recorder can talk round. Where the record
explains it to the last name, nothing that lasts was done unseen.
"""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from affidavit.events import decode_name

_RENAME_EXCHANGE = 2
_O_TMPFILE = 0o20200000
_DELETED = b" (deleted)"


@dataclass(eq=False)
class _File:
    """Something that has a name, or several; whether the record has it opened for writing or cut."""

    written: bool = False


@dataclass
class Replay:
    """The names that a record makes.

    Attributes:
        names: absolute names in the sandbox and what they stand for.
        nameless: files that were made without a name, by the kernel's word for them.
        doubtful: names that some row is not sure of, and says so: another thread changed the name meanwhile, or the
            caller was killed in the call.
    """

    names: dict[bytes, _File] = field(default_factory=dict)
    nameless: dict[bytes, _File] = field(default_factory=dict)
    doubtful: set[bytes] = field(default_factory=set)

    def take(self, row: dict[str, Any]) -> None:
        """Do a row again."""
        path, path2 = (None if row[name] is None else decode_name(row[name]) for name in ("path", "path2"))
        if row["source"].endswith("/raced") or row["ret"] == -errno.EINTR:
            self.doubtful |= {name for name in (path, path2) if name is not None}
        made_in_vain = row["op"] == "create" and row["ret"] == -errno.EMFILE and row["source"].startswith("gvisor/")
        if path is None or (row["ret"] < 0 and not made_in_vain):
            return
        match row["op"]:
            case "create" if row["flags"] & _O_TMPFILE == _O_TMPFILE:
                # It has no name yet; the kernel's word for it is "…/#INODE (deleted)".
                self.nameless[path.removesuffix(_DELETED)] = _File(written=True)
            case "create":
                self.names.setdefault(path, _File()).written |= bool(row["flags"] & (os.O_ACCMODE | os.O_TRUNC))
            case "mkdir" | "symlink":
                self.names.setdefault(path, _File(written=True))
            case "open_write" | "truncate":
                if path in self.names:
                    self.names[path].written = True
            case "unlink" | "rmdir":
                self.names.pop(path, None)
            case "link" if path2 is not None:
                path = path.removesuffix(_DELETED)
                self.names[path2] = self.names.get(path) or self.nameless.get(path) or _File()
            case "rename" if path2 is not None:
                self._rename(path, path2, bool(row["flags"] & _RENAME_EXCHANGE))
            case "bind":
                self.names.setdefault(path, _File(written=True))

    def _rename(self, old: bytes, new: bytes, exchange: bool) -> None:
        one, other = self._taken(old), self._taken(new)
        self.names |= {new + rest: file for rest, file in one.items()}
        if exchange:
            self.names |= {old + rest: file for rest, file in other.items()}

    def _taken(self, top: bytes) -> dict[bytes, _File]:
        names = [name for name in self.names if name == top or name.startswith(top + b"/")]
        return {name[len(top) :]: self.names.pop(name) for name in names}


def replay(rows: Iterable[dict[str, Any]]) -> Replay:
    """The names that are there after all of a record's rows."""
    result = Replay()
    for row in rows:
        result.take(row)
    return result


def unexplained(folder: bytes, found: dict[bytes, bool], rows: Iterable[dict[str, Any]]) -> list[str]:
    """What a record does not explain of a folder that was not there before, a sentence each.

    Args:
        folder: its absolute name in the sandbox.
        found: what lies in it by absolute name, and whether that is a file with content.
        rows: the whole record.
    """
    said = replay(rows)
    # gVisor's sentry tells a byte that is not UTF-8 as U+FFFD.
    found = {_as_told(name) if name not in said.names else name: content for name, content in found.items()}
    there = {name for name in said.names if name.startswith(folder + b"/")}
    return [
        *(f"{name!r} is there, unseen" for name in sorted(found.keys() - there - said.doubtful)),
        *(f"{name!r} is not there, unseen" for name in sorted(there - found.keys() - said.doubtful)),
        *(
            f"{name!r} was written, unseen"
            for name in sorted(found.keys() & there)
            if found[name] and not said.names[name].written
        ),
    ]


def _as_told(name: bytes) -> bytes:
    text = name.decode("utf-8", "surrogateescape")
    return "".join("\ufffd" if 0xDC80 <= ord(sign) <= 0xDCFF else sign for sign in text).encode()
