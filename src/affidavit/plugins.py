"""Plug-ins by entry point: graders, detectors, runtimes, recorders and agents.

A distribution declares them as the entry points specification of Python packaging has it. What a name of a group must
load to is said in ``docs/plugins.md``. Built-in names can't be taken.
"""

from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from affidavit.errors import AffidavitError


class Group(StrEnum):
    """The groups of entry points."""

    AGENTS = "affidavit.agents"
    DETECTORS = "affidavit.detectors"
    GRADERS = "affidavit.graders"
    RECORDERS = "affidavit.recorders"
    RUNTIMES = "affidavit.runtimes"


class PluginError(AffidavitError):
    """A plug-in that is installed can't be used; the text names its distribution."""


def plugins(group: Group) -> dict[str, EntryPoint]:
    """The entry points of a group by name, sorted. Nothing is loaded."""
    return {entry.name: entry for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)}


def load_plugin(entry: EntryPoint) -> Any:
    """The object that an entry point names.

    Raises:
        PluginError: it can't be imported.
    """
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(f"{origin(entry)}: {entry.value} can't be loaded: {type(error).__name__}: {error}") from error


def origin(entry: EntryPoint) -> str:
    """The distribution of an entry point, with its version, for messages."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
