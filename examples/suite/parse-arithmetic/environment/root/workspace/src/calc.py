"""Evaluates arithmetic written as text, exactly."""

from fractions import Fraction


class CalcError(Exception):
    """The text is not an expression, or has no value; `position` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at {position}")
        self.position = position


def evaluate(text: str) -> Fraction:
    """The value of the expression in `text`. Raises CalcError."""
    raise NotImplementedError
