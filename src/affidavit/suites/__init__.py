"""Suite files and profiles: how a whole run is made, as a document.

A suite file says which tasks are run and how; a profile is one of four built-in documents of the same form, without
tasks, that a run begins from. What is written nearer to the run wins: profile, then suite file, then command line.
"""

from affidavit.suites.document import Demands, SuiteDocument, merged
from affidavit.suites.errors import SuiteError
from affidavit.suites.profiles import PROFILES, load_profile, profile_facts
from affidavit.suites.suite import Suite, load_suite

__all__ = [
    "PROFILES",
    "Demands",
    "Suite",
    "SuiteDocument",
    "SuiteError",
    "load_profile",
    "load_suite",
    "merged",
    "profile_facts",
]
