"""What can be said of the process of a test: whether its framework is what it was, and what it had to believe.

Standard library only.
"""

import sys
import types

FRAMEWORK = ("_pytest", "pytest", "pluggy", "unittest")


def fingerprint():
    """Every function of the framework that is loaded, with its code, by module, class and name."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in FRAMEWORK or not isinstance(module, types.ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, type):
                if getattr(value, "__module__", None) == name:
                    for inner, member in list(vars(value).items()):
                        _keep(found, f"{name}.{attribute}.{inner}", member)
            else:
                _keep(found, f"{name}.{attribute}", value)
    return found


def changed(before):
    """Names of the functions that are others now, or have other code, at most ten."""
    now = fingerprint()
    return sorted(
        name
        for name, (function, code) in before.items()
        if name not in now or now[name][0] is not function or now[name][1] is not code
    )[:10]


def _keep(found, name, value):
    function = getattr(value, "__func__", value)
    if isinstance(value, property):
        function = value.fget
    if isinstance(function, types.FunctionType):
        found[name] = (function, function.__code__)


def words():
    """How often a result was taken on the word of the solution's sandbox, where that is another one."""
    standins = sys.modules.get("affidavit_inside.standins")
    return 0 if standins is None else standins.current.words_in_all()
