"""What is said of the hosts that an agent could reach: the facts in the statement, checked against the record."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from affidavit.events import named_rows
from affidavit.evidence.bundle import BundleReader
from affidavit.evidence.document import Document, Texts
from affidavit.evidence.statement import TrialFacts
from affidavit.signing import EvidenceError

NETWORK_FACTS = "agent/network.json"


class ConnectionCounts(Document):
    """How many connections were passed on, refused, and failed."""

    passed: int
    refused: int
    failed: int


class NetworkFacts(Document):
    """What a statement says of the hosts that an agent could reach: ``predicate.network``.

    Attributes:
        endpoints: that it could reach, as contracts spell them.
        addresses: where hosts are, by name, by the user's word.
        hosts: how many names have an address of their own.
        connections: by outcome.
        complete: the egress proxy lived as long as the agent.
    """

    endpoints: Texts
    addresses: dict[str, str]
    hosts: int
    connections: ConnectionCounts
    complete: bool

    @property
    def fault(self) -> str | None:
        """Why nobody can know what passed between the agent and the hosts that it reached; None where it is known."""
        if self.complete:
            return None
        return "the egress proxy ended before the agent did, so what the agent could reach is not known"


class ConnectionRow(Document):
    """A connection of ``agent/network.json``; see `affidavit.gateway.Connection`."""

    started_ns: int
    ended_ns: int
    name: str
    port: int
    address: str
    outcome: Literal["passed", "refused", "failed"]
    reason: str
    sent: int
    received: int


class NetworkDocument(Document):
    """``agent/network.json``: which hosts an agent could reach, and each connection that it made.

    Attributes:
        endpoints, addresses, complete: see `NetworkFacts`.
        names: of hosts, by the address that stands for each.
        connections: in the order in which they began.
    """

    endpoints: Texts
    addresses: dict[str, str]
    names: dict[str, str]
    connections: Annotated[tuple[ConnectionRow, ...], Field(strict=False)]
    complete: bool

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if strangers := {one.name for one in self.connections} - {"", *self.names.values()}:
            raise ValueError(f"a connection leads to {min(strangers)[:100]!r}, which has no address")
        return self

    @property
    def facts(self) -> NetworkFacts:
        """What the statement says of it."""
        counts = Counter(one.outcome for one in self.connections)
        return NetworkFacts(
            endpoints=self.endpoints,
            addresses=self.addresses,
            hosts=len(self.names),
            connections=ConnectionCounts(passed=counts["passed"], refused=counts["refused"], failed=counts["failed"]),
            complete=self.complete,
        )


def read_network(reader: BundleReader) -> NetworkDocument | None:
    """``agent/network.json``; None where the agent could reach no hosts. Raises EvidenceError."""
    if NETWORK_FACTS not in reader.names():
        return None
    return NetworkDocument.read(NETWORK_FACTS, reader.json_object(NETWORK_FACTS))


def stated_network(facts: TrialFacts) -> NetworkFacts | None:
    """What a statement says of the hosts; None where it says nothing. Raises EvidenceError."""
    stated = (facts.model_extra or {}).get("network")
    return None if stated is None else NetworkFacts.read("the statement's network", stated)


def check_network(reader: BundleReader, facts: TrialFacts) -> str:
    """Check ``agent/network.json`` against the statement, and the names in the record against it.

    Args:
        reader: of the bundle.
        facts: the statement's.

    Returns:
        A sentence on it.

    Raises:
        EvidenceError, TraceError: something is not so.
    """
    written = read_network(reader)
    if written is None or written.facts.to_json() != (facts.model_extra or {}).get("network"):
        raise EvidenceError(f"{NETWORK_FACTS}: is not what the statement says of the network")
    for batch in reader.events("agent"):
        _check_names(batch, written.names)
    reached = {one.name for one in written.connections if one.outcome == "passed"}
    counts = written.facts.connections
    return (
        f"{counts.passed} connections to {len(reached)} hosts, {counts.refused} refused, {counts.failed} "
        "failed; the record has their names"
    )


def _check_names(batch: pa.RecordBatch, names: Mapping[str, str]) -> None:
    """A name in the record is the one that the address stands for. An event may lack it: a sandbox may try an address
    before it stands for anything."""
    for row in named_rows(batch):
        name, address = batch.column("path2")[row].as_py(), batch.column("addr")[row].as_py()
        if name is not None and name != names.get(address):
            seq = batch.column("seq")[row].as_py()
            raise EvidenceError(f"agent/events.parquet: event {seq}: {name[:100]!r} is not the name of its address")
