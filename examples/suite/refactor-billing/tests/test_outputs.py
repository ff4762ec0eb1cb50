"""Hidden tests: same results as the original module, and the structure that was asked for."""

import ast
import copy
import hashlib
import itertools
import sys
from pathlib import Path

sys.path.insert(0, "/workspace")
sys.path.append("/tests")

import billing
import original_billing

SOURCE = Path("/workspace/billing.py")
BRANCHES = (ast.If, ast.For, ast.While)


def orders():
    """Orders around every threshold of the price list."""
    kinds = [
        {"kind": kind, "count": count, "pages": 64, "glossy": glossy}
        for kind, counts in (("poster", (1, 9, 10, 99, 100)), ("flyer", (499, 500, 999, 1000)), ("book", (1, 49, 50)))
        for count in counts
        for glossy in (False, True)
    ]
    people = itertools.product(("gold", "silver", "none"), (0, 4, 5), ("DE", "AT", "CH", "NL"))
    for number, (level, years, country) in enumerate(people):
        for ship in ("pickup", "post", "express"):
            chosen = [kinds[(number * 5 + step * 7) % len(kinds)] for step in range(number % 4)]
            yield {"lines": chosen, "customer": {"level": level, "years": years, "country": country}, "ship": ship}
    large = [{"kind": "poster", "count": 5000}, {"kind": "book", "count": 900, "pages": 320, "glossy": True}]
    yield {"lines": large, "customer": {"level": "gold", "country": "DE"}, "ship": "express"}


def outcome(function, order):
    try:
        return function(order)
    except ValueError as error:
        return str(error)


def depth(node, outer=0):
    """The largest number of branches that any branch below `node` stands inside."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                chained = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If)
                inner = outer if chained else outer + isinstance(node, BRANCHES)
                deepest = max(deepest, inner if isinstance(child, BRANCHES) else 0, depth(child, inner))
    return deepest


def functions():
    tree = ast.parse(SOURCE.read_text())
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_same_invoices():
    assert [outcome(billing.invoice, order) for order in orders()] == [
        outcome(original_billing.invoice, order) for order in orders()
    ]


def test_same_errors():
    customer = {"level": "none", "country": "DE"}
    wrong_kind = {"lines": [{"kind": "mug", "count": 1}], "customer": customer, "ship": "post"}
    wrong_ship = {"lines": [], "customer": customer, "ship": "drone"}
    assert outcome(billing.invoice, wrong_kind) == "unknown kind: mug"
    assert outcome(billing.invoice, wrong_ship) == "unknown shipping: drone"


def test_order_is_left_alone():
    before = list(orders())[-1]
    after = copy.deepcopy(before)
    billing.invoice(after)
    assert after == before


def test_line_amount():
    assert billing.line_amount({"kind": "flyer", "count": 1000, "glossy": True}) == 10400


def test_discount():
    assert billing.discount(30001, {"level": "silver", "years": 5}) == 1800
    assert billing.discount(10**7, {"level": "gold"}) == 50000


def test_shipping():
    assert [billing.shipping(net, "express") for net in (4999, 5000, 19999, 20000)] == [1890, 1590, 1590, 1200]


def test_tax():
    assert [billing.tax(1000, 90, country) for country in ("DE", "AT", "CH", "FR")] == [207, 218, 0, 228]


def test_invoice_uses_the_four():
    calls = [node.func for node in ast.walk(ast.parse(SOURCE.read_text())) if isinstance(node, ast.Call)]
    called = {function.id for function in calls if isinstance(function, ast.Name)}
    assert {"line_amount", "discount", "shipping", "tax"} <= called


def test_functions_are_short():
    assert functions() != {}
    assert max(node.end_lineno - node.lineno + 1 for node in functions().values()) <= 20


def test_nesting_is_shallow():
    assert depth(ast.parse(SOURCE.read_text())) <= 2


def test_visible_tests_stayed():
    content = Path("/workspace/tests/test_billing.py").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "c61053e918699083bced6faaacb49a87d88b1d432342c0bab9c1c5eba2a29d43"
