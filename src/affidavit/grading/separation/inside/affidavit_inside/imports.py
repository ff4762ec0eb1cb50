"""T: imports by the tests that S answers."""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import runpy
import sys

from . import files, standins

_NEVER = frozenset(
    ("conftest", "sitecustomize", "usercustomize", "pytest", "_pytest", "pluggy", "py", "affidavit_inside")
)

# Whoever calls these imports by them.
_ON_BEHALF = (
    "/importlib/__init__.py",
    "/importlib/util.py",
    "/_pytest/monkeypatch.py",
    "/unittest/mock.py",
    "/pkgutil.py",
)


class Loader(importlib.abc.Loader):
    """Loads a module in S and puts a stand-in in its place."""

    def __init__(self, client, path=None):
        self.client, self.path = client, path

    def create_module(self, spec):
        return standins.Module(spec.name)

    def exec_module(self, module):
        if vars(module).get("_affidavit_number") is not None:
            self.client.request("reload", [module])
            return
        name = module.__spec__.name
        if self.path is None:
            told = self.client.request("import", [name])
        else:
            told = self.client.request("load", [name, self.path])
        if type(told) is not standins.Module:
            raise ImportError(f"{name} is no module of the solution")
        number = standins.number_of(told)
        vars(module)["_affidavit_number"] = number
        self.client.modules[number] = module


class Finder(importlib.abc.MetaPathFinder):
    """Finds the solution's modules for the tests' own code."""

    def __init__(self, client):
        self.client = client
        self.known = {}

    def find_spec(self, fullname, path=None, target=None):
        top, _, rest = fullname.partition(".")
        if top in _NEVER or top.startswith("pytest_"):
            return None
        if rest:
            parent = sys.modules.get(fullname.rpartition(".")[0])
            return self._spec(fullname, None) if type(parent) is standins.Module else None
        if is_standard(top) or not asked_by_tests(self.client.settings.tests):
            return None
        return self._top(fullname)

    def _top(self, name):
        """The tests' own and installed modules, wherever the module path has them, else S's by the order of that path.
        A solution may not put itself in the place of what tests compare with."""
        settings = self.client.settings
        cwd, solution = os.getcwd(), []
        for folder in sys.path:
            if not isinstance(folder, str):
                continue
            full = os.path.normpath(os.path.join(cwd, folder))
            if files.below(full, settings.workdir):
                solution.append(full)
            elif full != settings.inside and _is_there(name, folder):
                return None
        if solution and (found := self._spec(name, solution)) is not None:
            return found
        # Installed by the agent, perhaps.
        return self._spec(name, None)

    def _spec(self, name, folders):
        key = (name, None if folders is None else tuple(folders))
        if not self.known.get(key):
            self.known[key] = self.client.request("find", [name, folders])
        if self.known[key] not in (1, 2):
            return None
        spec = importlib.machinery.ModuleSpec(name, Loader(self.client), origin="the solution")
        if self.known[key] == 2:
            spec.submodule_search_locations = []
        return spec


def _is_there(name, folder):
    found = importlib.machinery.PathFinder.find_spec(name, [folder])
    # Any folder of that name would do for a package without a loader.
    return found is not None and found.loader is not None


def is_standard(name):
    """Whether a module is the standard library's."""
    if name in sys.builtin_module_names or name in getattr(sys, "stdlib_module_names", ()):
        return True
    if hasattr(sys, "stdlib_module_names"):
        return False
    folder = os.path.dirname(os.__file__)
    found = importlib.machinery.PathFinder.find_spec(name, [folder, os.path.join(folder, "lib-dynload")])
    return found is not None


def is_installed(name, workdir):
    """Whether a module is the standard library's, or lies on the module path outside of the working directory."""
    if is_standard(name):
        return True
    cwd = os.getcwd()
    folders = [folder for folder in sys.path if not files.below(os.path.normpath(os.path.join(cwd, folder)), workdir)]
    return any(_is_there(name, folder) for folder in folders)


def asked_by_tests(tests):
    """Whether the code that imports is the tests' own."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen importlib") and file != __file__ and not file.endswith(_ON_BEHALF):
            # What an interpreter is given by `-c` or on its standard input is the tests' as well.
            typed = file in ("<string>", "<stdin>") and frame.f_globals.get("__name__") == "__main__"
            return typed or files.of_code(file, tests)
        frame = frame.f_back
    return False


def install(client):
    """Have imports go through a finder, first."""
    sys.meta_path.insert(0, Finder(client))
    from_file, run_path, run_module = importlib.util.spec_from_file_location, runpy.run_path, runpy.run_module
    workdir = client.settings.workdir

    def spec_from_file_location(name, location=None, **options):
        path = _below(location, workdir)
        if path is None:
            return from_file(name, location, **options)
        return importlib.machinery.ModuleSpec(name, Loader(client, path), origin=path)

    def run_path_there(path_name, init_globals=None, run_name=None):
        path = _below(path_name, workdir)
        if path is None:
            return run_path(path_name, init_globals, run_name)
        return client.request("run_path", [path, run_name or "<run_path>", init_globals])

    def run_module_there(mod_name, init_globals=None, run_name=None, alter_sys=False):
        if not asked_by_tests(client.settings.tests) or is_standard(mod_name.partition(".")[0]):
            return run_module(mod_name, init_globals, run_name, alter_sys)
        return client.request("run_module", [mod_name, run_name or mod_name, init_globals])

    importlib.util.spec_from_file_location = spec_from_file_location
    runpy.run_path, runpy.run_module = run_path_there, run_module_there


def _below(path, workdir):
    if not isinstance(path, (str, os.PathLike)):
        return None
    full = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    return full if files.below(full, workdir) else None
