"""The ways out of a sandbox. To a model: requests are passed on in the provider's own dialect, with a key that the
sandbox never sees. To hosts by name: connections are led there and nowhere else. To the web: what was fetched once is
answered from a cache. All of it is written down."""

from affidavit.gateway.atif import trajectory
from affidavit.gateway.authority import Authority
from affidavit.gateway.dialects import Answer, content_type, read_answer, sse_events
from affidavit.gateway.egress import (
    NO_HOSTS,
    OWN_ADDRESS,
    Connection,
    EgressProcess,
    EgressReader,
    EgressSettings,
    network_named,
    read_allowed,
)
from affidavit.gateway.errors import GatewayError
from affidavit.gateway.keyed import HostDoor
from affidavit.gateway.options import gateway_settings
from affidavit.gateway.process import GatewayProcess
from affidavit.gateway.proxies import own_proxies
from affidavit.gateway.redaction import REDACTED, Redactor
from affidavit.gateway.script import read_script
from affidavit.gateway.settings import (
    DIALECTS,
    KEY_VARIABLE,
    KEY_VARIABLES,
    PORT,
    URL_VARIABLE,
    Budgets,
    GatewaySettings,
    Price,
    Upstream,
    upstreams_of,
)
from affidavit.gateway.sources import recorded_answer
from affidavit.gateway.spool import OUTCOMES, Exchange, Spool
from affidavit.gateway.web_cache import Answers, CachedAnswer, WebCache, new_cache
from affidavit.gateway.web_process import (
    WEB_PORT,
    WebProcess,
    WebSettings,
    web_environment,
    write_web_files,
)
from affidavit.gateway.web_spool import WebSpool

__all__ = [
    "DIALECTS",
    "KEY_VARIABLE",
    "KEY_VARIABLES",
    "NO_HOSTS",
    "OUTCOMES",
    "OWN_ADDRESS",
    "PORT",
    "REDACTED",
    "URL_VARIABLE",
    "WEB_PORT",
    "Answer",
    "Answers",
    "Authority",
    "Budgets",
    "CachedAnswer",
    "Connection",
    "EgressProcess",
    "EgressReader",
    "EgressSettings",
    "Exchange",
    "GatewayError",
    "GatewayProcess",
    "GatewaySettings",
    "HostDoor",
    "Price",
    "Redactor",
    "Spool",
    "Upstream",
    "WebCache",
    "WebProcess",
    "WebSettings",
    "WebSpool",
    "content_type",
    "gateway_settings",
    "network_named",
    "new_cache",
    "own_proxies",
    "read_allowed",
    "read_answer",
    "read_script",
    "recorded_answer",
    "sse_events",
    "trajectory",
    "upstreams_of",
    "web_environment",
    "write_web_files",
]
