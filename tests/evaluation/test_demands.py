"""What a profile demands, under every way to say which contract holds: refused in one line, or let begin."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.alerts import read_destination
from affidavit.contracts import load_contract, publish_contract, sign_contract, signature_path
from affidavit.evaluation import Agent, Job, PolicyOptions, RunError, RunOptions, run_jobs
from affidavit.signing import SigningKey, Trust, TrustDocument, canonical_json, load_or_make_key
from affidavit.suites import PROFILES
from affidavit.tasks import load_task
from harness import GVISOR, Home, Silent

pytestmark = pytest.mark.skipif(bool(GVISOR.missing), reason=f"{GVISOR.missing}: not installed")

BARE = "demands that each task has a contract, and tiny has none"
UNSIGNED = "demands signed contracts, and no known key signed that of tiny"
STRANGER = "0 of 1 good signatures"
OTHER = "does not come of the one that is trusted"
LOOSE = "demands the action halt, which is not taken for files of tiny"
FILE = "is a file, and --registry"
BEGINS = ""

# What --contract, --registry and --trust say; then what each profile answers, from light to strict.
CASES: list[tuple[str, dict[str, str], tuple[str, str, str, str]]] = [
    ("nothing", {}, (BEGINS, BARE, BARE, BARE)),
    ("trust", {"trust": "mine"}, (BEGINS, BARE, BARE, BARE)),
    ("file", {"contract": "plain"}, (BEGINS, BEGINS, BEGINS, UNSIGNED)),
    ("file trust", {"contract": "plain", "trust": "mine"}, ("is not signed",) * 4),
    ("signed", {"contract": "signed"}, (BEGINS,) * 4),
    ("signed trust", {"contract": "signed", "trust": "mine"}, (BEGINS,) * 4),
    ("signed other", {"contract": "signed", "trust": "other"}, (STRANGER,) * 4),
    ("by a stranger", {"contract": "strange"}, (STRANGER,) * 4),
    ("by a stranger who is trusted", {"contract": "strange", "trust": "other"}, (BEGINS,) * 4),
    ("published", {"contract": "tiny@1.0.0", "registry": "registry"}, (BEGINS,) * 4),
    ("published trust", {"contract": "tiny@1.0.0", "registry": "registry", "trust": "mine"}, (BEGINS,) * 4),
    ("published other", {"contract": "tiny@1.0.0", "registry": "registry", "trust": "other"}, (OTHER,) * 4),
    ("no such version", {"contract": "tiny@2.0.0", "registry": "registry"}, ("has no tiny@2.0.0",) * 4),
    ("no registry", {"contract": "tiny@1.0.0"}, ("there is no such file; say where with --registry",) * 4),
    ("empty registry", {"contract": "tiny@1.0.0", "registry": "none"}, ("holds no registry",) * 4),
    ("file and registry", {"contract": "plain", "registry": "registry"}, (FILE,) * 4),
    ("registry", {"registry": "registry"}, ("is of no use without --contract ID@VERSION",) * 4),
    ("a part only flags", {"contract": "flags"}, (BEGINS, BEGINS, LOOSE, UNSIGNED)),
]


@pytest.fixture
def said(at_home: Home, tmp_path: Path, task: Callable[..., Path]) -> Callable[..., Any]:
    """Contracts, a registry and trust files; makes options of what is said by their names."""
    own, _ = load_or_make_key(at_home.keys)
    other, _ = load_or_make_key(tmp_path / "other-keys")

    def contract(name: str, *signers: SigningKey, **sections: Any) -> None:
        folder = task(f"contracts/{name}", contract={"files": {"write": ["/workspace/**"], **sections}})
        shutil.move(folder / "contract.yaml", tmp_path / name)
        document = load_contract(tmp_path / name).document
        for key in signers:
            envelope = sign_contract(document, key, None)
            signature_path(tmp_path / name).write_bytes(canonical_json(envelope.to_json()))

    contract("plain")
    contract("signed", own)
    contract("strange", other)
    contract("flags", actions=["flag"])
    trusts = {"mine": own, "other": other}
    for name, key in trusts.items():
        (tmp_path / name).write_bytes(Trust.start(TrustDocument.of([key.public]), key).data())
    trust = Trust.start(TrustDocument.of([own.public]), own)
    publish_contract(str(tmp_path / "registry"), load_contract(tmp_path / "signed"), own, trust)

    def options(words: dict[str, str], profile: str | None = None, **more: Any) -> RunOptions:
        placed: dict[str, Any] = {
            name: word if "@" in word else str(tmp_path / word) if name != "trust" else tmp_path / word
            for name, word in words.items()
        }
        return RunOptions(out=tmp_path / "runs", policy=PolicyOptions(profile, **placed), **more)

    return options


def test_every_profile_with_every_contract(
    said: Callable[..., Any], task: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All that can be refused is refused before the first trial; so no trial needs to run.
    monkeypatch.setattr("affidavit.evaluation.run._run_all", lambda *arguments: ())
    monkeypatch.setattr("affidavit.evaluation.preflight.write_run_statement", lambda *arguments, **named: None)
    job = Job(load_task(task("tasks/tiny")), Agent.shell("true"))
    told = (read_destination("command:/bin/true"),)
    answers = {}
    for name, words, _ in CASES:
        for profile in PROFILES:
            runs = len(list((tmp_path / "runs").glob("*")))
            answer = BEGINS
            try:
                run_jobs([job], said(words, profile=profile, alerts=told), Silent())
            except RunError as error:
                answer = str(error)
                assert "\n" not in answer
                # Nothing is left behind.
                assert len(list((tmp_path / "runs").glob("*"))) == runs
            answers[name, profile] = answer
    expected = {(name, profile): says for name, _, row in CASES for profile, says in zip(PROFILES, row, strict=True)}
    wrong = {
        key: answers[key]
        for key, says in expected.items()
        if (says not in answers[key] if says else answers[key] != BEGINS)
    }
    assert wrong == {}
