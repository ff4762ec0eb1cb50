"""Source text as a tree of plain nodes, within bounds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import tree_sitter

from affidavit.grading.syntax.languages import load
from affidavit.grading.syntax.spelling import SyntaxFault, odd, plain_name, prepared

MOST_BYTES = 1 << 20
_MOST_NODES = 300_000
_DEEPEST = 400
# What these say, the kind of the node around them says too.
_PUNCTUATION = frozenset({",", ";", "(", ")", "{", "}", "[", "]", ":", "\n"})
_QUOTES = frozenset({'"', "'", '"""', "'''"})


@dataclass(slots=True)
class Node:
    """A node.

    Attributes:
        kind: its name in the grammar.
        text: of a leaf; empty otherwise.
        role: the field of the node above that it stands in.
        children: without comments and punctuation.
    """

    kind: str
    text: str
    role: str | None
    children: list["Node"] = field(default_factory=list)

    def at(self, role: str) -> "Node | None":
        """The first child in a field."""
        return next((child for child in self.children if child.role == role), None)

    def walk(self) -> Iterator["Node"]:
        """This node and all below, from the top."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def words(self) -> str:
        """The text of all leaves, one after another."""
        return "".join(node.text for node in self.walk())


def parsed(source: bytes, language: str) -> tuple[tree_sitter.Tree, bytes]:
    """A source's tree, and the text that it is of: the source in UTF-8, names as the language reads them.

    Raises:
        SyntaxFault: it is larger than 1 MiB, or is not of that language.
    """
    if len(source) > MOST_BYTES:
        raise SyntaxFault(f"is larger than {MOST_BYTES >> 20} MiB")
    source = prepared(source, language)
    tree = _tree(source, language)
    if odd(source, language):
        plain = _respelt(tree, source, language)
        if plain != source:
            return _tree(plain, language), plain
    return tree, source


def _tree(source: bytes, language: str) -> tree_sitter.Tree:
    tree = tree_sitter.Parser(load(language)).parse(source)
    if tree.root_node.has_error:
        raise SyntaxFault(f"is not {language}")
    return tree


def _respelt(tree: tree_sitter.Tree, source: bytes, language: str) -> bytes:
    """A source with each name as the language reads it."""
    made, done, cursor = [], 0, tree.walk()
    while True:
        node = cursor.node
        if node is not None and not node.child_count and "identifier" in node.type:
            name = source[node.start_byte : node.end_byte]
            made += [source[done : node.start_byte], plain_name(name.decode(errors="replace"), language).encode()]
            done = node.end_byte
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return b"".join((*made, source[done:]))


def read(source: bytes, language: str) -> Node:
    """A source as nodes.

    Raises:
        SyntaxFault: as `parsed`; it holds nothing, or too much (300,000 nodes, 400 levels).
    """
    tree, source = parsed(source, language)
    cursor = tree.walk()
    top = Node(_name(cursor), "", None)
    path, nodes = [top], 1
    while True:
        if cursor.goto_first_child():
            deeper = True
        else:
            deeper = False
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    if not top.children:
                        raise SyntaxFault("holds no code")
                    return top
                path.pop()
        made = _made(cursor, source)
        nodes += 1
        if nodes > _MOST_NODES:
            raise SyntaxFault(f"has more than {_MOST_NODES:,} nodes")
        if not deeper:
            path.pop()
        if len(path) > _DEEPEST:
            raise SyntaxFault(f"is nested deeper than {_DEEPEST} levels")
        # In Python's slices a colon tells what stands before it from what stands behind.
        if not _is_noise(made) or (made.kind == ":" and path[-1].kind == "slice"):
            path[-1].children.append(made)
        path.append(made)


def _made(cursor: tree_sitter.TreeCursor, source: bytes) -> Node:
    node = cursor.node
    assert node is not None
    text = "" if node.child_count else source[node.start_byte : node.end_byte].decode("utf-8", "backslashreplace")
    if node.type.endswith("identifier"):
        # Rust's other spelling of a name.
        text = text.removeprefix("r#")
    if text in _QUOTES:
        return Node('"', '"', cursor.field_name)
    return Node(node.type, text, cursor.field_name)


def _name(cursor: tree_sitter.TreeCursor) -> str:
    assert cursor.node is not None
    return cursor.node.type


def _is_noise(node: Node) -> bool:
    return node.kind in _PUNCTUATION or "comment" in node.kind
