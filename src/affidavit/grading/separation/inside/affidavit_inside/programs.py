"""T: programs that tests start. Those that have to do with the solution run in S, behind a launcher."""

import inspect
import itertools
import json
import os
import re
import shlex
import subprocess
import sys

from . import files, standins

# What they say is a verdict, and what they are given lies in the tests' sandbox as well.
_COMPARING = frozenset(
    ("diff", "cmp", "comm", "grep", "egrep", "fgrep", "test", "[", "jq", "md5sum", "sha1sum", "sha256sum")
)
# So are those of test runners, and of code on the command line.
_JUDGING = frozenset(
    ("pytest", "unittest", "doctest", "tox", "nox", "nose2", "jest", "vitest", "mocha", "rspec", "ctest")
)
_EVALUATING = frozenset(("node", "perl", "ruby", "php", "lua", "Rscript"))
_SHELLS = frozenset(("sh", "bash", "dash", "zsh"))
# They run what follows.
_WRAPPING = frozenset(("env", "timeout", "nice", "nohup", "stdbuf", "time", "exec", "setsid", "sudo", "command"))
_SEPARATING = frozenset(("if", "then", "elif", "else", "while", "until", "do", "!"))


class Rule:
    """Where a command runs."""

    def __init__(self, settings):
        self.settings = settings
        self.places = [settings.workdir, *files.temporary()]
        self.spoken = re.compile("|".join(re.escape(place) + r"(?![\w.-])" for place in self.places))
        self.brief = re.compile("|".join(re.escape(place) + r"(?![\w.-])" for place in files.temporary()))
        self.of_tests = re.compile(re.escape(settings.tests) + r"(?![\w.-])")

    def in_solution(self, argv, cwd, environment=(), shell=False):
        """Whether a command runs in S."""
        cwd = os.path.normpath(cwd)
        program = argv[0] if argv else ""
        if "/" in program:
            full = os.path.normpath(os.path.join(cwd, program))
            if any(files.below(full, place) for place in self.places):
                return True
        if not shell and self._of_tests_alone(argv, cwd):
            return False
        if any(self.of_tests.search(word) for word in argv) or files.below(cwd, self.settings.tests):
            return False
        if any(files.below(cwd, place) for place in self.places):
            return True
        return any(self.spoken.search(word) for word in (*argv, *environment))

    def _of_tests_alone(self, argv, cwd):
        """Whether a command holds the tests' own verdict, and needs no file but what lies in T as well."""
        if argv and _system_program(argv[0]) in _COMPARING:
            return True
        elsewhere = any(files.below(cwd, place) for place in files.temporary())
        return typed(argv) and not elsewhere and not any(self.brief.search(word) for word in argv)


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
        if not rule.in_solution(_split(words, shell), cwd, [*changed, *path], shell):
            if not shell and typed(words) and given is not None:
                # Without these it would not be this module's interpreter.
                options["env"] = {**given, **_own_of(os.environ)}
                original(*bound.args, **bound.kwargs)
                return
            original(self, *positional, **named)
            return
        if judges(words, shell) or written_by_tests(words, cwd, shell):
            standins.current.word()
        told = request(settings, _mapped(words, shell), cwd, environment, base, shell)
        if given is not None and "PYTHONPATH" in environment:
            parts = [part for part in environment["PYTHONPATH"].split(":") if not files.below(part, settings.inside)]
            asked = json.loads(told)
            asked["environment"]["PYTHONPATH"] = ":".join(parts)
            told = json.dumps(asked)
        options["args"] = [settings.launcher]
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
            asked = {**_channel(), "AFFIDAVIT_REQUEST": told}
            return original(settings.launcher, [settings.launcher], asked, **options)

        setattr(os, name, started)


def typed(words):
    """Whether a command runs Python code that it holds itself, in an interpreter that knows the stand-ins."""
    if not words or not re.fullmatch(r"python[0-9.]*", os.path.basename(words[0])):
        return False
    before = list(itertools.takewhile(lambda word: word.startswith("-") and word != "-c", words[1:]))
    return started(words)[0] == "code" and not any(set(word) & set("IES") for word in before)


def judges(words, shell):
    """Whether a command that runs in S holds the tests' own verdict."""
    return any(_judges(command) for command in (_commands(words[0]) if shell else [words]))


def _judges(words):
    words = _unwrapped(words)
    if not words:
        return False
    program, rest = _system_program(words[0]), set(words[1:])
    if program in _COMPARING or program in _JUDGING or program == "[[":
        return True
    if program in _SHELLS and "-c" in rest:
        return any(judges([word], True) for word in words[1:] if not word.startswith("-"))
    if program in _EVALUATING:
        return bool(rest & {"-e", "-r", "-p", "--eval", "--print", "--test"})
    how, what = started(words) if program.startswith("python") else ("", "")
    return how == "code" or (how == "module" and what in _JUDGING)


def written_by_tests(words, cwd, shell):
    """Whether a command that runs in S runs a program that the tests wrote themselves, so that its status is theirs."""
    return any(_is_written(_program(command), cwd) for command in (_commands(words[0]) if shell else [words]))


def _program(words):
    """The file that a command runs."""
    words = _unwrapped(words)
    if not words:
        return ""
    name = _system_program(words[0])
    if re.fullmatch(r"python[0-9.]*", name):
        how, what = started(words)
        return what if how == "file" else ""
    if name in _SHELLS or name in _EVALUATING:
        return next((word for word in words[1:] if not word.startswith("-")), "")
    return words[0] if "/" in words[0] else ""


def _is_written(name, cwd):
    full = os.path.normpath(os.path.join(cwd, name))
    if not name or not any(files.below(full, place) for place in files.temporary()):
        return False
    try:
        with open(full, "rb") as file:
            # What S made has a launcher here.
            return files.launched(file.read(4096)) is None
    except OSError:
        return False


def _unwrapped(words):
    """A command without what only starts it, its options and their numbers, and without assignments."""
    while words and (_system_program(words[0]) in _WRAPPING or re.match(r"-|\w+=|[\d.]+[smhd]?$", words[0])):
        words = words[1:]
    return words


def _system_program(word):
    folder, name = os.path.split(word)
    return name if folder in ("", "/bin", "/usr/bin", os.path.dirname(sys.executable)) else ""


def _commands(line):
    """The simple commands of a shell's command line, as far as that can be told."""
    tokens = shlex.shlex(line.replace("\n", ";"), posix=True, punctuation_chars=True)
    tokens.whitespace_split = True
    found, command = [], []
    try:
        for token in tokens:
            if set(token) <= set("();<>|&") or (not command and (token in _SEPARATING or "=" in token)):
                found.append(command)
                command = []
            else:
                command.append(token)
    except ValueError:
        pass
    return [*found, command]


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


def _own_of(environment):
    """What an interpreter needs to know the stand-ins."""
    return {name: environment[name] for name in environment if name.startswith("AFFIDAVIT_") or name == "PYTHONPATH"}


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
