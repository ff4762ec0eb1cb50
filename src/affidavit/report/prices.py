"""What a model's tokens cost: set by whoever makes the report, since no answer of a model says it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from affidavit.report.runs import ReportError, Usage

_MOST_BYTES = 1 << 20
_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float


def read_prices(path: Path) -> dict[str, Price]:
    """Read a price list: a TOML file with a table for each model, by the name that its answers bear, in which ``input``
    and ``output`` are US dollars for a million tokens.

    Raises:
        ReportError: it can't be read, or is not well formed.
    """
    try:
        with path.open("rb") as file:
            document = tomllib.loads(file.read(_MOST_BYTES).decode("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ReportError(f"--prices {path}: can't be read: {reason}") from error
    return {model: _price(path, model, table) for model, table in document.items()}


def _price(path: Path, model: str, table: object) -> Price:
    match table:
        case {"input": int() | float() as given, "output": int() | float() as taken, **more} if not more:
            if 0 <= given < _MILLION and 0 <= taken < _MILLION:
                return Price(float(given), float(taken))
    raise ReportError(
        f"--prices {path}: {model}: must have input and output, US dollars for a million tokens, and nothing else"
    )


def cost_usd(usage: Usage, prices: Mapping[str, Price]) -> float | None:
    """What a trial's tokens cost; None where the price of a model is not known."""
    if any(one.model not in prices for one in usage.by_model):
        return None
    return sum(
        (one.input_tokens * prices[one.model].input + one.output_tokens * prices[one.model].output) / _MILLION
        for one in usage.by_model
    )
