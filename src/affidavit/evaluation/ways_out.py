"""The ways out of an agent's sandbox, all of which the host serves: to its model, and to hosts by name."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self

from affidavit.evaluation.model_access import ModelAccess
from affidavit.evaluation.services import RunningServices, resolver_layer
from affidavit.evidence import NETWORK_FACTS, BundleWriter, ConnectionRow, NetworkDocument, NetworkFacts
from affidavit.gateway import EgressProcess, EgressSettings, GatewaySettings
from affidavit.sandbox import NetworkNamespace


class WaysOut:
    """The ways out of one sandbox. A context manager: closes them.

    Attributes:
        network: path of the namespace that the sandbox must be in; empty: it has none of these ways.
        network_owner: see SandboxSpec.
        model: to its model; None where it has none.
        layer: a layer for the top of its root file system, which tells its programs who answers for names; None where
            it reaches no hosts.
    """

    def __init__(
        self,
        model: GatewaySettings | None,
        hosts: EgressSettings | None,
        place: Path,
        wall_ms: int,
        owner: str = "",
        *,
        host_asks: bool = False,
        services: RunningServices | None = None,
    ) -> None:
        """Open them.

        Args:
            model: settings of the model gateway.
            hosts: what may be reached by name.
            place: a private folder.
            wall_ms: how long the agent has.
            owner: see `NetworkNamespace`.
            host_asks: programs outside the sandbox may ask its model as well.
            services: of the task, which it is joined to; None: it has none.

        Raises:
            SandboxError, GatewayError, OSError: they can't be opened.
        """
        self.network, self.network_owner, self.layer = "", "", None
        self.model: ModelAccess | None = None
        self._settings = hosts
        self._hosts: EgressProcess | None = None
        self._spool = place / "hosts.spool"
        self._stack = ExitStack()
        if model is None and hosts is None and services is None:
            return
        with self._stack:
            # That of the agent's sandbox among services ends with them.
            namespace = self._stack.enter_context(NetworkNamespace(owner)) if services is None else services.namespace
            if hosts is not None:
                links = {} if services is None else services.main_links()
                known = {name: one for name, one in links.items() if name in hosts.services}
                own = {} if services is None else services.main_own
                process = EgressProcess(hosts, namespace, self._spool, known, own)
                self._hosts = self._stack.enter_context(process)
                self.layer = resolver_layer(place / "resolver")
            if model is not None:
                self.model = self._stack.enter_context(ModelAccess(model, namespace, place, wall_ms, host=host_asks))
            self.network, self.network_owner = namespace.path, namespace.owner_path
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def names(self) -> Mapping[str, str]:
        """Host names by the addresses that stand for them, so far. Raises GatewayError."""
        return self._hosts.names() if self._hosts is not None else {}

    def finish_hosts(self, bundle: BundleWriter) -> NetworkFacts | None:
        """Close the way to hosts, and write ``agent/network.json``.

        Args:
            bundle: gets it.

        Returns:
            What the statement says of it; None where there was no such way.

        Raises:
            GatewayError, EvidenceError: what the proxy wrote can't be read, or the bundle not be written.
        """
        if self._hosts is None or self._settings is None:
            return None
        written = self._hosts.stop()
        by_time = sorted(written.connections, key=lambda one: one.started_ns)
        document = NetworkDocument(
            endpoints=self._settings.all,
            addresses=dict(self._settings.addresses),
            names=dict(written.names),
            connections=tuple(ConnectionRow(**asdict(one)) for one in by_time),
            complete=written.complete,
        )
        bundle.add(NETWORK_FACTS, document.to_json())
        self._spool.unlink()
        return document.facts
