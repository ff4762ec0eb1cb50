"""The imports of code, and what the imported names stand for."""

import posixpath
import re
from collections.abc import Iterator

from affidavit.grading.syntax.languages import GRAMMARS
from affidavit.grading.syntax.spelling import SyntaxFault
from affidavit.grading.syntax.tree import Node

EVERYTHING = "*"


def modules(top: Node, language: str) -> Iterator[str]:
    """What is imported, spelled as in the source without quotes; with ``*`` at its end, all that is in it."""
    grammar = GRAMMARS[language]
    for node in top.walk():
        if node.kind in grammar.imports:
            yield from _OF[language](node)
        elif language == "javascript" and node.kind == "call_expression":
            callee, arguments = node.at("function"), node.at("arguments")
            if callee is not None and callee.words() in ("require", "import") and arguments and arguments.children:
                yield _unquoted(arguments.children[0]).removeprefix("node:")
    if language == "c":
        yield from _by_macro(top)


def meanings(top: Node, language: str) -> dict[str, set[str]]:
    """What each imported name may stand for, ``np`` for ``numpy``; under ``*``, where all of something is imported.

    A name may be bound twice, or where it never comes to that: it stands for either.
    """
    found: dict[str, set[str]] = {}
    for node in top.walk():
        for name, meaning in _NAMES[language](node) if language in _NAMES else ():
            found.setdefault(name, set()).add(meaning)
    return found


def python_names(node: Node) -> Iterator[tuple[str, str]]:
    """The names that a Python import binds to something of another name."""
    if node.kind not in ("import_statement", "import_from_statement"):
        return
    source = node.at("module_name")
    module = f"{source.words()}." if source is not None else ""
    for child in node.children:
        if child.role == "name" and child.kind == "aliased_import":
            name, alias = child.at("name"), child.at("alias")
            if name is not None and alias is not None:
                yield alias.text or alias.words(), module + name.words()
        elif child.role == "name" and module:
            yield child.words(), module + child.words()
        elif child.kind == "wildcard_import" and module:
            yield EVERYTHING, module.removesuffix(".")


def _python_modules(node: Node) -> Iterator[str]:
    module = node.at("module_name")
    if module is not None:
        yield module.words()
    for child in node.children:
        if child.role == "name":
            name = child.at("name") if child.kind == "aliased_import" else child
            if name is not None:
                yield f"{module.words()}.{name.words()}" if module is not None else name.words()
        elif child.kind == "wildcard_import" and module is not None:
            yield f"{module.words()}.*"


def _javascript_modules(node: Node) -> Iterator[str]:
    source = node.at("source")
    if source is not None:
        yield _unquoted(source).removeprefix("node:")


def _javascript_names(node: Node) -> Iterator[tuple[str, str]]:
    name, alias = node.at("name"), node.at("alias")
    if node.kind == "import_specifier" and name is not None and alias is not None:
        yield alias.words(), name.words().strip("\"'")


def _go_modules(node: Node) -> Iterator[str]:
    path = node.at("path")
    if path is not None:
        yield _unquoted(path)


def _go_names(node: Node) -> Iterator[tuple[str, str]]:
    name, path = node.at("name"), node.at("path")
    if node.kind == "import_spec" and name is not None and path is not None:
        # The last part of a path is the package's name, but for a version.
        parts = _unquoted(path).split("/")
        for package in parts[-2:] if re.fullmatch("v[0-9]+", parts[-1]) else parts[-1:]:
            yield (EVERYTHING if name.kind == "dot" else name.words()), package


def _c_modules(node: Node) -> Iterator[str]:
    path = node.at("path")
    if path is not None and path.kind != "identifier":
        yield _header(path.words())


def _header(words: str) -> str:
    return posixpath.normpath(words.strip().strip('"<>'))


def _by_macro(top: Node) -> Iterator[str]:
    """Headers that C brings in by names that stand for them, and by directives that the grammar does not know."""
    named = any(path.kind == "identifier" for node in top.walk() if (path := node.at("path")) is not None)
    for node in top.walk():
        directive, text = node.at("directive"), node.at("value") or node.at("argument")
        brings = directive is not None and directive.text.replace(" ", "") in ("#import", "#include_next")
        if text is not None and (brings or (named and node.kind == "preproc_def")):
            yield _header(text.text)


def _rust_modules(node: Node) -> Iterator[str]:
    for _, path in _rust_uses(node):
        yield path


def _rust_names(node: Node) -> Iterator[tuple[str, str]]:
    if node.kind == "use_declaration":
        for name, path in _rust_uses(node):
            yield name, path.removesuffix("::*")


def _rust_uses(node: Node) -> Iterator[tuple[str, str]]:
    """Name and path of all that a declaration brings in."""
    waiting = [("", node.at("argument") or node.at("name") or node)]
    while waiting:
        above, here = waiting.pop()
        if here.kind in ("use_list", "scoped_use_list"):
            path, listed = here.at("path"), here.at("list") or here
            inside = above if path is None else f"{above}{path.words()}::"
            waiting += [(inside, child) for child in listed.children if child is not path and child.kind != "::"]
        elif here.kind == "use_as_clause":
            path, alias = here.at("path"), here.at("alias")
            if path is not None and alias is not None:
                yield alias.words(), _absolute(above + path.words())
        else:
            path_text = _absolute(above + here.words())
            yield path_text.rpartition("::")[2], path_text


def _absolute(path: str) -> str:
    return path.removeprefix("::").removesuffix("::self")


def _unquoted(node: Node) -> str:
    if any(part.kind == "escape_sequence" for part in node.walk()):
        raise SyntaxFault("brings in something whose name is spelled with an escape")
    return node.words().strip("\"'`")


_OF = {
    "python": _python_modules,
    "javascript": _javascript_modules,
    "go": _go_modules,
    "c": _c_modules,
    "rust": _rust_modules,
}
_NAMES = {"python": python_names, "javascript": _javascript_names, "go": _go_names, "rust": _rust_names}
