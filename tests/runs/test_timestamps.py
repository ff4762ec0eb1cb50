"""Time stamps of a real authority (``openssl ts``) on loopback."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.runs import RUN_STATEMENT, RunPlan, load_certificates, request_timestamp, sign_plan, verify_run
from affidavit.runs.timestamps import check_timestamp
from affidavit.signing import EvidenceError, SigningKey, load_key, new_key
from harness import SOLVE, Command, Home
from tsa import Authority, answering, authority_at_work, make_authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority_at_work(tmp_path_factory.mktemp("tsa")) as made:
        yield made


def test_a_plan_is_stamped_and_checked_offline(
    authority: Authority, plan: RunPlan, key: SigningKey, tmp_path: Path
) -> None:
    signed = sign_plan(plan, key)
    token = tmp_path / "plan.tsr"
    token.write_bytes(request_timestamp(authority.url, signed.envelope, key.key_id))
    at, vouched = check_timestamp(token, signed.envelope, key.key_id, load_certificates(authority.certificate))
    assert (vouched, len(at), at[-1]) == (True, 20, "Z")
    assert check_timestamp(token, signed.envelope, key.key_id, ()) == (at, False)
    # A signature that is added later changes nothing.
    more = signed.envelope.with_signature(new_key(tmp_path / "other"))
    assert check_timestamp(token, more, key.key_id, load_certificates(authority.certificate)) == (at, True)


def test_openssl_reads_the_token(authority: Authority, plan: RunPlan, key: SigningKey, tmp_path: Path) -> None:
    signed = sign_plan(plan, key)
    (tmp_path / "plan.tsr").write_bytes(request_timestamp(authority.url, signed.envelope, key.key_id))
    (tmp_path / "plan.dsse.json").write_bytes(signed.data())
    names = ["-data", "plan.dsse.json", "-in", "plan.tsr", "-CAfile", str(authority.certificate)]
    done = subprocess.run(["openssl", "ts", "-verify", *names], cwd=tmp_path, capture_output=True, text=True)
    assert "Verification: OK" in done.stdout + done.stderr


def test_a_token_for_something_else_is_refused(
    authority: Authority, plan: RunPlan, key: SigningKey, tmp_path: Path
) -> None:
    other = sign_plan(plan.model_copy(update={"runtime": "gvisor"}), key)
    token = tmp_path / "plan.tsr"
    token.write_bytes(request_timestamp(authority.url, other.envelope, key.key_id))
    with pytest.raises(EvidenceError, match=r"plan\.tsr: the time stamp is for something else"):
        check_timestamp(token, sign_plan(plan, key).envelope, key.key_id, ())


def test_another_authority_is_not_trusted(authority: Authority, plan: RunPlan, key: SigningKey, tmp_path: Path) -> None:
    signed = sign_plan(plan, key)
    token = tmp_path / "plan.tsr"
    token.write_bytes(request_timestamp(authority.url, signed.envelope, key.key_id))
    other = make_authority(tmp_path / "other")
    with pytest.raises(EvidenceError, match="none of the authorities given made this time stamp"):
        check_timestamp(token, signed.envelope, key.key_id, load_certificates(other))


def test_a_changed_byte_of_the_signature_is_found(
    authority: Authority, plan: RunPlan, key: SigningKey, tmp_path: Path
) -> None:
    signed = sign_plan(plan, key)
    good = request_timestamp(authority.url, signed.envelope, key.key_id)
    token, trusted = tmp_path / "plan.tsr", load_certificates(authority.certificate)
    # The signature is what an answer ends with.
    for place in range(len(good) - 200, len(good), 40):
        token.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(EvidenceError, match=r"plan\.tsr: "):
            check_timestamp(token, signed.envelope, key.key_id, trusted)


@pytest.mark.parametrize("answer", [b"", b"no token", b"0" * (2 << 20)], ids=("nothing", "text", "too much"))
def test_what_is_no_answer_is_refused(plan: RunPlan, key: SigningKey, answer: bytes) -> None:
    with answering(lambda query: answer) as url, pytest.raises(EvidenceError, match="--timestamp http://127"):
        request_timestamp(url, sign_plan(plan, key).envelope, key.key_id)


def test_an_answer_to_an_earlier_question_is_refused(authority: Authority, plan: RunPlan, key: SigningKey) -> None:
    signed = sign_plan(plan, key)
    earlier = request_timestamp(authority.url, signed.envelope, key.key_id)
    with answering(lambda query: earlier) as url, pytest.raises(EvidenceError, match="nonce"):
        request_timestamp(url, signed.envelope, key.key_id)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "tsa", "http://127.0.0.1:1/", "http://[/"])
def test_an_authority_that_is_not_there_is_named(plan: RunPlan, key: SigningKey, url: str) -> None:
    with pytest.raises(EvidenceError, match="--timestamp "):
        request_timestamp(url, sign_plan(plan, key).envelope, key.key_id)


def test_a_run_has_its_times_from_outside(
    affidavit: Command, authority: Authority, task: Callable[..., Path], tmp_path: Path, at_home: Home
) -> None:
    folder = task()
    planned = affidavit("plan", folder, "--agent-cmd", SOLVE, "--out", "plan.json", "--timestamp", authority.url)
    assert planned.status == 0, planned.err
    # The run is finished when the authority fails, and is stated when it works again.
    down = affidavit("run", folder, "--plan", "plan.json", "--timestamp", "http://127.0.0.1:1/")
    assert (down.status, "every trial is finished" in down.err) == (2, True)
    [run] = (tmp_path / "runs").iterdir()
    assert not (run / RUN_STATEMENT).exists()
    ran = affidavit("run", folder, "--resume", run, "--timestamp", authority.url)
    assert ran.status == 0, ran.err
    assert (run / "plan.tsr").read_bytes() == (tmp_path / "plan.json.tsr").read_bytes()
    checked = affidavit("verify", run, "--tsa", authority.certificate)
    assert checked.status == 0, checked.out
    assert checked.out.count(", by a trusted authority") == 2
    key, trusted = load_key(at_home.keys).public, load_certificates(authority.certificate)
    for name in ("run.tsr", "plan.tsr"):
        kept = (run / name).read_bytes()
        (run / name).unlink()
        wrong = [check.detail for check in verify_run(run, [key], authorities=trusted).checks if not check.ok]
        assert f"{name}: is missing" in wrong
        (run / name).write_bytes(kept)
    (run / "run.tsr").write_bytes((run / "plan.tsr").read_bytes())
    assert "run.tsr: the time stamp is for something else" in affidavit("verify", run).out
