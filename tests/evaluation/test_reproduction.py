"""``affidavit reproduce``: hidden tests run again, and the bundle is counter-signed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.evaluation import RunError, reproduce
from affidavit.evidence import beside
from affidavit.evidence.reproduction import reproductions_folder
from affidavit.signing import SigningKey, load_key, new_key
from affidavit.verification import verify
from harness import EBPF, Command, Home, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
# Folders, links, modes, bytes that are no text, a deletion: all must be there again.
AGENT = """mkdir -p deep/er && printf '\\000\\377' >deep/er/bytes && chmod 750 deep && ln -s er/bytes deep/link
rm -f start && echo 42 >answer && chmod 600 answer"""
TEST = """cd /workspace
[ "$(cat answer)" = 42 ] && [ "$(stat -c %a answer)" = 600 ] && [ "$(stat -c %a deep)" = 750 ] && [ ! -e start ] &&
[ "$(readlink deep/link)" = er/bytes ] && [ "$(od -An -tx1 deep/er/bytes)" = " 00 ff" ] && reward=1 || reward=0
echo $reward >/logs/verifier/reward.txt
"""


@pytest.fixture
def other(tmp_path: Path) -> SigningKey:
    """The key of whoever grades again."""
    return new_key(tmp_path / "other")


@pytest.fixture
def made(trials: Trials, task: Make) -> tuple[Path, Path]:
    """A task, and a bundle in which it was solved."""
    folder = task(test=TEST, files={"environment/root/workspace/start": "x"}, solve=AGENT)
    outcome = trials(EBPF, folder, AGENT)
    assert outcome.score == 1, outcome.trial.judgement
    assert outcome.trial.bundle is not None
    return folder, outcome.trial.bundle


def detail(bundle: Path, *keys: SigningKey) -> tuple[bool, str]:
    """What ``verify`` says of counter-signatures."""
    checks = verify(bundle, reproduced_by=[key.public for key in keys]).checks
    return next(((check.ok, check.detail) for check in checks if check.name == "reproductions"), (True, ""))


def test_a_bundle_is_graded_again_and_counter_signed(
    made: tuple[Path, Path], other: SigningKey, affidavit: Command, at_home: Home
) -> None:
    task, bundle = made
    assert detail(bundle) == (True, "")
    assert detail(bundle, other) == (False, f"{other.key_id} did not counter-sign")
    ran = affidavit("reproduce", bundle, "--task", task, "--keys", other.public_path.parent, "--json")
    assert ran.status == 0, (ran.out, ran.err)
    facts = ran.json["reproduction"]
    assert (facts["assurance"], facts["score"], facts["same_rootfs"]) == ("reproduced", 1, True)
    assert [grader["how"] for grader in facts["graders"]] == ["run again"]
    ok, said = detail(bundle, other)
    assert ok
    assert f"assurance reproduced by {other.key_id}" in said
    # Without the key it is read and not believed.
    assert "which was not checked" in detail(bundle)[1]
    assert affidavit("verify", bundle, "--reproduced-by", other.public_path).status == 0
    run = bundle.parents[2]
    checked = affidavit("verify", run, "--reproduced-by", other.public_path)
    assert checked.status == 0, checked.out
    assert f"1 by {other.key_id}" in checked.out

    [signature] = reproductions_folder(bundle).iterdir()
    content = signature.read_bytes()
    signature.write_bytes(content.replace(b'"sig":"', b'"sig":"A', 1))
    assert not detail(bundle, other)[0]
    assert "trial" in affidavit("verify", run).out
    assert affidavit("verify", run).status == 1
    signature.write_bytes(content)
    (signature.parent / "more").mkdir()
    assert "more: does not belong there" in detail(bundle)[1]


def test_a_counter_signature_is_of_one_bundle(trials: Trials, task: Make, other: SigningKey, at_home: Home) -> None:
    folder = task()
    one, two = trials.several(EBPF, folder, trials=2)
    assert one.trial.bundle is not None
    assert two.trial.bundle is not None
    assert reproduce(one.trial.bundle, folder, None, other).ok
    shutil.copytree(reproductions_folder(one.trial.bundle), reproductions_folder(two.trial.bundle))
    ok, said = detail(two.trial.bundle, other)
    assert not ok
    assert "is of another bundle" in said


def test_what_comes_out_otherwise_is_not_signed(
    made: tuple[Path, Path], other: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, bundle = made
    # The tests really run, over what the bundle kept: with something else they come to something else.
    monkeypatch.setattr("affidavit.evaluation.reproduction.kept_submission", lambda *_: lambda digest: b"41\n")
    result = reproduce(bundle, task, None, other)
    assert not result.ok
    assert any("score: signed 1.0, here 0.0" in one for one in result.differences), result.differences
    assert not reproductions_folder(bundle).exists()


def test_what_cannot_be_graded_again_is_refused(
    made: tuple[Path, Path], other: SigningKey, at_home: Home, task: Make, tmp_path: Path
) -> None:
    folder, bundle = made
    with pytest.raises(RunError, match="must be another's"):
        reproduce(bundle, folder, None, load_key(at_home.keys))
    assert not reproduce(bundle, task("tasks/else"), None, other).verification.ok
    shutil.rmtree(beside(bundle))
    with pytest.raises(RunError, match="need the private part"):
        reproduce(bundle, folder, None, other)


def test_a_bundle_that_does_not_verify_is_not_counter_signed(made: tuple[Path, Path], other: SigningKey) -> None:
    task, bundle = made
    (bundle / "agent/stdout").write_text("else")
    result = reproduce(bundle, task, None, other)
    assert (result.ok, result.verification.ok, result.path) == (False, False, None)
