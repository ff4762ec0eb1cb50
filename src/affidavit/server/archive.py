"""A bundle as a tar archive, made while it is sent."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 256 << 10


def archive_of(bundle: Path) -> Iterator[bytes]:
    """The regular files of a bundle as a pax archive (POSIX.1-2001), in parts; the same bundle gives the same bytes.

    Args:
        bundle: its folder, sealed.

    Raises:
        OSError: it can't be read.
    """
    for path in sorted(bundle.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            entry = tarfile.TarInfo(f"bundle/{path.relative_to(bundle)}")
            entry.size = left = path.stat().st_size
            yield entry.tobuf(tarfile.PAX_FORMAT)
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    raise OSError(f"{path}: has become shorter while it was read")
                left -= len(chunk)
                yield chunk
            yield b"\0" * (-entry.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)
