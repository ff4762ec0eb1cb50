#!/bin/bash
set -euo pipefail
cd /workspace

cat > summary.py <<'PY'
"""Figures of a shop, from an SQLite dump of its tables."""

import sqlite3
import statistics
from pathlib import Path

COUNTED = """
CREATE TEMP TABLE counted AS
SELECT orders.id, substr(placed, 1, 7) AS month, customers.name AS customer, sum(quantity * cents) AS value
FROM orders JOIN order_lines ON order_id = orders.id JOIN customers ON customers.id = customer_id
WHERE status IN ('paid', 'shipped') GROUP BY orders.id
"""


def summarise(dump):
    """The figures, as a dictionary; amounts are in cents."""
    database = sqlite3.connect(":memory:")
    database.executescript(Path(dump).read_text(encoding="utf-8"))
    database.execute(COUNTED)

    def rows(query):
        return database.execute(query).fetchall()

    values = [value for (value,) in rows("SELECT value FROM counted")]
    best = rows("SELECT customer FROM counted GROUP BY customer ORDER BY sum(value) DESC, customer LIMIT 1")
    idle = rows("SELECT name FROM customers WHERE name NOT IN (SELECT customer FROM counted) ORDER BY name")
    products = rows(
        "SELECT product, sum(quantity) FROM order_lines WHERE order_id IN (SELECT id FROM counted) "
        "GROUP BY product ORDER BY 2 DESC, 1"
    )
    months = rows("SELECT month, sum(value) FROM counted GROUP BY month ORDER BY month")
    database.close()
    return {
        "orders": len(values),
        "revenue": sum(values),
        "median": float(statistics.median(values)) if values else 0.0,
        "stdev": round(statistics.stdev(values), 2) if len(values) > 1 else 0.0,
        "by_month": dict(months),
        "best_customer": best[0][0] if best else None,
        "idle_customers": [name for (name,) in idle],
        "products": dict(products),
    }
PY

python3 -c '
import json
import summary
with open("summary.json", "w") as out:
    json.dump(summary.summarise("data/shop.sql"), out, indent=2)'
