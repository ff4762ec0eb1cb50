"""The programming languages of this grader: names of nodes in their tree-sitter grammars."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from tree_sitter import Language


@dataclass(frozen=True)
class Grammar:
    """A language.

    Attributes:
        module: the package that holds the grammar.
        suffixes: of its files.
        functions: nodes with a scope of their own.
        classes: nodes whose direct members are reached by name from elsewhere, and so keep theirs.
        binds: (node, field) that holds names which are bound there; the field is None where every child does.
        patterns: nodes in such a place that hold more names, each with the fields to look into; None for every child.
        unordered: top-level nodes whose order does not matter; None: all.
        members: nodes in whose body the order of members does not matter, each with those members' kinds; None: all.
        calls: nodes that call something, with the field of what they call.
        definitions: nodes that define something, with the field of its name.
        imports: nodes that bring something in.
    """

    module: str
    suffixes: tuple[str, ...]
    functions: frozenset[str]
    binds: frozenset[tuple[str, str | None]]
    patterns: Mapping[str, tuple[str, ...] | None]
    calls: Mapping[str, str]
    definitions: Mapping[str, str]
    imports: frozenset[str]
    classes: frozenset[str] = frozenset()
    unordered: frozenset[str] | None = None
    members: Mapping[str, frozenset[str] | None] = field(default_factory=dict)


GRAMMARS: Mapping[str, Grammar] = {
    "python": Grammar(
        module="tree_sitter_python",
        suffixes=(".py", ".pyi", ".pyw"),
        functions=frozenset({"function_definition", "lambda"}),
        classes=frozenset({"class_definition"}),
        binds=frozenset(
            {
                ("assignment", "left"),
                ("augmented_assignment", "left"),
                ("named_expression", "name"),
                ("for_statement", "left"),
                ("for_in_clause", "left"),
                ("as_pattern", "alias"),
                ("parameters", None),
                ("lambda_parameters", None),
            }
        ),
        patterns={
            "pattern_list": None,
            "tuple_pattern": None,
            "list_pattern": None,
            "list_splat_pattern": None,
            "dictionary_splat_pattern": None,
            "default_parameter": ("name",),
            "typed_parameter": None,
            "typed_default_parameter": ("name",),
            "as_pattern_target": None,
            "tuple": None,
            "list": None,
        },
        unordered=frozenset(
            {
                "function_definition",
                "decorated_definition",
                "class_definition",
                "import_statement",
                "import_from_statement",
                "future_import_statement",
            }
        ),
        members={"class_definition": frozenset({"function_definition", "decorated_definition", "class_definition"})},
        calls={"call": "function"},
        definitions={"function_definition": "name", "class_definition": "name"},
        imports=frozenset({"import_statement", "import_from_statement", "future_import_statement"}),
    ),
    "javascript": Grammar(
        module="tree_sitter_javascript",
        suffixes=(".js", ".mjs", ".cjs", ".jsx"),
        functions=frozenset(
            {
                "function_declaration",
                "generator_function_declaration",
                "function_expression",
                "generator_function",
                "arrow_function",
                "method_definition",
            }
        ),
        classes=frozenset({"class_declaration", "class"}),
        binds=frozenset(
            {
                ("variable_declarator", "name"),
                ("formal_parameters", None),
                ("arrow_function", "parameter"),
                ("catch_clause", "parameter"),
                ("for_in_statement", "left"),
            }
        ),
        patterns={
            "object_pattern": None,
            "array_pattern": None,
            "assignment_pattern": ("left",),
            "object_assignment_pattern": ("left",),
            "rest_pattern": None,
            "pair_pattern": ("value",),
        },
        unordered=frozenset(
            {
                "function_declaration",
                "generator_function_declaration",
                "class_declaration",
                "import_statement",
                "export_statement",
            }
        ),
        members={"class_declaration": None, "class": None},
        calls={"call_expression": "function", "new_expression": "constructor"},
        definitions={
            "function_declaration": "name",
            "generator_function_declaration": "name",
            "class_declaration": "name",
            "method_definition": "name",
            "variable_declarator": "name",
        },
        imports=frozenset({"import_statement", "export_statement"}),
    ),
    "go": Grammar(
        module="tree_sitter_go",
        suffixes=(".go",),
        functions=frozenset({"function_declaration", "method_declaration", "func_literal", "parameter_list"}),
        binds=frozenset(
            {
                ("short_var_declaration", "left"),
                ("var_spec", "name"),
                ("const_spec", "name"),
                ("parameter_declaration", "name"),
                ("variadic_parameter_declaration", "name"),
                ("range_clause", "left"),
                ("type_switch_statement", "alias"),
                ("receive_statement", "left"),
            }
        ),
        patterns={"expression_list": None},
        calls={"call_expression": "function"},
        definitions={"function_declaration": "name", "method_declaration": "name", "type_spec": "name"},
        imports=frozenset({"import_spec"}),
    ),
    "c": Grammar(
        module="tree_sitter_c",
        suffixes=(".c", ".h"),
        functions=frozenset({"function_definition", "parameter_list"}),
        binds=frozenset({("declaration", "declarator"), ("parameter_declaration", "declarator")}),
        patterns={
            "init_declarator": ("declarator",),
            "pointer_declarator": ("declarator",),
            "array_declarator": ("declarator",),
            "parenthesized_declarator": None,
        },
        calls={"call_expression": "function"},
        definitions={"function_definition": "declarator", "struct_specifier": "name", "type_definition": "declarator"},
        imports=frozenset({"preproc_include"}),
    ),
    "rust": Grammar(
        module="tree_sitter_rust",
        suffixes=(".rs",),
        functions=frozenset({"function_item", "closure_expression", "parameters"}),
        binds=frozenset(
            {
                ("let_declaration", "pattern"),
                ("parameter", "pattern"),
                ("closure_parameters", None),
                ("for_expression", "pattern"),
                ("match_arm", "pattern"),
                ("let_condition", "pattern"),
                ("const_item", "name"),
                ("static_item", "name"),
            }
        ),
        patterns={
            "match_pattern": None,
            "tuple_pattern": None,
            "mut_pattern": None,
            "ref_pattern": None,
            "reference_pattern": None,
            "slice_pattern": None,
            "or_pattern": None,
            "captured_pattern": None,
            "tuple_struct_pattern": None,
            "struct_pattern": None,
            "field_pattern": ("pattern",),
            "parameter": ("pattern",),
        },
        members={"impl_item": None, "trait_item": None, "mod_item": None},
        calls={"call_expression": "function", "macro_invocation": "macro"},
        definitions={
            "function_item": "name",
            "struct_item": "name",
            "enum_item": "name",
            "trait_item": "name",
            "mod_item": "name",
        },
        imports=frozenset({"use_declaration", "extern_crate_declaration"}),
    ),
}


@cache
def load(name: str) -> Language:
    """The grammar of a language."""
    return Language(importlib.import_module(GRAMMARS[name].module).language())


def language_of(path: str) -> str | None:
    """The language that a file's suffix tells; None where it tells none."""
    return next((name for name, grammar in GRAMMARS.items() if path.endswith(grammar.suffixes)), None)
