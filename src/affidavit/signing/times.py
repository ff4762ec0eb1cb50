"""Points in time as RFC 3339 texts in UTC, to the second: ``2026-11-21T06:30:00Z``. They sort as they follow."""

import re
import time
from datetime import UTC, datetime

from affidavit.signing.errors import EvidenceError

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def now() -> str:
    """The time by this machine's clock."""
    return time.strftime(_FORMAT, time.gmtime())


def point_in_time(text: str) -> str:
    """A time as it is written here, from itself or from a date alone, which is its first second.

    Raises:
        EvidenceError: it is neither.
    """
    full = f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text
    try:
        parsed = datetime.strptime(full, _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        parsed = None
    # strptime takes 2026-1-1 too, which would not sort.
    if parsed is None or parsed.strftime(_FORMAT) != full:
        raise EvidenceError(f"must be a date or a time such as 2026-12-31 or 2026-12-31T23:59:59Z, not {text[:60]!r}")
    return full
