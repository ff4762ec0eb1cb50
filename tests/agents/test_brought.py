"""Planted answers in what an agent brings."""

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affidavit.agents import Brought, brought, scan_brought
from affidavit.agents.brought import hidden_lines, layer_files, look_through
from affidavit.evaluation import Agent
from affidavit.grading import Overrun
from affidavit.tasks import Task, load_task
from harness import write_task

HIDDEN = """import ledger
from decimal import Decimal

def test_interest_is_compounded_monthly():
    assert ledger.interest(Decimal("1234.56"), months=17) == Decimal("98.7654321")
    assert ledger.interest(Decimal("0.01"), months=240) == Decimal("0.0271828182")

def test_overdraft_names_the_account():
    with pytest.raises(ledger.Overdraft, match="account 7431-A is short"):
        ledger.withdraw("7431-A", Decimal("1e9"))
"""
PLANTED = HIDDEN.encode()
HONEST = b"\n".join(b"def step_%d(state): return state.advance(%d)" % (n, n) for n in range(200))
KEY = bytes.fromhex("8f13a7c2e95b604d")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return load_task(write_task(tmp_path / "tiny", files={"tests/test_outputs.py": HIDDEN}))


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("deep/answers")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def database(content: bytes, blob: bool = False) -> bytes:
    made = sqlite3.connect(":memory:")
    made.execute('CREATE TABLE "odd ""name" (id INTEGER, note)')
    made.executemany('INSERT INTO "odd ""name" VALUES (?, ?)', [(n, "x" * 3000) for n in range(5)])
    # Longer than a page, so that it does not lie in the file in one piece.
    value = gzip.compress(content) if blob else ("y" * 3000 + content.decode())
    made.execute('INSERT INTO "odd ""name" VALUES (9, ?)', (value,))
    made.commit()
    return made.serialize()


def vectors(content: bytes) -> bytes:
    out = io.BytesIO()
    rows = content.decode().splitlines()
    table = pa.table({"embedding": [[0.1] * 8] * len(rows), "chunk": rows})
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def xored(content: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[at % len(key)] for at, byte in enumerate(content))


class Trap:
    """What would run if it were unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("/tmp/unpickled-by-affidavit"),))


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "AGENTS.md": lambda data: b"# Rules\n\nBe careful.\n\n" + data,
    "CLAUDE.md": lambda data: b"> " + data.replace(b"\n", b"\n> "),
    "prompt.json": lambda data: json.dumps({"system": "You solve tasks. " + data.decode()}).encode(),
    "base64.txt": lambda data: b"hint = '" + base64.b64encode(data) + b"'",
    "wrapped.txt": base64.encodebytes,
    "urlsafe.txt": base64.urlsafe_b64encode,
    "twice.txt": lambda data: base64.b64encode(base64.b64encode(gzip.compress(data))),
    "a.zip": lambda data: zipped(b=zipped(c=data)),
    "a.gz": gzip.compress,
    "a.bz2": bz2.compress,
    "a.xz": lzma.compress,
    "a.tgz": tarred,
    "one-byte.bin": lambda data: xored(data, b"\x5a"),
    "a.pkl": lambda data: pickle.dumps({"weights": [1.5, 2.5], "notes": data.decode().splitlines(), "run": Trap()}),
    "bytes.pkl": lambda data: pickle.dumps([gzip.compress(data)]),
    "a.db": database,
    "blob.db": lambda data: database(data, blob=True),
    "vectors.parquet": vectors,
    "program": lambda data: b"\x7fELF\2\1\1" + bytes(range(256)) * 9 + data.replace(b"\n", b"\0") + bytes(99),
    "wide.exe": lambda data: b"MZ\x90" + bytes(range(256)) + data.decode().encode("utf-16-le"),
}


def scanned(task: Task, folder: Path, texts: dict[str, bytes] | None = None) -> Brought:
    return look_through(texts or {}, layer_files(folder), hidden_lines(task))


@pytest.mark.parametrize("name", WAYS)
def test_planted_answers_are_found(task: Task, tmp_path: Path, name: str) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / name).write_bytes(WAYS[name](PLANTED))
    (layer / "honest.py").write_bytes(HONEST)
    found = scanned(task, layer)
    assert [one.hidden for one in found.planted] == ["tests/test_outputs.py"], found
    assert found.planted[0].place.startswith(f"/{name}")
    assert found.complete
    assert not Path("/tmp/unpickled-by-affidavit").exists()
    # The same with other content is no finding.
    (layer / name).write_bytes(WAYS[name](HONEST))
    assert scanned(task, layer).planted == ()


@pytest.mark.parametrize("key", [KEY, KEY.hex().encode() + b"\n", base64.b64encode(KEY)])
def test_a_key_beside_it(task: Task, tmp_path: Path, key: bytes) -> None:
    layer = tmp_path / "layer/lib"
    layer.mkdir(parents=True)
    (layer / "data.bin").write_bytes(xored(PLANTED, KEY))
    assert scanned(task, layer.parent).opaque == ("/lib/data.bin",)
    (layer / "key").write_bytes(key)
    found = scanned(task, layer.parent)
    assert [(one.hidden, one.place) for one in found.planted] == [("tests/test_outputs.py", "/lib/data.bin!xor")]
    assert found.opaque == ()


def test_a_command_is_looked_through(task: Task, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    command = b"echo " + base64.b64encode(PLANTED) + b" | base64 -d >/workspace/test_outputs.py"
    found = scanned(task, tmp_path / "none", {"command": command})
    assert [one.place for one in found.planted] == ["command!base64"]


def test_what_can_not_be_read_is_named(task: Task, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    noise = bytes((n * 7919 + n * n * 31) >> 3 & 255 for n in range(4000))
    for name, content in {
        "noise": noise,
        "broken.gz": gzip.compress(noise)[:40] + noise,
        "tool": b"\x7fELF" + noise,
        "text": HONEST,
        "few": noise[:40],
    }.items():
        (layer / name).write_bytes(content)
    found = scanned(task, layer)
    assert (found.opaque, found.unread) == (("/broken.gz", "/noise", "/tool"), 3)
    assert found.planted == ()


def test_what_an_agent_may_see_is_no_secret(tmp_path: Path) -> None:
    files = {"tests/test_outputs.py": HIDDEN, "environment/root/workspace/test_ledger.py": HIDDEN}
    task = load_task(write_task(tmp_path / "tiny", files=files))
    assert "tests/test_outputs.py" not in hidden_lines(task)


def test_bombs_end(task: Task, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "bomb.gz").write_bytes(gzip.compress(bytes(70 << 20)))
    found = scanned(task, layer)
    assert (found.complete, found.opaque) == (False, ("/bomb.gz",))
    nested = PLANTED
    for _ in range(9):
        nested = gzip.compress(nested)
    (layer / "bomb.gz").write_bytes(nested)
    assert not scanned(task, layer).complete


def test_links_are_not_followed(task: Task, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (tmp_path / "secret").write_bytes(PLANTED)
    (layer / "link").symlink_to(tmp_path / "secret")
    assert scanned(task, layer).planted == ()


def test_files_are_read_without_privileges_and_once(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, kept = tmp_path / "layer", tmp_path / "kept"
    (layer / "lib").mkdir(parents=True)
    (layer / "lib/vectors.parquet").write_bytes(vectors(PLANTED))
    (layer / "lib/own").write_bytes(PLANTED)
    (layer / "lib/own").chmod(0o600)
    # As the state folder is: nobody but root gets there.
    tmp_path.chmod(0o700)
    found = scan_brought({"command": HONEST}, task, layer, "sha256:1", kept)
    assert [(one.hidden, one.place.split("!")[0]) for one in found.planted] == [
        ("tests/test_outputs.py", "/lib/vectors.parquet")
    ]
    assert (found.opaque, found.complete) == (("/lib/own",), True)
    monkeypatch.setattr(brought, "run_confined", None)
    assert scan_brought({"command": HONEST}, task, layer, "sha256:1", kept) == found
    with pytest.raises(TypeError):
        scan_brought({"command": HONEST}, task, layer, "sha256:2", kept)


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(HONEST) + gzip.compress(PLANTED),
        bz2.compress(HONEST) + bz2.compress(PLANTED),
        lzma.compress(HONEST) + lzma.compress(PLANTED),
        gzip.compress(HONEST) + bz2.compress(PLANTED),
        pickle.dumps([1, 2]) + gzip.compress(PLANTED),
        gzip.compress(PLANTED)[:-8],
    ],
    ids=["gzip", "bzip2", "xz", "another format", "after a pickle", "cut off"],
)
def test_what_follows_in_a_file_is_searched(task: Task, tmp_path: Path, packed: bytes) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "data").write_bytes(packed)
    assert [one.hidden for one in scanned(task, layer).planted] == ["tests/test_outputs.py"]


def test_what_is_cut_off_is_opaque(task: Task, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "data").write_bytes(gzip.compress(HONEST)[:-20])
    assert scanned(task, layer).opaque == ("/data",)


def test_a_folder_that_can_not_be_listed_is_opaque(task: Task, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    (layer / "a/closed").mkdir(parents=True)
    (layer / "a/closed/answers").write_bytes(PLANTED)
    (layer / "a/closed").chmod(0o700)
    (layer / "b").mkdir()
    (layer / "b/names-only").write_bytes(PLANTED)
    (layer / "b").chmod(0o744)
    found = scan_brought({"command": HONEST}, task, layer, "sha256:1")
    assert (found.opaque, found.unread) == (("/b/names-only", "/a/closed"), 2)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Overrun("made its reader crash (signal 11)"), "its files made its reader crash (signal 11)"),
        (RuntimeError("read_layer failed: KeyError: hostile words"), "the reader of its files failed"),
    ],
    ids=["crash", "exception"],
)
def test_a_search_that_failed_is_not_clean(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    layer, kept = tmp_path / "layer", tmp_path / "kept"
    layer.mkdir()

    def broken(*_arguments: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(brought, "run_confined", broken)
    found = scan_brought({"command": HONEST}, task, layer, "sha256:1", kept)
    facts = Agent("bad", HONEST.decode(), scan=found).scan_facts
    assert facts is not None
    assert not facts.is_clean
    assert facts.sentence == f"the agent's own files were not searched: {why}"
    assert not kept.exists()
    # What needs no reader is searched all the same.
    command = b"echo " + base64.b64encode(PLANTED)
    assert [one.place for one in scan_brought({"command": command}, task, layer).planted] == ["command!base64"]
