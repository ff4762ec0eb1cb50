"""T: what its processes are told."""

import json
import os

from . import files

LINKS = "links"
"""The way of a symlink in a temporary folder."""


class Settings:
    """What the broker tells its children in the environment."""

    def __init__(self, environment):
        self.channel = environment["AFFIDAVIT_CHANNEL"]
        self.workdir = os.path.normpath(environment["AFFIDAVIT_WORKDIR"])
        self.tests = os.path.normpath(environment["AFFIDAVIT_TESTS_DIR"])
        self.state = environment["AFFIDAVIT_STATE"]
        self.words = environment.get("AFFIDAVIT_WORDS")
        self.ways = environment.get("AFFIDAVIT_WAYS")
        self.sources = environment.get("AFFIDAVIT_SOURCES") == "1"
        inside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.launcher = os.path.join(inside, "affidavit-launch")
        self.inside = inside

    def mirror(self):
        links = self.ways is None or LINKS in json.loads(self.ways)
        return files.Mirror(self.workdir, self.tests, self.state, self.sources, self.launcher, links)

    def tell_ways(self, taken):
        """Write the ways that were found out."""
        append(f"{self.words}-ways", json.dumps(sorted(taken)).encode("ascii") + b"\n")


def append(path, data):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)
