"""CEL, as far as it can be asked of a million events at once: parsed, checked, and bounded before anything runs."""

from affidavit.contracts.cel.checking import FIELDS, Expression, compile_cel, compile_condition
from affidavit.contracts.cel.grammar import CelError
from affidavit.contracts.cel.nodes import (
    Binary,
    Column,
    Conditional,
    Constant,
    Element,
    Has,
    Negative,
    Node,
    Not,
    OneOf,
    OverRecord,
    OverWords,
    Reaches,
    Size,
    Text,
    Type,
    walk,
)

__all__ = [
    "FIELDS",
    "Binary",
    "CelError",
    "Column",
    "Conditional",
    "Constant",
    "Element",
    "Expression",
    "Has",
    "Negative",
    "Node",
    "Not",
    "OneOf",
    "OverRecord",
    "OverWords",
    "Reaches",
    "Size",
    "Text",
    "Type",
    "compile_cel",
    "compile_condition",
    "walk",
]
