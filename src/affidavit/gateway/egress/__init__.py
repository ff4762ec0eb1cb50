"""The way from a sandbox to hosts that it may reach by name: a name server, and listeners at the addresses that it
gives out. Each connection is led to the host of its name, looked up and checked outside, and written down."""

from affidavit.gateway.egress.process import EgressProcess
from affidavit.gateway.egress.records import Connection, EgressReader
from affidavit.gateway.egress.services import OWN_ADDRESS
from affidavit.gateway.egress.settings import NO_HOSTS, WEB_PORTS, EgressSettings, network_named, read_allowed

__all__ = [
    "NO_HOSTS",
    "OWN_ADDRESS",
    "WEB_PORTS",
    "Connection",
    "EgressProcess",
    "EgressReader",
    "EgressSettings",
    "network_named",
    "read_allowed",
]
