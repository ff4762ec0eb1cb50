"""The remote trace sink's protocol, as far as this recorder speaks it.

gVisor's sentry connects to a SOCK_SEQPACKET unix socket. Both sides send a handshake first; then each packet is a
header (u16 its own length, u16 kind of message, u32 messages dropped so far, little-endian) and a protobuf message.
Only the few fields that are needed are read, so the messages are taken apart here by the protobuf wire format alone.
(Numbers: gVisor's pkg/sentry/seccheck, its README and points/*.proto.)
"""

import struct
from dataclasses import dataclass, field

VERSION = 1
MAX_MESSAGE = 8 << 20
"""Longest packet that is read, bytes; execve's arguments and environment can be 2 MiB each."""

_HEADER = struct.Struct("<HHI")

_CONTAINER_START, _CLONE, _EXECVE, _TASK_EXIT, _OPEN = 1, 2, 3, 5, 7
_CLONE_THREAD = 0x10000

Fields = dict[int, list[int | bytes]]


class WireError(Exception):
    """A packet is not what the protocol says."""


@dataclass(frozen=True)
class Context:
    """Who an event is about: CLOCK_REALTIME in nanoseconds, ids as the sandbox counts, effective uid and gid."""

    time_ns: int
    tid: int
    pid: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Start:
    """The sandbox's command begins."""

    context: Context
    cwd: bytes
    argv: list[bytes]


@dataclass(frozen=True)
class Clone:
    """A task was made."""

    context: Context
    child_tid: int
    child_pid: int
    thread: bool
    flags: int


@dataclass(frozen=True)
class Exec:
    """A program is about to run; `binary` is the path that the sentry resolved."""

    context: Context
    binary: bytes


@dataclass(frozen=True)
class TaskExit:
    """A task ends; `status` is its process's, as wait(2) gives it."""

    context: Context
    status: int


@dataclass(frozen=True)
class Opened:
    """open(2) or its like has returned; `name` is what the caller's memory holds by then."""

    context: Context
    name: bytes


Event = Start | Clone | Exec | TaskExit | Opened


@dataclass(frozen=True)
class Packet:
    """One packet: what it says, None where it is of a kind that is not needed, and messages dropped so far."""

    event: Event | None
    dropped: int = field(default=0)


def handshake() -> bytes:
    """The packet that begins a connection."""
    return bytes([0x08, VERSION])


def peer_version(packet: bytes) -> int:
    """The version in the peer's handshake. Raises WireError."""
    return _int(_fields(packet), 1)


def packet(data: bytes) -> Packet:
    """A packet after the handshake. Raises WireError."""
    if len(data) < _HEADER.size:
        raise WireError("a packet without a header")
    length, kind, dropped = _HEADER.unpack_from(data)
    if not _HEADER.size <= length <= len(data):
        raise WireError("a header of an impossible length")
    return Packet(_event(kind, data[length:]), dropped)


def _event(kind: int, data: bytes) -> Event | None:
    if kind not in (_CONTAINER_START, _CLONE, _EXECVE, _TASK_EXIT, _OPEN):
        return None
    fields = _fields(data)
    context = _context(_bytes(fields, 1))
    if kind == _CONTAINER_START:
        return Start(context, _bytes(fields, 3), [value for value in fields.get(4, []) if isinstance(value, bytes)])
    if kind == _CLONE:
        flags = _int(fields, 6)
        return Clone(context, _int(fields, 3), _int(fields, 4), bool(flags & _CLONE_THREAD), flags)
    if kind == _EXECVE:
        return Exec(context, _bytes(fields, 2))
    if kind == _OPEN:
        return Opened(context, _bytes(fields, 6))
    return TaskExit(context, _int(fields, 2) & 0xFFFF)


def _context(data: bytes) -> Context:
    fields = _fields(data)
    credentials = _fields(_bytes(fields, 7))
    return Context(
        time_ns=_int(fields, 1),
        tid=_int(fields, 2),
        pid=_int(fields, 4),
        uid=_int(credentials, 2),
        gid=_int(credentials, 5),
    )


def _int(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise WireError(f"field {number} is no number")
    return value


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise WireError(f"field {number} is no text")
    return value


def _fields(data: bytes) -> Fields:
    """The fields of a protobuf message by number: varints as numbers, length-delimited ones as bytes."""
    fields: Fields = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            value = data[at : at + length]
            at += length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value = int.from_bytes(data[at : at + width], "little")
            at += width
        else:
            raise WireError(f"wire type {kind}")
        if at > end:
            raise WireError("a field that is cut off")
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("a number that is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            # Negative numbers come as 64-bit two's complement.
            value &= (1 << 64) - 1
            return (value - (1 << 64) if value >> 63 else value, at)
    raise WireError("a number that is too long")
