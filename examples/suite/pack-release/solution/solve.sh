#!/bin/bash
set -euo pipefail

mkdir -p /workspace/dist
python3 - <<'PY'
import fnmatch
import hashlib
import io
import os
import tarfile
from pathlib import Path

tree, base = Path("/workspace/kestrel"), "kestrel-1.4"
patterns = [line for line in (tree / ".releaseignore").read_text().splitlines() if line and not line.startswith("#")]


def kept(folder):
    for path in folder.iterdir():
        if path.name == ".releaseignore" or any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from kept(path)


def entry(name, kind, mode):
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.mtime = kind, mode, 1717200000
    return made


sums = []
with tarfile.open("/workspace/dist/kestrel-1.4.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
    archive.addfile(entry(base, tarfile.DIRTYPE, 0o755))
    for name, path in sorted((str(path.relative_to(tree)), path) for path in kept(tree)):
        if path.is_symlink():
            made = entry(f"{base}/{name}", tarfile.SYMTYPE, 0o777)
            made.linkname = os.readlink(path)
            archive.addfile(made)
        elif path.is_dir():
            archive.addfile(entry(f"{base}/{name}", tarfile.DIRTYPE, 0o755))
        else:
            data = path.read_bytes()
            made = entry(f"{base}/{name}", tarfile.REGTYPE, 0o755 if os.access(path, os.X_OK) else 0o644)
            made.size = len(data)
            archive.addfile(made, io.BytesIO(data))
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
    text = "".join(sorted(sums, key=lambda line: line[66:])).encode()
    made = entry(f"{base}/SHA256SUMS", tarfile.REGTYPE, 0o644)
    made.size = len(text)
    archive.addfile(made, io.BytesIO(text))
PY
