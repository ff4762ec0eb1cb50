"""Looks up a sandbox's user by name."""

import os
import re

from affidavit.sandbox import User, open_in_root

_MOST_BYTES = 1 << 20
_NUMBERS = re.compile(r"(\d{1,9})(?::(\d{1,9}))?")


def find_user(root: int, name: str) -> User | None:
    """The user of a name, a number, or of numbers of user and group (``1000:1000``).

    Args:
        root: descriptor of the sandbox's root. What is below it is hostile.
        name: as it was asked for.

    Returns:
        None where /etc/passwd has no such name, or can't be read. A number needs no entry there.
    """
    numbers = _NUMBERS.fullmatch(name)
    entry = next((one for one in _entries(root) if name == one.name or (numbers and int(numbers[1]) == one.uid)), None)
    if numbers is None:
        return entry
    uid = int(numbers[1])
    gid = int(numbers[2]) if numbers[2] else entry.gid if entry else uid
    return User(uid, gid, entry.name if entry else name, entry.home if entry else "/")


def _entries(root: int) -> list[User]:
    """The lines of /etc/passwd that can be read (passwd(5))."""
    found = []
    try:
        descriptor = open_in_root(root, b"/etc/passwd")
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdecimal() and fields[3].isdecimal():
            uid, gid = int(fields[2]), int(fields[3])
            if uid < 1 << 31 and gid < 1 << 31 and fields[5].startswith("/"):
                found.append(User(uid, gid, fields[0], fields[5]))
    return found
