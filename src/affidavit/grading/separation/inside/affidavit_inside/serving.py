"""S: a process that holds the agent's modules and does what the tests ask of them."""

import dataclasses
import enum
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import runpy
import sys
import tempfile
import threading
import types
from contextlib import suppress

from . import files, shared, values, wire

_MOST_OUTPUT = 8 << 20
_FLAG = enum.Flag
_PATCHED = (type, types.ModuleType)
_NAMEDTUPLE_NAMES = frozenset(
    (
        "__doc__", "__slots__", "_fields", "_field_defaults", "_fields_defaults", "__new__", "_make",
        "_replace", "__repr__",
        "_asdict", "__getnewargs__", "__match_args__", "__module__", "__annotations__", "__orig_bases__", "__replace__",
        "__static_attributes__", "__firstlineno__", "__annotate__", "__annotate_func__", "__annotations_cache__",
    )
)  # fmt: skip
_DATACLASS_EXTRAS = (
    "__init__", "__new__", "__eq__", "__post_init__", "__getattr__", "__getattribute__", "__setattr__", "__bool__",
    "__len__", "__iter__", "__contains__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__", "__call__", "__str__",
    "__getitem__", "__repr__", "__enter__", "__exit__", "__add__", "__sub__", "__mul__", "__ne__", "__float__",
    "__int__", "__format__",
)  # fmt: skip


class TestsError(Exception):
    """Something that the tests' side does not allow."""


class TestsObject:
    """An object of the tests: it can be called and looked at, and nothing else."""

    __slots__ = ("_affidavit_id", "_affidavit_name")

    def __init__(self, number, name):
        object.__setattr__(self, "_affidavit_id", number)
        object.__setattr__(self, "_affidavit_name", name)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _session.ask("get", [self, name])

    def __setattr__(self, name, value):
        raise AttributeError(f"{name} of an object of the tests can't be set")

    def __repr__(self):
        return f"<{self._affidavit_name} of the tests>"

    def __hash__(self):
        return hash(self._affidavit_id)

    def __eq__(self, other):
        return self is other


def _asking(name):
    def method(self, *arguments, **named):
        if name == "call":
            return _session.ask("call", [self, list(arguments), named])
        return _session.ask("special", [self, name, list(arguments)])

    return method


_session = None


class Writer(values.Writer):
    """What S writes: references where a value is no plain data."""

    def __init__(self, session, known=None):
        super().__init__(known)
        self.session = session

    def is_key(self, value):
        kind = type(value)
        if isinstance(value, enum.Enum):
            return self.session.describe(kind)["kind"] == "enum"
        if isinstance(value, tuple) and kind is not tuple and self.session.described(kind) == "namedtuple":
            return all(self.is_key(item) for item in tuple(value))
        if dataclasses.is_dataclass(kind) and self.session.described(kind) == "record":
            described = self.session.describe(kind)
            return described["frozen"] and all(self.is_key(getattr(value, field[0])) for field in described["fields"])
        return super().is_key(value)

    def other(self, value, depth):
        session, kind = self.session, type(value)
        if isinstance(value, TestsObject):
            self.id(b"k", value._affidavit_id)
        elif isinstance(value, type):
            if shared.BUILTIN_TYPES.get(value.__name__) is value:
                self.out += b"B"
                self.text(value.__name__)
            else:
                self.id(b"K", session.keep(value))
        elif isinstance(value, types.ModuleType):
            self.id(b"M", session.keep(value))
            self.text(str(value.__name__))
        elif isinstance(value, BaseException):
            self.exception(value, depth)
        elif depth < values.MOST_DEPTH and id(value) not in self.open and self._described(value, kind, depth + 1):
            return
        else:
            self.id(b"I", session.keep(value))
            self.id(b"", session.keep(kind))

    def _described(self, value, kind, depth):
        described = self.session.described(kind)
        if described == "enum":
            flag = isinstance(value, _FLAG)
            self.id(b"v", self.session.keep(kind))
            self.put(value._value_ if flag else value._name_, depth)
        elif described == "namedtuple":
            self.id(b"n", self.session.keep(kind))
            self.sequence(b"", value, tuple(value), depth)
        elif described == "record":
            fields = self.session.describe(kind)["fields"]
            try:
                items = [getattr(value, field[0]) for field in fields]
                extra = set(getattr(value, "__dict__", ())) - {field[0] for field in fields}
            except AttributeError:
                return False
            if extra:
                return False
            self.id(b"R", self.session.keep(kind))
            self.mutables.append(value)
            self.sequence(b"", value, items, depth)
        else:
            return False
        return True

    def exception(self, value, depth):
        number = getattr(value, "_affidavit_tests", None)
        if type(number) is int:
            self.id(b"k", number)
            return
        kind = type(value)
        self.out += b"x"
        name = kind.__name__
        builtin = kind.__module__ == "builtins"
        self.put(name if builtin else self.session.keep(kind), depth)
        self.id(b"", self.session.keep(value))
        arguments = value.args if isinstance(value.args, tuple) else ()
        if isinstance(value, OSError) and builtin and len(arguments) == 2 and value.filename is not None:
            arguments = (*arguments, value.filename)
        self.put(tuple(arguments), depth + 1)
        named = {name: item for name, item in vars(value).items() if name.isidentifier() and name[:2] != "__"}
        self.put(named, depth + 1)
        try:
            text = str(value)
        except Exception:
            text = ""
        self.text(text[:100_000] if type(text) is str else "")
        cause = value.__cause__
        self.put(cause if depth < 20 else None, depth + 1)


class Reader(values.Reader):
    """What T wrote."""

    def __init__(self, session, data):
        super().__init__(data)
        self.session = session

    def is_key(self, value):
        return True

    def special(self, tag, depth):
        session = self.session
        if tag == b"Y":
            return session.things[self.id()]
        if tag == b"C":
            return session.of_tests(self.id(), self.text(), self.text())
        if tag == b"g":
            return _global(self.text(), self.text())
        if tag == b"B":
            return shared.BUILTIN_TYPES[self.text()]
        if tag in (b"R", b"n", b"v"):
            kind = session.things[self.id()]
            if tag == b"v":
                value = self.get(depth)
                return kind(value) if issubclass(kind, _FLAG) else kind[value]
            if tag == b"n":
                return tuple.__new__(kind, self.list(depth))
            made = kind.__new__(kind)
            self.mutables.append(made)
            for field, value in zip(session.describe(kind)["fields"], self.list(depth)):  # noqa: B905 (3.8)
                object.__setattr__(made, field[0], value)
            return made
        if tag == b"x":
            return self.exception(depth)
        return super().special(tag, depth)

    def exception(self, depth):
        name, own = self.get(depth), self.id()
        bases, arguments = self.get(depth), self.get(depth)
        if type(name) is int:
            kind = self.session.things[name]
        else:
            kind = self.session.foreign(name, tuple(bases))
        try:
            made = kind(*arguments)
        except Exception:
            made = kind.__new__(kind, *arguments)
        with suppress(AttributeError):
            made._affidavit_tests = own
        return made


def _global(module, name):
    thing = importlib.import_module(module)
    for part in name.split("."):
        if part:
            thing = getattr(thing, part)
    return thing


class Session:
    """The objects that T knows of, and the one conversation about them."""

    def __init__(self, connection, opened, workdir):
        global _session
        _session = self
        self.connection, self.workdir = connection, workdir
        self.things = {}
        self.numbers = {}
        self.descriptions = {}
        self.proxies = {}
        self.proxy_kinds = {}
        self.foreigners = {}
        self.patched = {}
        self.lock = threading.RLock()
        self.depth = 0
        self.seen = files.scan([workdir])
        self.roots = []
        self.outputs = [_redirected(number) for number in (1, 2)]
        sys.argv = [opened.get("argv0") or ""]
        self.add_path(opened.get("path") or [])

    def add_path(self, folders):
        """Have modules looked for in these folders, first."""
        new = [folder for folder in folders if folder not in sys.path]
        if new:
            wanted = [folder for folder in sys.path if folder in folders]
            sys.path[:] = [*folders, *(folder for folder in sys.path if folder not in wanted)]
            importlib.invalidate_caches()

    def keep(self, thing):
        number = self.numbers.get(id(thing))
        if number is None:
            number = self.numbers[id(thing)] = len(self.things) + 1
            self.things[number] = thing
        return number

    def of_tests(self, number, name, methods):
        if number not in self.proxies:
            if methods not in self.proxy_kinds:
                names = [word for word in methods.split() if word in shared.OF_TESTS]
                members = {f"__{word}__": _asking(word) for word in names}
                members["__slots__"] = ()
                if "eq" in names and "hash" not in names:
                    members["__hash__"] = TestsObject.__hash__
                self.proxy_kinds[methods] = type("TestsObject", (TestsObject,), members)
            self.proxies[number] = self.proxy_kinds[methods](number, name)
        return self.proxies[number]

    def foreign(self, name, bases):
        """A class for an exception that the tests define, or the built-in one."""
        import builtins

        found = getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
        if (name, bases) not in self.foreigners:
            kinds = tuple(getattr(builtins, base) for base in bases) or (Exception,)
            self.foreigners[name, bases] = type(name, kinds, {})
        return self.foreigners[name, bases]

    # What classes are.

    def described(self, kind):
        return self.describe(kind)["kind"]

    def describe(self, kind):
        if kind not in self.descriptions:
            self.descriptions[kind] = self._describe(kind)
        return self.descriptions[kind]

    def _describe(self, kind):
        told = {
            "name": str(kind.__name__),
            "module": str(kind.__module__),
            "specials": shared.specials(kind),
            "kind": "class",
            "bases": [
                base.__name__ if base.__module__ == "builtins" else self.keep(base)
                for base in kind.__bases__
                if base is not object
            ],
        }  # fmt: skip
        if issubclass(kind, BaseException):
            told["kind"] = "exception"
        elif isinstance(kind, enum.EnumMeta):
            self._describe_enum(kind, told)
        elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
            self._describe_namedtuple(kind, told)
        elif "__dataclass_params__" in vars(kind):
            self._describe_record(kind, told)
        return told

    def _plain(self, value):
        try:
            writer = values.Writer()
            writer.put(value)
        except Exception:
            return False
        return True

    def _describe_enum(self, kind, told):
        members = {name: member._value_ for name, member in kind.__members__.items()}
        mixins = [base.__name__ for base in (int, str) if issubclass(kind, base)]
        # Python 3.11 and newer put `Enum.__new__` into each class.
        own = [
            name
            for name in ("__eq__", "__hash__", "__new__", "__bool__", "__lt__", "__len__")
            if name in vars(kind) and getattr(kind, name) is not getattr(enum.Enum, name, None)
        ]
        if not members or (own and kind.__bases__[0] not in (enum.Flag, enum.IntFlag)) or not self._plain(members):
            return
        if any(name.startswith("_") or name == "mro" for name in members):
            return
        told.update(kind="enum", members=[list(item) for item in members.items()], mixin=mixins[0] if mixins else "")
        told["flag"] = issubclass(kind, _FLAG)

    def _describe_namedtuple(self, kind, told):
        fields = kind._fields
        special = [name for name in vars(kind) if name.startswith("__") and name not in _NAMEDTUPLE_NAMES]
        if kind.__bases__ != (tuple,) or special or not all(type(field) is str for field in fields):
            return
        defaults = dict(getattr(kind, "_field_defaults", {}))
        if any(field.startswith("_") for field in fields) or not self._plain(defaults):
            return
        told.update(kind="namedtuple", fields=list(fields), defaults=defaults)

    def _describe_record(self, kind, told):
        params = kind.__dataclass_params__
        if not (params.eq and params.init) or type(kind) is not type:
            return
        for base in kind.__mro__[:-1]:
            if base is not kind and self.described(base) != "record":
                return
            for name in _DATACLASS_EXTRAS:
                method = vars(base).get(name)
                code = getattr(getattr(method, "__wrapped__", method), "__code__", None)
                if method is not None and (code is None or not code.co_filename.startswith("<string>")):
                    return
        fields = []
        for field in dataclasses.fields(kind):
            if not field.init or not field.compare or field.hash is not None or getattr(field, "kw_only", False):
                return
            factory = field.default_factory
            if factory is not dataclasses.MISSING:
                if factory not in (list, dict, set):
                    return
                fields.append([field.name, "factory", factory.__name__])
            elif field.default is not dataclasses.MISSING:
                if not self._plain(field.default):
                    return
                fields.append([field.name, "default", field.default])
            else:
                fields.append([field.name, "", None])
        initial = [name for name in getattr(kind, "__dataclass_fields__", {}) if name not in [f[0] for f in fields]]
        if any(str(kind.__dataclass_fields__[name]._field_type) == "_FIELD_INITVAR" for name in initial):
            return
        told.update(kind="record", fields=fields, frozen=bool(params.frozen), order=bool(params.order))

    # The conversation.

    def ask(self, operation, parts):
        """Have the tests' side do something, and wait."""
        with self.lock:
            if not self.depth:
                raise TestsError("objects of the tests can't be used after the call that passed them")
            if self.depth > 200:
                raise RecursionError("calls between the tests and the solution are nested too deep")
            wire.send(self.connection, b"q" + self.written([operation, parts]))
            return self.serve()

    def serve(self):
        """Do what T asks, until it answers what was asked of it (or the session ends)."""
        while True:
            data = wire.receive(self.connection)
            if data is None:
                os._exit(0)
            body, *context = wire.parted(data)
            reader = Reader(self, body)
            problem = None
            try:
                message = reader.read()
            except Exception as error:
                problem, message = error, ("req", "none", ())
            if message[0] == "answer":
                return message[1]
            if message[0] == "raise":
                raise message[1]
            self.answer(message, reader.mutables, problem, context)

    def answer(self, message, mutables, problem, context):
        known = {id(item): number for number, item in enumerate(mutables)}
        before = [self.shallow(item, known) for item in mutables]
        self.depth += 1
        try:
            if problem is not None:
                raise problem
            self.context(values.Reader(context[0]).read())
            reply = ["ok", getattr(self, "do_" + message[1])(*message[2])]
        except BaseException as error:
            reply = ["raise", error]
        with self.lock:
            self.depth -= 1
            updates, outputs, changed = [], ["", ""], [[], []]
            for number, item in enumerate(mutables):
                now = self.shallow(item, known)
                if now != before[number] and now is not None:
                    updates.append((number, now))
            with suppress(Exception):
                outputs = [read() for read in self.outputs]
            try:
                changed = self.changes()
            except Exception as error:
                reply = ["raise", error]
            self.send(reply, known, updates, [outputs, changed])

    def shallow(self, item, known):
        writer = Writer(self, known)
        writer.shallow = id(item)
        try:
            writer.put(item)
        except Exception:
            return None
        return bytes(writer.out)

    def send(self, reply, known, updates, rest):
        try:
            body = self.written(reply, known)
        except BaseException as error:
            body = self.written(["raise", RuntimeError(f"the result can't pass: {error}"[:1000])])
        parts = [body, self.written(rest)]
        for number, content in updates:
            parts += [number.to_bytes(4, "big"), content]
        wire.send(self.connection, b"a" + wire.joined(parts))

    def written(self, value, known=None):
        writer = Writer(self, known)
        writer.put(value)
        return bytes(writer.out)

    def context(self, told):
        """Have the working directory, the environment and files as they are with the tests."""
        if told is None:
            return
        if told["files"] is not None:
            files.put_in_solution(*told["files"])
        if told["files"] is not None or told["roots"] != self.roots:
            self.roots = told["roots"]
            self.seen = files.scan([self.workdir, *self.roots])
        for name, value in told["environment"].items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if told["cwd"] is not None:
            with suppress(OSError):
                os.makedirs(told["cwd"], exist_ok=True)
                os.chdir(told["cwd"])
        self.add_path(told["path"])

    def changes(self):
        now = files.scan([self.workdir, *self.roots])
        told, gone = files.changes(self.seen, now) if now != self.seen else ([], [])
        self.seen = now
        return [told, gone]

    # What can be asked.

    def do_find(self, name, folders):
        """Whether there is such a module (2: a package) in these folders or, where none are given, wherever S looks."""
        if folders is None:
            try:
                spec = importlib.util.find_spec(name)
            except (ImportError, ValueError, AttributeError):
                spec = None
        else:
            spec = importlib.machinery.PathFinder.find_spec(name, folders)
        if spec is None:
            return 0
        return 1 if spec.submodule_search_locations is None else 2

    def do_import(self, name):
        return importlib.import_module(name)

    def do_reload(self, module):
        return importlib.reload(module)

    def do_load(self, name, path):
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} can't be loaded")
        module = importlib.util.module_from_spec(spec)
        before = sys.modules.get(name)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            if before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = before
            raise
        return module

    def do_run_path(self, path, name, given):
        return dict(runpy.run_path(path, init_globals=given, run_name=name))

    def do_run_module(self, module, name, given):
        return dict(runpy.run_module(module, init_globals=given, run_name=name))

    def do_describe(self, kind):
        return self.describe(kind)

    def do_get(self, thing, name):
        return getattr(thing, name)

    def do_member(self, value, name):
        """An attribute of a value that T has as well; of a method, the function, since this value is a copy."""
        found = inspect.getattr_static(type(value), name, None)
        if isinstance(found, types.FunctionType):
            return ("method", found)
        return ("value", getattr(value, name))

    def do_set(self, thing, name, value):
        # Who patches looks into the stand-in's own `__dict__`, finds nothing there, and deletes to undo it.
        if isinstance(thing, _PATCHED):
            self.patched.setdefault((thing, name), vars(thing).get(name, _NOTHING))
        setattr(thing, name, value)

    def do_del(self, thing, name):
        before = self.patched.pop((thing, name), _NOTHING) if isinstance(thing, _PATCHED) else _NOTHING
        if before is _NOTHING:
            delattr(thing, name)
        else:
            setattr(thing, name, before)

    def do_dir(self, thing):
        return [str(name) for name in dir(thing)]

    def do_all(self, module):
        names = getattr(module, "__all__", None)
        return [str(name) for name in names] if names is not None else [n for n in vars(module) if n[:1] != "_"]

    def do_call(self, thing, arguments, named):
        return thing(*arguments, **named)

    def do_special(self, thing, name, arguments):
        return shared.perform(name, thing, arguments)

    def do_copy(self, thing, deep):
        import copy

        return copy.deepcopy(thing) if deep else copy.copy(thing)

    def do_text(self, thing, name):
        return str({"repr": repr, "str": str}[name](thing))[:1_000_000]


_NOTHING = object()


def _redirected(number):
    """Have what is written to a descriptor kept, and a function that takes it out."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    os.set_inheritable(file.fileno(), False)
    os.dup2(file.fileno(), number)
    appending = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_APPEND)
    os.dup2(appending, number)
    os.close(appending)

    def take():
        stream = (sys.stdout, sys.stderr)[number - 1]
        if stream is not None:
            stream.flush()
        file.seek(0)
        data = file.read(_MOST_OUTPUT)
        if data:
            os.ftruncate(file.fileno(), 0)
        return data.decode("utf-8", "replace")

    return take
