"""The addresses that stand for host names in a sandbox, and the names in events."""

import ipaddress
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events.schema import EVENT_SCHEMA, Op

NAMED_ADDRESSES = ipaddress.IPv4Network("198.18.0.0/15")
"""What a sandbox gets for the address of a host that it may reach by name (RFC 2544, 18: no host of the Internet has
one of these)."""

_BEGINNINGS = ("198.18.", "198.19.")
_OPS = (Op.CONNECT, Op.SENDTO)


def named_rows(batch: pa.RecordBatch) -> list[int]:
    """The rows in which something was sent to an address that may stand for a host.

    Args:
        batch: of EVENT_SCHEMA.
    """
    addresses, ops = batch.column("addr"), batch.column("op")
    chosen = [text is not None and text.startswith(_BEGINNINGS) for text in addresses.dictionary.to_pylist()]
    if not any(chosen):
        return []
    sent = pa.array([op in _OPS for op in ops.dictionary.to_pylist()], pa.bool_()).take(ops.indices)
    there = pa.array(chosen, pa.bool_()).take(addresses.indices)
    rows: list[int] = pc.indices_nonzero(pc.fill_null(pc.and_(sent, there), False)).to_pylist()
    return rows


def with_host_names(batch: pa.RecordBatch, names: Mapping[str, str]) -> pa.RecordBatch:
    """The events, with the name of the host in ``path2`` where something was sent to its address.

    Args:
        batch: of EVENT_SCHEMA.
        names: host names by address.
    """
    rows = named_rows(batch)
    if not rows:
        return batch
    addresses = batch.column("addr")
    written = batch.column("path2").cast(pa.utf8()).to_pylist()
    for row in rows:
        written[row] = names.get(addresses[row].as_py(), written[row])
    place = EVENT_SCHEMA.get_field_index("path2")
    return batch.set_column(place, EVENT_SCHEMA.field(place), pa.array(written, pa.utf8()).dictionary_encode())
