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


def _command_line():
    with open("/proc/self/cmdline", "rb") as file:
        return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]


def _elsewhere(settings, programs, files, imports, words):
    """Become a launcher where this interpreter was started to run something of the solution's. Code on the command line
    is the tests' own: it runs here, and what it imports of the solution's is a stand-in."""
    import json

    cwd = os.getcwd()
    how, what = programs.started(words)
    if how == "file":
        there = files.below(os.path.normpath(os.path.join(cwd, what)), settings.workdir)
    elif how == "module":
        names = (f"{what.replace('.', '/')}{end}" for end in (".py", "/__init__.py", "/__main__.py"))
        there = files.below(cwd, settings.workdir) and any(os.path.isfile(os.path.join(cwd, name)) for name in names)
        # A solution may not put itself in the place of what is installed.
        there = there and not imports.is_installed(what.partition(".")[0], settings.workdir)
    else:
        there = False
    if there and "AFFIDAVIT_REQUEST" not in os.environ:
        request = {"argv": ["python3", *words[1:]], "cwd": cwd, "shell": False, "environment": {}, "unset": []}
        os.environ["AFFIDAVIT_REQUEST"] = json.dumps(request)
        os.execv(settings.launcher, [settings.launcher])


def _below(path, places):
    return any(f"{path}/".startswith(place.rstrip("/") + "/") for place in places)


def _modules():
    """What the stand-ins consist of."""
    inside, whole = os.path.dirname(_HERE), [*sys.path]
    # What this needs of the standard library must not be the solution's, wherever the module path has its folder.
    places = (os.environ["AFFIDAVIT_WORKDIR"], "/tmp", "/var/tmp")
    sys.path[:] = [inside, *(folder for folder in sys.path if not _below(os.path.abspath(folder), places))]
    try:
        from affidavit_inside import client, files, guard, imports, programs, settings, standins
    finally:
        sys.path[:] = whole
    return client, files, guard, imports, programs, settings, standins


def _install():
    client, files, guard, imports, programs, settings, standins = _modules()
    settings = settings.Settings(os.environ)
    words = _command_line()
    _elsewhere(settings, programs, files, imports, words)
    standins.current = client.Client(settings)
    with suppress(OSError):
        # It is there by the time that the tests have loaded their framework.
        standins.current.open()
    programs.install(settings)
    imports.install(standins.current)
    guard.install(settings, words)


def affidavit_begin(work=_install):
    """Let this process use the solution; where that fails, it ends."""
    if "AFFIDAVIT_STATE" not in os.environ or "AFFIDAVIT_CHANNEL" not in os.environ:
        return
    try:
        work()
    except BaseException as error:
        # The interpreter would go on without it, and run what is the solution's.
        os.write(2, f"the stand-ins can't be loaded: {error!r}\n".encode("utf-8", "backslashreplace"))
        os._exit(70)


sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _HERE]
# A template of tests' processes runs no test: its copies begin by themselves.
affidavit_begin(_install if os.environ.pop("AFFIDAVIT_TEMPLATE", None) is None else _modules)
_chain()
