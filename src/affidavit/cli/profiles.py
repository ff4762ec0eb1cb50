"""``affidavit profiles``: the built-in profiles."""

import sys

from affidavit.cli.output import Json, print_json


def profiles(as_json: Json = False) -> None:
    """Show the built-in profiles for run --profile: what each sets, and what it demands."""
    from affidavit.report import print_profiles
    from affidavit.suites import PROFILES, load_profile, profile_facts

    found = [
        {
            **profile_facts(name),
            "summary": load_profile(name).summary,
            "settings": load_profile(name).settings(),
            "demands": load_profile(name).demands.model_dump(mode="json", exclude_unset=True),
        }
        for name in PROFILES
    ]
    if as_json:
        print_json(found)
    else:
        print_profiles(found, sys.stdout)
