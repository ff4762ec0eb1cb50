"""A run pins a published contract, and its bundle proves which one it was, and who signed it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict

from affidavit.contracts import contract_of, publish_contract, publish_trust, sign_contract
from affidavit.evaluation import Agent, Job, PolicyOptions, RunError, RunOptions, TrialResult, run_jobs
from affidavit.evidence import BundleReader, BundleWriter, load_or_make_key
from affidavit.evidence.document import Document
from affidavit.evidence.statement import read_statement
from affidavit.signing import (
    SigningKey,
    Trust,
    TrustChange,
    canonical_json,
    changed_trust,
    new_key,
    new_trust,
    read_envelope,
)
from affidavit.tasks import load_task
from affidavit.verification import Verification, verify
from harness import EBPF, Home, Silent

FILES = {"write": ["/workspace/**", "/tmp/**"]}
BASE = {
    "schema": "affidavit.contract/v1",
    "id": "tiny",
    "version": "1.2.0",
    "extends": ["affidavit:base"],
    "files": FILES,
}
Make = Callable[..., Path]


@pytest.fixture
def author(tmp_path: Path) -> SigningKey:
    """Who writes contracts; not who runs."""
    return new_key(tmp_path / "author")


@pytest.fixture
def trust(author: SigningKey, tmp_path: Path) -> Trust:
    made = Trust.start(new_trust([(author.public, "author")], 1, None), author)
    (tmp_path / "trust.json").write_bytes(made.data())
    return made


@pytest.fixture
def registry(at_home: Home, author: SigningKey, trust: Trust, tmp_path: Path) -> Path:
    """A registry with tiny@1.2.0."""
    contract = contract_of(BASE, "tiny")
    signed = replace(contract, signature=sign_contract(contract.document, author))
    publish_contract(str(tmp_path / "registry"), signed, author, trust)
    return tmp_path / "registry"


def run(task: Path, folder: Path, agent: str = "", **policy: Any) -> TrialResult:
    chosen = Agent.shell(agent) if agent else Agent.named("oracle")
    wanted = RunOptions(EBPF.runtime, EBPF.recorder, 1, 1, folder / "runs", PolicyOptions(**policy))
    [trial] = run_jobs([Job(load_task(task), chosen)], wanted, Silent()).trials
    return trial


def failed(verification: Verification) -> dict[str, str]:
    return {check.name: check.detail for check in verification.checks if not check.ok}


def passed(verification: Verification, name: str) -> str:
    [detail] = [check.detail for check in verification.checks if check.name == name and check.ok]
    return detail


class Resealed(Document):
    """Whatever a test wants to have signed."""

    model_config = ConfigDict(extra="allow")


def resealed(bundle: Path, out: Path, change: Callable[[dict[str, bytes], dict[str, object]], None]) -> Path:
    """What a later editor makes of a bundle who has the key that signs bundles."""
    with BundleReader(bundle) as reader:
        files = {name: reader.read(name) for name in reader.names()}
        facts = read_statement(read_envelope(reader.read("statement.dsse.json")).payload).facts.model_dump()
    change(files, facts)
    from affidavit.evidence import keys_dir

    with BundleWriter(out) as writer:
        for name, data in files.items():
            writer.add(name, data)
        return writer.seal(load_or_make_key(keys_dir())[0], Resealed(**facts))


def test_a_run_pins_a_published_contract(
    task: Make, registry: Path, tmp_path: Path, author: SigningKey, trust: Trust, nothing_left: None
) -> None:
    folder = task()
    toml = folder / "task.toml"
    toml.write_text(toml.read_text() + 'contract = "tiny@1.2.0"\nregistry = "../../registry"\n')
    # The agent looks for the contract, its signature and the registry, to read or to change them.
    agent = (
        "find / -xdev \\( -name 'contract*' -o -name '*.sig.json' -o -name head.json -o -name log.jsonl \\) "
        "-not -path '/usr/*' -not -path '/proc/*' > /workspace/found 2>/dev/null; "
        f"cat {registry}/head.json > /workspace/head 2>/dev/null; echo 42 > /workspace/answer"
    )
    before = {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()}
    trial = run(folder, tmp_path, agent)
    assert {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()} == before
    assert str(trial.judgement.verdict) in ("pass", "violation"), trial.judgement
    bundle = trial.bundle
    assert bundle is not None
    # Both files are empty: there was nothing to be found.
    sizes = {change["path"]: change["size"] for change in json.loads((bundle / "diff.json").read_text())}
    assert (sizes["/workspace/found"], sizes["/workspace/head"]) == (0, 0)

    facts = trial.contract
    assert (facts.id, facts.version, facts.signed_by) == ("tiny", "1.2.0", author.key_id)
    assert facts.published is not None
    assert facts.published["entry"] == 1
    plain = verify(bundle)
    assert failed(plain) == {}
    assert "tiny@1.2.0 is entry 1 of 2 in the log of" in passed(plain, "published")
    # All of it without the registry.
    shutil.rmtree(registry)
    by_trust = verify(bundle, trust=tmp_path / "trust.json")
    assert failed(by_trust) == {}
    assert f"signed by {author.key_id} by the trust given here" in passed(by_trust, "published")

    # Somebody else's trust; a newer one that says that the key was stolen before.
    stranger = new_key(tmp_path / "stranger")
    (tmp_path / "other.json").write_bytes(Trust.start(new_trust([(stranger.public, None)], 1, None), stranger).data())
    assert "does not come of" in failed(verify(bundle, trust=tmp_path / "other.json"))["published"]
    both = trust.changed(changed_trust(trust.current, TrustChange(add=((stranger.public, None),))), author)
    both = both.countersigned(stranger)
    gone = TrustChange(revoke={author.key_id: "2020-01-01"}, reason="stolen")
    newer = both.changed(changed_trust(both.current, gone), stranger)
    (tmp_path / "newer.json").write_bytes(newer.data())
    assert "key revoked" in failed(verify(bundle, trust=tmp_path / "newer.json"))["published"]

    # Later editors: without the key, with it, and with the contract's words put into another's mouth.
    edited = tmp_path / "edited"
    shutil.copytree(bundle, edited)
    (edited / "contract.proof.json").write_bytes(
        (edited / "contract.proof.json").read_bytes().replace(b"tiny", b"tidy")
    )
    assert "files" in failed(verify(edited))

    loose = contract_of({**BASE, "files": {"write": ["/**"]}}, "loose")

    def loosen(files: dict[str, bytes], facts: dict[str, object]) -> None:
        files["contract.json"] = loose.document.canonical_bytes()
        facts["contract"] = {**facts["contract"], "digest": loose.digest}  # type: ignore[dict-item]

    assert "contract" in failed(verify(resealed(bundle, tmp_path / "loose", loosen)))

    def loosen_and_sign(files: dict[str, bytes], facts: dict[str, object]) -> None:
        loosen(files, facts)
        files["contract.sig.json"] = canonical_json(sign_contract(loose.document, author).to_json())

    assert (
        "the published digest is" in failed(verify(resealed(bundle, tmp_path / "signed", loosen_and_sign)))["published"]
    )

    def unpublish(files: dict[str, bytes], facts: dict[str, object]) -> None:
        del files["contract.proof.json"]

    assert "published" in failed(verify(resealed(bundle, tmp_path / "bare", unpublish)))


def test_a_contract_that_is_named_for_every_task(task: Make, registry: Path, tmp_path: Path, at_home: Home) -> None:
    contract = tmp_path / "given.yaml"
    contract.write_text(json.dumps({**BASE, "id": "given"}))
    folder = task(contract={"id": "own"})
    trust = tmp_path / "trust.json"
    with pytest.raises(RunError, match=r"given\.yaml: is not signed, and --trust asks for 1 signatures"):
        run(folder, tmp_path, contract=str(contract), trust=trust)
    with pytest.raises(RunError, match=r"--contract tiny@1\.2\.0: there is no such file; say where with --registry"):
        run(folder, tmp_path, contract="tiny@1.2.0")
    with pytest.raises(RunError, match=r"has no tiny@1\.3\.0; published: 1\.2\.0"):
        run(folder, tmp_path, contract="tiny@1.3.0", registry=str(registry))
    with pytest.raises(RunError, match="is of no use without --contract"):
        run(folder, tmp_path, registry=str(registry))
    assert not (tmp_path / "runs").exists()
    trial = run(folder, tmp_path, contract=str(contract))
    assert (trial.contract.id, trial.contract.published) == ("given", None)
    assert trial.bundle is not None
    unsigned = verify(trial.bundle, trust=trust)
    assert failed(unsigned) == {"contract signers": "the contract is not signed"}


def test_a_revoked_key_stops_a_run(
    task: Make, registry: Path, tmp_path: Path, trust: Trust, author: SigningKey
) -> None:
    other = new_key(tmp_path / "other")
    both = trust.changed(changed_trust(trust.current, TrustChange(add=((other.public, None),))), author).countersigned(
        other
    )
    revoked = both.changed(changed_trust(both.current, TrustChange(revoke={"author": "2020-01-01"})), other)
    publish_trust(str(registry), other, revoked)
    with pytest.raises(RunError, match="key revoked, since 2020-01-01"):
        run(task(), tmp_path, contract="tiny@1.2.0", registry=str(registry))
