"""``affidavit keys``: the signing keys."""

from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json

keys_app = typer.Typer(help="Signing keys.", no_args_is_help=True, rich_markup_mode=None)

Keys = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder of the key; by default your own keys.", metavar="DIR", show_default=False),
]


@keys_app.command("new")
def new(keys: Keys = None) -> None:
    """Make a signing key (ed25519); never overwrites one.

    Your own keys are in $AFFIDAVIT_KEYS, else in ~/.config/affidavit/keys. affidavit run makes a key there if there is
    none.
    """
    from affidavit.evidence import EvidenceError, keys_dir, new_key

    try:
        key = new_key(keys or keys_dir())
    except EvidenceError as error:
        fail(error)
    typer.echo(f"made {key.key_id}\npublic key: {key.public_path}")


@keys_app.command("show")
def show(keys: Keys = None, as_json: Json = False) -> None:
    """Show the signing key, and where its public half is."""
    from affidavit.evidence import EvidenceError, keys_dir, load_key

    try:
        key = load_key(keys or keys_dir())
    except EvidenceError as error:
        fail(error)
    if as_json:
        print_json({"key_id": key.key_id, "public_key": str(key.public_path)})
    else:
        typer.echo(f"{key.key_id}\npublic key: {key.public_path}")
