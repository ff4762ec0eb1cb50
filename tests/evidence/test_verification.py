"""A bundle that was touched anywhere does not verify, and the check says where."""

import base64
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affidavit.events import EVENT_SCHEMA
from affidavit.evidence import (
    BundleReader,
    BundleWriter,
    ContractFacts,
    EvidenceError,
    SigningKey,
    canonical_json,
    new_key,
)
from affidavit.evidence.statement import IN_TOTO, File, Statement, read_statement
from affidavit.signing import read_envelope, sign
from affidavit.trace import TraceWriter
from affidavit.verification import Judgement, Verification, verify_bundle

from .conftest import CONTRACT, CONTRACT_FACTS, judged, make_bundle, recompute, trace

STATEMENT = "statement.dsse.json"


@pytest.fixture
def bundle(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "bundle"))


def check(bundle: Path, key: SigningKey) -> Verification:
    return verify_bundle(bundle, [key.public], recompute)


def failed(verification: Verification) -> dict[str, tuple[str, ...]]:
    """The parts that are wrong, by failed check."""
    return {check.name: check.parts for check in verification.checks if not check.ok}


def sentence(verification: Verification) -> str:
    return "; ".join(check.detail for check in verification.checks if not check.ok)


def names(bundle: Path) -> list[str]:
    return sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())


def resign(bundle: Path, key: SigningKey, **facts: Any) -> None:
    """Sign the bundle as it lies there, with the old facts but for `facts`: what a holder of the key could do."""
    envelope = read_envelope((bundle / STATEMENT).read_bytes())
    old = read_statement(envelope.payload)
    with BundleReader(bundle) as reader:
        files = {name: reader.digest(name) for name in reader.names()}
    statement = Statement(files, old.facts.model_copy(update=facts))
    (bundle / STATEMENT).write_bytes(sign(statement.payload(), IN_TOTO, key))


def test_an_untouched_bundle_verifies(bundle: Path, key: SigningKey) -> None:
    verification = check(bundle, key)
    assert verification.ok, sentence(verification)
    assert verification.signer == key.key_id
    assert verification.facts is not None
    assert verification.facts.verdict == "pass"
    expected = ["layout", "envelope", "signer", "signature", "statement", "files", "traces", "trace agent"]
    expected += [
        "counts agent",
        "trace grader",
        "counts grader",
        "task",
        "environment",
        "contract",
        "score",
        "verdict",
        "unchanged",
    ]
    assert [check.name for check in verification.checks] == expected
    assert json.loads(json.dumps(verification.to_json()))["ok"] is True


@pytest.mark.parametrize(
    "name",
    [
        "agent/counts.parquet",
        "agent/events.parquet",
        "agent/stdout",
        "agent/summary.json",
        "contract.json",
        "diff.json",
        "environment.json",
        "grade.json",
        "grader/counts.parquet",
        "grader/events.parquet",
        "grader/stdout",
        "grader/summary.json",
        "task.json",
        "verdict.json",
    ],
)
def test_one_flipped_byte_in_a_file(bundle: Path, key: SigningKey, name: str) -> None:
    good = (bundle / name).read_bytes()
    chance = random.Random(name)
    places = range(len(good)) if len(good) < 1000 else sorted(chance.sample(range(len(good)), 200))
    for place in places:
        data = bytearray(good)
        data[place] ^= 1 << chance.randrange(8)
        (bundle / name).write_bytes(data)
        verification = check(bundle, key)
        assert failed(verification) == {"files": (name,)}, (name, place)
        assert f"{name}: its content was changed" in sentence(verification)
    (bundle / name).write_bytes(good)
    assert check(bundle, key).ok


def test_every_file_is_in_the_test_above(bundle: Path) -> None:
    marks = next(mark for mark in test_one_flipped_byte_in_a_file.pytestmark if mark.name == "parametrize")
    assert set(names(bundle)) - {STATEMENT} - set(marks.args[1]) == {"agent/stderr", "grader/stderr"}  # both empty


def test_one_flipped_byte_in_the_statement(bundle: Path, key: SigningKey) -> None:
    good = (bundle / STATEMENT).read_bytes()
    for place in range(len(good)):
        data = bytearray(good)
        data[place] ^= 1 << (place % 8)
        (bundle / STATEMENT).write_bytes(data)
        verification = check(bundle, key)
        assert not verification.ok, place
        assert verification.signer is None
        assert verification.facts is None
        assert set(failed(verification)) <= {"envelope", "signer", "signature", "statement", "files"}, place
        assert failed(verification).keys() & {"envelope", "signer", "signature"}, place


def _spare_base64_bit(envelope: dict[str, Any]) -> bytes:
    signature = envelope["signatures"][0]["sig"]
    assert signature.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(signature[-3]) ^ 1]
    envelope["signatures"][0]["sig"] = signature[:-3] + last + "=="
    assert base64.b64decode(envelope["signatures"][0]["sig"]) == base64.b64decode(signature)
    return canonical_json(envelope)


def _second_signature(envelope: dict[str, Any]) -> bytes:
    envelope["signatures"] *= 2
    return canonical_json(envelope)


@pytest.mark.parametrize(
    "spell",
    [
        lambda envelope: canonical_json(envelope) + b"\n",
        lambda envelope: b" " + canonical_json(envelope),
        lambda envelope: json.dumps(envelope).encode(),
        lambda envelope: canonical_json(envelope).replace(b"}", b',"payloadType":"x"}', 1),
        lambda envelope: canonical_json(envelope).replace(b'{"payload"', b'{"payload":"","payload"'),
        lambda envelope: canonical_json({**envelope, "note": 1}),
        lambda envelope: canonical_json({**envelope, "signatures": [{**envelope["signatures"][0], "cert": ""}]}),
        lambda envelope: canonical_json({**envelope, "signatures": []}),
        lambda envelope: canonical_json({**envelope, "payload": envelope["payload"] + "\n"}),
        lambda envelope: canonical_json({**envelope, "payload": envelope["payload"].rstrip("=") + "==="}),
        lambda envelope: canonical_json({**envelope, "payload": 7}),
        lambda envelope: canonical_json(envelope).replace(b"payloadType", b"payload\\u0054ype"),
        lambda envelope: canonical_json([envelope]),
        lambda envelope: canonical_json({**envelope, "signatures": [{**envelope["signatures"][0], "keyid": "me\n"}]}),
        lambda envelope: b"[" * 200_000,
        lambda envelope: b'{"payload":' + b"1" * 10_000 + b"}",
        lambda envelope: b"\xff\xfe",
        lambda envelope: b"",
        _spare_base64_bit,
        _second_signature,
    ],
)
def test_the_envelope_has_one_spelling(bundle: Path, key: SigningKey, spell: Any) -> None:
    good = (bundle / STATEMENT).read_bytes()
    (bundle / STATEMENT).write_bytes(spell(json.loads(good)))
    assert failed(check(bundle, key)) == {"envelope": (STATEMENT,)}


def test_removed_files(bundle: Path, key: SigningKey) -> None:
    for name in names(bundle):
        content = (bundle / name).read_bytes()
        (bundle / name).unlink()
        verification = check(bundle, key)
        assert failed(verification) == {"envelope" if name == STATEMENT else "files": (name,)}
        assert f"{name}: is missing" in sentence(verification)
        (bundle / name).write_bytes(content)
    shutil.rmtree(bundle / "grader")
    assert "grader/events.parquet" in failed(check(bundle, key))["files"]


def test_truncated_files(bundle: Path, key: SigningKey) -> None:
    for name in names(bundle):
        content = (bundle / name).read_bytes()
        if not content:
            continue
        (bundle / name).write_bytes(content[:-1])
        assert failed(check(bundle, key)) == {"envelope" if name == STATEMENT else "files": (name,)}
        (bundle / name).write_bytes(content)


def test_swapped_files(bundle: Path, key: SigningKey) -> None:
    pairs = [("agent/events.parquet", "grader/events.parquet"), ("grade.json", "verdict.json")]
    for a, b in pairs:
        (bundle / a).rename(bundle / "kept")
        (bundle / b).rename(bundle / a)
        (bundle / "kept").rename(bundle / b)
        verification = check(bundle, key)
        assert set(failed(verification)) == {"files"}
        assert set(failed(verification)["files"]) == {a, b}
        (bundle / a).rename(bundle / "kept")
        (bundle / b).rename(bundle / a)
        (bundle / "kept").rename(bundle / b)
    assert check(bundle, key).ok


@pytest.mark.parametrize("name", ["extra.json", "agent/extra", "new/file", ".hidden", "agent/a\nb", "agent/\udcff"])
def test_an_added_file(bundle: Path, key: SigningKey, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"x")
    assert {"layout", "files"} & set(failed(check(bundle, key)))


def test_an_added_empty_folder(bundle: Path, key: SigningKey) -> None:
    (bundle / "agent" / "empty").mkdir()
    assert "empty folder" in sentence(check(bundle, key))


def test_a_file_of_another_trial(bundle: Path, key: SigningKey, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", key, paths=("/c", "/d"), score=0.5)
    for name in ("agent/events.parquet", "grade.json", "verdict.json"):
        good = (bundle / name).read_bytes()
        shutil.copy(other / name, bundle / name)
        assert failed(check(bundle, key)) == {"files": (name,)}
        (bundle / name).write_bytes(good)
    assert check(bundle, key).ok
    assert check(other, key).ok


def test_the_statement_of_another_trial(bundle: Path, key: SigningKey, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", key, paths=("/c", "/d"))
    shutil.copy(other / STATEMENT, bundle / STATEMENT)
    assert set(failed(check(bundle, key))["files"]) == {"agent/events.parquet", "grader/events.parquet"}


def test_signed_by_another_key(bundle: Path, key: SigningKey, tmp_path: Path) -> None:
    stranger = new_key(tmp_path / "keys")
    resign(bundle, stranger)
    verification = check(bundle, key)
    assert failed(verification) == {"signer": (STATEMENT,)}
    assert f"signed by unknown key {stranger.key_id}; give its public key with --key" in sentence(verification)
    assert verification.signer is None
    assert verify_bundle(bundle, [key.public, stranger.public], recompute).signer == stranger.key_id


def test_another_key_under_the_trusted_keys_name(bundle: Path, key: SigningKey, tmp_path: Path) -> None:
    resign(bundle, new_key(tmp_path / "keys"))
    envelope = json.loads((bundle / STATEMENT).read_bytes())
    envelope["signatures"][0]["keyid"] = key.key_id
    (bundle / STATEMENT).write_bytes(canonical_json(envelope))
    assert failed(check(bundle, key)) == {"signature": (STATEMENT,)}


def test_no_key_at_all(bundle: Path) -> None:
    assert set(failed(verify_bundle(bundle, [], recompute))) == {"signer"}


class TestWhatIsNoRegularFile:
    def test_symbolic_link_to_the_same_content(self, bundle: Path, key: SigningKey, tmp_path: Path) -> None:
        for name in names(bundle):
            shutil.copy(bundle / name, tmp_path / "same")
            (bundle / name).unlink()
            (bundle / name).symlink_to(tmp_path / "same")
            verification = check(bundle, key)
            assert "layout" in failed(verification), name
            assert f"{name!r} is a symbolic link" in sentence(verification)
            (bundle / name).unlink()
            shutil.copy(tmp_path / "same", bundle / name)

    def test_symbolic_link_to_a_folder(self, bundle: Path, key: SigningKey, tmp_path: Path) -> None:
        (bundle / "agent").rename(tmp_path / "agent")
        (bundle / "agent").symlink_to(tmp_path / "agent")
        verification = check(bundle, key)
        assert "'agent' is a symbolic link" in sentence(verification)
        assert "agent/events.parquet" in failed(verification)["files"]

    @pytest.mark.parametrize("name", ["agent/stdout", STATEMENT, "agent/events.parquet", "new"])
    def test_a_fifo_does_not_hold_it_up(self, bundle: Path, key: SigningKey, name: str) -> None:
        (bundle / name).unlink(missing_ok=True)
        os.mkfifo(bundle / name)
        assert f"{name!r} is a FIFO" in sentence(check(bundle, key))

    def test_socket_device_and_folder(self, bundle: Path, key: SigningKey) -> None:
        (bundle / "task.json").unlink()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(bundle / "task.json"))
        assert "is a socket" in sentence(check(bundle, key))
        (bundle / "task.json").unlink()
        os.mknod(bundle / "task.json", 0o20600, os.makedev(1, 5))  # /dev/zero
        assert "is a device" in sentence(check(bundle, key))
        (bundle / "task.json").unlink()
        (bundle / "task.json").mkdir()
        assert "task.json" in failed(check(bundle, key))["files"]

    def test_a_bundle_that_is_none(self, tmp_path: Path, key: SigningKey) -> None:
        with pytest.raises(EvidenceError, match="not a bundle folder"):
            check(tmp_path / "missing", key)
        (tmp_path / "empty").mkdir()
        assert failed(check(tmp_path / "empty", key)) == {"envelope": (STATEMENT,)}
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(EvidenceError, match="not a bundle folder"):
            check(tmp_path / "file", key)

    def test_a_huge_sparse_file_is_not_read(self, bundle: Path, key: SigningKey) -> None:
        os.truncate(bundle / "agent" / "stdout", 1 << 40)
        assert failed(check(bundle, key)) == {"files": ("agent/stdout",)}
        os.truncate(bundle / STATEMENT, 1 << 40)
        assert set(failed(check(bundle, key))) == {"envelope"}


class TestSignedButWrong:
    """Every signature and digest is right, yet the content does not hold together."""

    def test_merkle_root(self, bundle: Path, key: SigningKey) -> None:
        with TraceWriter(bundle / "agent" / "events.parquet") as writer:
            writer.write(trace(["/a/agent", "/c/agent"]))
        resign(bundle, key)
        assert failed(check(bundle, key)) == {"trace agent": ("agent/events.parquet",)}
        with TraceWriter(bundle / "agent" / "events.parquet") as writer:
            writer.write(trace(["/a/agent"]))
        resign(bundle, key)
        assert "holds 1 events, the statement says 2" in sentence(check(bundle, key))

    def test_a_complete_record_without_a_gap(self, bundle: Path, key: SigningKey, tmp_path: Path) -> None:
        def gap(writer: BundleWriter) -> None:
            with TraceWriter(writer.file("agent/events.parquet")) as events:
                events.write(trace(["/a", "/b", "/c"]).take([0, 2]))
            assert not events.continuous

        verification = check(make_bundle(tmp_path / "gap", key, tamper=gap), key)
        assert failed(verification) == {"trace agent": ("agent/events.parquet",)}
        assert "says that the record is complete, but events are missing" in sentence(verification)
        assert check(make_bundle(tmp_path / "lossy", key, tamper=gap, complete=False), key).ok

    def test_the_same_events_laid_out_otherwise_have_the_same_root(self, bundle: Path, key: SigningKey) -> None:
        with TraceWriter(bundle / "agent" / "events.parquet") as writer:
            for name in ("/a/agent", "/b/agent"):
                batch = trace(["x", name]) if name == "/b/agent" else trace([name])
                writer.write(batch.slice(batch.num_rows - 1))
        resign(bundle, key)
        assert check(bundle, key).ok

    def test_a_trace_that_is_none(self, bundle: Path, key: SigningKey) -> None:
        for name in ("events", "counts"):
            (bundle / "grader" / f"{name}.parquet").write_bytes(b"PAR1 no")
        resign(bundle, key)
        wrong = failed(check(bundle, key))
        assert wrong["trace grader"] == ("grader/events.parquet",)
        assert wrong["counts grader"] == ("grader/counts.parquet",)

    def test_a_trace_too_few(self, bundle: Path, key: SigningKey) -> None:
        shutil.rmtree(bundle / "grader")
        resign(bundle, key)
        assert "traces" in failed(check(bundle, key))

    def test_contract(self, bundle: Path, key: SigningKey) -> None:
        for changed in ({"files": {}}, {"version": "1.0.1"}, {"id": "other"}):
            contract = canonical_json({**CONTRACT, **changed})
            (bundle / "contract.json").write_bytes(contract)
            resign(bundle, key)
            assert failed(check(bundle, key)) == {"contract": ("contract.json",)}
            digest = "sha256:" + hashlib.sha256(contract).hexdigest()
            resign(bundle, key, contract=ContractFacts(**{**CONTRACT_FACTS, "digest": digest}))
            assert check(bundle, key).ok == ("files" in changed)
        (bundle / "contract.json").write_bytes(b"{}\n")
        digest = "sha256:" + hashlib.sha256(b"{}\n").hexdigest()
        resign(bundle, key, contract=ContractFacts(**{**CONTRACT_FACTS, "digest": digest}))
        assert "contract.json: is not in canonical form" in sentence(check(bundle, key))

    def test_contract_signature(self, tmp_path: Path, key: SigningKey) -> None:
        good = json.loads(sign(canonical_json(CONTRACT), "application/vnd.affidavit.contract+json", key))

        def signed(content: Any) -> Path:
            contract = {**CONTRACT_FACTS, "signed_by": key.key_id}
            path = tmp_path / f"b{len(list(tmp_path.iterdir()))}"
            return make_bundle(
                path, key, tamper=lambda writer: writer.add("contract.sig.json", content), contract=contract
            )

        assert check(signed(good), key).ok
        other = json.loads(sign(b"{}", "application/vnd.affidavit.contract+json", key))
        forged = {**good, "signatures": other["signatures"]}
        for content in (other, forged, [], {}, {**good, "signatures": []}):
            assert failed(check(signed(content), key)) == {"contract": ("contract.sig.json",)}
        contract = {**CONTRACT_FACTS, "signed_by": key.key_id}
        with pytest.raises(EvidenceError, match=r"contract\.sig\.json not written"):
            make_bundle(tmp_path / "unsigned", key, contract=contract)

    def test_task(self, bundle: Path, key: SigningKey) -> None:
        (bundle / "task.json").write_text(json.dumps({"id": "small", "digest": "sha256:" + "2" * 64}))
        resign(bundle, key)
        assert failed(check(bundle, key)) == {"task": ("task.json",)}

    def test_verdict(self, bundle: Path, key: SigningKey) -> None:
        (bundle / "verdict.json").write_text(json.dumps(judged(0.5, True).to_json()))
        resign(bundle, key)
        assert failed(check(bundle, key)) == {"score": ("verdict.json",), "verdict": ("verdict.json",)}
        resign(bundle, key, verdict="fail", score=0.5, raw_score=0.5)
        wrong = failed(check(bundle, key))
        assert wrong.keys() == {"score", "verdict"}
        assert "the score is 0.5, but fail with a grade of 1 makes 1" in sentence(check(bundle, key))

    def test_scores_that_do_not_follow_from_the_grade(self, bundle: Path, key: SigningKey) -> None:
        for verdict, score, raw_score in (
            ("violation", 1.0, 1.0),
            ("violation", 0.0, 0.5),
            ("inconclusive", 1.0, 1.0),
            ("inconclusive", None, None),
            ("error", 0.0, 1.0),
            ("pass", None, 1.0),
        ):
            facts = {"verdict": verdict, "score": score, "raw_score": raw_score}
            (bundle / "verdict.json").write_text(json.dumps(facts))
            resign(bundle, key, **facts)
            assert "score" in failed(check(bundle, key)), facts
        facts = {"verdict": "violation", "score": 0.0, "raw_score": 1.0}
        (bundle / "verdict.json").write_text(json.dumps(facts))
        resign(bundle, key, **facts)
        assert set(failed(check(bundle, key))) == {"verdict"}

    def test_an_incomplete_record_that_passes(self, bundle: Path, key: SigningKey) -> None:
        summary = json.loads((bundle / "agent" / "summary.json").read_bytes())
        (bundle / "agent" / "summary.json").write_text(json.dumps({**summary, "complete": False, "lost": 9}))
        resign(bundle, key)
        verification = check(bundle, key)
        assert failed(verification) == {"verdict": ("verdict.json",)}
        assert "judged again, score, verdict differ" in sentence(verification)

    def test_graders_that_make_another_score(self, bundle: Path, key: SigningKey) -> None:
        grade = json.loads((bundle / "grade.json").read_bytes())
        for change in ({"score": 0.5}, {"score": True}, {"weight": -1}, {"weight": 0}, {"score": None}, {"name": 3}):
            graders = [{**grade["graders"][0], **change}]
            (bundle / "grade.json").write_text(json.dumps({**grade, "graders": graders}))
            resign(bundle, key)
            assert failed(check(bundle, key)) == {"score": ("grade.json",)}, change

    def test_no_graders(self, bundle: Path, key: SigningKey) -> None:
        (bundle / "grade.json").write_text(json.dumps({"score": 1.0}))
        resign(bundle, key)
        assert set(failed(check(bundle, key))) == {"score"}

    def test_grades_that_come_out_otherwise(self, bundle: Path, key: SigningKey) -> None:
        def otherwise(reader: BundleReader) -> str:
            raise EvidenceError("grade.json: graded again, tests comes out otherwise: score")

        def stumble(reader: BundleReader) -> str:
            raise KeyError("score")

        for regrade in (otherwise, stumble):
            assert failed(verify_bundle(bundle, [key.public], recompute, regrade)) == {"grades": ("grade.json",)}
        assert verify_bundle(bundle, [key.public], recompute, lambda reader: "graded again: tests").ok

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"score": 1, "score": 1}', b'{"score": NaN}', b"[" * 100_000])
    def test_json_that_is_none(self, bundle: Path, key: SigningKey, content: bytes) -> None:
        (bundle / "grade.json").write_bytes(content)
        resign(bundle, key)
        assert "grade.json" in sentence(check(bundle, key))

    def test_a_judge_that_stumbles(self, bundle: Path, key: SigningKey) -> None:
        def stumble(reader: BundleReader) -> Judgement:
            raise KeyError("nothing")

        assert failed(verify_bundle(bundle, [key.public], stumble)) == {"verdict": ("verdict.json",)}

    def test_a_bundle_that_changes_in_the_meantime(self, bundle: Path, key: SigningKey) -> None:
        def change(reader: BundleReader) -> Judgement:
            result = recompute(reader)
            (bundle / "task.json").write_bytes((bundle / "task.json").read_bytes())
            return result

        assert "task.json: changed while" in sentence(verify_bundle(bundle, [key.public], change))

    @pytest.mark.parametrize(
        "name", ["../outside", "/etc/passwd", "agent/../task.json", "a//b", "", ".", "a/", "a/b/c/d/e", "a\0b"]
    )
    def test_names_that_lead_elsewhere(self, bundle: Path, key: SigningKey, name: str) -> None:
        statement = read_statement(read_envelope((bundle / STATEMENT).read_bytes()).payload)
        wrong = replace(statement, files={**statement.files, name: File("0" * 64, 1)})
        (bundle / STATEMENT).write_bytes(sign(wrong.payload(), IN_TOTO, key))
        verification = check(bundle, key)
        assert failed(verification) == {"statement": (STATEMENT,)}
        assert "not a valid name for a file in a bundle" in sentence(verification)

    def test_statements_of_another_kind(self, bundle: Path, key: SigningKey) -> None:
        good = json.loads(read_envelope((bundle / STATEMENT).read_bytes()).payload)
        subject = good["subject"]
        for change in (
            {"_type": "https://in-toto.io/Statement/v0.1"},
            {"predicateType": "https://slsa.dev/provenance/v1"},
            {"subject": []},
            {"subject": [*subject, subject[0]]},
            {"subject": [{**subject[0], "annotations": {"size": -1}}]},
            {"subject": [{**subject[0], "digest": {"sha1": "0"}}]},
            {"predicate": {**good["predicate"], "verdict": "excellent"}},
            {"predicate": {k: v for k, v in good["predicate"].items() if k != "score"}},
            {"note": 1},
        ):
            (bundle / STATEMENT).write_bytes(sign(canonical_json({**good, **change}), IN_TOTO, key))
            assert failed(check(bundle, key)) == {"statement": (STATEMENT,)}, change
        (bundle / STATEMENT).write_bytes(sign(json.dumps(good).encode(), IN_TOTO, key))
        assert failed(check(bundle, key)) == {"statement": (STATEMENT,)}
        (bundle / STATEMENT).write_bytes(sign(canonical_json(good), "text/plain", key))
        assert failed(check(bundle, key)) == {"envelope": (STATEMENT,)}


def test_an_incomplete_trial_verifies_as_inconclusive(tmp_path: Path, key: SigningKey) -> None:
    bundle = make_bundle(tmp_path / "b", key, complete=False)
    verification = check(bundle, key)
    assert verification.ok, sentence(verification)
    assert verification.facts is not None
    assert verification.facts.score is None
    assert verification.facts.raw_score == 1


def test_more_facts_are_signed_too(tmp_path: Path, key: SigningKey) -> None:
    def more(writer: BundleWriter) -> None:
        writer.add("control/stdout", b"")

    bundle = make_bundle(tmp_path / "b", key, tamper=more, machine={"name": "ebpf", "lost": 0})
    verification = check(bundle, key)
    assert verification.ok
    assert verification.to_json()["statement"]["machine"] == {"name": "ebpf", "lost": 0}


def test_the_documentations_commands(bundle: Path, key: SigningKey) -> None:
    """docs/bundle.md, By hand."""
    text = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text()
    script = "set -e\n" + text.split("```sh\n")[1].split("```")[0]

    def by_hand() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KEY": str(key.public_path)}
        return subprocess.run(["bash", "-c", script], cwd=bundle, env=environment, capture_output=True, text=True)

    done = by_hand()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(key.key_id) == 2
    assert "Signature Verified Successfully" in done.stdout
    assert done.stdout.count(": OK\n") == len(names(bundle)) - 1
    (bundle / "extra").write_bytes(b"")
    assert by_hand().returncode != 0
    (bundle / "extra").unlink()
    (bundle / "agent" / "stdout").write_bytes(b"hellO\n")
    assert by_hand().returncode != 0


def test_an_agent_under_another_name(bundle: Path, key: SigningKey) -> None:
    """The task's own solution, presented as a model's work."""
    resign(bundle, key, agent="model")
    verification = check(bundle, key)
    assert failed(verification) == {"environment": ("environment.json",)}
    assert "its agent is 'oracle', the statement says 'model'" in sentence(verification)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 300 + "]" * 300, "nested deeper than 200 levels"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ("1" * 400, "a number has 400 digits"),
        ("-" + "9" * 5000, "a number has 5001 digits"),
        ("1e400", "larger than a double"),
        ("[" + "[]," * 4_000_001 + "[]]", "more than 4,000,000 values"),
    ],
    ids=["deep", "deeper", "long", "longer", "large", "many"],
)
def test_a_document_that_is_more_than_it_looks(bundle: Path, key: SigningKey, text: str, why: str) -> None:
    grade = (bundle / "grade.json").read_bytes().rstrip().removesuffix(b"}")
    (bundle / "grade.json").write_bytes(grade + b',"more":' + text.encode() + b"}")
    resign(bundle, key)
    verification = check(bundle, key)
    assert "score" in failed(verification)
    assert why in sentence(verification)


def bomb(path: Path, length: int) -> int:
    """A small record whose rows all name one long text."""
    rows = 16 << 10
    columns = []
    for field in EVENT_SCHEMA:
        if pa.types.is_dictionary(field.type):
            column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a" * length]))
        elif pa.types.is_list(field.type):
            column = pa.array([None] * rows, field.type)
        else:
            column = pa.array(np.arange(rows) if field.name == "seq" else np.zeros(rows), field.type)
        columns.append(column)
    pq.write_table(pa.Table.from_arrays(columns, schema=EVENT_SCHEMA), path, compression="zstd")
    return rows


@pytest.mark.parametrize("length", [256 << 10, 32 << 10])
def test_a_record_that_is_more_than_it_looks(bundle: Path, key: SigningKey, length: int) -> None:
    """What no recorder writes is refused; what one might have written is read a little at a time."""
    with BundleReader(bundle) as reader:
        traces = read_statement(read_envelope((bundle / STATEMENT).read_bytes()).payload).facts.traces
        assert reader.parts() == ["agent", "grader"]
    events = bomb(bundle / "agent/events.parquet", length)
    resign(bundle, key, traces={**traces, "agent": traces["agent"].model_copy(update={"events": events})})
    before = pa.total_allocated_bytes()
    verification = check(bundle, key)
    assert "trace agent" in failed(verification)
    assert ("which no recorder writes" in sentence(verification)) == (length > 32 << 10)
    assert pa.default_memory_pool().max_memory() - before < 512 << 20
