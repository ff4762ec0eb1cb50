"""T: refuses to run code that is, or may be, the solution's."""

import _ast
import ast
import hashlib
import os
import re
import sys

from . import client, files, programs, standins
from .shared import StandInError

_PICKLED = {
    "builtins": {
        "set", "frozenset", "complex", "bytearray", "range", "slice", "object", "int", "str", "list", "dict", "tuple",
        "bytes", "float", "bool",
    },
    "collections": {"OrderedDict", "Counter", "deque", "defaultdict"},
    "datetime": {"date", "time", "datetime", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "uuid": {"UUID"},
    "copyreg": {"_reconstructor"},
}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR
_TARFILE = os.path.join(os.path.dirname(os.__file__), "tarfile.py")
_MOST_READ = 4 << 20
_MOST_FILES = 2000
_SHORTEST_LINE = 8
_WORD = re.compile(rb"\w+")
# Modules of the standard library that run text which others hand to them, annotations and examples among it.
_EVALUATING = frozenset(
    os.path.join(os.path.dirname(os.__file__), name)
    for name in (
        "ast.py", "bdb.py", "cProfile.py", "code.py", "codeop.py", "doctest.py", "gettext.py", "inspect.py",
        "logging/config.py", "pdb.py", "profile.py", "runpy.py", "timeit.py", "trace.py", "typing.py",
    )
)  # fmt: skip
# What an expression may consist of whose evaluation gives plain data, whoever wrote it: no names, so no calls.
_PLAIN = (
    ast.Expression, ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.BoolOp,
    ast.Compare, ast.IfExp, ast.unaryop, ast.operator, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def install(settings, words):
    """Add the hook; it can't be taken away. `words` is the interpreter's command line.

    Raises:
        StandInError: it was given code of the solution's.
    """
    guard = Guard(settings)
    how, what = programs.started(words)
    text = os.fsencode(what) if how == "code" else b""
    if not how and not any(word.startswith(("-h", "-V", "-?", "--")) for word in words[1:]):
        text = _given()
    if text and guard.holds_solution(text):
        guard.refuse("code on the command line or standard input that holds a part of the solution's files")
    sys.addaudithook(guard)


def _given():
    """The program that comes from standard input, which is put back; empty where somebody types it."""
    try:
        if os.isatty(0):
            return b""
    except OSError:
        return b""
    parts = []
    while part := os.read(0, 1 << 20):
        parts.append(part)
    text = b"".join(parts)
    again = os.memfd_create("stdin")
    with open(again, "wb", closefd=False) as file:
        file.write(text)
    os.lseek(again, 0, os.SEEK_SET)
    os.dup2(again, 0)
    os.close(again)
    return text


class Guard:
    """An audit hook."""

    def __init__(self, settings):
        self.settings = settings
        self.places = [settings.workdir]
        self.kept = [settings.tests, settings.state, "/proc"]
        self.tests = os.path.realpath(settings.tests)
        self.parsed = False
        self.digests, self.noted = None, None
        self.own = None
        self.events = {
            "exec": self.executed,
            "compile": self.compiled,
            "import": self.imported,
            "ctypes.dlopen": self.opened,
            "pickle.find_class": self.unpickled,
            "marshal.loads": self.unmarshalled,
            "sqlite3.load_extension": self.never,
            "os.symlink": self.linked,
            "os.link": self.linked,
            "open": self.file_opened,
            "os.listdir": self.path_used,
            "os.scandir": self.path_used,
            "sqlite3.connect": self.path_used,
        }

    def __call__(self, event, arguments):
        check = self.events.get(event)
        if check is not None:
            check(*arguments)

    def _caller(self):
        """The file and name of the code that did it; empty where that is the interpreter itself."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        return ("", "") if frame is None else (frame.f_code.co_filename, frame.f_code.co_name)

    def refuse(self, what):
        raise StandInError(f"the tests' process must not run {what}: it is the solution's")

    def _in_workdir(self, name):
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        if not isinstance(name, str):
            return False
        return files.below(os.path.normpath(name), self.settings.workdir)

    def linked(self, source, target, *_):
        """A link in an archive, which may be the solution's, must not lead to the tests."""
        if not self._unpacks():
            return
        where = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(target)), source))
        tests = os.path.realpath(self.settings.tests)
        if files.below(where, tests) or files.below(tests, where) or files.below(where, "/proc"):
            self.refuse(f"an archive's link to {where}")

    def file_opened(self, path, _, flags):
        """Nor may a file in one come to lie where interpreters look for their code. What the solution is lent, such as
        an archive to be filled, opens none of the tests' files for it, and writes none but where both may write."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(flags, int) or not isinstance(path, str):
            return
        self._check_name(path)
        lent = self._asked_by_solution()
        if not lent and not (flags & _WRITES and self._unpacks()):
            return
        where = os.path.realpath(path)
        shared = any(
            files.below(where, os.path.realpath(place)) for place in (self.settings.workdir, *files.temporary())
        )
        if flags & _WRITES and not shared:
            self.refuse(f"{'an object' if lent else 'an archive'} that {'writes' if lent else 'unpacks to'} {where}")
        if lent and any(files.below(where, os.path.realpath(place)) for place in self.kept):
            raise StandInError(f"an object that the solution was lent must not open {where} for it")

    def path_used(self, path=None, *_):
        """A folder or a database that is opened by its name."""
        if isinstance(path, str):
            self._check_name(path)

    def _check_name(self, path):
        """A path that the solution names, as that of what it made, must not be one of the tests' files."""
        names = standins.current.names if standins.current is not None else None
        if names is None or not names.named or not files.below(os.path.realpath(path), self.tests):
            return
        if names.lead_to(path):
            raise StandInError(f"{path} is a file of the tests, and the solution names it")

    def _asked_by_solution(self):
        """Whether the solution's side has called what does this now, with no code of the tests' between."""
        if standins.current is None or not standins.current.answering:
            return False
        frame = sys._getframe(2)
        while frame is not None:
            file = frame.f_code.co_filename
            if file == client.__file__:
                return frame.f_code.co_name == "allowed"
            if files.of_code(file, self.settings.tests) or file in ("<string>", "<stdin>"):
                return False
            frame = frame.f_back
        return False

    def _unpacks(self):
        return self._caller() in ((_TARFILE, "makefile"), (_TARFILE, "makelink"))

    def executed(self, code, *_):
        name = getattr(code, "co_filename", "")
        if self._in_workdir(name):
            self.refuse(name)

    def compiled(self, source, name, *_):
        by = sys._getframe(1).f_back
        if by is not None and by.f_code.co_filename == __file__:
            # This module's own look at a text.
            return
        file, caller = self._caller()
        if isinstance(source, _ast.AST):
            if self.parsed and files.of_code(file, self.settings.tests):
                self.refuse("a tree of the solution's source")
            return
        if isinstance(source, str):
            source = source.encode("utf-8", "surrogatepass")
        if not isinstance(source, (bytes, bytearray, memoryview)):
            return
        source = bytes(source)
        if _is_temporary(name) and self.holds_solution(source):
            self.refuse(f"{os.fsdecode(name)}, which holds a part of the solution's files")
        # Looking at the source is not running it.
        looking = caller == "parse" and os.path.basename(file) == "ast.py"
        evaluated = self._evaluates(self._asked_by())
        if self._solution_has(source):
            what = str(name)
        elif evaluated and not self._is_own(source) and not _is_plain(source):
            # It may hold what the solution printed, or a part of its source.
            what = "a text that is not written in the tests"
        else:
            return
        if looking:
            self.parsed = True
            return
        self.refuse(what)

    def _asked_by(self):
        """The file of the code that has a text evaluated, by itself or through the standard library."""
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename in _EVALUATING | {__file__}:
            frame = frame.f_back
        return "" if frame is None else frame.f_code.co_filename

    def _evaluates(self, file):
        """Whether code of this file, where it has a text evaluated, may have it from the solution."""
        if not file:
            # The interpreter itself, which was given the code.
            return False
        return files.of_code(file, self.settings.tests) or _is_temporary(file) or file in ("<string>", "<stdin>")

    def _is_own(self, source):
        """Whether a text is written in the tests as a whole: a file of theirs, or a text between quotes there."""
        if self.own is None:
            self.own = set()
            for text in _texts(self.settings.tests):
                self.own.add(_digest(text))
                try:
                    tree = compile(text, "<tests>", "exec", ast.PyCF_ONLY_AST)
                except (SyntaxError, ValueError, MemoryError, RecursionError):
                    continue
                for node in ast.walk(tree):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        self.own.add(_digest(node.value.encode("utf-8", "surrogatepass")))
        return _digest(source) in self.own

    def holds_solution(self, text):
        """Whether a text holds a line of the solution's files that has a word of its own.

        A usage line of its documentation may well be what a test puts together: the tests have all of its words.
        """
        lines = {
            line.strip()
            for content in _texts(self.settings.workdir)
            if files.launched(content) is None
            for line in content.splitlines()
        }
        lines = {line for line in lines if len(line) >= _SHORTEST_LINE and line in text}
        own = set(_WORD.findall(b"\n".join(_texts(self.settings.tests)))) if lines else set()
        return any(set(_WORD.findall(line)) - own for line in lines)

    def _solution_has(self, source):
        try:
            # What came from S is noted there; frameworks compile hundreds of texts of their own.
            about = os.stat(f"{self.settings.state}/files.json")
            noted = (about.st_ino, about.st_mtime_ns, about.st_size)
        except OSError:
            noted = None
        if self.digests is not None and noted == self.noted:
            return _digest(source) in {digest for _, digest in self.digests.values()}
        if self.digests is None:
            self.digests = {}
        try:
            now = files.scan([self.settings.workdir])
        except Exception:
            return True
        self.noted = noted
        for path, (kind, size, time, _) in now.items():
            if kind == "f" and size <= _MOST_READ and self.digests.get(path, ((),))[0] != (size, time):
                try:
                    with open(path, "rb") as file:
                        self.digests[path] = ((size, time), _digest(file.read()))
                except OSError:
                    continue
        return _digest(source) in {digest for _, digest in self.digests.values()}

    def imported(self, module, name, *_):
        if name is not None and self._in_workdir(name):
            self.refuse(name)

    def opened(self, name, *_):
        if not isinstance(name, (str, bytes)):
            return
        full = os.path.realpath(os.fsdecode(name))
        if "/" in os.fsdecode(name) and any(files.below(full, place) for place in (*self.places, *files.temporary())):
            self.refuse(os.fsdecode(name))

    def unpickled(self, module, name, *_):
        if name in _PICKLED.get(module, ()):
            return
        loaded = sys.modules.get(module)
        file = getattr(loaded, "__file__", None)
        if not isinstance(file, str) or not files.below(os.path.abspath(file), self.settings.tests):
            self.refuse(f"what a pickle names ({module}.{name})")

    def unmarshalled(self, *_):
        if files.of_code(self._caller()[0], self.settings.tests):
            self.refuse("marshalled code")

    def never(self, *_):
        self.refuse("an extension")


def _is_temporary(name):
    if not isinstance(name, (str, bytes)) or not os.path.isabs(name):
        return False
    return any(files.below(os.path.normpath(os.fsdecode(name)), place) for place in files.temporary())


def _texts(folder):
    """What lies in a folder, as far as it is no larger than a text would be."""
    found = []
    for path, (kind, size, *_) in sorted(files.scan([folder]).items()):
        if kind == "f" and size <= _MOST_READ and len(found) < _MOST_FILES:
            try:
                with open(path, "rb") as file:
                    found.append(file.read())
            except OSError:
                continue
    return found


def _is_plain(source):
    """Whether a text is an expression that names nothing."""
    try:
        tree = compile(source.strip(), "<text>", "eval", ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return all(isinstance(node, _PLAIN) for node in ast.walk(tree))


def _digest(source):
    return hashlib.sha256(source.replace(b"\r\n", b"\n").strip()).digest()
