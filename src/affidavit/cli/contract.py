"""``affidavit contract``: writing, signing, comparing and publishing contracts."""

import sys
import typing
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.cli.answers import Json, fail, print_json

if typing.TYPE_CHECKING:
    from affidavit.contracts import Contract
    from affidavit.signing import TrustDocument

_MOST_BYTES = 4 << 20

contract_app = typer.Typer(
    help="Contracts: sign, verify and compare them.", no_args_is_help=True, rich_markup_mode=None
)

ContractFile = Annotated[Path, typer.Argument(help="A contract's file.", metavar="CONTRACT")]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        help="Folder with the signing key; else your own (affidavit keys show).",
        metavar="DIR",
        show_default=False,
    ),
]
TrustFile = Annotated[
    Path | None,
    typer.Option("--trust", help="Trust file: whose signatures count.", metavar="FILE", show_default=False),
]
PublicKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", help="Public key (PEM) whose signature counts; may be repeated.", metavar="FILE", show_default=False
    ),
]


@contract_app.command()
def sign(contract: ContractFile, keys: Keys = None) -> None:
    """Sign a contract beside its file (contract.sig.json).

    Signatures by others of the same content stay.
    """
    from affidavit.contracts import ContractError, load_signature, sign_contract, signature_path
    from affidavit.signing import EvidenceError, canonical_json, keys_dir, load_key, write_whole

    path = signature_path(contract)
    try:
        document = _read(contract).document
        key = load_key(keys or keys_dir())
        try:
            others = load_signature(contract, document)
        except ContractError:
            others = None
            typer.echo(f"affidavit: {path}: was no signature of this content and is replaced", err=True)
        envelope = sign_contract(document, key, others)
        write_whole(path, canonical_json(envelope.to_json()) + b"\n")
    except (ContractError, EvidenceError) as error:
        fail(error)
    count = len(envelope.signatures)
    typer.echo(f"signed by {key.key_id}\n{path}: {count} signature{'s' if count > 1 else ''}")


@contract_app.command()
def verify(contract: ContractFile, trust: TrustFile = None, key: PublicKeys = None, as_json: Json = False) -> None:
    """Check who signed a contract.

    Says what each signature is worth, and whether there are as many good ones as the trust file asks for. Without
    --trust and --key, your own key is the one that counts.

    Exit status: 0 signed as it must be, 1 not, 2 wrong use.
    """
    from affidavit.contracts import ContractError, load_signature
    from affidavit.signing import EvidenceError, now

    try:
        trusted = _trusted(trust, key)
        read = _read(contract)
    except (ContractError, EvidenceError) as error:
        fail(error)
    try:
        envelope = load_signature(contract, read.document)
    except ContractError as error:
        fail(error, 1)
    examined = trusted.examine(envelope, now()) if envelope else None
    if as_json:
        document: dict[str, Any] = {
            "ok": examined is not None and examined.met,
            "contract": {"id": read.id, "version": read.version, "digest": read.digest},
            "threshold": trusted.threshold,
            "signatures": [
                {"key": s.key_id, "state": str(s.state), "name": s.name, "detail": s.detail}
                for s in (examined.signatures if examined else ())
            ],
        }
        print_json(document)
    else:
        typer.echo(f"{read.id} {read.version}, {read.digest}")
        for signed in examined.signatures if examined else ():
            typer.echo(str(signed))
        good = len(examined.good) if examined else 0
        what = "signed" if examined and examined.met else "unsigned" if examined is None else "not signed as it must be"
        typer.echo(f"{what}: {good} of {trusted.threshold} good signatures")
    raise typer.Exit(0 if examined and examined.met else 1)


@contract_app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The contract as it was.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The contract as it is now.", metavar="NEW")],
    as_json: Json = False,
) -> None:
    """Show what a new version of a contract admits more or less.

    Loosening needs a major version, tightening a minor one, anything else a patch. What is not shown to admit no more
    counts as loosening.

    Exit status: 0 the version fits (or nothing changed), 1 it does not, 2 wrong use.
    """
    from affidavit.contracts import ContractError, diff_contracts
    from affidavit.report import print_contract_diff
    from affidavit.signing import EvidenceError

    try:
        found = diff_contracts(_read(old), _read(new))
    except (ContractError, EvidenceError) as error:
        fail(error)
    if as_json:
        print_json(
            {
                "id": found.new.id,
                "old": {"version": found.old.version, "digest": found.old.digest},
                "new": {"version": found.new.version, "digest": found.new.digest},
                "changes": [{"place": c.place, "kind": str(c.kind), "detail": c.detail} for c in found.changes],
                "needed": str(found.needed),
                "least_version": found.least,
                "fits": found.fits,
            }
        )
    else:
        print_contract_diff(found, sys.stdout)
    raise typer.Exit(0 if found.fits else 1)


def _read(path: Path) -> "Contract":
    """The contract in a file, whatever lies beside it. Raises ContractError, EvidenceError."""
    from affidavit.contracts import parse_contract
    from affidavit.signing import read_bounded

    return parse_contract(read_bounded(path, _MOST_BYTES), str(path))


def _trusted(trust: Path | None, keys: list[Path] | None) -> "TrustDocument":
    """Who is trusted by the options.

    Raises:
        EvidenceError: it can't be read, is not in force, or nobody is.
    """
    from affidavit.signing import EvidenceError, TrustDocument, keys_dir, load_key, load_public_key, now, read_trust

    if trust is not None and keys:
        raise EvidenceError("--trust and --key exclude each other")
    if trust is not None:
        try:
            return read_trust(trust).check(now())
        except EvidenceError as error:
            raise EvidenceError(f"{trust}: {error}" if str(trust) not in str(error) else str(error)) from error
    if keys:
        return TrustDocument.of([load_public_key(path) for path in keys])
    try:
        return TrustDocument.of([load_key(keys_dir()).public])
    except EvidenceError as error:
        raise EvidenceError(f"say whose signature counts, with --trust FILE or --key FILE ({error})") from error
