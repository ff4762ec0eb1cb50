#!/bin/bash
set -euo pipefail

cat > /workspace/src/calc.py <<'PY'
"""Evaluates arithmetic written as text, exactly."""

import re
from fractions import Fraction

TOKEN = re.compile(r"[ \t]*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<symbol>[-+*/^()]))")


class CalcError(Exception):
    """The text is not an expression, or has no value; `position` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at {position}")
        self.position = position


class Parser:
    """Recursive descent over one text; each method leaves `kind`, `token` and `at` on the next token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def advance(self) -> None:
        match = TOKEN.match(self.text, self.end)
        if match:
            self.kind = match.lastgroup
            self.token = match.group(self.kind)
            self.at, self.end = match.span(self.kind)
            return
        rest = self.text[self.end :]
        self.kind = self.token = ""
        self.at = self.end + len(rest) - len(rest.lstrip(" \t"))
        if self.at < len(self.text):
            raise CalcError("unexpected character", self.at)

    def sum(self) -> Fraction:
        value = self.product()
        while self.token in ("+", "-"):
            operator = self.token
            self.advance()
            right = self.product()
            value = value + right if operator == "+" else value - right
        return value

    def product(self) -> Fraction:
        value = self.signed()
        while self.token in ("*", "/"):
            operator, at = self.token, self.at
            self.advance()
            right = self.signed()
            if operator == "*":
                value *= right
            elif right == 0:
                raise CalcError("division by zero", at)
            else:
                value /= right
        return value

    def signed(self) -> Fraction:
        negative = False
        while self.token in ("+", "-"):
            negative ^= self.token == "-"
            self.advance()
        value = self.power()
        return -value if negative else value

    def power(self) -> Fraction:
        base = self.atom()
        if self.token != "^":
            return base
        at = self.at
        self.advance()
        exponent = self.signed()
        if exponent.denominator != 1:
            raise CalcError("exponent is not whole", at)
        if base == 0 and exponent < 0:
            raise CalcError("zero to a negative power", at)
        return base ** int(exponent)

    def atom(self) -> Fraction:
        if self.kind == "number":
            value = Fraction(self.token)
            self.advance()
            return value
        if self.token == "(":
            self.advance()
            value = self.sum()
            self.expect(")")
            return value
        raise CalcError("value expected", self.at)

    def expect(self, symbol: str) -> None:
        if self.token != symbol:
            raise CalcError(f"{symbol} expected", self.at)
        self.advance()


def evaluate(text: str) -> Fraction:
    """The value of the expression in `text`. Raises CalcError."""
    parser = Parser(text)
    value = parser.sum()
    if parser.token:
        raise CalcError("unexpected token", parser.at)
    return value
PY

cd /workspace/src
while IFS='=' read -r expression value; do
  python3 -c 'import sys, calc, fractions; assert calc.evaluate(sys.argv[1]) == fractions.Fraction(sys.argv[2].strip())' \
    "$expression" "$value"
done < /workspace/examples.txt
