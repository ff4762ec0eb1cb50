"""``affidavit contract`` and ``affidavit trust``."""

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


def test_publish_log_and_pull(command: Command, contract: Path, tmp_path: Path) -> None:
    registry = ("--registry", tmp_path / "registry")
    command("contract", "sign", contract)
    refused = command("contract", "publish", contract, *registry)
    assert (refused.status, refused.out) == (2, "")
    assert "say who may sign in it, with --trust FILE" in refused.err
    made = command("trust", "new", tmp_path / "trust.json", "--name", "release")
    assert (made.status, made.err) == (0, "")
    assert "version 1 is signed as it must be" in made.out
    published = command("contract", "publish", contract, *registry, "--trust", tmp_path / "trust.json")
    assert (published.status, published.err) == (0, "")
    assert published.out.startswith("published small@1.0.0 sha256:")
    again = command("contract", "publish", contract, *registry)
    assert again.out.startswith("is published already, nothing was written: small@1.0.0")

    log = command("contract", "log", *registry)
    assert (log.status, log.err) == (0, "")
    assert "small@1.0.0" in log.out
    shown = command("contract", "log", *registry, "--json", "--since", 1).json
    assert (shown["size"], len(shown["consistency"])) == (2, 1)
    assert command("contract", "log", *registry, "--since", 3).status == 2

    assert command("contract", "pull", "small@1.0.0", *registry).status == 2  # contract.sig.json is there
    pulled = command("contract", "pull", "small@1.0.0", *registry, "--out", "got.json")
    assert (pulled.status, pulled.err) == (0, "")
    assert {path.name for path in tmp_path.glob("got.*")} == {"got.json", "got.sig.json", "got.proof.json"}
    verified = command("contract", "verify", "got.json", *registry)
    assert (verified.status, verified.err) == (0, "")
    assert "as entry 1 of" in verified.out
    contract.write_text(CONTRACT.replace("1.0.0", "1.0.1"))
    command("contract", "sign", contract)
    unpublished = command("contract", "verify", contract, *registry, "--json")
    assert (unpublished.status, unpublished.json["ok"]) == (1, False)
    assert "is not published" in unpublished.json["problem"]
    contract.write_text(CONTRACT.replace("/workspace", ""))
    command("contract", "sign", contract)
    assert "published in" in command("contract", "verify", contract, *registry).out


def test_trust_is_rotated_and_a_key_revoked(
    command: Command, contract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, registry = tmp_path / "trust.json", ("--registry", tmp_path / "registry")
    other = tmp_path / "other"
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(other))
    command("keys", "new")
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "keys"))
    assert command("trust", "new", file, "--name", "first").status == 0
    command("contract", "sign", contract)
    command("contract", "publish", contract, *registry, "--trust", file)
    added = command("trust", "change", file, "--add", f"second={other / 'signing.pub.pem'}")
    assert (added.status, added.out) == (0, f"{file}: version 2 is signed as it must be\n")
    both = command("trust", "change", file, "--threshold", 2)
    assert "version 3 has 1 of the 2 signatures that it needs by its own keys" in both.out
    assert command("trust", "show", file).status == 1
    assert command("trust", "publish", file, *registry).status == 2
    assert "is signed as it must be" in command("trust", "sign", file, "--keys", other).out
    command("trust", "change", file, "--revoke", "first=2026-01-01", "--reason", "lost laptop", "--threshold", 1)
    command("trust", "sign", file, "--keys", other)
    shown = command("trust", "show", file)
    assert (shown.status, shown.err) == (0, "")
    assert "lost laptop" in shown.out
    assert command("trust", "publish", file, *registry, "--keys", other).status == 0
    assert "3 of 3" not in command("contract", "verify", contract, *registry).out
    assert command("trust", "show", file, "--json").json["trust"]["version"] == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trust", "show", "none"), "none: can't be read"),
        (("trust", "change", "trust.json", "--revoke", "x"), "must be KEY=DATE"),
        (("trust", "change", "trust.json", "--revoke", "x=2026-01-01"), "is no key of it; it has sha256:"),
        (("trust", "change", "trust.json", "--until", "me=tomorrow"), "must be a date or a time"),
        (("trust", "change", "trust.json", "--remove", "me"), "trust.json: trust document"),
        (("trust", "change", "trust.json", "--add", "nobody.pem"), "nobody.pem"),
        (("trust", "new", "trust.json"), "already exists"),
        (("trust", "new", "other.json", "--threshold", "2"), "the threshold is 2, but only 1"),
        (("contract", "log", "--registry", "nowhere"), "holds no registry"),
        (("contract", "pull", "x", "--registry", "nowhere"), "holds no registry"),
    ],
)
def test_wrong_use_of_trust_and_registry(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert command("trust", "new", "trust.json", "--name", "me").status == 0
    before = (tmp_path / "trust.json").read_bytes()
    ran = command(*arguments)
    assert (ran.status, ran.out) == (2, "")
    [line] = ran.err.splitlines()
    assert says in line
    assert (tmp_path / "trust.json").read_bytes() == before


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
