"""From the names that runs used to a few readable patterns.

What is generalised is written here and nowhere else:

- a folder that the runs made themselves is theirs: ``FOLDER/**``; so are folders of caches (``__pycache__``);
- scratch folders (``/tmp``, ``/var/tmp``): the whole of them;
- names that tools make up (``sedAb12Cd``, ``tmpx1y2z3w4``, ``passwd.117``) stand for all of their kind;
- four or more names of one ending in a folder: ``FOLDER/*.py``; four or more others: ``FOLDER/*``;
- three or more used folders in a folder, with six or more names in all: ``FOLDER/**``. Neither this nor the one before
  at the root, in ``/var``, ``/home`` and the like themselves, or anywhere in ``/usr``, ``/etc`` and the like: of the
  system's programs each stands for itself.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from affidavit.contracts import PathMatcher, escape

_SCRATCH = ("/tmp", "/var/tmp")
_SYSTEM = re.compile(
    r"/(?:var|home|root|opt|srv|mnt|media|(?:usr|etc|run|dev|proc|sys|boot|bin|sbin|lib[0-9a-z]*)(?:/.*)?)", re.DOTALL
)
_CACHES = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".cache")
_LIKE = 4
_FOLDERS = 3
_IN_FOLDERS = 6
# What tools put where something random is to be: GNU sed, Python's tempfile, mktemp(1), cc(1); and, by its process id,
# what useradd(8) and the like put beside a file that they change.
_MADE_UP = (
    (re.compile(r"sed[A-Za-z0-9]{6}"), "sed??????"),
    (re.compile(r"tmp[a-z0-9_]{8}"), "tmp????????"),
    (re.compile(r"tmp\.[A-Za-z0-9]{10}"), "tmp.??????????"),
    (re.compile(r"cc[A-Za-z0-9]{6}\.[a-z]{1,3}"), "cc??????.*"),
    *(
        (re.compile(rf"{name}\.[0-9]+"), f"{name}.[0-9]*")
        for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
    ),
)
_ENCODED = re.compile(r"\\(?:\\|x[0-9a-f]{2})")


@dataclass(frozen=True)
class Grant:
    """A pattern, and how many of the given names it stands for."""

    pattern: str
    names: int


@dataclass
class _Folder:
    folders: "dict[str, _Folder]" = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def count(self) -> int:
        # An explicit stack: a sandbox can make folders deeper than Python's own.
        total, todo = 0, [self]
        while todo:
            folder = todo.pop()
            total += len(folder.names)
            todo += folder.folders.values()
        return total


def generalised(names: Iterable[str], made: Collection[str] = ()) -> list[Grant]:
    """Patterns that together match all of the given names.

    Args:
        names: absolute names as :func:`affidavit.events.encode_name` spells them.
        made: those of them that are folders which the runs made.
    """
    distinct = sorted({name for name in names if name.startswith("/")})
    own = _outermost([*made, *_caches(distinct)])
    patterns: dict[str, None] = {}
    root = _Folder()
    for name in distinct:
        if whole := next((top for top in (*_SCRATCH, *own) if name == top or name.startswith(top + "/")), None):
            patterns[_pattern(whole) + "/**"] = None
        elif name == "/":
            patterns["/"] = None
        else:
            _put(root, name)
    for pattern in _patterns(root):
        patterns[pattern] = None
    return [Grant(pattern, int(PathMatcher([pattern]).mask(distinct).sum())) for pattern in sorted(patterns)]


def _caches(names: Iterable[str]) -> Iterator[str]:
    """The folders of caches that names lie in."""
    for name in names:
        folders = name.split("/")
        if place := next((index for index, part in enumerate(folders) if part in _CACHES), None):
            yield "/".join(folders[: place + 1])


def _outermost(folders: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for folder in sorted({folder for folder in folders if folder.startswith("/") and folder != "/"}):
        if not kept or not folder.startswith(kept[-1] + "/"):
            kept.append(folder)
    return kept


def _put(root: _Folder, name: str) -> None:
    *folders, last = name.split("/")[1:]
    folder = root
    for part in folders:
        folder = folder.folders.setdefault(_pattern(part), _Folder())
    folder.names.add(next((kind for shape, kind in _MADE_UP if shape.fullmatch(last)), _pattern(last)))


def _patterns(root: _Folder) -> list[str]:
    found: list[str] = []
    todo = [("", root)]
    while todo:
        place, folder = todo.pop()
        may = bool(place) and not _SYSTEM.fullmatch(place)
        used = len(folder.folders)
        if may and used >= _FOLDERS and folder.count() >= _IN_FOLDERS:
            found.append(f"{place}/**")
            continue
        found += [f"{place}/{name}" for name in _alike(folder.names, may)]
        todo += [(f"{place}/{part}", inner) for part, inner in folder.folders.items()]
    return found


def _alike(names: set[str], may: bool) -> list[str]:
    """The names of one folder, those of a kind as one pattern."""
    if not may:
        return sorted(names)
    by_ending: dict[str, list[str]] = {}
    for name in names:
        stem, dot, ending = name.rpartition(".")
        by_ending.setdefault(ending if dot and stem.strip("\\") and ending.isalnum() else "", []).append(name)
    kept: list[str] = []
    left: list[str] = []
    for ending, alike in by_ending.items():
        if ending and len(alike) >= _LIKE:
            kept.append(f"*.{ending}")
        else:
            left += alike
    return [*kept, *(["*"] if len(left) >= _LIKE else left)]


def _pattern(name: str) -> str:
    """The pattern of an encoded name: a byte that is not UTF-8 is any one character."""
    out, last = "", 0
    for match in _ENCODED.finditer(name):
        out += escape(name[last : match.start()]) + ("\\\\" if match[0] == "\\\\" else "?")
        last = match.end()
    return out + escape(name[last:])
