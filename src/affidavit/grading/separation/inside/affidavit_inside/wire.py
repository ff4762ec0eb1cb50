"""Messages of a Python session: plain values with a length before them."""

import struct

from . import values

_LENGTH = struct.Struct(">I")


def send(connection, data):
    """Raises: OSError: the other end is gone."""
    connection.send(_LENGTH.pack(len(data)) + bytes(data))


def receive(connection):
    """The next message's bytes; None at the end.

    Raises:
        values.Refused: it is too long.
    """
    head = connection.take(_LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > values.MOST_BYTES + (1 << 20):
        raise values.Refused("too long")
    return connection.take(length)


def joined(parts):
    """Several byte strings as one."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def parted(data):
    """The inverse of `joined`.

    Raises:
        values.Refused: it is not.
    """
    parts, at = [], 0
    while at < len(data):
        if len(data) - at < _LENGTH.size:
            raise values.Refused("it breaks off")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > len(data) - at or len(parts) > 1_000_000:
            raise values.Refused("it breaks off")
        parts.append(data[at : at + length])
        at += length
    return parts
