"""Key files."""

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from affidavit.signing import (
    EvidenceError,
    keys_dir,
    load_key,
    load_or_make_key,
    load_public_key,
    new_key,
    read_envelope,
    sign,
)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        key = new_key(tmp_path / "a" / "keys")
    finally:
        os.umask(old)
    folder = tmp_path / "a" / "keys"
    assert sorted(path.name for path in folder.iterdir()) == ["signing.pem", "signing.pub.pem"]
    assert (_mode(folder), _mode(folder / "signing.pem")) == (0o700, 0o600)
    assert key.public_path == folder / "signing.pub.pem"
    assert load_key(folder).key_id == key.key_id
    assert load_public_key(key.public_path) == key.public
    assert load_public_key(key.public.pem) == key.public
    assert "PRIVATE" not in repr(key)


def test_openssl_agrees_on_the_id(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", key.public_path, "-outform", "DER"], capture_output=True, check=True
    ).stdout
    digest = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout.split()[0].decode()
    assert key.key_id == f"sha256:{digest}"


def test_openssl_verifies_a_signature(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    envelope = read_envelope(sign(b"content", "text/plain", key))
    (tmp_path / "sig").write_bytes(envelope.signatures[key.key_id])
    for content, good in ((b"DSSEv1 10 text/plain 7 content", True), (b"DSSEv1 10 text/plain 7 Content", False)):
        (tmp_path / "pae").write_bytes(content)
        files = ["-inkey", key.public_path, "-sigfile", tmp_path / "sig", "-in", tmp_path / "pae"]
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", *files], capture_output=True)
        assert (done.returncode == 0) == good


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path)
    before = (tmp_path / "signing.pem").read_bytes()
    with pytest.raises(EvidenceError, match=r"signing\.pem: a key already exists"):
        new_key(tmp_path)
    assert (tmp_path / "signing.pem").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_made_once(tmp_path: Path) -> None:
    first, made = load_or_make_key(tmp_path / "keys")
    assert made
    again, made = load_or_make_key(tmp_path / "keys")
    assert (again.key_id, made) == (first.key_id, False)


def test_many_at_once_make_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: load_or_make_key(tmp_path / "keys"), range(8)))
    assert len({key.key_id for key, _ in results}) == 1
    assert sum(made for _, made in results) == 1
    assert load_public_key(tmp_path / "keys" / "signing.pub.pem").key_id == results[0][0].key_id


def test_a_readable_private_key_is_refused(tmp_path: Path) -> None:
    new_key(tmp_path)
    (tmp_path / "signing.pem").chmod(0o640)
    with pytest.raises(EvidenceError, match="chmod 600"):
        load_key(tmp_path)


@pytest.mark.parametrize("algorithm", ["RSA", "ED448"])
def test_other_kinds_of_keys_are_refused(tmp_path: Path, algorithm: str) -> None:
    private, public = tmp_path / "signing.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", algorithm, "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    private.chmod(0o600)
    with pytest.raises(EvidenceError, match="not an ed25519 key"):
        load_key(tmp_path)
    with pytest.raises(EvidenceError, match="not an ed25519 public key"):
        load_public_key(public)


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "signing.pem"
    subprocess.run(
        ["openssl", "genpkey", "-quiet", "-algorithm", "ED25519", "-aes256", "-pass", "pass:x", "-out", private],
        check=True,
    )
    private.chmod(0o600)
    with pytest.raises(EvidenceError, match="unencrypted"):
        load_key(tmp_path)


def test_what_is_no_key(tmp_path: Path) -> None:
    new_key(tmp_path / "keys")
    with pytest.raises(EvidenceError, match="is a private key"):
        load_public_key(tmp_path / "keys" / "signing.pem")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    for name in ("fifo", "large", "keys", "missing"):
        with pytest.raises(EvidenceError, match=name):
            load_public_key(tmp_path / name)
    with pytest.raises(EvidenceError, match="there is no signing key; make one with"):
        load_key(tmp_path / "nowhere")
    for text in ("", "rubbish", b"\xff\x00"):
        with pytest.raises(EvidenceError, match="not an ed25519 public key"):
            load_public_key(text)


def test_where_keys_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AFFIDAVIT_KEYS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    assert keys_dir() == Path("/home/ann/.config/affidavit/keys")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    assert keys_dir() == Path("/c/affidavit/keys")
    monkeypatch.setenv("AFFIDAVIT_KEYS", "/k")
    assert keys_dir() == Path("/k")
