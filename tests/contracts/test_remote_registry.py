"""A registry behind a real transport: https on this machine, and ssh with a stand-in for the other machine."""

import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from affidavit.contracts import (
    Contract,
    RegistryError,
    contract_of,
    publish_contract,
    published_contract,
    registry_view,
    sign_contract,
)
from affidavit.contracts.registry import git
from affidavit.signing import SigningKey, Trust, new_key, new_trust
from harness import Command, processes, wait_until_gone

sys.path.insert(0, str(Path(__file__).parent))
from served import Served, serving

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git: not installed")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningKey:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "own"))
    return new_key(tmp_path / "own")


@pytest.fixture
def trust(key: SigningKey) -> Trust:
    return Trust.start(new_trust([(key.public, "release")], 1, None), key)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as found:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(found.certificate))
        yield found


def contract(key: SigningKey, name: str) -> Contract:
    made = contract_of({"schema": "affidavit.contract/v1", "id": name, "version": "1.0.0"}, "c.yaml")
    return replace(made, signature=sign_contract(made.document, key))


def test_publish_and_get_over_https(served: Served, key: SigningKey, trust: Trust) -> None:
    publish_contract(served.location, contract(key, "one"), key, trust)
    assert publish_contract(served.location, contract(key, "one"), key).is_new is False
    assert published_contract(served.location, "one@1.0.0").signed_by == key.key_id


def test_who_comes_second_begins_anew(served: Served, key: SigningKey, trust: Trust) -> None:
    """Both have read the same log before either writes: one push is refused, and made again on top of the other."""
    publish_contract(served.location, contract(key, "first"), key, trust)
    served.pushes, served.pushing = 0, threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda name: publish_contract(served.location, contract(key, name), key), ("a", "b")))
    assert sorted(one.index for one in done) == [2, 3]
    assert served.pushes == 3
    view = registry_view(served.location)
    assert view.head.size == 4
    assert {name for name, _ in view.versions()} == {"first", "a", "b"}


def test_publish_and_get_over_ssh(
    tmp_path: Path, key: SigningKey, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served"):
        pass
    # ssh [OPTIONS] HOST COMMAND, here.
    there = tmp_path / "ssh"
    there.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    there.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(there))
    monkeypatch.setenv("GIT_SSH_VARIANT", "ssh")
    location = f"git+ssh://git@contracts.example{tmp_path}/served/contracts.git"
    publish_contract(location, contract(key, "one"), key, trust)
    assert published_contract(location, "one@1.0.0").signed_by == key.key_id


def refused(location: str) -> str:
    with pytest.raises(RegistryError) as caught:
        registry_view(location)
    text = str(caught.value)
    assert text.startswith(f"{location}: ")
    assert "\n" not in text
    return text.removeprefix(f"{location}: ")


def test_a_remote_that_can_not_be_reached(served: Served, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "Failed to connect" in refused(f"git+https://127.0.0.1:{port}/contracts.git")
    assert "not found" in refused(served.location.replace("contracts.git", "other.git"))
    served.password = True
    assert "could not read Username" in refused(served.location)
    monkeypatch.delenv("GIT_SSL_CAINFO")
    assert "certificate" in refused(served.location)
    if shutil.which("ssh"):
        assert "Connection refused" in refused(f"git+ssh://git@127.0.0.1:{port}/contracts.git")


def test_a_remote_that_says_nothing(served: Served, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given up, with everything that git started for it."""
    served.mute = True
    monkeypatch.setattr(git, "_TIMEOUT_S", 1)
    assert refused(served.location) == "git ls-remote took more than 1 s"
    url = served.location.removeprefix("git+").encode()
    wait_until_gone(lambda: [str(pid) for pid in processes(lambda pid, line: url in line)])


def test_the_command_says_it_in_one_line(affidavit: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        location = f"git+https://127.0.0.1:{taken.getsockname()[1]}/x.git"
    ran = affidavit("contract", "log", "--registry", location)
    assert (ran.status, ran.out) == (2, "")
    [line] = ran.err.splitlines()
    assert line.startswith(f"affidavit: {location}: ")
    assert "Failed to connect" in line
