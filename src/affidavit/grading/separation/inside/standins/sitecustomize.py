"""T: loaded by each Python process of the tests' sandbox: lets it use the solution without having it."""

import os
import sys
from contextlib import suppress

_HERE = os.path.dirname(os.path.abspath(__file__))


def _chain():
    """The environment's own sitecustomize, which this one hides."""
    import importlib.machinery
    import importlib.util

    others = [folder for folder in sys.path if os.path.abspath(folder) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        workdir = os.environ.get("AFFIDAVIT_WORKDIR", "/nowhere")
        if not os.path.abspath(spec.origin or "").startswith(workdir.rstrip("/") + "/"):
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _elsewhere(settings, programs, files):
    """Become a launcher where this interpreter was started to run something of the solution's."""
    import json

    with open("/proc/self/cmdline", "rb") as file:
        words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    cwd = os.getcwd()
    how, what = programs.started(words)
    if how == "file":
        there = files.below(os.path.normpath(os.path.join(cwd, what)), settings.workdir)
    elif how == "module":
        names = (f"{what.replace('.', '/')}{end}" for end in (".py", "/__init__.py", "/__main__.py"))
        there = files.below(cwd, settings.workdir) and any(os.path.isfile(os.path.join(cwd, name)) for name in names)
    else:
        there = how == "code" and files.below(cwd, settings.workdir) and settings.tests not in what
    if there and "AFFIDAVIT_REQUEST" not in os.environ:
        request = {"argv": ["python3", *words[1:]], "cwd": cwd, "shell": False, "environment": {}, "unset": []}
        os.environ["AFFIDAVIT_REQUEST"] = json.dumps(request)
        os.execv(sys.executable, [sys.executable, "-I", "-S", settings.launcher])


def _install():
    inside = os.path.dirname(_HERE)
    sys.path.insert(0, inside)
    try:
        from affidavit_inside import client, files, guard, imports, programs, standins
    finally:
        sys.path.remove(inside)
    settings = client.Settings(os.environ)
    _elsewhere(settings, programs, files)
    standins.current = client.Client(settings)
    with suppress(OSError):
        # It is there by the time that the tests have loaded their framework.
        standins.current.open()
    programs.install(settings)
    imports.install(standins.current)
    guard.install(settings)


sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _HERE]
if "AFFIDAVIT_STATE" in os.environ and "AFFIDAVIT_CHANNEL" in os.environ:
    _install()
_chain()
