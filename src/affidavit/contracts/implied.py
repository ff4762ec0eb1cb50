"""What a list of patterns stands for beside what it says."""

import posixpath
from collections.abc import Iterable

from affidavit.contracts.patterns import expand_braces, literal_folder

# A contract names a program as it is called; the record names the file that runs.
_SAME_PROGRAM = {
    "sh": "{dash,bash,busybox}",
    "awk": "{mawk,gawk,original-awk,busybox}",
    "cc": "{gcc-*,*-gcc-*,clang-*}",
    "gcc": "{gcc-*,*-gcc-*}",
    "c++": "{g++-*,*-g++-*}",
    "g++": "{g++-*,*-g++-*}",
    "python": "python[23].*",
    "python3": "python3.*",
    "perl": "perl5.*",
    "vi": "vim*",
    "vim": "vim.*",
    "which": "which.*",
    "nc": "nc.*",
    "node": "nodejs",
}


def same_programs(patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns of executables, and of the files that run when these are called."""
    extended = list(patterns)
    for written in tuple(extended):
        if written.startswith(("!", "affidavit:")):
            continue
        for pattern in expand_braces(written):
            folder, _, name = pattern.rpartition("/")
            if name in _SAME_PROGRAM:
                extended.append(f"{folder}/{_SAME_PROGRAM[name]}")
    return tuple(extended)


def folders_above(patterns: Iterable[str]) -> set[str]:
    """The folders above what a list names, as far as their names are written in it; ``/`` in any case."""
    folders = {"/"}
    for written in patterns:
        if written.startswith(("!", "affidavit:", "**")):
            continue
        for pattern in expand_braces(written):
            folder = literal_folder(pattern)
            while folder != "/":
                folders.add(folder)
                folder = posixpath.dirname(folder)
    return folders
