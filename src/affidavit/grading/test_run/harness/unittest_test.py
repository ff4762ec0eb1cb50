"""One unittest test in a process of its own: ``unittest_test.py NAME FD PLAN``, NAME as in ``test_a.TestB.test_c``."""

import json
import os
import sys
import unittest
from pathlib import Path

from fingerprint import changed, fingerprint, words

_MOST_NAMED = 10
_MOST_LETTERS = 300


class Watch(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.passed = 0
        self.others = []

    def addSuccess(self, test):
        self.passed += 1

    def addError(self, test, err):
        self._add(test, "error", err[1])

    def addFailure(self, test, err):
        self._add(test, "failed", err[1])

    def addSkip(self, test, reason):
        self._add(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self._add(test, "xfail", err[1])

    def addUnexpectedSuccess(self, test):
        self._add(test, "xpass", "")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._add(subtest, "failed", err[1])

    def _add(self, test, outcome, why):
        self.others.append([cut(test.id()), outcome, cut(why)])


def load():
    """The framework is loaded with this module."""


def main():
    name, descriptor = sys.argv[1], int(sys.argv[2])
    plan = json.loads(Path(sys.argv[3]).read_text("utf-8"))
    sys.path.pop(0)
    before = fingerprint()
    sys.path[:0] = [plan["tests_dir"], *plan["pythonpath"]]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromName(name)
    watch = Watch()
    suite.run(watch)
    code = 0 if watch.passed and not watch.others and not loader.errors else 1
    report = {
        "exit": code,
        "items": watch.testsRun,
        "passed": watch.passed,
        "others": watch.others[:_MOST_NAMED],
        "errors": [cut(error) for error in loader.errors[:_MOST_NAMED]],
        "changed": changed(before),
        "words": words(),
    }
    os.write(descriptor, json.dumps(report).encode("ascii") + b"\n")
    os.close(descriptor)
    return code


def cut(text):
    text = " ".join(str(text).split())
    return text if len(text) <= _MOST_LETTERS else "…" + text[-_MOST_LETTERS:]


if __name__ == "__main__":
    sys.exit(main())
