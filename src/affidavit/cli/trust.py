"""``affidavit trust``: the file that says whose signatures count."""

import typing
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json

if typing.TYPE_CHECKING:
    from affidavit.signing import PublicKey, Trust

trust_app = typer.Typer(help="Trust files: which signatures count.", no_args_is_help=True, rich_markup_mode=None)

TrustPath = Annotated[Path, typer.Argument(help="The trust file.", metavar="FILE")]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder with the signing key; by default your own.", metavar="DIR", show_default=False),
]
Threshold = Annotated[
    int | None,
    typer.Option(
        "--threshold", help="Number of valid signatures needed.", min=1, max=64, metavar="N", show_default=False
    ),
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help="Date by which a newer version is needed.", metavar="DATE", show_default=False),
]


@trust_app.command("new")
def new(
    file: TrustPath,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="Another public key; may be repeated.", metavar="[NAME=]FILE", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of your own key.", metavar="NAME", show_default=False)
    ] = None,
    threshold: Threshold = None,
    expires: Expires = None,
    keys: Keys = None,
) -> None:
    """Make a trust file that holds your own key, and sign it."""
    from affidavit.signing import EvidenceError, Trust, keys_dir, load_key, new_trust, write_whole

    if file.exists():
        fail(f"{file}: already exists; see affidavit trust change")
    try:
        own = load_key(keys or keys_dir())
        document = new_trust([(own.public, name), *map(_named, key or ())], threshold or 1, expires)
        trust = Trust.start(document, own)
        write_whole(file, trust.data())
    except EvidenceError as error:
        fail(error)
    _tell(file, trust)


@trust_app.command("change")
def change(
    file: TrustPath,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", help="Public key to add.", metavar="[NAME=]FILE", show_default=False),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            help="Key to remove.",
            metavar="KEY",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        list[str] | None,
        typer.Option("--until", help="The end of a key's validity.", metavar="KEY=DATE", show_default=False),
    ] = None,
    revoke: Annotated[
        list[str] | None,
        typer.Option(
            "--revoke",
            help="Key that may have been compromised since that day.",
            metavar="KEY=DATE",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why a key is revoked.", metavar="TEXT")] = "no reason given",
    threshold: Threshold = None,
    expires: Expires = None,
    keys: Keys = None,
) -> None:
    """Make and sign the next version of a trust file.

    A KEY is a key's id, a prefix of it, or its name. The new version takes effect once it has enough signatures by keys
    of the version before, and enough by its own (affidavit trust sign). Without --threshold, the threshold stays;
    without --expires, the new version does not expire.
    """
    from affidavit.signing import EvidenceError, TrustChange, changed_trust, keys_dir, load_key, read_trust, write_whole

    try:
        trust = read_trust(file)
        wanted = TrustChange(
            add=tuple(_named(text) for text in add or ()),
            remove=tuple(remove or ()),
            until=dict(_dated(text) for text in until or ()),
            revoke=dict(_dated(text) for text in revoke or ()),
            reason=reason,
            threshold=threshold,
            expires=expires,
        )
        changed = trust.changed(changed_trust(trust.current, wanted), load_key(keys or keys_dir()))
        write_whole(file, changed.data())
    except EvidenceError as error:
        fail(error if str(file) in str(error) else f"{file}: {error}")
    _tell(file, changed)


@trust_app.command("sign")
def sign(file: TrustPath, keys: Keys = None) -> None:
    """Sign the last version of a trust file."""
    from affidavit.signing import EvidenceError, keys_dir, load_key, read_trust, write_whole

    try:
        trust = read_trust(file).countersigned(load_key(keys or keys_dir()))
        write_whole(file, trust.data())
    except EvidenceError as error:
        fail(error)
    _tell(file, trust)


@trust_app.command("show")
def show(file: TrustPath, as_json: Json = False) -> None:
    """Show who is trusted.

    Exit status: 0 the last version is in effect, 1 it is not, 2 usage error.
    """
    from affidavit.report import print_trust
    from affidavit.signing import EvidenceError, now, read_trust

    try:
        trust = read_trust(file)
    except EvidenceError as error:
        fail(error)
    problem = ""
    try:
        trust.check(now())
    except EvidenceError as error:
        problem = str(error)
    if as_json:
        print_json({"ok": not problem, "problem": problem or None, "trust": trust.current.plain()})
    else:
        import sys

        print_trust(trust.current, problem, now(), sys.stdout)
    raise typer.Exit(1 if problem else 0)


@trust_app.command("publish")
def publish(
    file: TrustPath,
    registry: Annotated[str, typer.Option("--registry", help="A folder or git+URL.", metavar="R", show_default=False)],
    keys: Keys = None,
) -> None:
    """Publish a trust file, or its new versions, in a registry, which is made if it does not exist."""
    from affidavit.contracts import RegistryError, publish_trust
    from affidavit.signing import EvidenceError, keys_dir, load_key, read_trust

    try:
        trust = read_trust(file)
        published = publish_trust(registry, load_key(keys or keys_dir()), trust)
    except (EvidenceError, RegistryError) as error:
        fail(error)
    said = "published" if published.is_new else "is published already:"
    typer.echo(f"{said} version {trust.current.version} of the trust document in {registry}")


def _named(text: str) -> "tuple[PublicKey, str | None]":
    """A public key with its name, from ``[NAME=]FILE``. Raises EvidenceError."""
    from affidavit.signing import load_public_key

    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return load_public_key(Path(path)), name
    return load_public_key(Path(text)), None


def _dated(text: str) -> tuple[str, str]:
    """Key and date of ``KEY=DATE``. Raises EvidenceError."""
    from affidavit.signing import EvidenceError

    key, equals, date = text.rpartition("=")
    if not equals:
        raise EvidenceError(f"{text!r}: must be KEY=DATE")
    return key, date


def _tell(file: Path, trust: "Trust") -> None:
    missing = trust.missing()
    said = f"{missing}; its owners run: affidavit trust sign {file}" if missing else "is signed as it must be"
    typer.echo(f"{file}: version {trust.current.version} {said}")
