"""T: programs that tests start. Those that have to do with the solution run in S, behind a launcher."""

import inspect
import json
import os
import re
import shlex
import subprocess
import sys

from . import files


class Rule:
    """Where a command runs."""

    def __init__(self, settings):
        self.settings = settings
        self.places = [settings.workdir, *files.temporary()]
        self.spoken = re.compile("|".join(re.escape(place) + r"(?![\w.-])" for place in self.places))
        self.of_tests = re.compile(re.escape(settings.tests) + r"(?![\w.-])")

    def in_solution(self, argv, cwd, environment=()):
        """Whether a command runs in S."""
        cwd = os.path.normpath(cwd)
        program = argv[0] if argv else ""
        if "/" in program:
            full = os.path.normpath(os.path.join(cwd, program))
            if any(files.below(full, place) for place in self.places):
                return True
        if any(self.of_tests.search(word) for word in argv) or files.below(cwd, self.settings.tests):
            return False
        if any(files.below(cwd, place) for place in self.places):
            return True
        return any(self.spoken.search(word) for word in (*argv, *environment))


def request(settings, argv, cwd, environment, base, shell):
    """What the launcher is told, as one text."""
    environment = {name: value for name, value in environment.items() if not _own(name)}
    base = {name: value for name, value in base.items() if not _own(name)}
    return json.dumps(
        {
            "argv": argv,
            "cwd": cwd,
            "shell": shell,
            "environment": {name: value for name, value in environment.items() if base.get(name) != value},
            "unset": [name for name in base if name not in environment],
        }
    )


def _own(name):
    return name.startswith(("AFFIDAVIT_", "PYTEST_")) or name == "PYTHONPATH"


def install(settings):
    """Have `subprocess` and what builds on it, and the simple calls of `os`, start launchers where the rule says so."""
    rule = Rule(settings)
    base = dict(os.environ)
    original = subprocess.Popen.__init__
    signature = inspect.signature(original)

    def start(self, *positional, **named):
        bound = signature.bind(self, *positional, **named)
        options = bound.arguments
        arguments = options["args"]
        shell = bool(options.get("shell"))
        words = _words(arguments, shell)
        cwd = os.fsdecode(options["cwd"]) if options.get("cwd") is not None else os.getcwd()
        cwd = os.path.normpath(os.path.join(os.getcwd(), cwd))
        given = options.get("env")
        environment = {os.fsdecode(n): os.fsdecode(v) for n, v in (os.environ if given is None else given).items()}
        changed = [value for name, value in environment.items() if base.get(name) != value and not _own(name)]
        if options.get("executable") is not None and not shell:
            words = [os.fsdecode(options["executable"]), *words[1:]]
        path = [value for name, value in environment.items() if name == "PYTHONPATH" and given is not None]
        if not rule.in_solution(_split(words, shell), cwd, [*changed, *path]):
            original(self, *positional, **named)
            return
        told = request(settings, _mapped(words, shell), cwd, environment, base, shell)
        if given is not None and "PYTHONPATH" in environment:
            parts = [part for part in environment["PYTHONPATH"].split(":") if not files.below(part, settings.inside)]
            asked = json.loads(told)
            asked["environment"]["PYTHONPATH"] = ":".join(parts)
            told = json.dumps(asked)
        options["args"] = [sys.executable, "-I", "-S", settings.launcher]
        options["shell"] = False
        options["executable"] = None
        options["cwd"] = None
        options["env"] = {**_channel(), "AFFIDAVIT_REQUEST": told}
        original(*bound.args, **bound.kwargs)
        self.args = arguments

    def system(command):
        try:
            status = subprocess.Popen(command, shell=True).wait()
        except OSError:
            return 127 << 8
        return -status if status < 0 else status << 8

    def spawn(mode, file, arguments, environment):
        process = subprocess.Popen([os.fspath(file), *arguments[1:]], env=environment)
        return process.wait() if mode == os.P_WAIT else process.pid

    subprocess.Popen.__init__ = start
    os.system = system
    os.spawnv = os.spawnvp = lambda mode, file, args: spawn(mode, file, list(args), None)
    os.spawnve = os.spawnvpe = lambda mode, file, args, env: spawn(mode, file, list(args), env)
    os.spawnl = os.spawnlp = lambda mode, file, *args: spawn(mode, file, list(args), None)
    os.spawnle = os.spawnlpe = lambda mode, file, *args: spawn(mode, file, list(args[:-1]), args[-1])
    _wrap_posix(settings, rule, base)


def _wrap_posix(settings, rule, base):
    for name in ("posix_spawn", "posix_spawnp"):
        original = getattr(os, name)

        def started(path, argv, env, original=original, **options):
            words = [os.fsdecode(path), *(os.fsdecode(word) for word in argv[1:])]
            if not rule.in_solution(words, os.getcwd()):
                return original(path, argv, env, **options)
            environment = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
            told = request(settings, _mapped(words, False), os.getcwd(), environment, base, False)
            launcher = [sys.executable, "-I", "-S", settings.launcher]
            return original(sys.executable, launcher, {**_channel(), "AFFIDAVIT_REQUEST": told}, **options)

        setattr(os, name, started)


def started(words):
    """What a Python interpreter with this command line runs: ``file``, ``module`` or ``code``, and which."""
    at = 1
    while at < len(words):
        word = words[at]
        if word in ("-c", "-m") and at + 1 < len(words):
            return ("code" if word == "-c" else "module"), words[at + 1]
        if word in ("-X", "-W", "--check-hash-based-pycs"):
            at += 1
        elif word in ("-", "--help", "--version") or not word:
            break
        elif not word.startswith("-"):
            return "file", word
        elif word[1] != "-":
            # Several options in one word; the last may take what follows.
            for letter, how in (("c", "code"), ("m", "module")):
                if letter in word[1:]:
                    rest = word[word.index(letter) + 1 :] or (words[at + 1] if at + 1 < len(words) else "")
                    return how, rest
        at += 1
    return "", ""


def _channel():
    return {
        name: value for name, value in os.environ.items() if name.startswith("AFFIDAVIT_") or name in ("PATH", "TMPDIR")
    }


def _words(arguments, shell):
    if isinstance(arguments, (str, bytes, os.PathLike)):
        return [os.fsdecode(arguments)]
    words = [os.fsdecode(word) for word in arguments]
    return words[:1] if shell else words


def _split(words, shell):
    if not shell:
        return words
    try:
        return shlex.split(words[0]) or [""]
    except ValueError:
        return words


def _mapped(words, shell):
    """The tests' interpreter is not there in S: its own takes the place."""
    if shell:
        return [re.sub(rf"(?<![\w/.-]){re.escape(sys.executable)}(?![\w/.-])", "python3", words[0])]
    return ["python3" if word == sys.executable else word for word in words]
