"""Destinations of alerts, from the command line or a file."""

import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from affidavit.alerts.destinations import AlertError, Command, Destination, Service, Webhook

SECRET = "AFFIDAVIT_ALERT_SECRET"
"""The environment variable that holds the secret of webhooks from the command line."""

_KINDS: dict[str, tuple[str, ...]] = {
    "webhook": ("secret_env", "timeout_s"),
    "command": ("timeout_s",),
    "service": (),
    "service_env": (),
}


def read_destination(text: str, environment: Mapping[str, str] = os.environ) -> Destination:
    """A destination as it stands on the command line.

    Args:
        text: ``https://…``: a webhook; ``command:PROGRAM ARGUMENTS``; else a URL of a notification service.
        environment: where the webhook's secret is looked up.

    Raises:
        AlertError: it is none.
    """
    kind, _, rest = text.partition(":")
    if kind == "command":
        try:
            argv = shlex.split(rest)
        except ValueError as error:
            raise AlertError(f"--alert {text[:100]!r}: {error}") from error
        return _command(argv, {}, "--alert")
    if kind in ("http", "https"):
        secret = environment.get(SECRET)
        return _webhook(text, {} if secret is None else {"secret_env": SECRET}, "--alert", environment)
    return _service(text, "--alert")


def read_destinations(path: Path, environment: Mapping[str, str] = os.environ) -> list[Destination]:
    """The destinations of a file: TOML, with a table ``[[alert]]`` for each (docs/alerts.md).

    Raises:
        AlertError: it can't be read, or says something wrong.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AlertError(f"{path}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AlertError(f"{path}: is not TOML: {error}") from error
    tables = content.get("alert")
    if set(content) != {"alert"} or not isinstance(tables, list) or not tables:
        raise AlertError(f"{path}: must hold tables [[alert]] and nothing else")
    return [_of_table(table, f"{path}: alert {number}", environment) for number, table in enumerate(tables, 1)]


def _of_table(table: Any, place: str, environment: Mapping[str, str]) -> Destination:
    kinds = [kind for kind in _KINDS if isinstance(table, dict) and kind in table]
    if len(kinds) != 1:
        raise AlertError(f"{place}: must have one of the keys {', '.join(_KINDS)}")
    kind = kinds[0]
    if unknown := sorted(set(table) - {kind, *_KINDS[kind]}):
        raise AlertError(f"{place}: the key {unknown[0]!r} has no meaning beside {kind}")
    value = table[kind]
    if kind == "command":
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise AlertError(f'{place}: command must be a list such as ["notify-send", "Affidavit"]')
        return _command(value, table, place)
    if not isinstance(value, str):
        raise AlertError(f"{place}: {kind} must be text")
    make: dict[str, Callable[[], Destination]] = {
        "webhook": lambda: _webhook(value, table, place, environment),
        "service": lambda: _service(value, place),
        "service_env": lambda: _service(_variable(value, place, environment), place),
    }
    return make[kind]()


def _webhook(url: str, table: Mapping[str, Any], place: str, environment: Mapping[str, str]) -> Webhook:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character <= " " for character in url):
        raise AlertError(f"{place}: a webhook is an http or https URL")
    if parts.username is not None:
        raise AlertError(f"{place}: put no password into the URL; the secret that signs is named by secret_env")
    name = table.get("secret_env")
    secret = None if name is None else _variable(name, place, environment).encode()
    return Webhook(url, secret, _timeout(table, place, Webhook.timeout_s))


def _command(argv: list[str], table: Mapping[str, Any], place: str) -> Command:
    if not argv or not argv[0] or any("\0" in word for word in argv):
        raise AlertError(f"{place}: names no program; write command:PROGRAM ARGUMENTS")
    return Command(tuple(argv), _timeout(table, place, Command.timeout_s))


def _service(url: str, place: str) -> Service:
    if "://" not in url:
        raise AlertError(
            f"{place}: must be https://…, command:PROGRAM or a notification service's URL, not {url[:60]!r}"
        )
    import apprise

    if not apprise.Apprise().add(url):
        # Never the URL itself: it holds tokens.
        raise AlertError(f"{place}: no notification service takes this {url.partition(':')[0][:20]}:// URL")
    return Service(url)


def _variable(name: Any, place: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name) if isinstance(name, str) else None
    if not value:
        raise AlertError(f"{place}: the environment variable {str(name)[:60]!r} is not set")
    return value


def _timeout(table: Mapping[str, Any], place: str, default: float) -> float:
    value = table.get("timeout_s", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 300:
        raise AlertError(f"{place}: timeout_s must be a number of seconds up to 300")
    return float(value)
