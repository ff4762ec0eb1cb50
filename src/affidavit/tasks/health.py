"""Health checks: commands that must succeed in the agent's sandbox before the agent begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.tasks.errors import TaskError
from affidavit.tasks.toml import TomlTable

# Harbor runs its own by bash, which not every image has.
_BY_BASH = 'if command -v bash >/dev/null; then exec bash -c "$1"; fi; exec /bin/sh -c "$1"'
_NS = 1_000_000_000
_MOST_RETRIES = 10_000
_MOST_WORD = 100_000


@dataclass(frozen=True)
class HealthCheck:
    """A command that is run again and again until it succeeds.

    Attributes:
        place: where it is written, for errors.
        command: as its author wrote it, for errors.
        argv: what runs.
        interval_s: between one attempt's end and the next one's start, seconds.
        timeout_s: a longer attempt is killed and has failed.
        start_period_s: failures of attempts that begin within it do not count.
        start_interval_s: `interval_s` within the start period.
        retries: so many failures in a row are too many.
    """

    place: str
    command: str
    argv: tuple[str, ...]
    interval_s: float = 5.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3


def read_health_check(table: TomlTable) -> HealthCheck | None:
    """Harbor's ``[environment.healthcheck]``, or that of a step.

    Args:
        table: it; empty where there is none.

    Raises:
        TaskError: it is wrong.
    """
    if not table.given:
        return None
    command = table.text("command")
    if not command or not command.strip() or len(command) > _MOST_WORD:
        raise table.error("command", "must be a command for a shell, whose exit status 0 means healthy")
    usual = HealthCheck("", "", ())
    retries = table.take("retries")
    if retries is None:
        retries = usual.retries
    if isinstance(retries, bool) or not isinstance(retries, int) or not 1 <= retries <= _MOST_RETRIES:
        raise table.error("retries", f"must be a whole number from 1 to {_MOST_RETRIES}, not {retries!r}")
    return HealthCheck(
        place=table.place(),
        command=command,
        argv=("/bin/sh", "-c", _BY_BASH, "sh", command),
        interval_s=_seconds(table, "interval_sec", usual.interval_s),
        timeout_s=table.seconds("timeout_sec") or usual.timeout_s,
        start_period_s=_seconds(table, "start_period_sec", usual.start_period_s),
        start_interval_s=_seconds(table, "start_interval_sec", usual.start_interval_s),
        retries=retries,
    )


def image_health_check(config: Mapping[str, Any], shell: Sequence[str], place: str) -> HealthCheck | None:
    """An image's HEALTHCHECK, as Docker has it; None where it is NONE.

    Docker waits for one interval before the first attempt. Here the first comes at once, and failures in that time do
    not count.

    Args:
        config: ``Healthcheck`` of the image's configuration; times in nanoseconds, 0 for the usual one.
        shell: the image's SHELL, for a command that is one text.
        place: for errors.

    Raises:
        TaskError: it is not of the form that Docker writes.
    """
    test = config.get("Test")
    if not isinstance(test, list) or not all(isinstance(word, str) and "\0" not in word for word in test):
        raise TaskError(f"{place}: is no list of words")
    kind, words = (test[0], test[1:]) if test else ("NONE", [])
    if kind == "NONE":
        return None
    if kind == "CMD-SHELL" and len(words) == 1:
        argv = (*shell, words[0])
    elif kind == "CMD" and words:
        argv = tuple(words)
    else:
        raise TaskError(f"{place}: must begin with CMD, CMD-SHELL or NONE, not {str(kind)[:40]!r}")

    def seconds(key: str, usual: float) -> float:
        value = config.get(key) or 0
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise TaskError(f"{place}: {key} must be a number of nanoseconds, not {value!r}")
        return value / _NS or usual

    retries = config.get("Retries") or 3
    if isinstance(retries, bool) or not isinstance(retries, int) or not 1 <= retries <= _MOST_RETRIES:
        raise TaskError(f"{place}: Retries must be a whole number from 1 to {_MOST_RETRIES}, not {retries!r}")
    interval = seconds("Interval", 30.0)
    return HealthCheck(
        place=place,
        command=" ".join(words),
        argv=argv,
        interval_s=interval,
        timeout_s=seconds("Timeout", 30.0),
        start_period_s=max(seconds("StartPeriod", 0.0), interval),
        start_interval_s=min(seconds("StartInterval", 5.0), interval),
        retries=retries,
    )


def _seconds(table: TomlTable, key: str, usual: float) -> float:
    """A time that may be 0."""
    value = table.take(key)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise table.error(key, f"must be a number of seconds, 0 or more, not {value!r}")
    return float(value)
