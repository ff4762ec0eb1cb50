"""The registry: what may be published, what is caught, and that nobody who is killed or comes second does harm."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import (
    Contract,
    Publication,
    Published,
    RegistryError,
    audit,
    contract_of,
    publish_contract,
    publish_trust,
    published_contract,
    registry_view,
    sign_contract,
    standing_in,
)
from affidavit.contracts.registry import TreeHead
from affidavit.contracts.registry import store as store_module
from affidavit.contracts.registry.log import read_entry
from affidavit.contracts.registry.memory import memory_path
from affidavit.signing import (
    Envelope,
    EvidenceError,
    SigningKey,
    Trust,
    TrustChange,
    canonical_json,
    changed_trust,
    leaf_hash,
    new_key,
    new_trust,
)

Publish = Callable[..., Published]


@pytest.fixture(autouse=True)
def keys_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is remembered what was seen."""
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[SigningKey]:
    folder = tmp_path_factory.mktemp("keys")
    return [new_key(folder / str(number)) for number in range(3)]


@pytest.fixture
def key(keys: list[SigningKey]) -> SigningKey:
    return keys[0]


@pytest.fixture
def trust(key: SigningKey) -> Trust:
    return Trust.start(new_trust([(key.public, "release")], 1, None), key)


@pytest.fixture(params=["folder", "git"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry, in a folder and in git."""
    folder = tmp_path / "registry"
    if request.param == "folder":
        return str(folder)
    if shutil.which("git") is None:
        pytest.skip("git: not installed")
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    return f"git+file://{folder}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def contract(*keys: SigningKey, version: str = "1.0.0", contract_id: str = "c", **sections: Any) -> Contract:
    files = {"write": ["/workspace/**"]}
    content = {"schema": "affidavit.contract/v1", "id": contract_id, "version": version, "files": files, **sections}
    made = contract_of(content, "c.yaml")
    signature: Envelope | None = None
    for key in keys:
        signature = sign_contract(made.document, key, signature)
    return replace(made, signature=signature)


def forget(location: str) -> None:
    memory_path(location).unlink()


def test_publish_and_get(location: str, key: SigningKey, trust: Trust) -> None:
    with pytest.raises(RegistryError, match="is a new registry; say who may sign in it"):
        publish_contract(location, contract(key), key)
    first = contract(key)
    done = publish_contract(location, first, key, trust)
    assert (done.index, done.is_new) == (1, True)
    publish_contract(location, contract(key, version="1.1.0", limits={"wall_ms": 1}), key)
    publish_contract(location, contract(key, contract_id="d/e.f"), key)

    found = published_contract(location, "c@1.0.0")
    assert found.digest == first.digest
    assert found.signed_by == key.key_id
    assert published_contract(location, "d/e.f@1.0.0").id == "d/e.f"
    states = audit(location).states
    assert states == ("", *["1 of 1 good signatures"] * 3)
    assert standing_in(location, first, first.signature, None).ok
    other = contract(key, limits={"wall_ms": 7})
    assert "with another content" in standing_in(location, other, other.signature, trust).problem
    with pytest.raises(RegistryError, match=r"has no c@1\.2\.0; published: 1\.0\.0, 1\.1\.0"):
        published_contract(location, "c@1.2.0")
    with pytest.raises(RegistryError, match="ID@VERSION"):
        published_contract(location, "c")


def test_the_same_again_is_said_and_another_content_refused(location: str, key: SigningKey, trust: Trust) -> None:
    publish_contract(location, contract(key), key, trust)
    again = publish_contract(location, contract(key), key)
    assert (again.index, again.is_new) == (1, False)
    assert registry_view(location).head.size == 2
    with pytest.raises(RegistryError, match=r"c@1\.0\.0 is published with another content .* never changes"):
        publish_contract(location, contract(key, limits={"wall_ms": 5}), key)
    with pytest.raises(RegistryError, match="the same version as"):
        publish_contract(location, contract(key, version="1.0.0+b"), key)


def test_the_version_must_say_what_changed(folder: Path, key: SigningKey, trust: Trust) -> None:
    location = str(folder)
    publish_contract(location, contract(key), key, trust)
    looser = {"files": {"write": ["/workspace/**", "/opt/**"]}}
    with pytest.raises(RegistryError, match=r"files\.write now admits /opt \(loosening\), so it needs version 2\.0\.0"):
        publish_contract(location, contract(key, version="1.1.0", **looser), key)
    publish_contract(location, contract(key, version="2.0.0-rc.1", **looser), key)
    publish_contract(location, contract(key, version="2.0.0", **looser), key)
    # Below 2.0.0 it is held against 1.0.0.
    publish_contract(location, contract(key, version="1.1.0", limits={"wall_ms": 5}), key)
    with pytest.raises(RegistryError, match=r"\(loosening\), so it needs version 2\.0\.0"):
        publish_contract(location, contract(key, version="1.2.0"), key)


def test_who_may_publish(folder: Path, keys: list[SigningKey], trust: Trust) -> None:
    key, stranger, _ = keys
    location = str(folder)
    with pytest.raises(RegistryError, match="is not signed; run: affidavit contract sign"):
        publish_contract(location, contract(), key, trust)
    with pytest.raises(RegistryError, match="0 of 1 good signatures"):
        publish_contract(location, contract(stranger), key, trust)
    assert not folder.exists()
    publish_contract(location, contract(key), key, trust)
    with pytest.raises(RegistryError, match="is none of those that the registry trusts now"):
        publish_contract(location, contract(key, contract_id="d"), stranger)


def test_further_signatures_are_published_beside_the_others(folder: Path, keys: list[SigningKey]) -> None:
    one, two, three = keys
    trust = Trust.start(new_trust([(key.public, None) for key in keys], 2, None), one).countersigned(two)
    location = str(folder)
    publish_contract(location, contract(one, two), one, trust)
    more = publish_contract(location, contract(three, one), one)
    assert (more.index, more.is_new) == (2, True)
    assert set(published_contract(location, "c@1.0.0").examined.good) == {key.key_id for key in keys}
    assert not publish_contract(location, contract(two), one).is_new


def test_rotation_and_revocation(folder: Path, keys: list[SigningKey], trust: Trust, monkeypatch: Any) -> None:
    old, new, _ = keys
    location = str(folder)
    clock = ["2026-01-01T00:00:00Z"]
    for module in ("signing.times", "signing.trust", "signing.changing", "contracts.registry.publishing",
                   "contracts.registry.view", "contracts.registry.memory"):  # fmt: skip
        monkeypatch.setattr(f"affidavit.{module}.now", lambda: clock[0], raising=False)
    trust = Trust.start(new_trust([(old.public, "old")], 1, None), old)
    publish_contract(location, contract(old), old, trust)

    # The old key adds the new one; then the new one revokes the old one, which was stolen in March.
    clock[0] = "2026-02-01T00:00:00Z"
    both = trust.changed(changed_trust(trust.current, TrustChange(add=((new.public, "new"),))), new).countersigned(old)
    publish_trust(location, new, both)
    clock[0] = "2026-03-15T00:00:00Z"
    publish_contract(location, contract(old, contract_id="evil"), old)
    clock[0] = "2026-04-01T00:00:00Z"
    change = TrustChange(revoke={"old": "2026-03-01"}, reason="stolen")
    publish_trust(location, new, both.changed(changed_trust(both.current, change), new))

    assert published_contract(location, "c@1.0.0").signed_by == old.key_id  # in the log before
    with pytest.raises(RegistryError, match="revoked, since 2026-03-01T00:00:00Z: stolen"):
        published_contract(location, "evil@1.0.0")
    with pytest.raises(RegistryError, match="0 of 1 good signatures"):
        publish_contract(location, contract(old, version="1.0.1"), new)
    with pytest.raises(RegistryError, match="none of those that the registry trusts now"):
        publish_contract(location, contract(new, version="1.0.1"), old)
    publish_contract(location, contract(new, version="1.0.1"), new)
    # The owner of the old trust file follows; the owner of another one is warned.
    assert published_contract(location, "c@1.0.1", trust).signed_by == new.key_id
    other = Trust.start(new_trust([(new.public, None)], 1, None), new)
    with pytest.raises(RegistryError, match="does not come of the one that is trusted"):
        published_contract(location, "c@1.0.1", other)


def test_a_trust_document_that_skips_the_old_keys_is_refused(
    folder: Path, keys: list[SigningKey], trust: Trust
) -> None:
    _, thief, _ = keys
    location = str(folder)
    publish_contract(location, contract(keys[0]), keys[0], trust)
    taken = trust.changed(changed_trust(trust.current, TrustChange(add=((thief.public, None),))), thief)
    with pytest.raises(RegistryError, match="0 of the 1 signatures that it needs by the keys of version 1"):
        publish_trust(location, thief, taken)


class TestTampering:
    @pytest.fixture
    def published(self, folder: Path, key: SigningKey, trust: Trust) -> Path:
        for number in range(3):
            publish_contract(str(folder), contract(key, contract_id=f"c{number}"), key, trust)
        return folder

    def test_an_object(self, published: Path) -> None:
        digest = published_contract(str(published), "c1@1.0.0").digest
        path = published / "objects/sha256" / digest.removeprefix("sha256:")
        path.write_bytes(path.read_bytes().replace(b"/workspace", b"/"))
        with pytest.raises(RegistryError, match="was changed"):
            published_contract(str(published), "c1@1.0.0")
        path.unlink()
        with pytest.raises(RegistryError, match="is missing"):
            published_contract(str(published), "c1@1.0.0")

        with pytest.raises(RegistryError, match="is missing"):
            audit(str(published))

    def test_an_entry(self, published: Path) -> None:
        log = published / "log.jsonl"
        log.write_text(log.read_text().replace('"c1"', '"c9"'))
        with pytest.raises(RegistryError, match=r"log\.jsonl does not fit head\.json"):
            registry_view(str(published))
        log.write_text("")
        with pytest.raises(RegistryError, match="fewer entries than its head says"):
            registry_view(str(published))

    def test_a_head_by_a_stranger(self, published: Path, keys: list[SigningKey]) -> None:
        head = json.loads((published / "head.json").read_text())
        again = Envelope.from_json(head)
        forged = Envelope(again.payload, again.payload_type, {}).with_signature(keys[2])
        (published / "head.json").write_bytes(canonical_json(forged.to_json()))
        with pytest.raises(RegistryError, match="signed by no trusted key"):
            registry_view(str(published))

    def test_a_rolled_back_registry_is_named(self, published: Path, key: SigningKey, tmp_path: Path) -> None:
        shutil.copytree(published, tmp_path / "before")
        publish_contract(str(published), contract(key, contract_id="new"), key)
        shutil.rmtree(published)
        shutil.copytree(tmp_path / "before", published)
        with pytest.raises(RegistryError, match=r"was rolled back: it had 5 entries on .* and has 4 now"):
            registry_view(str(published))
        with pytest.raises(RegistryError, match="was rolled back"):
            publish_contract(str(published), contract(key, contract_id="other"), key)
        shutil.rmtree(published)
        with pytest.raises(RegistryError, match="the registry is gone"):
            registry_view(str(published))
        forget(str(published))
        shutil.copytree(tmp_path / "before", published)
        assert registry_view(str(published)).head.size == 4

    @pytest.mark.parametrize("more", [1, 2])
    def test_a_forked_registry_is_named(self, published: Path, key: SigningKey, tmp_path: Path, more: int) -> None:
        shutil.copytree(published, tmp_path / "before")
        publish_contract(str(published), contract(key, contract_id="mine"), key)
        for number in range(more):
            publish_contract(str(tmp_path / "before"), contract(key, contract_id=f"other{number}"), key)
        shutil.rmtree(published)
        shutil.copytree(tmp_path / "before", published)
        with pytest.raises(RegistryError, match="was forked"):
            registry_view(str(published))

    def test_two_contents_under_one_version(self, published: Path, key: SigningKey) -> None:
        """The owner of a trusted key goes round the rule that a version never changes."""
        from affidavit.contracts.registry import publishing

        view = registry_view(str(published))
        writing = publishing._Writing(str(published), view, view.trust)
        evil = contract(key, contract_id="c1", files={"write": ["/**"]})
        entry = view.versions("c1")[("c1", "1.0.0")][1].model_copy(update={"digest": evil.digest, "at": writing.at()})
        writing.append(entry)
        for name, data in writing.sealed(key).items():
            (published / name).write_bytes(data)
        with pytest.raises(RegistryError, match=r"c1@1\.0\.0 was published before with another content"):
            registry_view(str(published))

    @pytest.mark.parametrize("name", ["head.json", "log.jsonl"])
    def test_what_is_no_file(self, published: Path, name: str) -> None:
        (published / name).unlink()
        os.mkfifo(published / name)
        with pytest.raises(RegistryError, match="is not a regular file"):
            registry_view(str(published))
        (published / name).unlink()
        (published / name).symlink_to("/etc/passwd")
        with pytest.raises(RegistryError, match="can't be read"):
            registry_view(str(published))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["trust", "contract", "sha256:" + "0" * 64, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "at", "id", "schema", "entry", "proof", "head", "payload"]), inner)
    ),
    max_leaves=8,
)


@given(_JSON)
def test_whatever_a_registry_holds_it_is_taken_or_refused(value: Any) -> None:
    for read in (
        Publication.from_json,
        TreeHead.from_json,
        Trust.from_json,
        lambda one: read_entry(canonical_json(one)),
    ):
        with pytest.raises(EvidenceError):
            read(value)


def test_every_flipped_bit_is_noticed(folder: Path, key: SigningKey, trust: Trust) -> None:
    for number in range(2):
        publish_contract(str(folder), contract(key, contract_id=f"c{number}"), key, trust)
    dice = random.Random(1)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "index.json")]
    assert len(files) == 2 + 1 + 2 * 2
    for path in files:
        data = path.read_bytes()
        for _ in range(4):
            place = dice.randrange(len(data))
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :])
            with pytest.raises(RegistryError):
                audit(str(folder))
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(RegistryError):
            audit(str(folder))
        path.write_bytes(data)
    assert len(audit(str(folder)).states) == 3


class TestProof:
    @pytest.fixture
    def found(self, folder: Path, key: SigningKey, trust: Trust) -> Contract:
        for number in range(4):
            publish_contract(str(folder), contract(key, contract_id=f"c{number}"), key, trust)
        return published_contract(str(folder), "c2@1.0.0")

    @staticmethod
    def facts(contract: Contract) -> dict[str, str]:
        return {"id": contract.id, "version": contract.version, "digest": contract.digest}

    def test_it_holds_without_the_registry(self, found: Contract, folder: Path, trust: Trust, key: SigningKey) -> None:
        shutil.rmtree(folder)
        assert found.publication is not None
        assert found.signature is not None
        again = Publication.from_json(json.loads(json.dumps(found.publication.to_json())))
        assert again == found.publication
        assert again.check(self.facts(found), found.signature, trust).good == (key.key_id,)
        assert again.check(self.facts(found), found.signature).met

    @pytest.mark.parametrize("change", [{"index": 1}, {"index": -1}, {"proof": []}, {"entry": "id"}, {"head": "key"}])
    def test_any_change_shows(self, found: Contract, change: dict[str, Any], keys: list[SigningKey]) -> None:
        assert found.publication is not None
        assert found.signature is not None
        value = found.publication.to_json()
        facts = self.facts(found)
        match change:
            case {"entry": _}:
                value["entry"]["id"] = facts["id"] = "other"
            case {"head": _}:
                head = found.publication.head.envelope
                value["head"] = Envelope(head.payload, head.payload_type, {}).with_signature(keys[1]).to_json()
            case _:
                value |= change
        with pytest.raises(EvidenceError):
            Publication.from_json(value).check(facts, found.signature)

    def test_another_contract_is_not_the_published_one(self, found: Contract, key: SigningKey) -> None:
        assert found.publication is not None
        other = contract(key, contract_id="c2", files={"write": ["/**"]})
        assert other.signature is not None
        with pytest.raises(EvidenceError, match="the published digest is"):
            found.publication.check(self.facts(other), other.signature)

    @pytest.mark.parametrize("value", [None, {}, [], {"schema": "affidavit.publication/v1"}])
    def test_what_is_no_proof(self, value: Any) -> None:
        with pytest.raises(EvidenceError):
            Publication.from_json(value)


def test_a_leaf_is_a_line_of_the_log(folder: Path, key: SigningKey, trust: Trust) -> None:
    publish_contract(str(folder), contract(key), key, trust)
    lines = (folder / "log.jsonl").read_bytes().splitlines()
    assert registry_view(str(folder)).leaves == [leaf_hash(line) for line in lines]


def test_publishers_at_the_same_time(location: str, key: SigningKey, trust: Trust) -> None:
    publish_contract(location, contract(key, contract_id="first"), key, trust)

    def publish(number: int) -> Published:
        return publish_contract(location, contract(key, contract_id=f"c{number}"), key)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(publish, range(4)))
    assert sorted(one.index for one in done) == [2, 3, 4, 5]
    view = registry_view(location)
    assert {contract_id for contract_id, _ in view.versions()} == {"first", "c0", "c1", "c2", "c3"}


def test_who_is_killed_while_publishing_leaves_a_registry(
    folder: Path, key: SigningKey, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = str(folder)
    publish_contract(location, contract(key), key, trust)
    before = registry_view(location).head
    write = store_module.write_whole
    # Dies instead of, or in the middle of, its n-th file: objects, index, log, head.
    for number in range(1, 6):
        if (child := os.fork()) == 0:
            left = [number]

            def dying(path: Path, data: bytes, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == 0:
                    path.with_name(f".{path.name}.x.tmp").write_bytes(data[:9])
                    os._exit(9)
                write(path, data)

            monkeypatch.setattr(store_module, "write_whole", dying)
            publish_contract(location, contract(key, contract_id=f"c{number}"), key)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert registry_view(location).head == before
    publish_contract(location, contract(key, contract_id="after"), key)
    view = registry_view(location)
    assert {contract_id for contract_id, _ in view.versions()} == {"c", "after"}
    assert json.loads((folder / "index.json").read_text())["contracts"].keys() == {"c", "after"}
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize(
    "location", ["https://example.org/x", "git+ext::sh -c id", "git+http://x/y", "git+-upload-pack=x", "", "git+ssh://"]
)
def test_what_is_no_registry(location: str) -> None:
    with pytest.raises(RegistryError):
        registry_view(location)


def test_git_runs_nothing_that_a_registry_brings(tmp_path: Path, key: SigningKey, trust: Trust) -> None:
    """Filters, hooks and symbolic links of a hostile repository, and the user's own filters, do nothing."""
    remote = tmp_path / "remote"
    work = tmp_path / "work"
    run = lambda *words: subprocess.run(["git", "-C", work, *words], check=True, capture_output=True)  # noqa: E731
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", remote], check=True)
    location = f"git+file://{remote}"
    publish_contract(location, contract(key), key, trust)
    subprocess.run(["git", "clone", "--quiet", remote, work], check=True)
    (work / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (work / "log.jsonl").unlink()
    (work / "log.jsonl").symlink_to("/etc/passwd")
    run("add", "-A")
    run("-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "-m", "x")
    run("push", "--quiet")
    with pytest.raises(RegistryError, match=r"log\.jsonl is not a regular file"):
        registry_view(location)


def test_publishing_runs_no_program_of_the_registry(tmp_path: Path, key: SigningKey, trust: Trust) -> None:
    """Its hooks and settings would run as the user who publishes."""
    remote, ran = tmp_path / "remote", tmp_path / "ran"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", remote], check=True)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    for hook in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive"):
        shutil.copy(program, remote / "hooks" / hook)
    (tmp_path / "other").mkdir()
    (remote / "objects/info/alternates").write_text(f"{tmp_path}/other\n")
    settings = {
        "core.hooksPath": str(remote / "hooks"),
        "core.alternateRefsCommand": str(program),
        "core.fsmonitor": str(program),
        "receive.autoGC": "true",
        "gc.auto": "1",
        "gc.recentObjectsHook": str(program),
        "core.sshCommand": str(program),
        "uploadpack.packObjectsHook": str(program),
    }
    for name, value in settings.items():
        subprocess.run(["git", "-C", remote, "config", name, value], check=True)
    location = f"git+file://{remote}"
    for number in range(3):
        publish_contract(location, contract(key, contract_id=f"c{number}"), key, trust)
    assert {contract_id for contract_id, _ in registry_view(location).versions()} == {"c0", "c1", "c2"}
    assert not ran.exists()


def test_the_documentations_commands(folder: Path, key: SigningKey, trust: Trust, tmp_path: Path) -> None:
    """docs/registry.md, By hand."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl: not installed")
    text = (Path(__file__).parents[2] / "docs" / "registry.md").read_text()
    script = "set -e\n" + text.split("```sh\n")[1].split("```")[0]
    for number in range(4):
        publish_contract(str(folder), contract(key, contract_id=f"c{number}"), key, trust)
    found = published_contract(str(folder), "c3@1.0.0")
    assert found.signature is not None
    assert found.publication is not None
    (tmp_path / "contract.json").write_bytes(found.document.canonical_bytes() + b"\n")
    (tmp_path / "contract.sig.json").write_bytes(canonical_json(found.signature.to_json()))
    proof = tmp_path / "contract.proof.json"
    proof.write_bytes(canonical_json(found.publication.to_json()))

    def by_hand() -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "KEY": str(key.public_path)}
        return subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)

    done = by_hand()
    assert done.returncode == 0, done.stderr
    assert f"published under sha256:{found.publication.head.root.hex()}" in done.stdout
    proof.write_text(proof.read_text().replace('"index":', '"index":1'))
    assert "published under" not in by_hand().stdout
