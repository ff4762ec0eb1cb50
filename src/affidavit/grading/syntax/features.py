"""Features of code: how many times something is called, imported, named or defined in it."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import tree_sitter

from affidavit.grading.syntax.brought import EVERYTHING, meanings, modules
from affidavit.grading.syntax.languages import GRAMMARS, Grammar, load
from affidavit.grading.syntax.settings import Feature
from affidavit.grading.syntax.spelling import SyntaxFault
from affidavit.grading.syntax.tree import Node, parsed, read

_MOST_MATCHES = 65_535


def occurrences(source: bytes, language: str, feature: Feature) -> int:
    """How many times a feature occurs.

    Raises:
        SyntaxFault: the source can't be looked at.
    """
    top = read(source, language)
    if feature.query is not None:
        cursor = tree_sitter.QueryCursor(tree_sitter.Query(load(language), feature.query), match_limit=_MOST_MATCHES)
        matches = cursor.matches(parsed(source, language)[0].root_node)
        if cursor.did_exceed_match_limit:
            raise SyntaxFault("matches a query too often")
        return len(matches)
    if feature.node is not None:
        return sum(node.kind == feature.node for node in top.walk())
    if feature.name is not None:
        return sum(name == feature.name for name in _names(top, language))
    if feature.call is not None:
        wanted = feature.call
        return sum(any(fnmatchcase(name, wanted) for name in called) for called in _calls(top, language))
    if feature.imports is not None:
        return sum(_is_part(module, feature.imports) for module in modules(top, language))
    return sum(name == feature.definition for name in _definitions(top, language))


def _calls(top: Node, language: str) -> Iterator[set[str]]:
    """What is called, each with all that it may be: as in the source but for white space, and by the names that stand
    for what is imported."""
    grammar, names = GRAMMARS[language], meanings(top, language)
    mark = "::" if language == "rust" else "."
    for node in top.walk():
        for callee in _callees(node, grammar, language):
            first, dot, rest = callee.partition(mark)
            whole = {callee} | {f"{meaning}{dot}{rest}" for meaning in names.get(first, ())}
            whole |= {f"{module}{mark}{callee}" for module in names.get(EVERYTHING, ())}
            yield {name.removeprefix("builtins.").removeprefix("__builtins__.") for name in whole}


def _callees(node: Node, grammar: Grammar, language: str) -> Iterator[str]:
    if node.kind in grammar.calls:
        callee = node.at(grammar.calls[node.kind])
        while callee is not None and callee.children and _is_around(callee):
            # Of several with commas between them, the last is what is called.
            callee = callee.at("function") or callee.children[-1]
        if callee is not None:
            # In C, a function and what points to it are one.
            yield callee.words().lstrip("&*")
    elif node.kind == "decorator" and node.children[-1].kind != "call":
        yield node.children[-1].words()
    elif node.kind == "token_tree":
        yield from _in_tokens(node)
    elif node.kind == "preproc_arg" and language == "c":
        yield from _macro_names(node.text)


def _is_around(callee: Node) -> bool:
    return callee.kind in ("sequence_expression", "generic_function") or (
        callee.kind == "parenthesized_expression" and callee.children[-1].kind != "comment"
    )


def _in_tokens(tokens: Node) -> Iterator[str]:
    """Names before an argument list in what a Rust macro is given, which is not parsed."""
    name = ""
    for token in tokens.children:
        if token.kind == "token_tree" and name:
            yield name
        joins = token.kind == "::" or name.endswith("::")
        name = (name if joins else "") + token.text if token.kind in ("::", "identifier", "self", "crate") else ""


def _macro_names(text: str) -> list[str]:
    """The names in what a C macro stands for, which is not parsed."""
    return re.findall(r"[A-Za-z_]\w*", re.sub(r'"(?:[^"\\]|\\.)*"', "", text))


def _names(top: Node, language: str) -> Iterator[str]:
    for node in top.walk():
        if not node.children and "identifier" in node.kind:
            yield node.text
        elif node.kind == "preproc_arg" and language == "c":
            yield from _macro_names(node.text)


def _is_part(module: str, wanted: str) -> bool:
    """Whether a module is the wanted one or a part of it, or brings in all of what it is a part of."""
    return module == wanted or any(
        module.startswith(f"{wanted}{mark}")
        or (mark in wanted and module == f"{wanted.rpartition(mark)[0]}{mark}{EVERYTHING}")
        for mark in (".", "/", "::")
    )


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
