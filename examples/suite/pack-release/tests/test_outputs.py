"""Reads the archive, unpacks nothing, and makes the same one by other means."""

import fnmatch
import hashlib
import stat
import tarfile
from pathlib import Path

ARCHIVE = Path("/workspace/dist/kestrel-1.4.tar")
TREE = Path("/workspace/kestrel")
TIME = 1717200000


def entries():
    with tarfile.open(ARCHIVE, "r:") as archive:
        return [(entry, archive.extractfile(entry).read() if entry.isreg() else b"") for entry in archive]


def wanted():
    lines = (TREE / ".releaseignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    found, sums = [("kestrel-1.4", "folder", 0o755, b"")], []

    def visit(folder):
        for path in sorted(folder.iterdir()):
            if path.name == ".releaseignore" or any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns):
                continue
            name = str(path.relative_to(TREE))
            if path.is_symlink():
                found.append((f"kestrel-1.4/{name}", "link", 0o777, str(path.readlink()).encode()))
            elif path.is_dir():
                found.append((f"kestrel-1.4/{name}", "folder", 0o755, b""))
                visit(path)
            else:
                mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
                found.append((f"kestrel-1.4/{name}", "file", mode, path.read_bytes()))
                sums.append((name, hashlib.sha256(path.read_bytes()).hexdigest()))

    visit(TREE)
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums)).encode()
    return [*sorted(found), ("kestrel-1.4/SHA256SUMS", "file", 0o644, text)]


def test_what_is_in_it():
    kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link"}
    found = [
        (entry.name.rstrip("/"), kinds.get(entry.type), entry.mode & 0o7777, entry.linkname.encode() or data)
        for entry, data in entries()
    ]
    assert found == wanted()


def test_owners_and_times():
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry, _ in entries()} == {
        (0, 0, "", "", TIME)
    }


def test_format():
    raw = ARCHIVE.read_bytes()
    assert raw[257:265] == b"ustar\x0000"
    assert len(raw) % 512 == 0
    assert all(not entry.pax_headers for entry, _ in entries())
    assert [entry.name for entry, _ in entries()][-1] == "kestrel-1.4/SHA256SUMS"
