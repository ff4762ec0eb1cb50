"""What is said of the hosts that an agent could reach: the facts in the statement, checked against the record."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from affidavit.events import named_rows
from affidavit.evidence.bundle import BundleReader
from affidavit.gateway import Connection
from affidavit.signing import EvidenceError

NETWORK_FACTS = "agent/network.json"

_OUTCOMES = ("passed", "refused", "failed")


def network_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the statement says of ``agent/network.json``.

    Raises:
        EvidenceError: the facts are none.
    """
    try:
        connections = [Connection(**one) for one in facts["connections"]]
        names = {str(address): str(name) for address, name in facts["names"].items()}
        counts = {name: sum(one.outcome == name for one in connections) for name in _OUTCOMES}
        if sum(counts.values()) != len(connections):
            raise EvidenceError(f"{NETWORK_FACTS}: a connection has an outcome that there is not")
        if strangers := {one.name for one in connections} - {"", *names.values()}:
            raise EvidenceError(
                f"{NETWORK_FACTS}: a connection leads to {min(strangers)[:100]!r}, which has no address"
            )
        return {
            "endpoints": facts["endpoints"],
            "addresses": facts["addresses"],
            "hosts": len(names),
            "connections": counts,
            "complete": facts["complete"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{NETWORK_FACTS}: is not what a run writes: {type(error).__name__}") from error


def network_fault(summary: Mapping[str, Any]) -> str | None:
    """Why nobody can know what passed between an agent and the hosts that it reached; None where it is known."""
    if summary.get("complete") is True:
        return None
    return "the egress proxy ended before the agent did, so what the agent could reach is not known"


def read_network_facts(reader: BundleReader) -> dict[str, Any] | None:
    """``agent/network.json``; None where the agent could reach no hosts. Raises EvidenceError."""
    return reader.json_object(NETWORK_FACTS) if NETWORK_FACTS in reader.names() else None


def check_network(reader: BundleReader, stated: Any) -> str:
    """Check ``agent/network.json`` against the statement, and the names in the record against it.

    Args:
        reader: of the bundle.
        stated: what the statement says of the network.

    Returns:
        A sentence on it.

    Raises:
        EvidenceError, TraceError: something is not so.
    """
    facts = read_network_facts(reader)
    if facts is None or network_summary(facts) != stated:
        raise EvidenceError(f"{NETWORK_FACTS}: is not what the statement says of the network")
    for batch in reader.events("agent"):
        _check_names(batch, facts["names"])
    reached = sorted({one["name"] for one in facts["connections"] if one["outcome"] == "passed"})
    counts = stated["connections"]
    return (
        f"{counts['passed']} connections to {len(reached)} hosts, {counts['refused']} refused, {counts['failed']} "
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
