#!/bin/bash
set -euo pipefail

cat > /workspace/billing.py <<'PY'
"""Invoices of a small print shop. Amounts are integers, in cents."""

# Reductions by number of copies, in per cent, the largest number first.
REDUCTIONS = {"poster": [(100, 20), (10, 5)], "flyer": [(1000, 30), (500, 15)], "book": [(50, 10)]}
LEVELS = {"gold": 8, "silver": 4}
LOYALTY = 2
LARGEST_DISCOUNT = 50000
# Shipping below 50.00, below 200.00 and from there on.
SHIPPING = {"pickup": (0, 0, 0), "post": (690, 390, 0), "express": (1890, 1590, 1200)}
TAXES = {"DE": 19, "AT": 20, "CH": 0}
OTHER_TAX = 21


def unit_prices(line):
    """Price of one copy, and what gloss adds to it."""
    kind = line["kind"]
    if kind == "poster":
        return 450, 30
    if kind == "flyer":
        return 12, 2
    if kind == "book":
        return 300 + line["pages"] * 4, line.get("pages", 0)
    raise ValueError("unknown kind: " + kind)


def line_amount(line):
    """Amount of one order line."""
    price, gloss = unit_prices(line)
    count = line["count"]
    amount = count * price
    for least, percent in REDUCTIONS[line["kind"]]:
        if count >= least:
            amount -= amount * percent // 100
            break
    return amount + count * gloss if line.get("glossy") else amount


def discount(subtotal, customer):
    """What the customer's level and loyalty take off."""
    percent = LEVELS.get(customer["level"])
    if percent is None:
        return 0
    amount = subtotal * percent // 100
    if customer.get("years", 0) >= 5:
        amount += subtotal * LOYALTY // 100
    return min(amount, LARGEST_DISCOUNT)


def shipping(net, ship):
    """Cost of sending goods that are worth `net`."""
    if ship not in SHIPPING:
        raise ValueError("unknown shipping: " + ship)
    small, middle, large = SHIPPING[ship]
    if net < 5000:
        return small
    return middle if net < 20000 else large


def tax(net, shipping, country):
    """Value added tax on goods and shipping."""
    return (net + shipping) * TAXES.get(country, OTHER_TAX) // 100


def invoice(order):
    """The invoice of an order. Raises ValueError for an unknown kind of line or of shipping."""
    lines = [{"text": f"{line['count']} x {line['kind']}", "amount": line_amount(line)} for line in order["lines"]]
    subtotal = sum(line["amount"] for line in lines)
    off = discount(subtotal, order["customer"])
    sending = shipping(subtotal - off, order["ship"])
    vat = tax(subtotal - off, sending, order["customer"]["country"])
    return {
        "lines": lines,
        "subtotal": subtotal,
        "discount": off,
        "shipping": sending,
        "tax": vat,
        "total": subtotal - off + sending + vat,
    }
PY

cd /workspace
python3 -m pytest -q tests
