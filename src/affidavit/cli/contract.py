"""``affidavit contract``: writing, signing, comparing and publishing contracts."""

import sys
import typing
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.cli.output import Json, fail, print_json

if typing.TYPE_CHECKING:
    from affidavit.contracts import Contract
    from affidavit.signing import TrustDocument

_MOST_BYTES = 4 << 20

contract_app = typer.Typer(
    help="Contracts: write, check, sign, verify and compare them.", no_args_is_help=True, rich_markup_mode=None
)

ContractFile = Annotated[Path, typer.Argument(help="A contract's file.", metavar="CONTRACT")]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        help="Folder with the signing key; by default your own (affidavit keys show).",
        metavar="DIR",
        show_default=False,
    ),
]
TrustFile = Annotated[
    Path | None,
    typer.Option("--trust", help="Trust file: which signatures count.", metavar="FILE", show_default=False),
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

    Other people's signatures of the same content are kept.
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
def verify(
    contract: ContractFile,
    trust: TrustFile = None,
    key: PublicKeys = None,
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            help="Registry in which it must be published: a folder or git+URL.",
            metavar="R",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check who signed a contract.

    Shows whether each signature is valid, and whether there are enough valid ones. The registry or the trust file sets
    which signatures count; without either, and without --key, only your own key counts.

    Exit status: 0 signed (and published) as required, 1 not, 2 usage error.
    """
    from affidavit.contracts import ContractError, RegistryError, load_signature, standing, standing_in
    from affidavit.report import print_standing
    from affidavit.signing import EvidenceError, read_trust

    try:
        read = _read(contract)
        trusted = None if registry is not None else _trusted(trust, key)
        given = None if registry is None or trust is None else read_trust(trust)
    except (ContractError, EvidenceError) as error:
        fail(error)
    try:
        envelope = load_signature(contract, read.document)
    except ContractError as error:
        fail(error, 1)
    try:
        if trusted is not None:
            found = standing(envelope, trusted)
        else:
            found = standing_in(registry or "", read, envelope, given)
    except (EvidenceError, RegistryError) as error:
        fail(error)
    if as_json:
        signatures = found.examined.signatures if found.examined else ()
        document: dict[str, Any] = {
            "ok": found.ok,
            "problem": found.problem or None,
            "contract": {"id": read.id, "version": read.version, "digest": read.digest},
            "threshold": found.threshold,
            "signatures": [
                {"key": s.key_id, "state": str(s.state), "name": s.name, "detail": s.detail} for s in signatures
            ],
            "entry": found.entry,
        }
        print_json(document)
    else:
        print_standing(read, found, registry, sys.stdout)
    raise typer.Exit(0 if found.ok else 1)


@contract_app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The contract as it was.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The contract as it is now.", metavar="NEW")],
    as_json: Json = False,
) -> None:
    """Show what a new version of a contract allows or forbids compared with the old one.

    Loosening a contract needs a major version, tightening a minor one, and anything else a patch. A change that can't
    be shown to allow nothing new counts as loosening.

    Exit status: 0 the version fits (or nothing changed), 1 it does not, 2 usage error.
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


Registry = Annotated[
    str, typer.Option("--registry", help="A folder, or git+URL for a git repository.", metavar="R", show_default=False)
]


@contract_app.command()
def publish(contract: ContractFile, registry: Registry, trust: TrustFile = None, keys: Keys = None) -> None:
    """Publish a signed contract in a registry.

    A published version never changes. The version number must match the changes (affidavit contract diff), and the
    contract must have the signatures that the registry's trust document demands. A new registry needs --trust.
    """
    from affidavit.contracts import ContractError, RegistryError, load_contract, publish_contract
    from affidavit.signing import EvidenceError, keys_dir, load_key, read_trust

    try:
        read = load_contract(contract)
        trusted = None if trust is None else read_trust(trust)
        done = publish_contract(registry, read, load_key(keys or keys_dir()), trusted)
    except (ContractError, EvidenceError, RegistryError) as error:
        fail(error)
    said = "published" if done.is_new else "is published already, nothing was written:"
    typer.echo(f"{said} {read.id}@{read.version} {read.digest} as entry {done.index} of {registry}")


@contract_app.command()
def log(
    registry: Registry,
    since: Annotated[
        int | None,
        typer.Option("--since", help="Prove that the first N entries are still the same.", min=1, metavar="N"),
    ] = None,
    trust: TrustFile = None,
    as_json: Json = False,
) -> None:
    """Check a registry, and show what was published in it.

    Checks the head's signature, every entry, contract and signature, the trust document, and that nothing has changed
    since the registry was last read.
    """
    from affidavit.contracts import RegistryError, audit
    from affidavit.report import print_log
    from affidavit.signing import EvidenceError, consistency_proof, read_trust

    try:
        audited = audit(registry, None if trust is None else read_trust(trust))
        view = audited.view
        proof = None if since is None else [node.hex() for node in consistency_proof(view.leaves, since)]
    except (EvidenceError, RegistryError) as error:
        fail(error)
    except IndexError:
        fail(f"--since {since}: the log has {view.head.size} entries")
    if as_json:
        document = {
            "registry": view.location,
            "size": view.head.size,
            "root": f"sha256:{view.head.root.hex()}",
            "at": view.head.at,
            "signed_by": view.head.envelope.key_id,
            "consistency": proof,
            "entries": [
                {**entry.model_dump(mode="json"), "state": state or None}
                for entry, state in zip(view.entries, audited.states, strict=True)
            ],
        }
        print_json(document)
    else:
        print_log(audited, sys.stdout)


@contract_app.command()
def pull(
    reference: Annotated[str, typer.Argument(help="ID@VERSION.", metavar="REFERENCE")],
    registry: Registry,
    out: Annotated[Path, typer.Option("--out", help="The file to write.", metavar="FILE")] = Path("contract.json"),
    trust: TrustFile = None,
) -> None:
    """Download a published contract, its signatures and its proof of publication from a registry."""
    from affidavit.contracts import RegistryError, canonical_bytes, published_contract, signature_path
    from affidavit.signing import EvidenceError, canonical_json, read_trust, write_whole

    beside = signature_path(out)
    proof = out.with_name(out.stem + ".proof.json")
    try:
        found = published_contract(registry, reference, None if trust is None else read_trust(trust))
        if taken := [path for path in (out, beside, proof) if path.exists()]:
            fail(f"{taken[0]}: already exists; choose another file with --out")
        if found.signature is not None and found.publication is not None:
            write_whole(beside, canonical_json(found.signature.to_json()) + b"\n")
            write_whole(proof, canonical_json(found.publication.to_json()) + b"\n")
        write_whole(out, canonical_bytes(found) + b"\n")
    except (EvidenceError, RegistryError) as error:
        fail(error)
    typer.echo(f"{out}: {found.id} {found.version} {found.digest}, {found.examined}")


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
