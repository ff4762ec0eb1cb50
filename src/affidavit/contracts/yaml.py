"""Reading YAML 1.2 (so JSON too) into plain values, with the place of each. Bounded: hostile text can't blow up."""

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from affidavit.contracts.errors import ContractError

MAX_BYTES = 1 << 20
# Far more than any contract holds; aliases count each time they are used.
_MAX_VALUES = 50_000
_MAX_DEPTH = 32

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Positions:
    """Where in a text a value and its key stand, as (line, column) from 1."""

    values: dict[Place, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Place, tuple[int, int]] = field(default_factory=dict)
    # How a text is written: plain (""), quoted, or a block; and for a block how far it is indented.
    styles: dict[Place, tuple[str, int]] = field(default_factory=dict)

    def of(self, place: Place, key: bool = False) -> tuple[int, int]:
        """The place itself (its key's, where `key`), else the nearest around it."""
        table = self.keys if key else self.values
        while place and place not in table:
            place, table = place[:-1], self.values
        return table.get(place, (1, 1))

    def at(self, place: str) -> tuple[int, int]:
        """As `of`, for a place as findings name it: ``files.write[2]``."""
        parts = re.findall(r"[^.\[\]]+|\[\d+\]", place)
        return self.of(tuple(int(part[1:-1]) if part[0] == "[" else part for part in parts))

    def inside(self, place: Place, line: int, column: int) -> tuple[int, int]:
        """Where a place inside of a text stands, itself given as line and column from 1; where that is not known
        (folded lines, escapes), the nearest place that can."""
        first, start = self.of(place)
        style, indent = self.styles.get(place, ("", 0))
        if style == "|":
            return first + line, indent + column
        if style == ">" or line > 1:
            return first, start
        return first, start + column - 1 + len(style)


def read_yaml(data: bytes, name: str) -> tuple[Any, Positions]:
    """The value of the only document in a text: dicts with string keys, lists, strings, numbers, booleans, None.

    Args:
        data: the text, UTF-8.
        name: the file's, for errors.

    Raises:
        ContractError: it is larger than 1 MiB, no UTF-8, no YAML, or holds what a contract can't.
    """
    if len(data) > MAX_BYTES:
        raise ContractError(f"{name}: is larger than 1 MiB")
    try:
        text = data.decode("utf-8-sig")
        if unseen := re.search("[\x85\u2028\u2029]", text):
            # Line ends to some programs and none to others, also behind a '#': what is read must be what is seen.
            line = text.count("\n", 0, unseen.start()) + 1
            column = unseen.start() - text.rfind("\n", 0, unseen.start())
            raise ContractError(f"{name}:{line}:{column}: holds the line separator U+{ord(unseen[0]):04X}; remove it")
        reader = YAML(typ="safe", pure=True)
        reader.Composer = _Bounded
        node = reader.compose(text)
    except UnicodeDecodeError as error:
        raise ContractError(f"{name}: is not UTF-8 (byte {error.start})") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context or "syntax error").split())
        told = "" if isinstance(error, _TooMuch) else "is not YAML: "
        raise ContractError(f"{name}{where}: {told}{problem}") from error
    except (YAMLError, ValueError) as error:
        raise ContractError(f"{name}: is not YAML: {' '.join(str(error).split())[:300]}") from error
    except RecursionError as error:
        raise ContractError(f"{name}: is nested too deep") from error
    if node is None:
        raise ContractError(f"{name}:1:1: is empty")
    return _Builder(name, text).document(node)


class _TooMuch(ComposerError):
    """More values, or deeper, than any contract has."""


class _Bounded(Composer):
    """Gives up as soon as there is too much, long before all of a hostile text is read."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self._count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._count += 1
        problem = f"holds more than {_MAX_VALUES} values" if self._count > _MAX_VALUES else ""
        if self.depth > _MAX_DEPTH:
            problem = "is nested too deep"
        if problem:
            raise _TooMuch(None, None, problem, self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Builder:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text_lines = text.split("\n")
        self._positions = Positions()
        self._count = 0

    def document(self, node: Node) -> tuple[Any, Positions]:
        return self._value(node, ()), self._positions

    def _error(self, node: Node, message: str) -> ContractError:
        mark = node.start_mark
        return ContractError(f"{self._name}:{mark.line + 1}:{mark.column + 1}: {message}")

    def _value(self, node: Node, place: Place) -> Any:
        self._count += 1
        if self._count > _MAX_VALUES:
            raise self._error(node, f"holds more than {_MAX_VALUES} values; aliases count each time")
        if len(place) > _MAX_DEPTH:
            raise self._error(node, "is nested too deep; an alias of itself is")
        self._positions.values[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
        match node:
            case MappingNode():
                return self._mapping(node, place)
            case SequenceNode():
                self._tag(node, "seq")
                return [self._value(child, (*place, index)) for index, child in enumerate(node.value)]
            case ScalarNode():
                if node.style:
                    self._positions.styles[place] = (str(node.style), self._indent(node))
                return self._scalar(node)
        raise self._error(node, "can't be read")

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        self._tag(node, "map")
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self._error(key_node, "a key must be a word")
            key = self._text(key_node)
            if key in values:
                raise self._error(key_node, f"the key {key[:60]!r} stands here a second time")
            self._positions.keys[(*place, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            values[key] = self._value(value_node, (*place, key))
        return values

    def _tag(self, node: Node, kind: str) -> None:
        if str(node.tag) != f"tag:yaml.org,2002:{kind}":
            raise self._error(node, f"the tag {str(node.tag)[:60]!r} has no meaning here")

    def _indent(self, node: ScalarNode) -> int:
        lines = self._text_lines[node.start_mark.line + 1 : node.end_mark.line + 1] if node.style in ("|", ">") else []
        return next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)

    def _scalar(self, node: ScalarNode) -> Any:
        text = self._text(node)
        tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
        try:
            match tag:
                case "str" | "timestamp":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return self._integer(text)
                case "float":
                    return float(text)
        except (ValueError, KeyError):
            raise self._error(
                node, f"{text[:60]!r} can't be read as {tag}; put it in quotes where it is text"
            ) from None
        raise self._error(node, f"the tag {str(node.tag)[:60]!r} has no meaning here")

    @staticmethod
    def _integer(text: str) -> int:
        if len(text) > 40:
            raise ValueError
        return int(text.replace("_", ""), 0 if text.lstrip("+-")[:2] in ("0x", "0o") else 10)

    def _text(self, node: ScalarNode) -> str:
        text = str(node.value)
        if any("\ud800" <= character <= "\udbff" for character in text):
            # JSON writes a character beyond U+FFFF as two escapes (RFC 8259, 7).
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self._error(node, "holds half of a surrogate pair, which is not a character")
        return text
