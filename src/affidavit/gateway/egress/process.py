"""The egress proxy's process, seen from the trial."""

from pathlib import Path

from affidavit.events import NAMED_ADDRESSES
from affidavit.gateway.egress.records import EgressReader
from affidavit.gateway.egress.settings import DNS_PORT, EgressSettings
from affidavit.gateway.process import ServingProcess
from affidavit.sandbox import NetworkNamespace


class EgressProcess(ServingProcess):
    """An egress proxy in a process of its own. A context manager: ends it."""

    def __init__(self, settings: EgressSettings, namespace: NetworkNamespace, spool: Path) -> None:
        """Start it; it serves when this returns.

        Args:
            settings: what may be reached.
            namespace: of the sandbox.
            spool: the file that it writes to, which does not exist.

        Raises:
            GatewayError, SandboxError: it does not start.
        """
        namespace.add_local(NAMED_ADDRESSES)
        sockets = [namespace.receive(DNS_PORT), namespace.listen(DNS_PORT)]
        try:
            for port in settings.ports():
                sockets.append(namespace.listen(port, "0.0.0.0"))
        except BaseException:
            for one in sockets:
                one.close()
            raise
        self._reader = EgressReader(spool)
        super().__init__("egress proxy", "affidavit.gateway.egress.serve", settings.dump(), sockets, spool)

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
