#!/bin/bash
set -euo pipefail

mkdir -p /workspace/out
python3 - <<'PY'
import csv
import datetime
import json
import re
from pathlib import Path


def name(text):
    last, comma, first = text.partition(",")
    return " ".join(f"{first} {last}".split() if comma else text.split())


def date(text):
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.datetime.strptime(text, form).date().isoformat()
        except ValueError:
            pass
    return None


def cents(text):
    match = re.fullmatch(r"(-?)([0-9][0-9., ]*?)(?:[.,]([0-9]{2}))?", text.strip())
    if not match:
        return None
    sign, whole, hundredths = match.groups()
    value = int(re.sub(r"[., ]", "", whole)) * 100 + int(hundredths or 0)
    return -value if sign else value


orders, rejected = {}, []
with Path("/workspace/data/orders.csv").open(encoding="utf-8-sig", newline="") as source:
    rows = csv.DictReader(source, delimiter=";")
    for row in rows:
        customer, day, amount = name(row["customer"]), date(row["ordered"].strip()), cents(row["amount"])
        if not row["order_id"].strip():
            reason = "no id"
        elif not customer:
            reason = "no customer"
        elif day is None:
            reason = "bad date"
        elif amount is None:
            reason = "bad amount"
        elif amount < 0:
            reason = "negative amount"
        else:
            email = row["email"].strip().lower()
            items = [item.strip() for item in row["items"].split("|")]
            orders[int(row["order_id"])] = {
                "id": int(row["order_id"]),
                "customer": customer,
                "email": email if re.fullmatch(r"[^@\s]+@[^@\s]+", email) else None,
                "date": day,
                "cents": amount,
                "currency": row["currency"].strip().upper(),
                "items": list(dict.fromkeys(item for item in items if item)),
            }
            continue
        rejected.append({"line": rows.line_num, "reason": reason})

Path("/workspace/out/orders.json").write_text(json.dumps([orders[key] for key in sorted(orders)], indent=2) + "\n")
Path("/workspace/out/rejected.json").write_text(json.dumps(rejected, indent=2) + "\n")
PY
