"""T: a test process's conversation with S, and what passes in it."""

import atexit
import builtins
import enum
import os
import sys
import threading
import types

from . import files, frames, shared, standins, values, ways, wire
from .settings import LINKS, append
from .shared import StandInError

_MOST_NESTED = 200
# What a double keeps in itself.
_COUNTS = frozenset(
    ("called", "call_count", "call_args", "call_args_list", "mock_calls", "method_calls", "await_count", "await_args",
     "await_args_list", "return_value", "side_effect")
)  # fmt: skip
_KEPT_BACK = ("AFFIDAVIT_", "PYTEST_", "PYTHON", "LD_")


class Malformed(Exception):
    """S sent what it may not: there is no going on."""


class Lost(StandInError):
    """The solution's side ended, or sent what it may not."""


class Writer(values.Writer):
    """What T writes."""

    def __init__(self, client):
        super().__init__()
        self.client = client

    def is_key(self, value):
        return type(value) in self.client.numbers_of_kinds or super().is_key(value)

    def other(self, value, depth):
        client, kind = self.client, type(value)
        number = client.number(value)
        if number is not None:
            self.id(b"Y", number)
        elif kind in client.numbers_of_kinds and not isinstance(value, BaseException):
            self.made_here(value, kind, depth)
        elif isinstance(value, BaseException):
            self.exception(value, depth)
        elif isinstance(value, type) and shared.BUILTIN_TYPES.get(value.__name__) is value:
            self.out += b"B"
            self.text(value.__name__)
        elif (path := client.path_of(value)) is not None:
            self.out += b"g"
            self.text(path[0])
            self.text(path[1])
        elif isinstance(value, shared.HIDDEN):
            raise values.Refused(f"a {kind.__name__} can't pass")
        else:
            self.id(b"C", client.lend(value))
            self.text(kind.__name__)
            self.text(client.methods(value))

    def made_here(self, value, kind, depth):
        number, client = self.client.numbers_of_kinds[kind], self.client
        if isinstance(value, enum.Enum):
            self.id(b"v", number)
            self.put(value._value_ if isinstance(value, enum.Flag) else value._name_, depth + 1)
        elif isinstance(value, tuple):
            self.id(b"n", number)
            self.sequence(b"", value, tuple(value), depth + 1)
        else:
            self.id(b"R", number)
            self.mutables.append(value)
            items = [getattr(value, name) for name in client.fields[kind]]
            self.sequence(b"", value, items, depth + 1)

    def exception(self, value, depth):
        kind = type(value)
        number = self.client.numbers_of_kinds.get(kind)
        own = standins.number_of_exception(value)
        if own:
            self.id(b"Y", own)
            return
        self.out += b"x"
        bases = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins" and base is not object]
        self.put(kind.__name__ if number is None else number, depth)
        self.id(b"", self.client.lend(value))
        self.put(bases[:1], depth)
        self.put(tuple(value.args), depth + 1)


class Reader(values.Reader):
    """What S wrote: nothing in it is believed, and it makes plain data and stand-ins only."""

    def __init__(self, client, data, known=()):
        super().__init__(data, known)
        self.client = client

    def is_key(self, value):
        kind = type(value)
        if kind in self.client.numbers_of_kinds:
            if isinstance(value, enum.Enum):
                return True
            if isinstance(value, tuple):
                return all(self.is_key(item) for item in tuple(value))
            return self.client.frozen.get(kind, False) and all(
                self.is_key(getattr(value, name)) for name in self.client.fields[kind]
            )
        return super().is_key(value) or (kind is type and shared.BUILTIN_TYPES.get(value.__name__) is value)

    def text(self):
        value = super().text()
        self.client.names.told(value)
        return value

    def special(self, tag, depth):
        client = self.client
        if tag == b"k":
            return client.lent[self.id()]
        if tag == b"B":
            return shared.BUILTIN_TYPES[self.text()]
        if tag == b"K":
            return client.kind(self.id())
        if tag == b"M":
            return client.module(self.id(), self.text())
        if tag == b"I":
            return client.reference(self.id(), self.id())
        if tag == b"x":
            return self.exception(depth)
        if tag in (b"R", b"n", b"v"):
            return self.described(tag, client.kind(self.id()), depth)
        return super().special(tag, depth)

    def described(self, tag, kind, depth):
        if self.client.tags.get(kind) != tag:
            raise values.Refused("a value of another kind of class")
        if tag == b"v":
            value = self.get(depth)
            return kind(value) if issubclass(kind, enum.Flag) else kind[value]
        fields = self.client.fields[kind]
        if tag == b"n":
            items = self.list(depth)
            if len(items) != len(fields):
                raise values.Refused("another number of fields")
            return tuple.__new__(kind, items)
        made = object.__new__(kind)
        self.mutables.append(made)
        items = self.list(depth)
        if len(items) != len(fields):
            raise values.Refused("another number of fields")
        for name, item in zip(fields, items):  # noqa: B905 (3.8)
            object.__setattr__(made, name, item)
        return made

    def exception(self, depth):
        name, number = self.get(depth), self.id()
        arguments, named, text, cause = self.get(depth), self.get(depth), self.text(), self.get(depth)
        if type(arguments) is not tuple or type(named) is not dict:
            raise values.Refused("no exception")
        if cause is not None and not isinstance(cause, BaseException):
            raise values.Refused("no cause")
        kind = self.client.kind(name) if type(name) is int else builtin_exception(name)
        return standins.make_exception(self.client, kind, number, arguments, named, text, cause)


def builtin_exception(name):
    """A built-in exception class by its name. What would end a process or a test otherwise than by failing is none."""
    kind = getattr(builtins, name, None) if type(name) is str else None
    if kind is SystemExit:
        return SystemExit
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return RuntimeError
    return kind


# What would undo that a connection reaches nothing else: other databases, and the process by a library's functions.
_WIDENS = frozenset(("enable_load_extension", "load_extension", "setconfig", "setlimit"))


def _is_connection(value):
    sqlite = sys.modules.get("sqlite3")
    return sqlite is not None and isinstance(value, sqlite.Connection)


def _narrow(value):
    """Keep what S can do with an object from reaching beyond it: a database connection opens other files as well."""
    if _is_connection(value):
        # `setlimit` is new in Python 3.11, and loading may be left out.
        if hasattr(value, "setlimit"):
            value.setlimit(sys.modules["sqlite3"].SQLITE_LIMIT_ATTACHED, 0)
        if hasattr(value, "enable_load_extension"):
            value.enable_load_extension(False)


def _settles(thing, name):
    """Whether an attribute of a test's double says what was called, or can be told what to say of it."""
    mock = sys.modules.get("unittest.mock")
    return (
        mock is not None and isinstance(thing, mock.NonCallableMock) and (hasattr(mock.Mock, name) or name in _COUNTS)
    )


def in_memory(stream):
    """Whether nobody but a test reads what is written to a stream: it collects it itself, or is what an interpreter was
    given by `-c` or on its standard input."""
    if not hasattr(sys.modules["__main__"], "__file__"):
        return True
    try:
        stream.fileno()
    except (OSError, AttributeError):
        return True
    return False


def marked(text):
    """The solution's output where others read, who may take a line for the test framework's."""
    return "".join(f"solution: {line}\n" for line in text.splitlines())


class Names:
    """Paths that S names and T does not, as far as they may lead to the tests' folder."""

    def __init__(self, tests):
        self.tests = tests
        self.hints = (os.path.basename(tests), "/proc/")
        self.own, self.named = set(), set()

    def asked(self, words):
        """Note what T speaks of."""
        self.own.update(self._cores(words))

    def told(self, text):
        """Note what S says."""
        self.named.update(self._cores([text]))

    def lead_to(self, path):
        """Whether S has named a path, so that it knew of no file there but by its name."""
        spelled = os.path.normpath(path)
        return any(f"/{spelled}".endswith(f"/{core}") for core in self.named - self.own)

    def _cores(self, texts):
        for text in texts:
            if "/" in text and len(text) < 4096 and "\0" not in text and any(hint in text for hint in self.hints):
                text = text.strip()
                yield os.path.normpath(text).lstrip("./")
                if text.startswith("/"):
                    # As it is once links are followed.
                    yield os.path.realpath(text).lstrip("/")


class Client:
    """The conversation.

    Attributes:
        words: how often something was taken on S's word.
        ways: how else the solution has a say.
    """

    def __init__(self, settings):
        self.settings = settings
        self.mirror = settings.mirror()
        self.names = Names(settings.tests)
        self.connection = None
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.nested = 0
        self.answering = 0
        self.lost = False
        self.words = 0
        self.kinds = {}
        self.numbers_of_kinds = {}
        self.tags = {}
        self.fields = {}
        self.frozen = {}
        self.modules = {}
        self.references = {}
        self.order = {}
        self.lent = {}
        self.numbers_lent = {}
        self.path_told = []
        self.environment = self._environment()
        self.cwd = None
        self.ways = ways.Ways(self, settings.ways)
        self.told_before = len(self._told())
        atexit.register(self.report)

    def report(self):
        """Write how many words there were, and the ways where those are asked for."""
        if not self.settings.words or os.getpid() != self.pid:
            return
        if self.words:
            append(self.settings.words, b"%d %d\n" % (self.pid, self.words))
        if self.ways.known is None and self.ways.taken:
            self.settings.tell_ways(self.ways.taken)

    def words_in_all(self):
        """The words of this process and of those that it started and that have ended."""
        lines = [line.split() for line in self._told()[self.told_before :].splitlines()]
        return self.words + sum(int(words) for pid, words in lines if int(pid) != self.pid)

    def _told(self):
        try:
            with open(self.settings.words or os.devnull, "rb") as file:
                return file.read()
        except OSError:
            return b""

    def word(self):
        self.words += 1

    # What is known of S's objects.

    def number(self, value):
        """S's number of what is S's; None where it is not."""
        kind = type(value)
        if kind is standins.ById:
            return value.number
        if kind is standins.Module:
            return standins.number_of(value)
        if isinstance(kind, standins.Meta):
            return standins.number_of(value)
        if isinstance(value, type) and value in self.numbers_of_kinds:
            return self.numbers_of_kinds[value]
        return None

    def kind(self, number):
        """The stand-in for a class of S."""
        if number not in self.kinds:
            told = self.request("describe", [standins.ById(number)], plain=True)
            # A class that came up while this one was described.
            if number not in self.kinds:
                made, tag, fields, frozen = standins.make_kind(self, number, told)
                self.kinds[number] = made
                if tag is not None:
                    self.numbers_of_kinds[made] = number
                    self.tags[made], self.fields[made], self.frozen[made] = tag, fields, frozen
                    if tag == b"v":
                        self.ways.members(made)
        return self.kinds[number]

    def module(self, number, name):
        if number not in self.modules:
            self.modules[number] = standins.make_module(self, number, name)
        return self.modules[number]

    def reference(self, number, kind_number):
        if number not in self.references:
            kind = self.kind(kind_number)
            if not isinstance(kind, standins.Meta):
                kind = standins.plain_kind(self, kind_number, kind.__name__)
            self.references[number] = standins.make_reference(kind, number)
            self.order[number] = len(self.order)
        return self.references[number]

    # What S may know of T's objects.

    def lend(self, value):
        number = self.numbers_lent.get(id(value))
        if number is None:
            _narrow(value)
            number = self.numbers_lent[id(value)] = len(self.lent) + 1
            self.lent[number] = value
        return number

    def methods(self, value):
        return " ".join(shared.specials(type(value), shared.OF_TESTS))

    def path_of(self, value):
        """Module and name of what S has as well: functions, classes and modules that are not the tests' own."""
        if isinstance(value, types.ModuleType):
            return None if self._of_tests(value.__name__) else (value.__name__, "")
        if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return None
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if type(module) is not str or type(name) is not str or self._of_tests(module):
            return None
        found = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return (module, name) if found is value else None

    def _of_tests(self, name):
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is None or name == "__main__":
            return True
        # Built-in modules have no file, and namespace packages have none either.
        if not isinstance(file, str):
            return name.partition(".")[0] not in sys.builtin_module_names
        return files.below(os.path.abspath(file), self.settings.tests)

    # The conversation.

    def open(self):
        """Have S start a process, which takes a while.

        Raises:
            OSError: no broker is there.
        """
        connection = frames.connect(self.settings.channel)
        connection.open(
            standins.json_bytes({"kind": "python", "path": self.path(), "argv0": sys.argv[0] if sys.argv else ""})
        )
        self.connection = connection

    def request(self, operation, parts, plain=False):
        """Ask S.

        Args:
            plain: whether files and the like have nothing to do with it.

        Returns:
            What S answers.

        Raises:
            StandInError: it can't be asked, or is no more.
            Exception: what S's code raised.
        """
        __tracebackhide__ = True
        if self.lost:
            raise Lost("the solution's side is gone")
        if os.getpid() != self.pid:
            raise StandInError("a process that was forked by a test can't use the solution")
        with self.lock:
            if self.nested > _MOST_NESTED:
                raise RecursionError("calls between the tests and the solution are nested too deep")
            self.nested += 1
            before = len(self.order)
            try:
                how, told = self._request(operation, parts, plain)
            except values.Refused as error:
                raise StandInError(f"{operation}: {error}") from None
            except (OSError, Malformed) as error:
                self.lost = True
                raise Lost(f"the solution's side is gone: {error}") from None
            finally:
                self.nested -= 1
        if how == "raise":
            if isinstance(told, StopIteration) and (operation, *parts[1:2]) != ("special", "next"):
                # Where the tests map or filter, that ends them as if all had been said.
                self.word()
            raise standins.raisable(told)
        if operation == "get":
            self.ways.got(parts[0], parts[1], told)
        elif operation == "call":
            self.ways.made(parts[0], parts[1], told, before)
        return told

    def _request(self, operation, parts, plain):
        writer = Writer(self)
        roots, context = [], None
        if not plain:
            words = self.words_of(parts)
            self.names.asked(words)
            roots = self.mirror.roots(words)
            context = self.context(roots)
        # Tuples, which S can't change.
        writer.put(("req", operation, tuple(parts)))
        told = values.Writer()
        told.put(context)
        if self.connection is None:
            self.open()
        wire.send(self.connection, wire.joined([writer.out, told.out]))
        try:
            while True:
                data = wire.receive(self.connection)
                if not data:
                    raise Malformed("its process ended")
                if data[:1] == b"q":
                    self.answer(data[1:])
                    continue
                if data[:1] != b"a":
                    raise values.Refused("no answer")
                return self.result(wire.parted(data[1:]), writer.mutables, roots, plain, parts)
        except (StandInError, Malformed):
            raise
        except Exception as error:
            raise Malformed(f"it answered what it may not: {type(error).__name__}: {error}"[:500]) from None

    def result(self, parts, mutables, roots, plain, asked):
        """An answer, checked, with what goes with it: changed arguments, files and output."""
        if len(parts) < 2 or len(parts) % 2:
            raise values.Refused("no answer")
        updates = []
        for at in range(2, len(parts), 2):
            number = int.from_bytes(parts[at], "big")
            if number >= len(mutables):
                raise values.Refused("no argument of that number")
            updates.append((mutables[number], self.read(parts[at + 1], mutables)))
        rest = values.Reader(parts[1]).read()
        body = self.read(parts[0], mutables)
        if type(body) is not list or len(body) != 2 or body[0] not in ("ok", "raise") or type(rest) is not list:
            raise values.Refused("no answer")
        outputs, changed = rest
        for original, new in updates:
            self.ways.changed(asked, original, new)
        for original, new in updates:
            self.update(original, new)
        if not plain:
            self.mirror.incoming(*changed, roots)
            if self.mirror.linked:
                self.ways.take(LINKS)
        for stream, text in zip((sys.stdout, sys.stderr), outputs):  # noqa: B905 (3.8)
            if type(text) is str and text:
                stream.write(text if in_memory(stream) else marked(text))
        if body[0] == "raise" and not isinstance(body[1], BaseException):
            raise values.Refused("no exception")
        return body

    def read(self, data, known):
        """A value that S tells. No number is farther from one that is none than a test allows, if it asks so."""
        reader = Reader(self, data, known)
        value = reader.read()
        if reader.nan:
            self.ways.take("nan")
        return value

    def update(self, original, new):
        """An argument that the callee changed."""
        if type(original) is not type(new):
            raise values.Refused("an argument became something else")
        if isinstance(original, (list, bytearray)):
            original[:] = new
        elif isinstance(original, (dict, set)):
            original.clear()
            original.update(new)
        else:
            for name in self.fields[type(original)]:
                object.__setattr__(original, name, getattr(new, name))

    def answer(self, data):
        """Do for S what it may ask for."""
        try:
            operation, parts = self.read(data, ())
            self.answering += 1
            try:
                reply = ("answer", self.allowed(operation, parts))
            finally:
                self.answering -= 1
        except values.Refused:
            raise
        except (KeyboardInterrupt, SystemExit) as error:
            reply = ("raise", RuntimeError(f"{type(error).__name__} in the tests"))
        except BaseException as error:
            reply = ("raise", error)
        try:
            writer = Writer(self)
            writer.put(reply)
        except values.Refused as error:
            writer = Writer(self)
            writer.put(("raise", RuntimeError(str(error))))
        wire.send(self.connection, wire.joined([writer.out]))

    def allowed(self, operation, parts):
        thing = parts[0]
        if self.numbers_lent.get(id(thing)) is None:
            raise values.Refused("no object of the tests")
        if operation == "get":
            return self.attribute(thing, parts[1])
        if operation == "call":
            _, arguments, named = parts
            if type(arguments) is not list or type(named) is not dict or not all(type(name) is str for name in named):
                raise values.Refused("no call")
            return thing(*arguments, **named)
        if operation == "special":
            _, name, arguments = parts
            if name not in shared.OF_TESTS or type(arguments) is not list or len(arguments) > 3:
                raise values.Refused("no such operation")
            return shared.perform(name, thing, arguments)
        raise values.Refused("no such operation")

    def attribute(self, thing, name):
        """A plain attribute of an object of the tests: nothing from which frames, modules or other tests can be had."""
        shared.checked_name(name)
        if name.startswith("_") or isinstance(
            thing, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
        ):
            raise AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r} for the solution")
        if isinstance(thing, (types.FunctionType, types.MethodType)) and name not in vars(thing):
            raise AttributeError(f"'function' object has no attribute {name!r} for the solution")
        if _settles(thing, name) or (name in _WIDENS and _is_connection(thing)):
            raise AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r} for the solution")
        found = getattr(thing, name)
        if isinstance(found, shared.HIDDEN):
            raise AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r} for the solution")
        return found

    # What S has to have as T has it.

    def context(self, roots):
        now = self._environment()
        changed = {
            name: now.get(name) for name in {*now, *self.environment} if now.get(name) != self.environment.get(name)
        }
        self.environment = now
        cwd, told = self.current(), None
        if cwd != self.cwd:
            self.cwd = told = cwd
        path = self.path()
        return {
            "environment": changed,
            "cwd": told,
            "files": self.mirror.outgoing(roots),
            "roots": roots,
            "path": path,
        }

    def current(self):
        """The working directory, where S has it too."""
        try:
            cwd = os.getcwd()
        except OSError:
            return None
        shared_with_s = [self.settings.workdir, *self.mirror.temporary]
        return cwd if any(files.below(cwd, folder) for folder in shared_with_s) else self.settings.workdir

    def path(self):
        """The folders of the module path that S has too."""
        found = []
        for folder in sys.path:
            if isinstance(folder, str):
                full = os.path.normpath(os.path.join(os.getcwd(), folder))
                if files.below(full, self.settings.workdir) and full not in found:
                    found.append(full)
        return found

    def _environment(self):
        return {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_BACK)}

    def words_of(self, parts):
        """Texts and paths among arguments: at most a thousand."""
        found, waiting = [self.current() or ""], [parts]
        while waiting and len(found) < 1000:
            item = waiting.pop()
            if type(item) is str:
                found.append(item[:4096])
            elif isinstance(item, os.PathLike) and type(item).__module__.startswith("pathlib"):
                found.append(str(item))
            elif type(item) in (list, tuple):
                waiting += item[:1000]
            elif type(item) is dict:
                waiting += list(item.values())[:1000]
        return found
