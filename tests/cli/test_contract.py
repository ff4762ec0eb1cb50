"""``affidavit contract sign`` and ``verify``."""

from pathlib import Path

import pytest

from harness import Command

CONTRACT = "schema: affidavit.contract/v1\nid: small\nversion: 1.0.0\nfiles: {write: [/workspace/**]}\n"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, with a key of its own."""
    from harness import Home

    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "keys"))
    monkeypatch.chdir(tmp_path)
    command = Command(Home(tmp_path / "state", tmp_path / "keys"), tmp_path)
    assert command("keys", "new").status == 0
    return command


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    path = tmp_path / "contract.yaml"
    path.write_text(CONTRACT)
    return path


def test_sign_and_verify(command: Command, contract: Path) -> None:
    unsigned = command("contract", "verify", contract)
    assert (unsigned.status, unsigned.out.splitlines()[-1]) == (1, "unsigned: 0 of 1 good signatures")
    signed = command("contract", "sign", contract)
    assert (signed.status, signed.err) == (0, "")
    assert f"{contract.with_suffix('.sig.json')}: 1 signature" in signed.out
    verified = command("contract", "verify", contract, "--json")
    assert (verified.status, verified.err) == (0, "")
    assert verified.json["ok"] is True
    assert [s["state"] for s in verified.json["signatures"]] == ["good"]
    assert verified.json["contract"]["id"] == "small"


def test_two_sign(command: Command, contract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "keys/signing.pub.pem"
    assert command("contract", "sign", contract).status == 0
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "other"))
    assert command("keys", "new").status == 0
    stranger = command("contract", "verify", contract)
    assert stranger.status == 1
    assert ": unknown key\n" in stranger.out
    assert command("contract", "verify", contract, "--key", first).status == 0
    assert "2 signatures" in command("contract", "sign", contract, "--keys", tmp_path / "other").out
    assert command("contract", "verify", contract).status == 0


def test_a_contract_that_was_changed_afterwards(command: Command, contract: Path) -> None:
    assert command("contract", "sign", contract).status == 0
    contract.write_text(CONTRACT.replace("/workspace/**", "/**"))
    verified = command("contract", "verify", contract)
    assert (verified.status, verified.out) == (1, "")
    assert "does not sign this contract" in verified.err
    again = command("contract", "sign", contract)
    assert "was no signature of this content and is replaced" in again.err
    assert "1 signature" in again.out
    assert command("contract", "verify", contract).status == 0


def test_diff(command: Command, contract: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(CONTRACT.replace("/workspace/**", "/opt/**, /workspace/src/**"))
    ran = command("contract", "diff", contract, new)
    assert (ran.status, ran.err) == (1, "")
    assert "loosening" in ran.out
    assert "now admits /opt" in ran.out
    assert "needs 2.0.0" in ran.out
    new.write_text(new.read_text().replace("1.0.0", "2.0.0"))
    fits = command("contract", "diff", contract, new, "--json")
    assert (fits.status, fits.json["fits"], fits.json["needed"]) == (0, True, "major")
    assert {"place": "files.write", "kind": "loosening", "detail": "now admits /opt"} in fits.json["changes"]
    same = command("contract", "diff", contract, contract)
    assert (same.status, same.out) == (0, "small 1.0.0: the same\n")
    new.write_text(CONTRACT.replace("small", "other"))
    assert command("contract", "diff", contract, new).status == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sign", "none.yaml"), r"none.yaml: can't be read"),
        (("sign", "contract.yaml", "--keys", "nowhere"), "nowhere/signing.pem"),
        (("verify", "contract.yaml", "--trust", "contract.yaml"), "contract.yaml: is not JSON"),
        (("verify", "contract.yaml", "--trust", "a", "--key", "b"), "exclude each other"),
        (("verify", "contract.yaml", "--key", "contract.yaml"), "is not an ed25519 public key"),
    ],
)
def test_wrong_use(command: Command, contract: Path, arguments: tuple[str, ...], says: str) -> None:
    ran = command("contract", *arguments)
    assert (ran.status, ran.out) == (2, "")
    [line] = ran.err.splitlines()
    assert says in line
