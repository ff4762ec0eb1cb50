"""Features of code: how many times something is called, imported, named or defined in it."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import tree_sitter

from affidavit.grading.syntax.canonical import import_names
from affidavit.grading.syntax.languages import GRAMMARS, load
from affidavit.grading.syntax.settings import Feature
from affidavit.grading.syntax.tree import Node, SyntaxFault, parsed, read

_MOST_MATCHES = 65_535


def occurrences(source: bytes, language: str, feature: Feature) -> int:
    """How many times a feature occurs.

    Raises:
        SyntaxFault: the source can't be looked at.
    """
    top = read(source, language)
    if feature.query is not None:
        cursor = tree_sitter.QueryCursor(tree_sitter.Query(load(language), feature.query), match_limit=_MOST_MATCHES)
        matches = cursor.matches(parsed(source, language).root_node)
        if cursor.did_exceed_match_limit:
            raise SyntaxFault("matches a query too often")
        return len(matches)
    if feature.node is not None:
        return sum(node.kind == feature.node for node in top.walk())
    if feature.name is not None:
        return sum(node.text == feature.name and not node.children and "identifier" in node.kind for node in top.walk())
    if feature.call is not None:
        return sum(fnmatchcase(called, feature.call) for called in _calls(top, language))
    if feature.imports is not None:
        return sum(_is_part(module, feature.imports) for module in _imports(top, language))
    return sum(name == feature.definition for name in _definitions(top, language))


def _calls(top: Node, language: str) -> Iterator[str]:
    """What is called, spelled as in the source but for white space, and for the names that Python imports."""
    grammar = GRAMMARS[language]
    meanings = import_names(top.walk()) if language == "python" else {}
    for node in top.walk():
        callee = node.at(grammar.calls[node.kind]) if node.kind in grammar.calls else None
        if callee is None:
            continue
        while callee.kind == "parenthesized_expression" and len(callee.children) == 1:
            callee = callee.children[0]
        first, dot, rest = callee.words().partition(".")
        yield f"{meanings.get(first, first)}{dot}{rest}".removeprefix("builtins.")


def _imports(top: Node, language: str) -> Iterator[str]:
    """What is brought in, spelled as in the source without quotes."""
    grammar = GRAMMARS[language]
    for node in top.walk():
        if node.kind in grammar.imports:
            if language == "python":
                yield from _python_imports(node)
            elif language == "rust":
                yield "".join(child.words() for child in node.children if child.kind not in ("use", "extern", "crate"))
            else:
                source = node.at("source") or node.at("path")
                yield "" if source is None else source.words().strip("\"'<>`")
        elif language == "javascript" and node.kind in ("call_expression",):
            callee, arguments = node.at("function"), node.at("arguments")
            if callee is not None and arguments is not None and callee.words() in ("require", "import"):
                yield arguments.words().strip("\"'`")


def _python_imports(node: Node) -> Iterator[str]:
    module = node.at("module_name")
    if module is not None:
        yield module.words()
    for child in node.children:
        if child.role == "name":
            name = child.at("name") if child.kind == "aliased_import" else child
            if name is not None:
                yield f"{module.words()}.{name.words()}" if module is not None else name.words()


def _is_part(module: str, wanted: str) -> bool:
    """Whether a module is the wanted one or a part of it."""
    return module == wanted or any(module.startswith(f"{wanted}{mark}") for mark in (".", "/", "::"))


def _definitions(top: Node, language: str) -> Iterator[str]:
    grammar = GRAMMARS[language]
    for node in top.walk():
        if node.kind in grammar.definitions:
            name = node.at(grammar.definitions[node.kind])
            while name is not None and name.children:
                # In C the name stands within the declarator.
                name = name.at("declarator") or name.children[0]
            if name is not None:
                yield name.text
