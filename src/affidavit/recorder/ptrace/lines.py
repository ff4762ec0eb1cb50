r"""Parses the lines of strace.

strace is run with ``-xx``: every string of the sandbox's (names, arguments, socket addresses, paths of descriptors) is
printed as ``\xNN`` for each byte, so that none of them can hold a quote, a bracket or a line's end, and no program can
print a line that is taken for strace's. Nothing here raises for any text: what can't be read is None.
"""

import errno
import re
from signal import Signals
from typing import NamedTuple

from affidavit.recorder import sockets
from affidavit.recorder.syscall_interpreter import Call, Fd

MAX_LINE = 1 << 20
"""Longest line that is parsed, characters. argv can be longer (execve(2)): the middle of such a line is cut out."""

_KEPT_TAIL = 512


class Begun(NamedTuple):
    """The first part of a call, up to where another task's line came between; `moved` where a thread that is not the
    first of its process ran execve(2) and goes on under this pid."""

    name: str
    text: str
    moved: int | None


class Resumed(NamedTuple):
    """The second part of a call."""

    name: str
    text: str


class Ended(NamedTuple):
    """A task's end: its exit code, or the signal that killed it."""

    code: int
    signal: int


class Superseded(NamedTuple):
    """A task gave way to the thread of its process that ran execve(2)."""

    by: int


class Noise(NamedTuple):
    """A line that says nothing of what was done: a signal that arrived, a call that a kill forestalled."""


Body = Call | Begun | Resumed | Ended | Superseded | Noise


class Line(NamedTuple):
    """One line: the task as the machine counts, CLOCK_REALTIME in nanoseconds, and what happened."""

    tid: int
    time_ns: int
    body: Body


_LINE = re.compile(r"(\d{1,10}) +(\d{1,12})\.(\d{9}) (.*)", re.DOTALL)
_CALL = re.compile(
    r"(\w+)\((.*)\) += (-?\d{1,20}|0x[0-9a-f]{1,16}|\?)(?:<([^<>]*)>(?:\(deleted\))?)?"
    r"(?: <unavailable>| (?:(E[A-Z0-9]+)\b|\(errno (\d+)\)).*)?(?: \(.*\))?",
    re.DOTALL,
)
_BEGUN = re.compile(r"(\w+)\((.*?) ?<(?:unfinished|detached|pid changed to (\d{1,10})) \.\.\.>", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
# A task that was killed as it entered a call, before strace could read which: it was never done.
_NEVER_READ = re.compile(
    r"(?:\?{3,4}\(|<\.\.\. \?{3,4} resumed>)[^\"]*?(?:\) += \?(?: <unavailable>)?|<(?:unfinished|detached) \.\.\.>)"
)
_EXITED = re.compile(r"\+\+\+ exited with (\d{1,3}) \+\+\+")
_KILLED = re.compile(r"\+\+\+ killed by (?:SIG)?(\w+)(?: \(core dumped\))? \+\+\+")
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d{1,10}) \+\+\+")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"(-?\d{1,10})(?:<([^<>]*)>(?:\(deleted\))?)?")
_ABSTRACT = re.compile(r'\bsun_path=@"((?:\\x[0-9a-f]{2})*)"')
_NESTING = re.compile(r"[\[\]{}]|, ")

# Results that the kernel keeps to itself: the call starts again or ends in EINTR (include/linux/errno.h).
_RESTARTS = {"ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ERESTART_RESTARTBLOCK": 516}
# Two names may stand for one number: EOPNOTSUPP, ENOTSUP.
_ERRNOS = {name: number for name, number in vars(errno).items() if name.startswith("E")} | {"ENOTSUPP": 524}


def parse(text: str) -> Line | None:
    """One line of strace's (without its line end), None where it is none."""
    if len(text) > MAX_LINE:
        text = text[: MAX_LINE - _KEPT_TAIL] + "..." + text[-_KEPT_TAIL:]
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    body = _body(match[4])
    if body is None:
        return None
    return Line(int(match[1]), int(match[2]) * 1_000_000_000 + int(match[3]), body)


def join(begun: Begun, resumed: Resumed) -> Call | None:
    """The call whose two parts these are, None where they don't make one."""
    return _call(f"{begun.name}({begun.text}{resumed.text}")


def unhex(text: str) -> bytes | None:
    r"""The bytes that ``\xNN\xNN…`` stands for, None where it is nothing of that form."""
    try:
        raw = bytes.fromhex(text.replace("\\x", ""))
    except ValueError:
        return None
    return raw if len(raw) * 4 == len(text) else None


def number(text: str) -> int:
    """A number, decimal, octal or hexadecimal, or several of them ORed. Raises ValueError."""
    total = 0
    for part in text.split("|"):
        total |= int(part, 8) if part.startswith("0") and not part.startswith("0x") else int(part, 0)
    return total


class Texts:
    """The arguments of a call as strace printed them (:class:`affidavit.recorder.syscall_interpreter.Arguments`)."""

    __slots__ = ("texts",)

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def name(self, at: int) -> bytes | None:
        match = _STRING.match(self.texts[at])
        return unhex(match[1]) if match else None

    def null(self, at: int) -> bool:
        return self.texts[at] == "NULL"

    def fd(self, at: int) -> Fd:
        match = _FD.fullmatch(self.texts[at])
        if match is None:
            raise ValueError(f"not a descriptor: {self.texts[at]}")
        return Fd(int(match[1]), unhex(match[2]) if match[2] is not None else None)

    def number(self, at: int) -> int:
        return number(self.texts[at])

    def field(self, at: int, name: str) -> int:
        return number(_field(self.texts[at], name) or "0")

    def argv(self, at: int) -> tuple[list[bytes], bool]:
        text = self.texts[at]
        return (_strings(text) if text.startswith("[") else [], "..." in text)

    def address(self, at: int) -> sockets.Address | None:
        return _address(self.texts[at])

    def messages(self, at: int) -> list[tuple[sockets.Address | None, bytes]]:
        parts = self.texts[at].split("msg_name=")[1:]
        halves = (part.partition("msg_iov=") for part in parts)
        return [(_address(head), b"".join(_strings(rest))) for head, _, rest in halves]

    def data(self, at: int) -> bytes:
        return b"".join(_strings(self.texts[at]))


def call(name: str, text: str) -> Call:
    """A call of which the beginning is known only: its caller was killed in it."""
    return Call(name, Texts(split(text)), None)


def _strings(text: str) -> list[bytes]:
    found = (unhex(match[1]) for match in _STRING.finditer(text))
    return [raw for raw in found if raw is not None]


def _field(text: str, name: str) -> str | None:
    """The text of a field of a printed struct, up to the next comma or bracket."""
    match = re.search(rf"\b{name}=([^,{{}}\[\]]*)", text)
    return match[1] if match else None


def _string_field(text: str, name: str) -> bytes | None:
    match = _STRING.match(_field(text, name) or "")
    return unhex(match[1]) if match else None


def _address(text: str) -> sockets.Address | None:
    """A ``struct sockaddr`` as strace prints it with ``-X raw``, None for a null pointer and unreadable memory."""
    family_text = _field(text, "sa_family")
    if family_text is None:
        return None
    family = number(family_text)
    if family == sockets.AF_UNIX:
        abstract = _ABSTRACT.search(text)
        if abstract:
            return sockets.unix(b"\0" + (unhex(abstract[1]) or b""))
        return sockets.unix(_string_field(text, "sun_path") or b"")
    if family == sockets.AF_UNSPEC:
        return sockets.sockaddr(b"\0\0" + (_string_field(text, "sa_data") or b""))
    six = family == sockets.AF_INET6
    host = _string_field(text, "sin6_addr" if six else "sin_addr")
    port = _string_field(text, "sin6_port" if six else "sin_port")
    if host is None or port is None:
        return sockets.Address(family)
    return sockets.inet(family, host, int.from_bytes(port, "big"))


def split(text: str) -> list[str]:
    """The arguments in a call's text: what stands between commas outside of brackets."""
    if "[" not in text and "{" not in text:
        return text.split(", ") if text else []
    parts, depth, start = [], 0, 0
    for match in _NESTING.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return parts


def _body(text: str) -> Body | None:
    first = text[:1]
    if "???" in text[:8] and _NEVER_READ.fullmatch(text):
        return Noise()
    if first == "+":
        return _end(text)
    if first == "-":
        return Noise() if text.startswith("--- ") and text.endswith(" ---") else None
    if first == "<":
        resumed = _RESUMED.fullmatch(text)
        return Resumed(resumed[1], resumed[2]) if resumed else None
    if text.endswith("...>"):
        begun = _BEGUN.fullmatch(text)
        if begun:
            return Begun(begun[1], begun[2], int(begun[3]) if begun[3] else None)
    return _call(text)


def _end(text: str) -> Body | None:
    if match := _EXITED.fullmatch(text):
        return Ended(int(match[1]), 0)
    if match := _KILLED.fullmatch(text):
        name = match[1]
        if name.startswith("RT_") and name[3:].isdecimal():
            return Ended(0, min(32 + int(name[3:]), 64))
        known = Signals.__members__.get(f"SIG{name}")
        return Ended(0, known) if known is not None else None
    match = _SUPERSEDED.fullmatch(text)
    return Superseded(int(match[1])) if match else None


def _call(text: str) -> Call | None:
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    name, args, result, path, error, error_number = match.groups()
    ret: int | None
    if error in _RESTARTS:
        ret = -errno.EINTR
    elif result == "?":
        ret = None
    elif error is not None:
        if error not in _ERRNOS:
            return None
        ret = -_ERRNOS[error]
    elif error_number is not None:
        # A number that has no name, wrapped around where a thread ran execve.
        ret = -int(error_number) if len(error_number) < 8 else None
    else:
        ret = int(result, 16 if result.startswith("0x") else 10)
    return Call(name, Texts(split(args)), ret, unhex(path) if path is not None else None)
