"""Logging on the command line: ``-v``, ``-q`` and ``AFFIDAVIT_LOG``."""

import os
import sys

from affidavit.cli.output import fail

_LEVELS = ("debug", "info", "warning", "error")


def set_up_logging(verbose: int, quiet: bool) -> None:
    """Send log messages to standard error.

    Args:
        verbose: how often ``-v`` was given: once for what is done, twice for the details.
        quiet: ``-q``: errors only, and no progress.
    """
    wanted = os.environ.get("AFFIDAVIT_LOG", "").lower()
    if wanted and wanted not in _LEVELS:
        fail(f"AFFIDAVIT_LOG={wanted}: no such level; use {', '.join(_LEVELS)}")
    if verbose and quiet:
        fail("-v and -q contradict each other; give one of them")
    if not (verbose or quiet or wanted):
        return
    # Takes milliseconds to load, and `affidavit --help` has none to spare.
    import logging

    level = "error" if quiet else ("info", "debug")[min(verbose, 2) - 1] if verbose else wanted
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("affidavit")
    logger.addHandler(handler)
    logger.setLevel(level.upper())


def is_quiet() -> bool:
    """Whether the user wants errors only."""
    import logging

    return logging.getLogger("affidavit").level >= logging.ERROR
