"""The built-in profiles for a person at a terminal."""

from collections.abc import Iterable, Mapping
from typing import IO, Any


def print_profiles(profiles: Iterable[Mapping[str, Any]], out: IO[str]) -> None:
    """Each profile: its sentence, what it sets, what it demands."""
    for profile in profiles:
        out.write(f"{profile['id']} {profile['version']}\n  {profile['summary']}\n")
        for section, values in profile["settings"].items():
            out.write(f"  sets     {section}: {_said(values)}\n")
        if profile["demands"]:
            out.write(f"  demands  {_said(profile['demands'])}\n")


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return {"True": "yes", "False": "no"}.get(str(value), str(value))
