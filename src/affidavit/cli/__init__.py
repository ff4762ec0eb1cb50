"""The command line. Thin: each command imports what it needs when it runs, so that ``--help`` stays quick."""

from affidavit.cli.app import main

__all__ = ["main"]
