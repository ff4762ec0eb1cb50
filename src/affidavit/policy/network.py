"""Which uses of the network break a rule."""

import ipaddress
from typing import Any

import numpy as np
import numpy.typing as npt

from affidavit.contracts import Endpoint
from affidavit.events import OPS, Op
from affidavit.policy import sentences
from affidavit.policy.columns import Batch
from affidavit.policy.findings import Findings

_CODES = {Op(name): code for code, name in enumerate(OPS)}
_DNS_PORT = 53
# socket(7): AF_UNSPEC (which disconnects), AF_UNIX, AF_NETLINK (the sandbox's own kernel interface).
_LOCAL_FAMILIES = (0, 1, 16)
# Sockets that are made for nothing else than to go round the addresses that can be judged.
_RAW = ("raw", "packet", "family-40")
_OWN_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


class NetworkCheck:
    """The rule network.endpoints: whatever is not the sandbox itself must be allowed, attempts included.

    Asking a name server is an attempt to reach the network by name, even where the server would be on the loopback
    interface (where the C library looks when it is told of none), unless a host is allowed by name.

    Args:
        endpoints: what may be reached.
        forbidden: operations.unexpected_network is forbidden too.
    """

    def __init__(self, endpoints: tuple[str, ...], forbidden: bool) -> None:
        self._endpoints = [Endpoint.parse(text) for text in endpoints]
        self._by_name = any(endpoint.host for endpoint in self._endpoints)
        self._rules = ["network.endpoints", *(["operations.unexpected_network"] if forbidden else [])]

    def check(self, batch: Batch, ops: npt.NDArray[Any], findings: Findings) -> None:
        """Judge a batch."""
        wanted = [_CODES[op] for op in (Op.CONNECT, Op.SENDTO, Op.DNS, Op.SOCKET)]
        rows = np.flatnonzero(np.isin(ops, wanted))
        if not len(rows):
            return
        addresses, names, kinds = batch.names("addr"), batch.names("path2"), batch.names("proto")
        op, family = ops[rows], batch.numbers("flags")[rows]
        # Judged once for each distinct combination.
        table = np.stack(
            [
                op.astype(np.int64),
                family,
                addresses.codes[rows],
                batch.numbers("port")[rows].astype(np.int64),
                np.where(op == _CODES[Op.DNS], names.codes[rows], -1),
                kinds.codes[rows],
            ],
            axis=1,
        )
        unique, inverse = np.unique(table, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        reached: list[str | None] = []
        for op_code, family_number, addr, port, name, kind in unique.tolist():
            address = None if addr < 0 else addresses.distinct[addr].as_py()
            asked = None if name < 0 else names.distinct[name].as_py()
            protocol = None if kind < 0 else kinds.distinct[kind].as_py()
            reached.append(self._reached(Op(OPS[op_code]), family_number, address, port, asked, protocol))
        mask = np.array([text is not None for text in reached])[inverse]
        chosen = np.flatnonzero(mask)
        bad_rows, keys = rows[chosen], inverse[chosen]

        def message(index: int) -> str:
            row = int(bad_rows[index])
            who = sentences.process(
                batch.names("exe").at(row), batch.names("comm").at(row), int(batch.numbers("pid")[row])
            )
            of = sentences.shown(reached[int(keys[index])] or "")
            if ops[row] == _CODES[Op.SOCKET]:
                return f"{who} asked for {of}, which the contract does not allow"
            deed = sentences.act(OPS[int(ops[row])], of, int(batch.numbers("ret")[row]))
            return f"{who} {deed}, which the contract does not allow"

        for rule in self._rules:
            findings.add(
                rule,
                "high",
                batch.numbers("seq")[bad_rows],
                keys,
                lambda codes: [reached[code] for code in codes.tolist()],
                message,
            )

    def _reached(
        self, op: Op, family: int, address: str | None, port: int, asked: str | None, protocol: str | None
    ) -> str | None:
        """What is reached for that may not be; None where nothing is."""
        if op == Op.SOCKET:
            return f"a {protocol} socket" if protocol in _RAW else None
        if op == Op.DNS:
            name = asked or "a name"
            if name.lower().rstrip(".") in _OWN_NAMES or any(e.allows_name(name) for e in self._endpoints):
                return None
            return name
        if address is None:
            # A send without an address goes where connect said. 0: no family known (sendto).
            if op == Op.SENDTO or family in (*_LOCAL_FAMILIES, 2, 10):
                return None
            return f"an address of family {family}"
        if address.startswith("@") or family == 1:
            return None
        number = port if port >= 0 else None
        try:
            # gVisor writes the unspecified address as nothing at all.
            ip = ipaddress.ip_address(address.partition("%")[0] or "0.0.0.0")
        except ValueError:
            return f"{address}:{port}"
        if any(endpoint.allows_address(ip, number, protocol) for endpoint in self._endpoints):
            return None
        # The unspecified address is the sandbox itself when it is connected to.
        if ip.is_loopback or ip.is_unspecified:
            if number != _DNS_PORT or self._by_name:
                return None
            return f"a name server ({address})"
        return f"[{address}]:{port}" if ip.version == 6 else f"{address}:{port}"
