"""Places in tests in Python where a library would make code, files or objects of what a solution left.

Such a library runs on the tests' side, also where the solution has a sandbox of its own, and there it decides a test or
shows what is expected.
"""

import ast
from collections.abc import Iterator

_SAFE_YAML = "use yaml.safe_load"
_TEMPLATES = "compare the text itself, or put it into a template of the tests' own"
_EXTRACTING = frozenset(("extract", "extractall"))
_YAML = frozenset(("load", "load_all"))
_UNSAFE_YAML = frozenset(("unsafe_load", "unsafe_load_all"))
_UNSAFE_LOADERS = frozenset(("Loader", "UnsafeLoader", "CLoader"))
_PARSING = frozenset(("parse", "fromstring", "XML"))


def loaded_as_code(text: str) -> Iterator[tuple[int, str, str]]:
    """Where data may do more than be read, as far as the call itself shows it.

    Args:
        text: a Python file; one that can't be parsed has no such places.

    Yields:
        Line (from 1), the call, and how to fix it.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    modules = _imported(tree)
    written = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    made = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call | ast.Attribute)
        for target in node.targets
        if isinstance(target, ast.Name)
    } - written
    for node in sorted((n for n in ast.walk(tree) if isinstance(n, ast.Call)), key=lambda n: (n.lineno, n.col_offset)):
        if fix := _fix(node, modules, written, made):
            yield node.lineno, ast.unparse(node)[:80], fix


def _imported(tree: ast.AST) -> dict[str, str]:
    """By the name that the file uses, the module, or the thing of a module, that it stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({name.asname or name.name.partition(".")[0]: name.name for name in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({name.asname or name.name: f"{node.module}.{name.name}" for name in node.names})
    return found


def _fix(call: ast.Call, modules: dict[str, str], written: set[str], made: set[str]) -> str | None:
    name = _name(call.func, modules)
    module, _, function = name.rpartition(".")
    options = {option.arg: option.value for option in call.keywords}
    first = call.args[0] if call.args else None
    own = first is None or isinstance(first, ast.Constant) or (isinstance(first, ast.Name) and first.id in written)
    if module == "yaml" and (function in _UNSAFE_YAML or (function in _YAML and _unsafe(call, modules))):
        return _SAFE_YAML
    if name == "jinja2.Template" or function == "from_string":
        return None if own else _TEMPLATES
    if function == "unpack_archive" and module == "shutil" and "filter" not in options:
        return 'unpack it with filter="data", or read the members: links and ".." lead out of the folder'
    if function in _EXTRACTING and "tarfile" in modules.values() and "filter" not in options:
        return 'give filter="data", or read the members: links and ".." lead out of the folder'
    if module == "lxml.etree" and function in _PARSING and "parser" not in options and len(call.args) < 2:
        return "give a parser with resolve_entities=False: entities name files of the tests"
    if isinstance(call.func, ast.Attribute) and function in ("format", "format_map"):
        text = call.func.value
        given = isinstance(text, ast.Call | ast.Attribute) or (isinstance(text, ast.Name) and text.id in made)
        return _TEMPLATES if given and (call.args or call.keywords) else None
    return None


def _unsafe(call: ast.Call, modules: dict[str, str]) -> bool:
    """Whether yaml.load makes any object: without a loader it did so in older releases."""
    loaders = [*call.args[1:2], *(option.value for option in call.keywords if option.arg == "Loader")]
    return not loaders or _name(loaders[0], modules).rpartition(".")[2] in _UNSAFE_LOADERS


def _name(function: ast.expr, modules: dict[str, str]) -> str:
    """What is called, by the names of modules; of other objects' methods, the method with a dot before it."""
    if isinstance(function, ast.Name):
        return modules.get(function.id, function.id)
    if isinstance(function, ast.Attribute):
        return f"{_name(function.value, modules)}.{function.attr}"
    return ""
