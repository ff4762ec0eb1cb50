r"""The sentry's own log of system calls, line by line.

runsc writes it with ``--strace --debug-log=FILE --debug-log-format=json``: each line is a JSON object, whose text is
``[pid:tid] comm X name(arguments) = result``. JSON keeps what the sandbox says within its line. Within the text, names
stand as they are: where a name (or the name of a program) is such that the text can be read in more than one way, the
line is refused, and the recorder counts it as lost. Bytes that are not UTF-8 arrive as U+FFFD.
"""

import errno
import ipaddress
import json
import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from affidavit.recorder import sockets
from affidavit.recorder.syscall_interpreter import AT_FDCWD, Call, Fd

_COMM = 15

# Kinds of arguments: a name, a folder or file descriptor with its path, a descriptor as a bare number, a number or
# flags, a vector of strings, a socket address, anything in braces or none.
_NAME = r"(0x[0-9a-f]+ .*|<null>)"
_FD = r"(AT_FDCWD .*|0x[0-9a-f]+ .*)"
_NUMBER = r"([A-Za-z0-9_|]+)"
_VECTOR = r'(0x[0-9a-f]+ (?:\[(?:"(?:[^"\\]|\\.)*+"(?:, )?)*+\]|\{error[^{}]*\}))'
_ADDRESS = r'(null|0x[0-9a-f]+(?: \{(?:[^{}"]|"(?:[^"\\]|\\.)*+")*+\})?)'
_STRUCT = r"(null|0x[0-9a-f]+(?: \{[^{}]*\}| \([^()]*\))?)"
_REST = r"(.*)"
_KINDS = {"P": _NAME, "F": _FD, "N": _NUMBER, "V": _VECTOR, "A": _ADDRESS, "S": _STRUCT, "*": _REST}
_RESULT = r"\) = (-?\d+)(?: \(0x[0-9a-f]+\))?(?: errno=(\d+) \([^()]*\))? \([^()]*\)"

SHAPES: dict[str, str] = {
    "open": "PNN",
    "openat": "FPNN",
    "creat": "PN",
    "close": "F",
    "close_range": "FFN",
    "dup": "F",
    "dup2": "FF",
    "dup3": "FFN",
    "execve": "PVV",
    "execveat": "FPVVN",
    "fork": "*",
    "vfork": "*",
    "clone": "*",
    "clone3": "*",
    "unlink": "P",
    "unlinkat": "FPN",
    "rmdir": "P",
    "rename": "PP",
    "renameat": "FPNP",
    "renameat2": "FPNPN",
    "link": "PP",
    "linkat": "FPNPN",
    "symlink": "PP",
    "symlinkat": "PFP",
    "mkdir": "PN",
    "mkdirat": "FPN",
    "mknod": "PNN",
    "mknodat": "FPNN",
    "chmod": "PN",
    "fchmod": "FN",
    "fchmodat": "FPN",
    "chown": "PNN",
    "lchown": "PNN",
    "fchown": "FNN",
    "fchownat": "FPNNN",
    "truncate": "PN",
    "ftruncate": "FN",
    "utime": "PS",
    "utimes": "PS",
    "futimesat": "FPN",
    "utimensat": "FPSN",
    "setxattr": "PPNNN",
    "lsetxattr": "PPNNN",
    "fsetxattr": "FPNNN",
    "removexattr": "PP",
    "lremovexattr": "PP",
    "fremovexattr": "FP",
    "chdir": "P",
    "fchdir": "F",
    "mount": "PPPNP",
    "umount2": "PN",
    "pivot_root": "PP",
    "kill": "NN",
    "tkill": "NN",
    "tgkill": "NNN",
    "rt_sigqueueinfo": "NNN",
    "rt_tgsigqueueinfo": "NNNN",
    "ptrace": "NNNN",
    "process_vm_readv": "N*",
    "process_vm_writev": "N*",
    "memfd_create": "PN",
    "setuid": "N",
    "setgid": "N",
    "setreuid": "NN",
    "setregid": "NN",
    "setresuid": "NNN",
    "setresgid": "NNN",
    "socket": "NNN",
    "bind": "FAN",
    "connect": "FAN",
    "listen": "FN",
    "accept": "FAS",
    "accept4": "FASN",
    "sendto": "FNNNAN",
    "bpf": "*",
    "chroot": "*",
    "clock_settime": "*",
    "init_module": "*",
    "finit_module": "*",
    "io_uring_setup": "*",
    "keyctl": "*",
    "perf_event_open": "*",
    "reboot": "*",
    "sethostname": "*",
    "setns": "*",
    "settimeofday": "*",
    "swapon": "*",
    "unshare": "*",
    "userfaultfd": "*",
}
"""The calls that the sentry is asked to log, and what their arguments look like."""

# Where a bare number is a folder descriptor: its position, and that of the folder whose path is known.
_BARE_FOLDERS = {"renameat": (2, 0), "renameat2": (2, 0), "linkat": (2, 0)}


def _patterns(name: str, end: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Greedy and lazy: a text that both read alike can be read in one way only."""
    greedy = name + r"\(" + ", ".join(_KINDS[kind] for kind in SHAPES[name]) + end
    lazy = greedy.replace(".*", ".*?")
    return re.compile(greedy, re.DOTALL), re.compile(lazy, re.DOTALL)


def _seams(name: str) -> tuple[re.Pattern[str], int]:
    """What may stand where one argument of a call ends and the next begins, and how often it may do so in a text.

    Names can be made to look like further arguments. Each that does multiplies the ways in which a text may be read,
    and all of them would be tried.
    """
    shape = SHAPES[name]
    names = sum(shape.count(kind) for kind in "PF")
    if "V" in shape:
        begins = r"(?:0x[0-9a-f]+|AT_FDCWD|<null>) " if names > 1 else r"0x[0-9a-f]+ [\[{]"
        return re.compile(", " + begins), len(shape) + _MORE_VECTORS
    return re.compile(", " if names > 1 else r"\Z"), len(shape) + _MORE_SEAMS


_MORE_SEAMS = 24
_MORE_VECTORS = 8
_SEAMS = {name: _seams(name) for name in SHAPES}
_ENTERED = {name: _patterns(name, r"\)") for name in SHAPES}
_LEFT = {name: _patterns(name, _RESULT) for name in SHAPES}
_PREFIX = re.compile(r"\[ *(\d{1,10}): *(\d{1,10})\] ")
_VERB = re.compile(r" ([EX]) (\w+)\(")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ADDRESS_FIELD = re.compile(r"Family: (\w+)(?:, Addr: ([^,{}\"]*), Port: (\d+))?")

_CONSTANTS: dict[str, int] = (
    {
        name: value
        for module, prefixes in ((os, ("O_",)), (socket, ("AF_", "SOCK_", "IPPROTO_")), (stat, ("S_IF",)))
        for name, value in vars(module).items()
        if name.startswith(prefixes) and isinstance(value, int)
    }
    | {f"SIG{known.name[3:]}": known.value for known in signal.Signals}
    | {"O_TMPFILE": 0o20000000, "O_PATH": 0o10000000, "PTRACE_ATTACH": 16, "PTRACE_SEIZE": 0x4206}
)


class Entry(NamedTuple):
    """A line of the log: CLOCK_REALTIME in nanoseconds, and the text."""

    time_ns: int
    text: str


class Said(NamedTuple):
    """A line on a system call: who, whether it has returned, and the rest of the text from its name on."""

    pid: int
    tid: int
    comm: str
    left: bool
    name: str
    text: str


class Values:
    """The arguments of a call as the sentry wrote them (:class:`affidavit.recorder.syscall_interpreter.Arguments`)."""

    __slots__ = ("folders", "texts")

    def __init__(self, texts: list[str], folders: dict[int, Fd]) -> None:
        self.texts = texts
        self.folders = folders

    def __len__(self) -> int:
        return len(self.texts)

    def name(self, at: int) -> bytes | None:
        _, space, name = self.texts[at].partition(" ")
        return name.encode() if space and not name.startswith("(error decoding path: ") else None

    def null(self, at: int) -> bool:
        return self.texts[at] in ("<null>", "null", "0x0")

    def fd(self, at: int) -> Fd:
        if at in self.folders:
            return self.folders[at]
        # Of a file that is gone the sentry adds " (deleted)", which can be a part of a name too: it stays.
        number, _, path = self.texts[at].partition(" ")
        return Fd(AT_FDCWD if number == "AT_FDCWD" else _signed(int(number, 0)), path.encode() if path else None)

    def number(self, at: int) -> int:
        return number(self.texts[at])

    def field(self, at: int, name: str) -> int:
        return 0

    def argv(self, at: int) -> tuple[list[bytes], bool]:
        text = self.texts[at]
        return [unquote(match[1]) for match in _QUOTED.finditer(text)], " {error" in text

    def address(self, at: int) -> sockets.Address | None:
        return address(self.texts[at])

    def messages(self, at: int) -> list[tuple[sockets.Address | None, bytes]]:
        return []

    def data(self, at: int) -> bytes:
        return b""


def entries(line: str) -> Iterator[Entry | None]:
    """What stands in one line of the log: usually one object, several where two tasks wrote at once. None where a part
    can't be read."""
    decoder = json.JSONDecoder()
    at = 0
    while at < len(line):
        try:
            found, at = decoder.raw_decode(line, at)
        except (ValueError, RecursionError):
            yield None
            return
        time_ns = _time(found.get("time")) if isinstance(found, dict) else None
        text = found.get("msg") if isinstance(found, dict) else None
        yield Entry(time_ns, text) if time_ns is not None and isinstance(text, str) else None


def said(text: str) -> Said | None:
    """A text on a system call of SHAPES, None where it is on something else.

    Raises:
        ValueError: the program's name makes it impossible to tell which.
    """
    prefix = _PREFIX.match(text)
    if prefix is None:
        return None
    start = prefix.end()
    found: list[re.Match[str]] = []
    for match in _VERB.finditer(text, start, start + _COMM + 64):
        if match.start() - start <= _COMM and match[2] in SHAPES:
            found.append(match)
    if not found:
        return None
    if len(found) > 1:
        raise ValueError("a program's name that looks like a system call")
    verb = found[0]
    comm = text[start : verb.start()]
    return Said(int(prefix[1]), int(prefix[2]), comm, verb[1] == "X", verb[2], text[verb.start(2) :])


def call(line: Said) -> Call:
    """The call that a line is on; `ret` is None where it has not returned.

    Raises:
        ValueError: the text can't be read, or can be read in more than one way.
    """
    seam, most = _SEAMS[line.name]
    if next(islice(seam.finditer(line.text), most, None), None) is not None:
        raise ValueError(f"a call of {line.name} that could be read in too many ways")
    greedy, lazy = (_LEFT if line.left else _ENTERED)[line.name]
    match, other = greedy.fullmatch(line.text), lazy.fullmatch(line.text)
    if match is None or other is None or match.groups() != other.groups():
        raise ValueError(f"a call of {line.name} that can't be read in one way")
    texts = list(match.groups())
    ret: int | None = None
    if line.left:
        result, error = texts[-2:]
        texts = texts[:-2]
        code = int(error) if error else 0
        # 512 and more: the call starts again or ends in EINTR (include/linux/errno.h).
        ret = int(result) if not code else -(errno.EINTR if code >= 512 else code)
    return Call(line.name, Values(texts, _folders(line.name, texts)), ret)


def number(text: str) -> int:
    """A number, or flags by name; a name that is not known counts as 0. Raises ValueError."""
    total = 0
    for part in text.split("|"):
        total |= int(part, 0) if part[:1].isdigit() else _CONSTANTS.get(part, 0)
    return total


def unquote(text: str) -> bytes:
    r"""The bytes of a string as Go's ``%q`` spells it, without its quotes."""
    out = bytearray()
    end = 0
    for match in _ESCAPE.finditer(text):
        out += text[end : match.start()].encode()
        end = match.end()
        byte, short, long, simple = match.groups()
        if byte:
            out.append(int(byte, 16))
        elif short or long:
            code = int(short or long, 16)
            out += chr(min(code, 0x10FFFF)).encode(errors="replace")
        else:
            out += _SIMPLE.get(simple, simple).encode()
    return bytes(out + text[end:].encode())


def address(text: str) -> sockets.Address | None:
    """A socket address as the sentry writes it, None for a null pointer and what it could not read."""
    match = _ADDRESS_FIELD.search(text)
    if match is None:
        return None
    family = _CONSTANTS.get(match[1], 0) or number(match[1])
    if family == sockets.AF_UNIX:
        quoted = _QUOTED.search(text)
        return sockets.unix(unquote(quoted[1]) if quoted else b"")
    if match[2] is None:
        return sockets.Address(family)
    try:
        packed = ipaddress.ip_address(match[2]).packed
    except ValueError:
        return sockets.Address(family, match[2], int(match[3]))
    return sockets.inet(family, packed, int(match[3]))


def _folders(name: str, texts: list[str]) -> dict[int, Fd]:
    """Folder descriptors that the sentry writes without their path: AT_FDCWD, or the same as another one."""
    if name not in _BARE_FOLDERS:
        return {}
    at, known = _BARE_FOLDERS[name]
    bare = _signed(int(texts[at], 0))
    first, _, path = texts[known].partition(" ")
    same = first == ("AT_FDCWD" if bare == AT_FDCWD else hex(bare))
    return {at: Fd(bare, path.encode() if same else None)}


def _signed(value: int) -> int:
    """A descriptor: a 32-bit number, which the sentry writes without its sign."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _time(text: object) -> int | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    base = _minute(match[1] + match[4])
    if base is None:
        return None
    return (base + int(match[2])) * 1_000_000_000 + int((match[3] or "0").ljust(9, "0"))


@lru_cache(maxsize=16)
def _minute(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None
