"""Reading ``task.toml``: typed values, lines for errors, unknown keys for warnings.

``tomllib`` gives values without their lines, so a line is searched for in the text: the right one for tables and keys
written in the ordinary way, the table's for keys inside inline tables.
"""

import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from affidavit.errors import read_input
from affidavit.tasks.errors import TaskError

_MAX_BYTES = 1 << 20
_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT])(?:i?B)?", re.IGNORECASE)
_UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024.0}

_SHOWN = 60  # characters of a wrong value that an error shows


def read_toml(path: Path) -> "TomlTable":
    """The top table of a TOML file.

    Raises:
        TaskError: it can't be read, is larger than 1 MiB, or is not TOML.
    """
    data = read_input(path, _MAX_BYTES, TaskError)
    try:
        text = data.decode()
        return TomlTable(path, text, (), tomllib.loads(text))
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{path}: is not TOML: {error}") from error
    except RecursionError as error:
        raise TaskError(f"{path}: is nested too deep") from error


class TomlTable:
    """A table of a TOML file; each key is taken once, what is left over is unknown.

    Attributes:
        path: the file.
        name: keys from the top to this table.
    """

    def __init__(
        self, path: Path, text: str, name: tuple[str, ...], values: dict[str, Any], position: int | None = None
    ) -> None:
        """
        Args:
            position: of a table in an array of tables, from 0; None where it is not in one.
        """
        self.path = path
        self.name = name
        self._position = position
        self._text = text
        self._values = values
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def place(self, key: str | None = None) -> str:
        """``task.toml:LINE: [table].key``; without the line where it was not found."""
        line = self.line(key)
        header = f"[{'.'.join(self.name)}]" if self.name else ""
        if self._position is not None:
            header = f"[{header}] number {self._position + 1}"
        where = header if key is None else f"{header}.{key}" if header else key
        return f"{self.path.name}{f':{line}' if line else ''}: {where}"

    def line(self, key: str | None = None) -> int | None:
        """Line of `key`, else of the table, counted from 1."""
        return _find_line(self._text, self.name, key, self._position or 0)

    def error(self, key: str | None, message: str) -> TaskError:
        """An error that names the whole file, the line and the key."""
        return TaskError(f"{self.path.parent / self.place(key)} {message}")

    @property
    def given(self) -> bool:
        """Whether it has any key."""
        return bool(self._values)

    def unknown(self) -> Iterable[str]:
        """Keys that nobody took, in the file's order."""
        return [key for key in self._values if key not in self._taken]

    def take(self, key: str) -> Any:
        """The value as it is, None where there is none."""
        self._taken.add(key)
        return self._values.get(key)

    def table(self, key: str) -> "TomlTable":
        """A table; an empty one where there is none."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, f"must be a table, not {_shown(value)}")
        return TomlTable(self.path, self._text, (*self.name, key), value or {})

    def tables(self, key: str) -> "list[TomlTable]":
        """An array of tables, ``[[key]]``; an empty one where there is none."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"must be an array of tables, [[{'.'.join((*self.name, key))}]], not {_shown(value)}")
        name = (*self.name, key)
        return [TomlTable(self.path, self._text, name, item, position) for position, item in enumerate(value)]

    def text(self, key: str) -> str | None:
        value = self.take(key)
        if value is None or (isinstance(value, str) and "\0" not in value):
            return value
        raise self.error(key, f"must be a string, not {_shown(value)}")

    def boolean(self, key: str) -> bool | None:
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.error(key, f"must be true or false, not {_shown(value)}")

    def seconds(self, key: str) -> float | None:
        return self._positive(key, "a positive number of seconds")

    def number(self, key: str) -> float | None:
        return self._positive(key, "a positive number")

    def mebibytes(self, key: str) -> int | None:
        value = self._positive(key, "a positive whole number of MiB")
        if value is not None and (value != int(value)):
            raise self.error(key, f"must be a positive whole number of MiB, not {_shown(value)}")
        return None if value is None else int(value)

    def size(self, key: str) -> int | None:
        """A size such as ``"2G"``, in MiB."""
        value = self.take(key)
        if value is None:
            return None
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
        if size < 1:
            raise self.error(key, f'must be a size such as "2G" or "512M", not {_shown(value)}')
        return size

    def absolute_path(self, key: str) -> str | None:
        """An absolute path in the sandbox without ``.`` and ``..``."""
        value = self.text(key)
        if value is None:
            return None
        parts = value.split("/")
        if not value.startswith("/") or "." in parts or ".." in parts:
            raise self.error(key, f"must be an absolute path without '.' and '..', not {_shown(value)}")
        return "/" + "/".join(part for part in parts if part)

    def strings(self, key: str) -> dict[str, str]:
        """A table of strings by environment variable's name."""
        table = self.table(key)
        values = {}
        for name in table.unknown():
            value = table.text(name)
            if not name or "=" in name or "\0" in name:
                raise table.error(name, "is not a name of an environment variable")
            values[name] = value or ""
        return values

    def _positive(self, key: str, wanted: str) -> float | None:
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"must be {wanted}, not {_shown(value)}")
        if not (0 < value < 1e9) or not math.isfinite(value):
            raise self.error(key, f"must be {wanted}, not {_shown(value)}")
        return float(value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _find_line(text: str, table: tuple[str, ...], key: str | None, position: int = 0) -> int | None:
    """`position`: which of the tables of that name, for one in an array."""
    current: tuple[str, ...] = ()
    found = None
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER.match(line):
            current = tuple(part.strip(" \"'") for part in match[1].split("."))
            if current == table and position:
                position -= 1
                current = ()
            if key is not None and current == (*table, key):
                return number
            if current == table and found is None:
                found = number
            continue
        name, equals, _ = line.partition("=")
        if not equals or name.lstrip().startswith("#"):
            continue
        full = (*current, *(part.strip(" \t\"'") for part in name.split(".")))
        if key is not None and full == (*table, key):
            return number
        if full == table and found is None:
            found = number
    return found
