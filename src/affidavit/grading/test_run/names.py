"""The names of the hidden tests, read from their source without running any of it."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

_MAX_BYTES = 4 << 20
_MOST = 10_000


class UnclearNames(Exception):
    """The source does not show which tests there are; the text says where and why."""


def pytest_names(folder: Path) -> tuple[str, ...]:
    """Names as pytest has them, ``test_a.py::TestB::test_c``, without parameters, in the order of files and lines.

    Raises:
        UnclearNames: a test is inherited from elsewhere or made at run time, or there is none.
    """
    names = []
    for path in sorted({*folder.rglob("test_*.py"), *folder.rglob("*_test.py")}):
        file = path.relative_to(folder).as_posix()
        module = _Module(path, file)
        names += [f"{file}::{name}" for name in module.functions()]
        for case in module.classes():
            if case.name.startswith("Test") or module.is_case(case):
                names += [f"{file}::{case.name}::{name}" for name in module.methods(case)]
    return _found(names, "test_*.py and *_test.py have no test")


def unittest_names(folder: Path) -> tuple[str, ...]:
    """Names as unittest has them, ``test_a.TestB.test_c``, of the files ``test*.py`` in the folder itself.

    Raises:
        UnclearNames: as `pytest_names`.
    """
    names = []
    for path in sorted(folder.glob("test*.py")):
        module = _Module(path, path.name)
        names += [
            f"{path.stem}.{case.name}.{name}"
            for case in module.classes()
            if module.is_case(case)
            for name in module.methods(case)
        ]
    return _found(names, "test*.py have no test case")


def script_names(folder: Path) -> tuple[str, ...]:
    """The files ``test_*`` in the folder itself.

    Raises:
        UnclearNames: there is none.
    """
    names = [path.name for path in sorted(folder.glob("test_*")) if path.is_file()]
    return _found(names, "there is no file test_*")


def _found(names: Sequence[str], none: str) -> tuple[str, ...]:
    if not names:
        raise UnclearNames(none)
    if len(names) > _MOST:
        raise UnclearNames(f"there are more than {_MOST} tests")
    return tuple(dict.fromkeys(names))


class _Module:
    def __init__(self, path: Path, file: str) -> None:
        self._file = file
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise UnclearNames(f"{file} is larger than 4 MiB")
            self._tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            raise UnclearNames(f"{file} can't be read as Python ({error})") from None
        self._classes = {node.name: node for node in self._tree.body if isinstance(node, ast.ClassDef)}
        self._all_at_the_top()

    def _all_at_the_top(self) -> None:
        """Tests under a condition, or test classes in classes, may or may not be there."""
        plain = {id(node) for node in self._tree.body}
        plain |= {id(node) for case in self._classes.values() for node in case.body}
        for node in ast.walk(self._tree):
            inner = isinstance(node, ast.If | ast.Try | ast.ClassDef | ast.For | ast.While)
            if not inner or (isinstance(node, ast.ClassDef) and id(node) in {id(c) for c in self._classes.values()}):
                continue
            for part in ast.walk(node):
                named = isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name.startswith("test")
                if named and id(part) not in plain:
                    raise UnclearNames(f"{self._file}: line {getattr(part, 'lineno', 0)}: a test under a condition")
        if any(isinstance(node, ast.FunctionDef) and node.name == "load_tests" for node in self._tree.body):
            raise UnclearNames(f"{self._file}: load_tests makes tests at run time")

    def functions(self) -> list[str]:
        return _test_functions(self._tree.body)

    def classes(self) -> Iterator[ast.ClassDef]:
        yield from self._classes.values()

    def is_case(self, case: ast.ClassDef) -> bool:
        """Whether it is a unittest test case, directly or by way of a class of this module."""
        return any(
            name.endswith("TestCase")
            or (name in self._classes and name != case.name and self.is_case(self._classes[name]))
            for name in _bases(case)
        )

    def methods(self, case: ast.ClassDef, seen: frozenset[str] = frozenset()) -> list[str]:
        """Its tests, inherited ones after its own."""
        names = _test_functions(case.body)
        for base in _bases(case):
            if base in seen or base == case.name:
                raise UnclearNames(f"{self._file}: class {case.name} inherits from itself")
            if base in self._classes:
                names += self.methods(self._classes[base], seen | {case.name})
            elif not (base in ("object", "ABC", "Generic", "Protocol") or base.endswith("TestCase")):
                raise UnclearNames(f"{self._file}: class {case.name} may inherit tests from {base or 'what it calls'}")
        return list(dict.fromkeys(names))


def _bases(case: ast.ClassDef) -> list[str]:
    names = []
    for base in case.bases:
        while isinstance(base, ast.Subscript):
            base = base.value
        names.append(base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else "")
    return names


def _test_functions(body: Sequence[ast.stmt]) -> list[str]:
    return [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    ]
