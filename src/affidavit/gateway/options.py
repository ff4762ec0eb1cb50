"""From what a user says on the command line and in the environment to a gateway's settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affidavit.gateway.errors import GatewayError
from affidavit.gateway.script import read_script
from affidavit.gateway.settings import Budgets, GatewaySettings, upstreams_of

_MOST_NAME = 200


def gateway_settings(
    models: Sequence[str],
    environment: Mapping[str, str],
    *,
    url: str | None = None,
    script: Path | None = None,
    recording: Sequence[Mapping[str, Any]] | None = None,
    budget: str = "",
    provider_tools: bool = False,
) -> GatewaySettings | None:
    """What a gateway is told; None where the agents have no model.

    Args:
        models: that may be asked for, the agent's own first.
        environment: of the user's shell.
        url: of the upstream.
        script: a file of answers, in place of an upstream.
        recording: what another trial's model answered, in place of an upstream; see `recorded_answer`.
        budget: as in ``requests=200,tokens=1000000,seconds=600``.
        provider_tools: tools and media of the provider are granted.

    Raises:
        GatewayError: something can't be used.
    """
    if not models:
        given = {"--model-url": url, "--model-script": script, "--model-replay": recording, "--model-budget": budget}
        wrong = [name for name, value in given.items() if value]
        wrong += ["--provider-tools"] if provider_tools else []
        if wrong:
            raise GatewayError(f"{wrong[0]}: is of no use without --model NAME")
        return None
    for model in models:
        if not 0 < len(model) <= _MOST_NAME or not model.isprintable() or model != model.strip():
            raise GatewayError(f"--model {model[:50]!r}: is no name of a model")
    budgets = read_budgets(budget)
    if sum(given is not None for given in (url, script, recording)) > 1:
        raise GatewayError("--model-url, --model-script and --model-replay exclude each other")
    if recording is not None:
        return GatewaySettings("replay", tuple(models), {}, tuple(recording), budgets, provider_tools)
    if script is not None:
        return GatewaySettings("script", tuple(models), {}, read_script(script), budgets, provider_tools)
    return GatewaySettings(
        "live", tuple(models), upstreams_of(environment, url), budgets=budgets, provider_tools=provider_tools
    )


def read_budgets(text: str) -> Budgets:
    """Budgets as users write them.

    Raises:
        GatewayError: `text` is something else.
    """
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in ("requests", "tokens", "seconds") or name in found or not number.isdecimal() or int(number) < 1:
            raise GatewayError(
                f"--model-budget: {part[:50]!r} is none of requests=N, tokens=N and seconds=N, each once, N from 1 on"
            )
        found[name] = int(number)
    return Budgets(**{"requests": Budgets.requests, **found})
