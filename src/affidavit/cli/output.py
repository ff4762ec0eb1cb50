"""What all commands share: shared flags, JSON output and errors."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

USAGE_ERROR = 2

RootfsOutside = Annotated[
    bool, typer.Option("--rootfs-outside", help="Let tasks use root file systems outside of their folders.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]


def fail(message: object, status: int = USAGE_ERROR) -> NoReturn:
    """Print one line on standard error, and exit."""
    from affidavit.report import printable

    # It may name what somebody else has written.
    line = printable(" ".join(str(message).split()))
    typer.echo(f"affidavit: {line}", err=True)
    raise typer.Exit(status)


@contextmanager
def interruptible(kept: str = "") -> Iterator[None]:
    """Exit with status 130 on an interrupt, once the sandboxes of the block are gone. `kept`: what is left, for the
    message."""
    try:
        yield
    except KeyboardInterrupt:
        # All is done but to say so: impatience must not break that off.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        fail(f"interrupted; every sandbox is gone{kept}", 130)


def print_json(document: object) -> None:
    """The one document on standard output."""
    # In ASCII: names that are not UTF-8 then need no encoding that has room for them.
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
