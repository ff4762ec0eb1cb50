"""How an editor finds the JSON Schema of contracts: a copy in the contract's folder, or in one above it."""

import json
import os
from pathlib import Path

from affidavit.contracts import SCHEMA_ID, schema_text
from affidavit.signing import EvidenceError, read_bounded, write_whole

SCHEMA_FILE = "contract.schema.json"
_MOST_BYTES = 4 << 20


def editor_line(contract: Path) -> str:
    """The comment by which editors with the YAML language server find the schema, to be a contract's first line.

    The nearest copy counts, up to the top of the repository that the contract lies in. The line names it by its
    relative path, so that it holds wherever the folders are moved to; it is empty where there is no copy.

    Args:
        contract: the contract's file, which need not be there yet.
    """
    folder = contract.absolute().parent
    for place in (folder, *folder.parents):
        if _is_schema(place / SCHEMA_FILE):
            return f"# yaml-language-server: $schema={os.path.relpath(place / SCHEMA_FILE, folder)}\n"
        if (place / ".git").exists():
            break
    return ""


def write_schema(path: Path) -> None:
    """Write a copy of the schema, in place of an older one.

    Raises:
        EvidenceError: it can't be written, or another file is there.
    """
    if os.path.lexists(path) and not _is_schema(path):
        raise EvidenceError(f"{path}: already exists and is not a schema of contracts")
    write_whole(path, schema_text().encode())


def _is_schema(path: Path) -> bool:
    try:
        value = json.loads(read_bounded(path, _MOST_BYTES))
    except (EvidenceError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("$id") == SCHEMA_ID
