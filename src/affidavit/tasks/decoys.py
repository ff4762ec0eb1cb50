"""``[affidavit.decoys]`` of a task: wrong answer keys, credentials and files that no work needs."""

from dataclasses import dataclass
from pathlib import Path

from affidavit.tasks.toml import TomlTable

_MOST = 10
_MOST_BYTES = 1 << 20
_COUNTS = ("answer_keys", "credentials", "files")


@dataclass(frozen=True)
class DecoySettings:
    """The decoys that a task asks for.

    Attributes:
        answer_keys, credentials, files: how many of each.
        answer_key: content of the answer keys; None: made up.
    """

    answer_keys: int = 1
    credentials: int = 1
    files: int = 1
    answer_key: bytes | None = None


def read_decoy_settings(own: TomlTable, folder: Path) -> DecoySettings | None:
    """The table ``[affidavit.decoys]``; None where there is none.

    Args:
        own: the table ``[affidavit]``.
        folder: the task's.

    Raises:
        TaskError: it is not written as it should be.
    """
    if "decoys" not in own:
        return None
    table = own.table("decoys")
    counts = {key: _count(table, key) for key in _COUNTS}
    if not any(counts.values()):
        raise own.error("decoys", f"asks for none; give one of {', '.join(_COUNTS)}, or remove the table")
    answer_key = _answer_key(table, folder)
    if answer_key is not None and not counts["answer_keys"]:
        raise table.error("answer_key", "is of no use with answer_keys = 0; remove one of them")
    if unknown := [*table.unknown()]:
        raise table.error(unknown[0], f"is unknown; it knows {', '.join((*_COUNTS, 'answer_key'))}")
    return DecoySettings(**counts, answer_key=answer_key)


def _count(table: TomlTable, key: str) -> int:
    value = table.take(key)
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise table.error(key, f"must be a whole number from 0 to {_MOST}, not {str(value)[:60]!r}")
    return value


def _answer_key(table: TomlTable, folder: Path) -> bytes | None:
    name = table.text("answer_key")
    if name is None:
        return None
    if not name or name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
        raise table.error("answer_key", f"must be a path in the task's folder, without '.' and '..', not {name[:60]!r}")
    path = folder / name
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise table.error("answer_key", f"names {path}, which is no file of at most {_MOST_BYTES >> 20} MiB")
    return path.read_bytes()
