"""Which events are about given endpoints."""

import ipaddress

import numpy as np
import numpy.typing as npt

from affidavit.contracts import Endpoint
from affidavit.events import NAMED_ADDRESSES, Op
from affidavit.policy.columns import Batch


def reaches(batch: Batch, endpoints: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """For each event whether its address, or the name that it asks for, is one of some endpoints."""
    allowed = [Endpoint.parse(text) for text in endpoints]
    addresses, asked, kinds = batch.names("addr"), batch.names("path2"), batch.names("proto")
    ops = batch.names("op")
    dns = np.array([op == Op.DNS for op in ops.distinct.to_pylist()], np.bool_)
    is_dns = ops.spread(dns, False)
    texts = addresses.distinct.to_pylist()
    stands = np.array([(ip := ip_of(text)) is not None and ip in NAMED_ADDRESSES for text in texts], np.bool_)
    # The address of a host that the record names; the name says which.
    is_host = addresses.spread(stands, False) & (asked.codes >= 0) & ~is_dns
    mask = np.zeros(batch.rows, np.bool_)
    rows = np.flatnonzero((addresses.codes >= 0) | is_dns)
    if not len(rows):
        return mask
    table = np.stack(
        [
            addresses.codes[rows],
            batch.numbers("port")[rows],
            kinds.codes[rows],
            np.where(is_dns[rows] | is_host[rows], asked.codes[rows], -1),
            is_host[rows],
        ],
        axis=1,
    )
    unique, inverse = np.unique(table, axis=0, return_inverse=True)
    found = []
    for addr, port, kind, name, host in unique.tolist():
        number = port if port >= 0 else None
        protocol = None if kind < 0 else kinds.distinct[kind].as_py()
        if name >= 0:
            text = asked.distinct[name].as_py()
            named = [endpoint for endpoint in allowed if endpoint.allows_name(text)]
            found.append(any(not host or one.allows_port(number, protocol) for one in named))
            continue
        address = None if addr < 0 else ip_of(addresses.distinct[addr].as_py())
        found.append(address is not None and any(one.allows_address(address, number, protocol) for one in allowed))
    mask[rows] = np.array(found, np.bool_)[inverse.reshape(-1)]
    return mask


def ip_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as records spell it; None where it is none (an abstract unix socket)."""
    try:
        # gVisor writes the unspecified address as nothing at all.
        return ipaddress.ip_address(text.partition("%")[0] or "0.0.0.0")
    except ValueError:
        return None
