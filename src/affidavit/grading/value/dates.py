"""Days and moments that an agent wrote."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

_LONGEST = 64


def parse_date(text: str, formats: Sequence[str]) -> date | datetime | None:
    """A day (date) or a moment (datetime with an offset; UTC where it has none); None where the text is neither.

    Args:
        text: ISO 8601, or in one of `formats`.
        formats: as strptime has them.
    """
    text = text.strip()
    # Digits of ASCII only, which is not what strptime takes for one.
    if any(letter.isdigit() and not letter.isascii() for letter in text[:_LONGEST]):
        return None
    if not 8 <= len(text) <= _LONGEST or not text.isascii():
        return _formatted(text, formats)
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return _zoned(datetime.fromisoformat(text))
    except ValueError:
        return _formatted(text, formats)


def same_date(found: date | datetime, expected: date | datetime, tolerance_s: float) -> bool:
    """Whether it is the same day, where a day is expected, or the same moment within the tolerance."""
    if not isinstance(expected, datetime):
        day = found.date() if isinstance(found, datetime) else found
        return abs((day - expected).total_seconds()) <= tolerance_s
    if not isinstance(found, datetime):
        return False
    return abs(found - _zoned(expected)) <= timedelta(seconds=tolerance_s)


def _formatted(text: str, formats: Sequence[str]) -> date | datetime | None:
    if len(text) > _LONGEST:
        return None
    for form in formats:
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            continue
        # A format without a time of day tells a day.
        timed = any(code in form for code in ("%H", "%I", "%M", "%S", "%f", "%c", "%X", "%s", "%T"))
        return _zoned(found) if timed else found.date()
    return None


def _zoned(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
