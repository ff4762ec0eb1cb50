"""Searches what an agent brings for a task's hidden parts. Files are unpacked and decoded, never run or unpickled.

The search is for lines of hidden files that are nowhere in what the agent may see. Files that can't be read (compiled
programs, unknown formats) are listed, since they may hold anything. The files come from package registries, so a
process without privileges parses them.
"""

import base64
import binascii
import bz2
import hashlib
import io
import json
import logging
import lzma
import os
import pickletools
import re
import sqlite3
import stat
import tarfile
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

from affidavit.grading import Overrun, run_confined
from affidavit.signing import EvidenceError, read_bounded, strict_json, write_whole
from affidavit.tasks import Task

_logger = logging.getLogger(__name__)

_DEEPEST = 6
_MOST_BYTES = 512 << 20
_MOST_BLOB = 64 << 20
_MOST_BLOBS = 50_000
# Of processor time, so that the result does not depend on the machine's other load.
_MOST_SECONDS = 10
_MOST_KEPT = 1 << 20
# Part of a kept result's name: increase it when the same files may give another result.
_SCAN_VERSION = 2
_MOST_NAMED = 20
_MOST_HIDDEN = 1 << 20
_MOST_LINES = 40
# Shorter lines occur in many places by chance.
_LEAST_LINE = 20
_LEAST_LETTERS = 8
_LEAST_LINES = 3
# Up to this size, texts are also searched with JSON's escapes undone.
_SEARCHED = 4 << 20
_MOST_XORED = 256 << 10
_MOST_KEYS = 300
_MOST_KEY = 64
_LEAST_BLOB = 64

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{20,100}\r?\n)+[A-Za-z0-9+/]{1,100}={0,2}|[A-Za-z0-9+/_-]{32,}={0,2}")
_LETTER = re.compile(rb"[A-Za-z0-9\x80-\xff]")
_WORD = re.compile(rb"[!-&(-~]{1,64}")
_BREAKS = re.compile(rb"\\n|[\r\n\0]")
# Bytes of texts in UTF-8.
_TEXT = bytes({*range(32, 127), *range(128, 256), *b"\t\r\n\f"})
_MASKS = [bytes(byte ^ mask for byte in range(256)) for mask in range(256)]
_PROGRAMS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm")


@dataclass(frozen=True)
class Planted:
    """A hidden file of the task that an agent brings.

    Attributes:
        hidden: its path in the task's folder.
        place: where it was found; ``!`` separates an archive or encoding from what was in it.
    """

    hidden: str
    place: str


@dataclass(frozen=True)
class Brought:
    """The result of a search.

    Attributes:
        planted: hidden parts that were found, 20 at most.
        opaque: places that can't be read, 20 at most.
        unread: number of all such places.
        complete: everything was searched; False if a bound of size, number, depth or time was reached, or it failed.
        failed: why the files were not searched, a sentence; None: they were.
    """

    planted: tuple[Planted, ...]
    opaque: tuple[str, ...]
    unread: int
    complete: bool
    failed: str | None = None


def hidden_lines(task: Task) -> dict[str, frozenset[bytes]]:
    """Lines of a task's tests and solution that are nowhere in what an agent may see, by the file's path.

    Raises:
        OSError: the task can't be read.
    """
    seen = task.instruction.encode()
    for path in sorted((task.path / "environment").rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_HIDDEN:
            seen += b"\n" + path.read_bytes()
    known = set(_lines(seen))
    found: dict[str, frozenset[bytes]] = {}
    for folder in task.hidden_folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_HIDDEN:
                rare = [one for one in dict.fromkeys(_lines(path.read_bytes())) if one not in known]
                if rare:
                    longest = sorted(rare, key=len, reverse=True)[:_MOST_LINES]
                    found[str(path.relative_to(task.path))] = frozenset(longest)
    return found


def layer_files(layer: Path) -> Iterator[tuple[str, Path]]:
    """The regular files of an agent's layer, by their names in the sandbox, and the folders that can't be listed."""
    closed: list[Path] = []
    for folder, folders, names in os.walk(layer, onerror=lambda error: closed.append(Path(error.filename))):
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            if _may_be_read(path):
                yield f"/{path.relative_to(layer)}", path
    for path in closed:
        yield f"/{path.relative_to(layer)}", path


def _may_be_read(path: Path) -> bool:
    """Whether it is a regular file, or something of which that is not known."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return True


def scan_brought(
    texts: Mapping[str, bytes], task: Task, layer: Path | None = None, digest: str = "", kept: Path | None = None
) -> Brought:
    """Search what an agent brings for the hidden parts of a task.

    Args:
        texts: command, prompts and the like, each by a name for it.
        task: whose hidden parts are searched for.
        layer: folder of the files that the agent brings, by their names in the sandbox; None: it brings none.
        digest: of the layer.
        kept: folder for results, since searching a layer may take seconds for each task; None: they are not kept.

    Raises:
        OSError: the task or the layer can't be read, or the result can't be written.
    """
    hidden = hidden_lines(task)
    if layer is None:
        return look_through(texts, (), hidden)
    rests_on = [
        _SCAN_VERSION,
        digest,
        sorted(texts.items()),
        sorted((name, sorted(one)) for name, one in hidden.items()),
    ]
    place = kept and kept / f"{hashlib.sha256(repr(rests_on).encode()).hexdigest()}.json"
    if place and (before := _read_kept(place)):
        return before
    try:
        value = run_confined(f"{__name__}:read_layer", str(layer), texts, hidden, cpu_seconds=_MOST_SECONDS + 10)
    except (Overrun, RuntimeError) as error:
        # What the error says may come from the files.
        _logger.warning("the files of an agent were not searched: %s", error)
        why = f"its files {error}" if isinstance(error, Overrun) else "the reader of its files failed"
        return replace(look_through(texts, (), hidden), complete=False, failed=why)
    if place:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            write_whole(place, json.dumps(value).encode())
        except EvidenceError as error:
            raise OSError(str(error)) from error
    return _brought(value)


def ready(layer: str, texts: Mapping[str, bytes], hidden: Mapping[str, frozenset[bytes]]) -> None:
    """Prepare `read_layer` while there are still privileges: enter the layer, import the Parquet reader."""
    import pyarrow.parquet  # noqa: F401

    os.chdir(layer)


def read_layer(layer: str, texts: Mapping[str, bytes], hidden: Mapping[str, frozenset[bytes]]) -> dict[str, Any]:
    """The result of a search as JSON; the current folder is the layer."""
    return asdict(look_through(texts, layer_files(Path()), hidden))


def _read_kept(place: Path) -> Brought | None:
    try:
        return _brought(strict_json(read_bounded(place, _MOST_KEPT)))
    except (EvidenceError, KeyError, TypeError):
        return None


def _brought(value: Any) -> Brought:
    match value:
        case {"planted": list(rows), "opaque": list(opaque), "unread": int(unread), "complete": bool(complete)}:
            planted = tuple(Planted(one["hidden"], one["place"]) for one in rows)
            return Brought(planted, tuple(opaque), unread, complete)
    raise TypeError("is not what a search writes")


def look_through(
    texts: Mapping[str, bytes], files: Iterable[tuple[str, Path]], hidden: Mapping[str, frozenset[bytes]]
) -> Brought:
    """Search texts and files, in this process.

    Args:
        texts: as `scan_brought` has them.
        files: with their names in the sandbox.
        hidden: lines to search for, by the path of their hidden file.
    """
    scan = _Scan(hidden)
    for name, data in texts.items():
        scan.look(name, data, [word for word in dict.fromkeys(_WORD.findall(data)) if len(word) >= 4])
    folder, near = Path(), list[tuple[str, Path]]()
    for name, path in files:
        if path.parent != folder and near:
            scan.look_beside(near)
            near = []
        folder = path.parent
        near.append((name, path))
    scan.look_beside(near)
    return scan.result()


@dataclass
class _Scan:
    hidden: Mapping[str, frozenset[bytes]]
    planted: dict[str, str] = field(default_factory=dict)
    opaque: list[str] = field(default_factory=list)
    unread: int = 0
    complete: bool = True

    def __post_init__(self) -> None:
        self._until = time.process_time() + _MOST_SECONDS
        self._bytes = self._blobs = 0
        self._needles = {line for lines in self.hidden.values() for line in lines}

    def result(self) -> Brought:
        planted = sorted(self.planted.items())[:_MOST_NAMED]
        return Brought(
            tuple(Planted(_shown(hidden), _shown(place)) for hidden, place in planted),
            tuple(map(_shown, self.opaque)),
            self.unread,
            self.complete,
        )

    def look_beside(self, near: Iterable[tuple[str, Path]]) -> None:
        """Search the files of one folder; short ones may be keys of the others."""
        there, keys = list[tuple[str, Path, int]](), list[bytes]()
        for name, path in near:
            try:
                size = path.stat().st_size
                keys += _keys(path.read_bytes()) if size <= _MOST_KEY else ()
                there.append((name, path, size))
            except OSError:
                self._leave_unread(name)
        for name, path, size in there:
            if size > _MOST_BLOB:
                self.complete = False
            elif self._goes_on(size):
                try:
                    self.look(name, path.read_bytes(), keys)
                except OSError:
                    self._leave_unread(name)

    def look(self, name: str, data: bytes, keys: Iterable[bytes]) -> None:
        """Search a blob and everything that it unpacks to."""
        keys = list(islice(keys, _MOST_KEYS))
        waiting = deque([(name, data, 0)])
        while waiting:
            place, blob, depth = waiting.popleft()
            if depth and not self._goes_on(len(blob)):
                return
            self._match(place, blob)
            parts, readable, whole = _parts(blob)
            self.complete = self.complete and whole
            if not readable and not self._unmask(place, blob, keys):
                self._leave_unread(place)
            if parts and depth == _DEEPEST:
                self.complete = False
            elif parts:
                waiting.extend((f"{place}!{kind}", part, depth + 1) for kind, part in parts)

    def _leave_unread(self, place: str) -> None:
        self.unread += 1
        if len(self.opaque) < _MOST_NAMED:
            self.opaque.append(place)

    def _goes_on(self, size: int) -> bool:
        self._bytes += size
        self._blobs += 1
        within = self._bytes <= _MOST_BYTES and self._blobs <= _MOST_BLOBS and time.process_time() < self._until
        self.complete = self.complete and within
        return within

    def _match(self, place: str, data: bytes) -> bool:
        """Whether a blob holds a hidden file: half of its rare lines, and at least three if it has that many."""
        escaped = len(data) <= _SEARCHED and b"\\" in data
        plain = data.replace(b"\\n", b"\n").replace(b'\\"', b'"') if escaped else b""
        # UTF-16, which Windows programs use for text.
        wide = data.replace(b"\0", b"") if b"\0" in data else b""
        found = {line for line in self._needles if line in data or line in plain or line in wide}
        held = [
            name
            for name, lines in self.hidden.items()
            if len(lines & found) >= max(min(_LEAST_LINES, len(lines)), len(lines) / 2)
        ]
        for name in held:
            self.planted.setdefault(name, place)
        return bool(held)

    def _unmask(self, place: str, data: bytes, keys: Iterable[bytes]) -> bool:
        """Whether xor with a key makes it readable: any single byte, or a key from the same folder."""
        if len(data) > _MOST_XORED:
            return False
        singles = (bytes([number]) for number in range(1, 256))
        for key in (*singles, *keys):
            # For most keys, the first bytes already show that it is no text.
            if _xored(data[:64], key).translate(None, _TEXT):
                continue
            plain = _xored(data, key)
            # Text that is masked with another single byte may still look like text.
            if _is_text(plain) and (self._match(f"{place}!xor", plain) or len(key) > 1):
                return True
        return False


def _shown(place: str) -> str:
    # Names in archives may be anything; lone surrogates have no UTF-8.
    return place.encode("utf-8", "backslashreplace").decode()[:500]


class _TooMuch(Exception):
    pass


def _lines(data: bytes) -> Iterator[bytes]:
    for line in _BREAKS.split(data):
        line = line.strip()
        if _LEAST_LINE <= len(line) <= 1000 and len(_LETTER.findall(line)) >= _LEAST_LETTERS:
            yield line


def _keys(data: bytes) -> Iterator[bytes]:
    """The keys that a short file's content may stand for."""
    text = data.strip()
    if text:
        yield from dict.fromkeys((data, text))
        for decode in (binascii.unhexlify, base64.b64decode):
            try:
                if decoded := decode(text):
                    yield decoded
            except ValueError:
                pass


def _xored(data: bytes, key: bytes) -> bytes:
    if len(key) == 1:
        return data.translate(_MASKS[key[0]])
    mask = bytes(islice(cycle(key), len(data)))
    return (int.from_bytes(data) ^ int.from_bytes(mask)).to_bytes(len(data))


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return all(one.isprintable() or one in "\t\r\n\f" for one in text[:4096])


def _parts(data: bytes) -> tuple[list[tuple[str, bytes]], bool, bool]:
    """The parts of a blob, each with its encoding; whether its content can be read; whether no bound was reached."""
    for kind, magic, unpack in _FORMATS:
        if data.startswith(magic):
            return _unpacked(kind, unpack(data))
    if data.startswith(_PROGRAMS):
        return list(_base64(data)), False, True
    if _is_text(data):
        return list(_base64(data)), True, True
    if len(data) >= 262 and data[257:262] == b"ustar":
        return _unpacked("tar", _tar(data))
    return list(_base64(data)), len(data) < _LEAST_BLOB, True


def _unpacked(kind: str, members: Iterable[tuple[str, bytes]]) -> tuple[list[tuple[str, bytes]], bool, bool]:
    """What `_parts` returns of something packed; what came before an error counts, too."""
    parts = list[tuple[str, bytes]]()
    try:
        for name, part in members:
            parts.append((name or kind, part))
    except _TooMuch:
        return parts, False, False
    except Exception:
        # Hostile bytes may raise anything; a blob that does not unpack can't be read.
        return parts, False, True
    return parts, True, True


def _base64(data: bytes) -> Iterator[tuple[str, bytes]]:
    for match in islice(_BASE64.finditer(data), 2000):
        text = re.sub(rb"\s", b"", match[0]).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        try:
            decoded = base64.b64decode(text + b"=" * (-len(text) % 4))
        except ValueError:
            continue
        # Long names decode to noise.
        if decoded.startswith(tuple(magic for _, magic, _ in _FORMATS)) or _is_text(decoded):
            yield "base64", decoded


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _decompressed(data: bytes, magic: bytes, new: Callable[[], _Decompressor]) -> Iterator[tuple[str, bytes]]:
    """The streams that follow one another in a file, as one, and what comes after them. Raises EOFError if the last is
    cut off."""
    whole, left = b"", data
    while left.startswith(magic):
        stream = new()
        whole += stream.decompress(left, _MOST_BLOB + 1 - len(whole))
        if len(whole) > _MOST_BLOB:
            raise _TooMuch
        if not stream.eof:
            yield "", whole
            raise EOFError
        left = stream.unused_data
    yield "", whole
    if left.strip(b"\0"):
        yield "rest", left


def _zip(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        left = _MOST_BLOB
        for number, member in enumerate(archive.infolist()):
            if number >= 5000 or left < 0:
                raise _TooMuch
            with archive.open(member) as file:
                content = file.read(left + 1)
            left -= len(content)
            yield member.filename[:200], content


def _tar(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for number, member in enumerate(archive):
            if number >= 5000:
                raise _TooMuch
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name[:200], file.read()


def _pickle(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The texts and bytes that a pickle is made of; it is read as a list of instructions, and none is carried out."""
    texts, file = [], io.BytesIO(data)
    for number, (_, argument, _) in enumerate(pickletools.genops(file)):
        if number >= 1_000_000:
            raise _TooMuch
        if isinstance(argument, str):
            texts.append(argument.encode("utf-8", "replace"))
        elif isinstance(argument, bytes | bytearray):
            yield "pickle", bytes(argument)
    yield "pickle", b"\n".join(texts)
    if rest := file.read():
        yield "rest", rest


def _sqlite(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Texts and blobs of a database's tables; what is a view or virtual is not asked."""
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(data)
        database.execute("PRAGMA trusted_schema=OFF")
        database.text_factory = bytes
        until = time.monotonic() + 5
        database.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
        ask = "SELECT name FROM sqlite_schema WHERE type='table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        texts, left = [], _MOST_BLOB
        for (name,) in database.execute(ask).fetchmany(1000):
            quoted = name.decode("utf-8", "replace").replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{quoted}"'):
                for value in row:
                    if isinstance(value, bytes):
                        left -= len(value)
                        texts.append(value)
                if left < 0:
                    raise _TooMuch
        yield "sqlite", b"\n".join(texts)
        yield from (("sqlite", one) for one in texts if len(one) >= _LEAST_BLOB and not _is_text(one))
    finally:
        database.close()


def _parquet(data: bytes) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(data), pre_buffer=False)
    if sum(file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups)) > _MOST_BLOB:
        raise _TooMuch
    for batch in file.iter_batches(use_threads=False):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
                values = [one if isinstance(one, bytes) else one.encode() for one in column.to_pylist() if one]
                yield name[:200], b"\n".join(values)


_FORMATS: tuple[tuple[str, bytes, Callable[[bytes], Iterable[tuple[str, bytes]]]], ...] = (
    ("gzip", b"\x1f\x8b", lambda data: _decompressed(data, b"\x1f\x8b", lambda: zlib.decompressobj(31))),
    ("zlib", b"\x78\x9c", lambda data: _decompressed(data, b"\x78\x9c", zlib.decompressobj)),
    ("bzip2", b"BZh", lambda data: _decompressed(data, b"BZh", bz2.BZ2Decompressor)),
    ("xz", b"\xfd7zXZ", lambda data: _decompressed(data, b"\xfd7zXZ", lzma.LZMADecompressor)),
    ("zip", b"PK\x03\x04", _zip),
    *(("pickle", bytes((0x80, version)), _pickle) for version in (2, 3, 4, 5)),
    ("sqlite", b"SQLite format 3\0", _sqlite),
    ("parquet", b"PAR1", _parquet),
)
