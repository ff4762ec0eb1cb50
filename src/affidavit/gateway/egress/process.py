"""The egress proxy's process, seen from the trial."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from affidavit.events import NAMED_ADDRESSES
from affidavit.gateway.egress.records import EgressReader
from affidavit.gateway.egress.settings import DNS_PORT, EgressSettings, ProxySettings
from affidavit.gateway.process import ServerProcess
from affidavit.sandbox import NetworkNamespace


class EgressProcess(ServerProcess):
    """An egress proxy in a process of its own. A context manager: ends it."""

    def __init__(
        self,
        settings: EgressSettings,
        namespace: NetworkNamespace,
        spool: Path,
        services: Mapping[str, NetworkNamespace] = MappingProxyType({}),
        own: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start it; it serves when this returns.

        Args:
            settings: what may be reached.
            namespace: of the sandbox.
            spool: see ServerProcess.
            services: their namespaces, by the names in `settings`.
            own: names of the sandbox itself, with the address of each.

        Raises:
            GatewayError, SandboxError: it does not start.
        """
        namespace.add_local(NAMED_ADDRESSES)
        self._reader = EgressReader(spool)
        with ExitStack() as given:
            questions = given.enter_context(namespace.receive(DNS_PORT))
            streams = given.enter_context(namespace.listen(DNS_PORT))
            listeners = [given.enter_context(namespace.listen(port, "0.0.0.0")) for port in settings.ports()]
            others = [questions.fileno(), *(one.fileno() for one in listeners)]
            # Its descriptors have the same numbers there.
            joined = {name: one.fileno() for name, one in services.items()}
            data = ProxySettings(settings, joined, namespace.fileno() if joined else -1, dict(own)).dump()
            descriptors = [*others, *dict.fromkeys((*joined.values(), *([namespace.fileno()] if joined else ())))]
            super().__init__("affidavit.gateway.egress.serve", data, streams, spool, "the egress proxy", descriptors)

    def names(self) -> dict[str, str]:
        """Host names by address, so far: whoever in the sandbox has an address has it from what is here.

        Raises:
            GatewayError: what the proxy wrote can't be read.
        """
        self._reader.refresh()
        return self._reader.names

    def stop(self) -> EgressReader:
        """End it and take what it wrote.

        Raises:
            GatewayError: that can't be read.
        """
        there = self.end()
        self._reader.refresh()
        self._reader.complete = self._reader.complete and there
        return self._reader
