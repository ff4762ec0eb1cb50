"""The grammar of CEL (https://github.com/google/cel-spec/blob/master/doc/langdef.md, "Syntax"), for lark's LALR parser.

Left out, each with an error of its own where it is written: maps and messages (``{…}``), byte strings, unsigned and
floating-point numbers, ``null``.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

_GRAMMAR = r"""
?expr: either | either "?" either ":" expr -> conditional
?either: both | either "||" both -> or_
?both: relation | both "&&" relation -> and_
?relation: sum | relation COMPARISON sum -> binary | relation "in" sum -> in_
?sum: product | sum SIGN product -> binary
?product: unary | product FACTOR unary -> binary
?unary: member | "!" unary -> not_ | SIGN unary -> sign
?member: primary
       | member "." IDENT -> select
       | member "." IDENT "(" [arguments] ")" -> method
       | member "[" expr "]" -> index
?primary: "(" expr ")"
        | IDENT -> name
        | IDENT "(" [arguments] ")" -> call
        | "[" [arguments] [","] "]" -> list
        | "{" -> map
        | INT -> int | UINT -> number | FLOAT -> number
        | STRING -> string | BYTES -> bytes
        | "true" -> true | "false" -> false | "null" -> null
arguments: expr ("," expr)*

COMPARISON: "==" | "!=" | "<=" | ">=" | "<" | ">"
SIGN: "+" | "-"
FACTOR: "*" | "/" | "%"
INT.1: /0x[0-9a-fA-F]+/ | /[0-9]+/
UINT.2: /(0x[0-9a-fA-F]+|[0-9]+)[uU]/
FLOAT.3: /[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?/ | /\.[0-9]+([eE][+-]?[0-9]+)?/ | /[0-9]+[eE][+-]?[0-9]+/
STRING.4: /[rR]("[^"\r\n]*"|'[^'\r\n]*')/ | /"([^"\\\r\n]|\\.)*"/ | /'([^'\\\r\n]|\\.)*'/
BYTES.5: /[bB][rR]?("([^"\\\r\n]|\\.)*"|'([^'\\\r\n]|\\.)*')/
IDENT: /[_a-zA-Z][_a-zA-Z0-9]*/
%ignore /[\t\n\f\r ]+/
%ignore /\/\/[^\r\n]*/
"""


class CelError(ValueError):
    """A CEL expression that is not taken.

    Attributes:
        line, column: where in the expression, from 1.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@cache
def _parser() -> "Lark":
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", start="expr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str) -> "Tree[Token]":
    """The syntax tree of an expression.

    Raises:
        CelError: it is no CEL.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

    try:
        return _parser().parse(text)
    except UnexpectedCharacters as error:
        at = text[error.pos_in_stream or 0 :][:1]
        what = "a string that does not end" if at in ("'", '"') else f"the character {at!r}, which CEL has no use for"
        raise CelError(f"holds {what}", error.line, error.column) from None
    except UnexpectedToken as error:
        if isinstance(error, UnexpectedEOF) or error.token.type == "$END":
            lines = text.split("\n")
            raise CelError("ends too early", len(lines), len(lines[-1]) + 1) from None
        raise CelError(f"can't have {str(error.token)[:40]!r} here", error.line, error.column) from None
    except UnexpectedInput as error:
        raise CelError("is not CEL", error.line, error.column) from None


_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unquoted(literal: str) -> str:
    """The text of a string literal.

    Raises:
        ValueError: an escape in it is none.
    """
    if literal[0] in "rR":
        return literal[2:-1]
    body = literal[1:-1]
    out, end = [], 0
    for match in re.finditer(r"\\.", body, re.DOTALL):
        if match.start() < end:
            continue
        escape = _ESCAPE.match(body, match.start())
        code = None if escape is None else next((int(n, base) for n, base in _numbers(escape) if n), None)
        if escape is None or (code is not None and (code > 0x10FFFF or 0xD800 <= code < 0xE000)):
            raise ValueError(body[match.start() : match.start() + 2])
        out += [body[end : match.start()], chr(code) if code is not None else _SIMPLE.get(escape[1], escape[1])]
        end = escape.end()
    return "".join(out) + body[end:]


def _numbers(escape: re.Match[str]) -> list[tuple[str, int]]:
    return [(escape[2], 16), (escape[3], 16), (escape[4], 16), (escape[5], 8)]
