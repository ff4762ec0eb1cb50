"""Which uses of the network break a rule."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from affidavit.contracts import Attempts, Endpoint
from affidavit.events import NAMED_ADDRESSES, OPS, Op
from affidavit.policy import sentences
from affidavit.policy.attempts import Outcome, came_to_nothing
from affidavit.policy.columns import Batch, Names
from affidavit.policy.endpoint_match import ip_of
from affidavit.policy.findings import Findings
from affidavit.policy.scoping import Lists, Sets

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
    interface (where the C library looks when none is configured), unless a host is allowed by name.

    Args:
        lists_of: what holds for a process in some scopes.
        forbidden: operations.unexpected_network is forbidden too.
        attempts_for: what a refused act is that breaks a rule.
    """

    def __init__(
        self, lists_of: Callable[[int], Lists], forbidden: bool, attempts_for: Callable[[str], Attempts]
    ) -> None:
        self._attempts_for = attempts_for
        self._lists_of = lists_of
        self._forbidden = forbidden
        self._parsed: dict[int, _Allowed] = {}

    def check(self, batch: Batch, ops: npt.NDArray[Any], findings: Findings, sets: Sets | None = None) -> None:
        """Judge a batch.

        Args:
            sets: for each row the scopes that its process is in; None: none is in any.
        """
        wanted = [_CODES[op] for op in (Op.CONNECT, Op.SENDTO, Op.DNS, Op.SOCKET)]
        rows = np.flatnonzero(np.isin(ops, wanted))
        if not len(rows):
            return
        addresses, names, kinds = batch.names("addr"), batch.names("path2"), batch.names("proto")
        op, family = ops[rows], batch.numbers("flags")[rows]
        # Something was sent to the address that stands for a host, which the record names.
        hosts = self._named(addresses, names, rows)
        # Judged once for each distinct combination.
        table = np.stack(
            [
                op.astype(np.int64),
                family,
                addresses.codes[rows],
                batch.numbers("port")[rows].astype(np.int64),
                np.where((op == _CODES[Op.DNS]) | hosts, names.codes[rows], -1),
                kinds.codes[rows],
                np.zeros(len(rows), np.int64) if sets is None else sets[rows],
            ],
            axis=1,
        )
        unique, inverse = np.unique(table, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        reached: list[str | None] = []
        for op_code, family_number, addr, port, name, kind, inside in unique.tolist():
            address = None if addr < 0 else addresses.distinct[addr].as_py()
            asked = None if name < 0 else names.distinct[name].as_py()
            protocol = None if kind < 0 else kinds.distinct[kind].as_py()
            allowed = self._allowed(inside)
            reached.append(allowed.lacks(Op(OPS[op_code]), family_number, address, port, asked, protocol))
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

        inside_of = unique[:, -1][keys]
        rules = {one: self._lists_of(one).rules["network.endpoints"] for one in np.unique(inside_of).tolist()}
        masks = {name: np.isin(inside_of, [one for one in rules if rules[one] == name]) for name in rules.values()}
        if self._forbidden:
            masks["operations.unexpected_network"] = np.ones(len(keys), np.bool_)
        fruitless = came_to_nothing(batch.numbers("ret")[bad_rows]) | self._inside(addresses, bad_rows)
        # An address that stands for no host leads nowhere.
        fruitless |= self._stands(addresses, bad_rows) & ~self._named(addresses, names, bad_rows)

        def put(rule: str, mask: npt.NDArray[np.bool_], outcome: Outcome | None) -> None:
            places = np.flatnonzero(mask)
            findings.add(
                rule,
                "high",
                batch.numbers("seq")[bad_rows[places]],
                keys[places],
                lambda codes: [reached[code] for code in codes.tolist()],
                lambda index: message(int(places[index])),
                outcome=outcome,
            )

        for rule, mask in sorted(masks.items()):
            attempted = mask & fruitless & (self._attempts_for(rule) == "record")
            put(rule, attempted, "refused")
            put(rule, mask & ~attempted, None)

    @staticmethod
    def _inside(addresses: Names, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which addresses are the sandbox's own: what is sent there, whoever listens, leaves it never."""
        texts = addresses.distinct.to_pylist()
        ips = [ip_of(text) for text in texts]
        own = np.array([ip is not None and (ip.is_loopback or ip.is_unspecified) for ip in ips], np.bool_)
        return addresses.spread(own, False)[rows] if len(texts) else np.zeros(len(rows), np.bool_)

    @staticmethod
    def _stands(addresses: Names, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which addresses may stand for a host."""
        texts = addresses.distinct.to_pylist()
        stands = np.array([(ip := ip_of(text)) is not None and ip in NAMED_ADDRESSES for text in texts], np.bool_)
        return addresses.spread(stands, False)[rows] if len(texts) else np.zeros(len(rows), np.bool_)

    def _named(self, addresses: Names, names: Names, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which of them do, by the record."""
        named: npt.NDArray[np.bool_] = names.codes[rows] >= 0
        return self._stands(addresses, rows) & named

    def _allowed(self, inside: int) -> "_Allowed":
        if inside not in self._parsed:
            self._parsed[inside] = _Allowed(self._lists_of(inside).endpoints)
        return self._parsed[inside]


class _Allowed:
    """Lists of endpoints, each of which must allow what is reached."""

    def __init__(self, lists: tuple[tuple[str, ...], ...]) -> None:
        self._lists = [[Endpoint.parse(text) for text in endpoints] for endpoints in lists]

    def _all(self, allows: Callable[[Endpoint], bool]) -> bool:
        return all(any(allows(endpoint) for endpoint in endpoints) for endpoints in self._lists)

    def lacks(
        self, op: Op, family: int, address: str | None, port: int, asked: str | None, protocol: str | None
    ) -> str | None:
        """What is reached for that may not be; None where nothing is."""
        if op == Op.SOCKET:
            return f"a {protocol} socket" if protocol in _RAW else None
        if op == Op.DNS:
            name = asked or "a name"
            if name.lower().rstrip(".") in _OWN_NAMES or self._all(lambda e: e.allows_name(name)):
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
        if asked is not None:
            # Nothing but TCP leads to a host: what else is sent to its address, a resolver's probes say, stays here.
            inside = protocol == "udp"
            if self._all(lambda e: e.allows_name(asked) and (inside or e.allows_port(number, protocol))):
                return None
            return f"{asked}:{port}"
        ip = ip_of(address)
        if ip is None:
            return f"{address}:{port}"
        if self._all(lambda endpoint: endpoint.allows_address(ip, number, protocol)):
            return None
        # The unspecified address is the sandbox itself when it is connected to.
        if ip.is_loopback or ip.is_unspecified:
            if number != _DNS_PORT or self._all(lambda endpoint: endpoint.host is not None):
                return None
            return f"a name server ({address})"
        return f"[{address}]:{port}" if ip.version == 6 else f"{address}:{port}"
