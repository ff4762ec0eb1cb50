"""Settings of a gateway: where models are, what may be asked of them, and how much."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

from affidavit.gateway.errors import GatewayError

PORT = 8080
"""Where a sandbox finds the gateway on 127.0.0.1."""

DIALECTS = ("openai", "anthropic", "gemini")

Mode = Literal["live", "replay", "script"]

OFFICIAL: Mapping[str, str] = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
"""Each provider's own address."""

KEY_VARIABLES: Mapping[str, str] = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
"""The environment variables, outside of every sandbox, that hold a provider's key."""

URL_VARIABLE = "AFFIDAVIT_MODEL_URL"
KEY_VARIABLE = "AFFIDAVIT_MODEL_KEY"


@dataclass(frozen=True)
class Upstream:
    """Where requests of one dialect go.

    Attributes:
        url: without the version that every path begins with (``/v1``) and without a final slash.
        key: what the provider wants; empty: nothing.
    """

    url: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Price:
    """What a million tokens cost, US dollars: read, and written."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What some tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


@dataclass(frozen=True)
class Budgets:
    """Bounds on what one trial may ask of its model; None: no bound.

    Attributes:
        requests: that are passed on.
        tokens: read and written, together. A request that is passed on is answered to its end, so the last one may
            go over it.
        seconds: from the first request on.
        cost: US dollars, by the user's prices; the last request may go over it, too.
    """

    requests: int | None = 2000
    tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None


@dataclass(frozen=True)
class GatewaySettings:
    """All settings of a gateway.

    Attributes:
        mode: where answers come from.
        models: the names that may be asked for.
        upstreams: by dialect; a dialect that is missing is refused. Only for `live`.
        script: the answers in turn, for `script` (see :mod:`affidavit.gateway.script`); for `replay` the recorded
            exchanges.
        budgets: see Budgets.
        prices: by model; where there is a cost budget, of every model.
        provider_tools: tools that the provider runs itself, and media that it fetches, may be asked for.
        idle_s: how long an upstream may be silent before it counts as failed.
        answers: requests for an answer of a model that the contract allows; those that the upstream failed don't count.
            None: as many as the budgets let through.
        mapping: what the upstream calls a model, by the name that is asked for; a model that is missing has one name.
        host_key: that programs outside the sandbox must send; empty: none of them may ask.
    """

    mode: Mode
    models: tuple[str, ...]
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    script: tuple[Mapping[str, Any], ...] = ()
    budgets: Budgets = Budgets()
    prices: Mapping[str, Price] = field(default_factory=dict)
    provider_tools: bool = False
    idle_s: float = 600.0
    answers: int | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    host_key: str = field(default="", repr=False)

    @property
    def served(self) -> tuple[str, ...]:
        """The models that may be asked for, by the names that the upstream knows."""
        return tuple(self.mapping.get(name, name) for name in self.models)

    def secrets(self) -> list[str]:
        """The keys, which must appear nowhere."""
        keys = {upstream.key for upstream in self.upstreams.values()} | {self.host_key}
        return sorted(keys - {""})

    def dump(self) -> bytes:
        """As JSON, keys included: for the gateway's own standard input and nowhere else."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What :meth:`dump` made."""
        value = json.loads(data)
        value["models"] = tuple(value["models"])
        value["script"] = tuple(value["script"])
        value["upstreams"] = {name: Upstream(**one) for name, one in value["upstreams"].items()}
        value["budgets"] = Budgets(**value["budgets"])
        value["prices"] = {name: Price(**one) for name, one in value["prices"].items()}
        return cls(**value)


def base_of(url: str, where: str) -> str:
    """The base of an upstream, as in `Upstream.url`.

    Args:
        url: as users give it, with or without ``/v1`` or ``/v1beta`` at its end.
        where: which option or variable it is from, for the error.

    Raises:
        GatewayError: it is no URL that can be used.
    """
    try:
        parts = urlsplit(url.strip())
        port_fits = parts.port is None or parts.port > 0
    except ValueError as error:
        raise GatewayError(f"{where}: is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise GatewayError(f"{where}: must be a URL that begins with http:// or https://, as in https://host/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not shown: it may be a key.
        raise GatewayError(f"{where}: may hold no user, query or fragment; give the key in {KEY_VARIABLE}")
    path = parts.path.rstrip("/")
    for version in ("/v1beta", "/v1"):
        path = path.removesuffix(version)
    try:
        host = parts.hostname.encode("idna").decode()
    except UnicodeError:
        raise GatewayError(f"{where}: {parts.hostname[:100]!r} is no name of a host") from None
    netloc = parts.netloc if parts.netloc.isascii() else f"{host}{'' if parts.port is None else f':{parts.port}'}"
    return f"{parts.scheme}://{netloc}{quote(path, safe=_URL_PATH)}"


def upstreams_of(environment: Mapping[str, str], url: str | None = None) -> dict[str, Upstream]:
    """Where requests go, by dialect.

    A URL of the user's gets every dialect, and ``AFFIDAVIT_MODEL_KEY`` where there is one; a provider's own key goes to
    nobody but that provider. Without a URL, each provider with a key is reached.

    Args:
        environment: of the user's shell.
        url: given on the command line; None: ``AFFIDAVIT_MODEL_URL``.

    Raises:
        GatewayError: there is neither a URL nor a key, or they can't be used.
    """
    where = "--model-url" if url is not None else URL_VARIABLE
    chosen = url if url is not None else environment.get(URL_VARIABLE, "").strip()
    keys = {name: _key(environment, variable) for name, variable in KEY_VARIABLES.items()}
    if chosen:
        base, own = base_of(chosen, where), _key(environment, KEY_VARIABLE)
        return {name: Upstream(base, own or (keys[name] if base == OFFICIAL[name] else "")) for name in DIALECTS}
    found = {name: Upstream(OFFICIAL[name], key) for name, key in keys.items() if key}
    if not found:
        variables = ", ".join(KEY_VARIABLES.values())
        raise GatewayError(f"no model can be reached: give --model-url or {URL_VARIABLE}, or one of {variables}")
    return found


def _key(environment: Mapping[str, str], variable: str) -> str:
    key = environment.get(variable, "").strip()
    if not key.isascii() or not (key == "" or key.isprintable()) or " " in key:
        raise GatewayError(f"{variable}: is no key: it holds characters that no header can")
    if 0 < len(key) < _SHORTEST_KEY:
        # So short a text appears by chance, and redacting it would garble the record.
        raise GatewayError(f"{variable}: is shorter than {_SHORTEST_KEY} characters, which no key is")
    return key


_SHORTEST_KEY = 8
# RFC 3986, 3.3, and what is escaped already.
_URL_PATH = "/%:@!$&'()*+,;=~"
