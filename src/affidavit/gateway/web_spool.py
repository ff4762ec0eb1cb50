"""What a web server tells the trial that it serves: one line of JSON for each answer that it fetched, and for each
request that it had no answer to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from affidavit.gateway.errors import GatewayError
from affidavit.gateway.lines import LineWriter, read_lines
from affidavit.gateway.web_cache import MOST_ANSWERS, CachedAnswer

MOST_MISSES = 100
_MOST_LINE = 1 << 20
_MOST_URL = 1000


class WebSpoolWriter:
    """Writes to an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = LineWriter(file)
        self._missed: set[str] = set()

    def fetched(self, answer: CachedAnswer) -> None:
        """An answer was fetched. Raises OSError."""
        self._lines.write({"fetched": answer.to_json()})

    def missed(self, what: str) -> None:
        """There was no answer to a request. Raises OSError."""
        if what not in self._missed and len(self._missed) < MOST_MISSES:
            self._missed.add(what)
            self._lines.write({"missed": what[:_MOST_URL]})

    def end(self) -> None:
        """There is no more. Raises OSError."""
        self._lines.write({"end": True})


@dataclass(frozen=True)
class WebSpool:
    """What a web server recorded.

    Attributes:
        fetched: answers.
        missed: requests without one, method and URL.
        complete: the server has said that there is no more.
    """

    fetched: Sequence[CachedAnswer]
    missed: Sequence[str]
    complete: bool

    @classmethod
    def read(cls, path: Path) -> "WebSpool":
        """
        Raises:
            GatewayError: it can't be read.
        """
        fetched: list[CachedAnswer] = []
        missed: list[str] = []
        complete = False
        try:
            with path.open("rb") as file:
                for _, told in read_lines(file, _MOST_LINE):
                    if len(fetched) > MOST_ANSWERS or len(missed) > MOST_MISSES:
                        break
                    match told:
                        case {"fetched": value}:
                            fetched.append(CachedAnswer.from_json(value))
                        case {"missed": str(what)}:
                            missed.append(what)
                        case {"end": True}:
                            complete = True
        except (OSError, ValueError) as error:
            raise GatewayError(f"what the web server wrote can't be read: {type(error).__name__}") from error
        return cls(fetched, missed, complete)
