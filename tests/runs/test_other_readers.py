"""The statements are read by others' programs: securesystemslib's DSSE, and in-toto's own types of its statements and
predicates."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from affidavit.signing import load_key
from harness import Home

STATEMENTS = ("run.dsse.json", "test-result.dsse.json", "svr.dsse.json", "a/cmd/0/bundle/statement.dsse.json")


def envelope_of(run: Path, name: str) -> Envelope:
    return Envelope.from_dict(json.loads((run / name).read_bytes()))


def statement_of(run: Path, name: str) -> Statement:
    message = json_format.Parse(envelope_of(run, name).payload, statement_pb2.Statement())
    return Statement.copy_from_pb(message)


@pytest.mark.parametrize("name", [*STATEMENTS, "plan.dsse.json"])
def test_securesystemslib_verifies_the_envelope(finished: tuple[Path, Path], home: Home, name: str) -> None:
    key = load_key(home.keys)
    theirs = SSlibKey.from_crypto(load_pem_public_key(key.public_path.read_bytes()), keyid=key.key_id)
    envelope = envelope_of(finished[0], name)
    assert envelope.verify([theirs], 1).keys() == {key.key_id}
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([theirs], 1)


@pytest.mark.parametrize("name", STATEMENTS)
def test_in_toto_reads_the_statement(finished: tuple[Path, Path], name: str) -> None:
    statement = statement_of(finished[0], name)
    statement.validate()
    assert all(len(subject.digest["sha256"]) == 64 for subject in statement.pb.subject)


def test_in_toto_reads_the_vetted_predicate(finished: tuple[Path, Path]) -> None:
    predicate = json.loads(envelope_of(finished[0], "test-result.dsse.json").payload)["predicate"]
    message = json_format.ParseDict(predicate, test_result_pb2.TestResult(), ignore_unknown_fields=False)
    assert message.result in ("PASSED", "WARNED", "FAILED")
    assert len(message.passed_tests) + len(message.warned_tests) + len(message.failed_tests) > 0
