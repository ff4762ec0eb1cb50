"""Hidden tests, with unittest: the function on other dumps, and the file that was asked for."""

import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, "/workspace")

import summary

TABLES = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, placed TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE order_lines (order_id INTEGER NOT NULL, product TEXT NOT NULL, quantity INTEGER NOT NULL, cents INTEGER);
"""


def summarise(statements):
    """What the function returns for a dump of these tables and statements."""
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder, "dump.sql")
        dump.write_text(TABLES + statements, encoding="utf-8")
        return summary.summarise(str(dump))


class LargerDump(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            dump = Path(folder, "dump.sql")
            shutil.copyfile("/tests/other.sql", dump)
            cls.result = summary.summarise(str(dump))

    def test_orders_and_revenue(self):
        assert self.result["orders"] == 42
        assert self.result["revenue"] == 1180179

    def test_statistics(self):
        assert self.result["median"] == 15526.5
        assert self.result["stdev"] == 26155.18

    def test_months(self):
        first, second, *_ = self.result["by_month"].items()
        assert (first, second) == (("2024-01", 84276), ("2024-02", 164756))
        assert len(self.result["by_month"]) == 9

    def test_customers(self):
        assert self.result["best_customer"] == "Emil"
        assert self.result["idle_customers"] == ["Lea"]

    def test_products(self):
        products = [("mug", 36), ("rug", 31), ("lamp", 30), ("chair", 28), ("desk", 28), ("shelf", 26)]
        assert list(self.result["products"].items()) == products


class SmallDumps(unittest.TestCase):
    def test_empty_shop(self):
        assert summarise("") == {
            "orders": 0,
            "revenue": 0,
            "median": 0.0,
            "stdev": 0.0,
            "by_month": {},
            "best_customer": None,
            "idle_customers": [],
            "products": {},
        }

    def test_orders_without_lines_do_not_count(self):
        result = summarise(
            "INSERT INTO customers VALUES (1, 'Ada', NULL);"
            "INSERT INTO orders VALUES (1, 1, '2024-01-01', 'paid'), (2, 1, '2024-01-02', 'cancelled');"
            "INSERT INTO order_lines VALUES (2, 'lamp', 1, 100);"
        )
        assert (result["orders"], result["idle_customers"]) == (0, ["Ada"])

    def test_best_customer_of_several(self):
        result = summarise(
            "INSERT INTO customers VALUES (1, 'Zoe', NULL), (2, 'Abe', NULL);"
            "INSERT INTO orders VALUES (1, 1, '2024-01-01', 'paid'), (2, 2, '2023-12-31', 'shipped');"
            "INSERT INTO order_lines VALUES (1, 'lamp', 2, 50), (2, 'lamp', 1, 60), (2, 'mug', 4, 10);"
        )
        assert (result["best_customer"], result["stdev"], result["median"]) == ("Abe", 0.0, 100.0)


class SummaryFile(unittest.TestCase):
    def test_file(self):
        written = json.loads(Path("/workspace/summary.json").read_text())
        assert written == {
            "orders": 28,
            "revenue": 869527,
            "median": 22233.5,
            "stdev": 26210.15,
            "by_month": {
                "2024-01": 165183,
                "2024-02": 96479,
                "2024-03": 220802,
                "2024-04": 66522,
                "2024-05": 175959,
                "2024-06": 144582,
            },
            "best_customer": "Emil",
            "idle_customers": ["Hana"],
            "products": {"desk": 23, "rug": 23, "lamp": 20, "chair": 18, "shelf": 18, "mug": 13},
        }


if __name__ == "__main__":
    unittest.main()
