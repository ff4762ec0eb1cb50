"""One pytest test in a process of its own: ``pytest_test.py NAME FD PLAN``.

The framework is loaded, and what it is made of noted, before anything of the agent's can be imported.
"""

import importlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from fingerprint import changed, fingerprint, words

_MOST_NAMED = 10
_MOST_LETTERS = 300


def load():
    """Load what the framework itself consists of."""
    with suppress(ImportError):
        config = importlib.import_module("_pytest.config")
        for name in getattr(config, "default_plugins", ()):
            importlib.import_module(f"_pytest.{name}")


def main():
    name, descriptor = sys.argv[1], int(sys.argv[2])
    plan = json.loads(Path(sys.argv[3]).read_text("utf-8"))
    here = Path(sys.path.pop(0))
    try:
        import pytest
    except ImportError as error:
        tell(descriptor, {"fault": str(error)})
        return 70

    class Watch:
        def __init__(self):
            self.phases = {}
            self.messages = {}
            self.errors = []
            self.before = {}
            self.changed = []

        @pytest.hookimpl(tryfirst=True)
        def pytest_load_initial_conftests(self):
            # Not before: the framework looks for plug-ins along the path.
            sys.path[:0] = plan["pythonpath"]

        @pytest.hookimpl(tryfirst=True)
        def pytest_collection(self):
            self.before = fingerprint()

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(self):
            # Not later: what pytest itself patches is put back after that.
            self.changed = changed(self.before)

        def pytest_collectreport(self, report):
            if report.outcome != "passed":
                self.errors.append(cut(report.longreprtext))

        def pytest_runtest_logreport(self, report):
            outcome = "xfail" if hasattr(report, "wasxfail") else report.outcome
            self.phases.setdefault(report.nodeid, []).append((report.when, outcome))
            if outcome != "passed":
                crash = getattr(report.longrepr, "reprcrash", None)
                self.messages.setdefault(report.nodeid, cut(getattr(crash, "message", report.longreprtext)))

    watch = Watch()
    own = Path(plan["tests_dir"], "pytest.ini")
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", plan["tests_dir"], "--confcutdir", plan["tests_dir"]]
    options += ["-c", str(own if own.exists() else here / "pytest.ini")]
    code = int(pytest.main([*options, f"{plan['tests_dir']}/{name}"], plugins=[watch]))
    whole = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
    others = [test for test, phases in watch.phases.items() if phases != whole]
    tell(
        descriptor,
        {
            "exit": code,
            "items": len(watch.phases),
            "passed": len(watch.phases) - len(others),
            "others": [
                [
                    cut(test),
                    next((o for _, o in watch.phases[test] if o != "passed"), "cut short"),
                    watch.messages.get(test, ""),
                ]
                for test in others[:_MOST_NAMED]
            ],
            "errors": watch.errors[:_MOST_NAMED],
            "changed": watch.changed,
            "words": words(),
        },
    )
    return code


def cut(text):
    text = " ".join(str(text).split())
    return text if len(text) <= _MOST_LETTERS else "…" + text[-_MOST_LETTERS:]


def tell(descriptor, report):
    os.write(descriptor, json.dumps(report).encode("ascii") + b"\n")
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
