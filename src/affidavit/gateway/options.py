"""A gateway's settings, from the command line and the environment."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from affidavit.errors import read_input
from affidavit.gateway.errors import GatewayError
from affidavit.gateway.script import read_script
from affidavit.gateway.settings import Budgets, GatewaySettings, Price, upstreams_of

_MOST_NAME = 200
_MOST_PRICES_BYTES = 1 << 20
_MOST_DOLLARS = 1_000_000
_NUMBERS = {
    **dict.fromkeys(("requests", "tokens", "seconds"), re.compile(r"[0-9]{1,15}")),
    "cost": re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?"),
}


def gateway_settings(
    models: Sequence[str],
    environment: Mapping[str, str],
    *,
    url: str | None = None,
    script: Path | None = None,
    recording: Sequence[Mapping[str, Any]] | None = None,
    budget: str = "",
    prices: Path | None = None,
    provider_tools: bool = False,
) -> GatewaySettings | None:
    """The settings of a gateway; None where the agents have no model.

    Args:
        models: that may be asked for, the agent's own first; ``NAME=UPSTREAM`` where the upstream has another name.
        environment: of the user's shell.
        url: of the upstream.
        script: a file of answers, in place of an upstream.
        recording: what another trial's model answered, in place of an upstream; see `recorded_answer`.
        budget: as in ``requests=200,tokens=1000000,seconds=600,cost=5.50``.
        prices: a file with what models cost.
        provider_tools: tools and media of the provider are granted.

    Raises:
        GatewayError: something can't be used.
    """
    if not models:
        given = {"--model-url": url, "--model-script": script, "--model-replay": recording, "--model-budget": budget}
        given["--model-prices"] = prices
        wrong = [name for name, value in given.items() if value]
        wrong += ["--provider-tools"] if provider_tools else []
        if wrong:
            raise GatewayError(f"{wrong[0]}: is of no use without --model NAME")
        return None
    models, mapping = _named(models)
    budgets = read_budgets(budget)
    table = {} if prices is None else read_prices(prices)
    if budgets.cost is not None and (unpriced := [model for model in models if model not in table]):
        where = "give --model-prices FILE" if prices is None else f"{prices} has none"
        raise GatewayError(f"--model-budget: cost: needs the price of {unpriced[0]}: {where}")
    if sum(given is not None for given in (url, script, recording)) > 1:
        raise GatewayError("--model-url, --model-script and --model-replay exclude each other")
    if recording is not None:
        made = GatewaySettings("replay", models, script=tuple(recording))
    elif script is not None:
        made = GatewaySettings("script", models, script=read_script(script))
    else:
        made = GatewaySettings("live", models, upstreams_of(environment, url))
    return replace(made, budgets=budgets, prices=table, provider_tools=provider_tools, mapping=mapping)


def _named(given: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The models that may be asked for, and by what other names the upstream knows some of them."""
    mapping: dict[str, str] = {}
    for one in given:
        model, equals, upstream = one.partition("=")
        for name in (model, upstream) if equals else (model,):
            if not 0 < len(name) <= _MOST_NAME or not name.isprintable() or name != name.strip():
                raise GatewayError(f"--model {one[:50]!r}: is no name of a model; give NAME or NAME=UPSTREAM")
        if mapping.setdefault(model, upstream or model) != (upstream or model):
            raise GatewayError(f"--model {model}: is given two names of the upstream; give one")
    return tuple(mapping), {model: upstream for model, upstream in mapping.items() if model != upstream}


def read_budgets(text: str) -> Budgets:
    """Budgets as users write them.

    Raises:
        GatewayError: `text` is something else.
    """
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        form = _NUMBERS.get(name)
        if form is None or name in found or not form.fullmatch(number) or float(number) <= 0:
            raise GatewayError(
                f"--model-budget: {part[:50]!r} is none of requests=N, tokens=N, seconds=N and cost=DOLLARS, each "
                "once, with a number above 0"
            )
        found[name] = float(number) if name == "cost" else int(number)
    requests, tokens = found.get("requests", Budgets.requests), found.get("tokens")
    return Budgets(
        requests=None if requests is None else int(requests),
        tokens=None if tokens is None else int(tokens),
        seconds=found.get("seconds"),
        cost=found.get("cost"),
    )


def read_prices(path: Path) -> dict[str, Price]:
    """A price table: TOML, with a table of `input` and `output` for each model, US dollars for a million tokens.

    Raises:
        GatewayError: it can't be read, or is none.
    """
    try:
        table = tomllib.loads(read_input(path, _MOST_PRICES_BYTES, GatewayError).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GatewayError(f"{path}: is no TOML: {error}") from None
    return {model: _price(path, model, value) for model, value in table.items()}


def _price(path: Path, model: str, value: object) -> Price:
    if not isinstance(value, dict) or set(value) != {"input", "output"}:
        raise GatewayError(f"{path}: {model[:100]!r}: must be a table of input and output; quote a name with a dot")
    for name, number in value.items():
        known = isinstance(number, int | float) and not isinstance(number, bool)
        if not known or not 0 <= number <= _MOST_DOLLARS:
            raise GatewayError(
                f"{path}: {model[:100]!r}.{name}: must be US dollars for a million tokens, 0 to {_MOST_DOLLARS:,}"
            )
    return Price(float(value["input"]), float(value["output"]))
