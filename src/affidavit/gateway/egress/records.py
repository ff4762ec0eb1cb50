"""What an egress proxy writes down, one line of JSON each: which address stands for which host, and what became of each
connection."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from affidavit.gateway.errors import GatewayError
from affidavit.gateway.lines import LineWriter, read_lines

Outcome = Literal["passed", "refused", "failed"]
"""What became of a connection: it led to the host; it was refused here; the host could not be reached."""

_MOST_LINE = 1 << 16


@dataclass
class Connection:
    """A connection that a sandbox made.

    Attributes:
        started_ns, ended_ns: CLOCK_MONOTONIC, nanoseconds.
        name: of the host; empty where the address stands for none.
        port: of TCP.
        address: where the host was reached; empty: it was not.
        outcome: see Outcome.
        reason: why it did not lead there, a sentence; empty where it did.
        sent, received: bytes that were passed on to the host, and from it.
    """

    started_ns: int
    ended_ns: int = 0
    name: str = ""
    port: int = 0
    address: str = ""
    outcome: Outcome = "failed"
    reason: str = ""
    sent: int = 0
    received: int = 0


class EgressWriter:
    """Writes to an open file. Raises OSError."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = LineWriter(file)

    def name(self, address: str, name: str) -> None:
        """Say that an address stands for a host from now on."""
        self._lines.write({"address": address, "name": name})

    def connection(self, connection: Connection) -> None:
        """Say what became of a connection."""
        self._lines.write({"connection": asdict(connection)})

    def end(self) -> None:
        """Say that this was all."""
        self._lines.write({"end": True})


class EgressReader:
    """Reads what a proxy has written so far; whole lines only, for it may be writing, or have been killed.

    Attributes:
        names: host names by address.
        connections: that have ended.
        complete: the proxy said that this was all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0
        self.names: dict[str, str] = {}
        self.connections: list[Connection] = []
        self.complete = False

    def refresh(self) -> None:
        """Take in what came since the last time.

        Raises:
            GatewayError: it can't be read.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                for _, value in read_lines(file, _MOST_LINE):
                    self._place = file.tell()
                    self._take(value)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GatewayError(f"what the egress proxy wrote can't be read: {type(error).__name__}") from error

    def _take(self, value: dict[str, Any]) -> None:
        if "connection" in value:
            self.connections.append(Connection(**value["connection"]))
        elif "end" in value:
            self.complete = True
        else:
            self.names[value["address"]] = value["name"]
