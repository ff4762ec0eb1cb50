"""The four built-in profiles, from light to strict (docs/suites.md)."""

import hashlib
from importlib.resources import files

from affidavit.contracts import ContractError, read_mapping, validated
from affidavit.suites.document import SuiteDocument
from affidavit.suites.errors import SuiteError

PROFILES = ("rnd", "procurement", "leaderboard", "compliance")
"""Their names, from light to strict."""


def load_profile(name: str) -> SuiteDocument:
    """A built-in profile.

    Raises:
        SuiteError: there is none of that name.
    """
    try:
        return validated(*read_mapping(_data(name), name), name, SuiteDocument)
    except ContractError as error:
        raise SuiteError(str(error)) from error


def profile_facts(name: str) -> dict[str, str]:
    """Name, version and digest of a built-in profile, as they stand in a bundle.

    Raises:
        SuiteError: there is none of that name.
    """
    digest = "sha256:" + hashlib.sha256(_data(name)).hexdigest()
    return {"id": name, "version": load_profile(name).version, "digest": digest}


def _data(name: str) -> bytes:
    if name not in PROFILES:
        raise SuiteError(f"there is no profile {name[:60]!r}; there are {', '.join(PROFILES)}")
    return files("affidavit.suites").joinpath("profiles", f"{name}.yaml").read_bytes()
