"""The changes that are carried over to grading, kept with the evidence so that somebody else can grade it again."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from affidavit.evidence import BundleReader, BundleWriter, EvidenceError
from affidavit.sandbox import Change, LayerFiles

SUBMISSION = "submission/files.tar"
"""In a bundle's private part: the content of the files that were carried over, each under its SHA-256. Names, modes and
owners stand in ``diff.json``."""

MOST_BYTES = 64 << 20
"""Of such files in all; where there is more, nothing is kept."""

# What a tar archive adds to each file, and to all.
_HEADER, _END = 1024, 20 << 10


def keep_submission(bundle: BundleWriter, changes: Iterable[Change], carried_over: frozenset[str], layer: Path) -> None:
    """Put the content of the files that are carried over into a bundle, where it is no more than MOST_BYTES.

    Args:
        bundle: where to.
        changes: the agent's.
        carried_over: paths of those that are carried over.
        layer: the layer in which they are.

    Raises:
        EvidenceError: it can't be written.
    """
    wanted = _files(changes, carried_over)
    if not wanted or sum(change.size for change in wanted.values()) > MOST_BYTES:
        return
    files, archive = LayerFiles((layer,)), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for digest, change in sorted(wanted.items()):
            try:
                data = files.read(change.path, MOST_BYTES)
            except OSError:
                # Such as below a folder that could not be carried over: what is left is not all.
                return
            entry = tarfile.TarInfo(digest)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    bundle.add(SUBMISSION, archive.getvalue())


def kept_submission(
    reader: BundleReader, changes: Iterable[Change], carried_over: frozenset[str]
) -> Callable[[str], bytes] | None:
    """What gives the content with a digest; None where the bundle did not keep what was carried over.

    Raises:
        EvidenceError: what was kept is something else.
    """
    wanted = _files(changes, carried_over)
    if not wanted:
        return _nothing
    if not reader.has_private or SUBMISSION not in reader.private_names():
        return None
    archive = reader.read(SUBMISSION, MOST_BYTES + len(wanted) * _HEADER + _END)
    kept: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for entry in tar:
                if not entry.isreg() or entry.sparse is not None or entry.name not in wanted:
                    raise EvidenceError(f"{SUBMISSION}: holds something that was not carried over")
                file = tar.extractfile(entry)
                data = file.read() if file else b""
                if sha256(data).hexdigest() != entry.name:
                    raise EvidenceError(f"{SUBMISSION}: {entry.name}: its content has another digest")
                kept[entry.name] = data
    except tarfile.TarError as error:
        raise EvidenceError(f"{SUBMISSION}: is no archive: {error}") from error
    if missing := [digest for digest in wanted if digest not in kept]:
        raise EvidenceError(f"{SUBMISSION}: lacks {missing[0]}")
    return kept.__getitem__


def digest_of(changes: Sequence[Change], carried_over: frozenset[str]) -> str:
    """A digest of the changes that are carried over to grading."""
    files = sorted((c.path, c.kind, c.type, c.mode, c.sha256, c.target) for c in changes if c.path in carried_over)
    return sha256(json.dumps(files).encode()).hexdigest()


def _files(changes: Iterable[Change], carried_over: frozenset[str]) -> dict[str, Change]:
    """The files that were carried over, one for each content. One whose digest is not known is larger than is kept."""
    return {
        change.sha256 or "": change
        for change in changes
        if change.path in carried_over and change.kind != "deleted" and change.type == "file"
    }


def _nothing(digest: str) -> bytes:
    raise EvidenceError(f"nothing was carried over that has the digest {digest}")
