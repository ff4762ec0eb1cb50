"""Keeping keys out of everything that is written or that a sandbox sees."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

REDACTED = b"[redacted]"


class Redactor:
    """Replaces secrets in bytes: as they are, and as URLs, JSON, hexadecimal and base64 spell them.

    Args:
        secrets: eight characters each at least.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = sorted({spelling for secret in secrets for spelling in _spellings(secret)}, key=len, reverse=True)
        self._spellings = spellings
        self._pattern = re.compile(b"|".join(map(re.escape, spellings)))
        self._beginnings = tuple(
            sorted({spelling[:length] for spelling in spellings for length in range(1, len(spelling))})
        )
        self._longest = max(map(len, spellings), default=1)

    def clean(self, data: bytes) -> bytes:
        """The data without secrets."""
        # A search for each is a hundred times as fast as one for any.
        return self._pattern.sub(REDACTED, data) if any(one in data for one in self._spellings) else data

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self.clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def kept_back(self, data: bytes) -> int:
        """How many bytes at the end of `data`, which is clean, may be the beginning of a secret."""
        if not data.endswith(self._beginnings):
            return 0
        for length in range(min(self._longest - 1, len(data)), 0, -1):
            if data[-length:] in self._beginnings:
                return length
        return 0


class CleanStream:
    """Cleans a stream chunk by chunk; what may be the beginning of a secret waits for what follows it."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._waiting = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on now."""
        data = self._redactor.clean(self._waiting + chunk)
        back = self._redactor.kept_back(data)
        self._waiting = data[len(data) - back :]
        return data[: len(data) - back]

    def finish(self) -> bytes:
        """The rest."""
        rest, self._waiting = self._waiting, b""
        return rest


def _spellings(secret: str) -> Iterable[bytes]:
    raw = secret.encode()
    yield raw
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for before in range(3):
        # Of the letters that stand for the secret, the first and the last may also stand for what is around it.
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        padded = bytes(before) + raw
        yield base64.b64encode(padded)[first:last]
        yield base64.urlsafe_b64encode(padded)[first:last]
