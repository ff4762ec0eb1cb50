"""Exchanges on their way from the gateway to the decision log: one line of JSON each, in the order that they ended."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Literal

from affidavit.gateway.errors import GatewayError
from affidavit.gateway.lines import LineWriter, read_lines

Outcome = Literal["answered", "failed", "refused", "left", "unfinished"]
"""How an exchange ended: the upstream answered, also with an error that is the agent's own doing; the upstream failed;
the gateway refused; the agent went away before the end; the trial ended before it."""

OUTCOMES: tuple[Outcome, ...] = ("answered", "failed", "refused", "left", "unfinished")

_BODIES = ("request", "response")
_END = "end"


@dataclass
class Exchange:
    """One request and what came of it.

    Attributes:
        turn: its number, in the order that requests came in, from 1.
        started_ns, answered_ns, ended_ns: CLOCK_MONOTONIC, nanoseconds: it came in, the first byte of an answer was
            there (None: there was none), it was over.
        dialect, operation: as in `Operation`; empty for what no dialect has.
        method, path, query: as it came, without credentials.
        model: that was asked for.
        wire_model: that the answer says it is from.
        outcome: see Outcome.
        status: of HTTP, that the agent got; 0: none.
        reason: why it did not end well, a sentence; empty where it did.
        stripped: what was taken out of the request.
        input_tokens, output_tokens: as the answer says, else estimated from bytes.
        estimated: the answer did not say.
        request_headers, response_headers: those that were passed on.
        request: the body as it was passed on, or as it came where it was not.
        response: the body as the agent got it.
    """

    turn: int
    started_ns: int
    answered_ns: int | None = None
    ended_ns: int = 0
    dialect: str = ""
    operation: str = ""
    method: str = ""
    path: str = ""
    query: str = ""
    model: str = ""
    wire_model: str = ""
    outcome: Outcome = "unfinished"
    status: int = 0
    reason: str = ""
    stripped: list[str] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    request: bytes = b""
    response: bytes = b""


class SpoolWriter:
    """Writes exchanges to an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = LineWriter(file)
        self._written = 0

    @property
    def bytes(self) -> int:
        """Written so far."""
        return self._lines.bytes

    def write(self, exchange: Exchange) -> None:
        """Write one. Raises OSError."""
        value = {**vars(exchange)}
        for name in _BODIES:
            value[name] = base64.b64encode(value[name]).decode()
        self._lines.write(value)
        self._written += 1

    def end(self) -> None:
        """Say that there are no more. Raises OSError."""
        self._lines.write({_END: self._written})
        os.fsync(self._lines.file.fileno())


class Spool:
    """What a gateway has written. In the order of turns; whole lines only, for the gateway may have been killed.

    Attributes:
        complete: the gateway said that there are no more.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            GatewayError: it can't be read.
        """
        self._path = path
        self._places: dict[int, int] = {}
        self.complete = False
        try:
            with path.open("rb") as file:
                for place, value in read_lines(file):
                    if _END in value:
                        self.complete = value[_END] == len(self._places)
                    else:
                        self._places[value["turn"]] = place
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GatewayError(f"what the model gateway wrote can't be read: {type(error).__name__}") from error

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Exchange]:
        names = {one.name for one in fields(Exchange)}
        with self._path.open("rb") as file:
            for _, place in sorted(self._places.items()):
                file.seek(place)
                value = {name: part for name, part in json.loads(file.readline()).items() if name in names}
                for name in _BODIES:
                    value[name] = base64.b64decode(value[name])
                yield Exchange(**value)
