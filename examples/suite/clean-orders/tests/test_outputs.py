"""Hidden tests: the two output files against the expected ones."""

import json
from pathlib import Path


def load(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_orders():
    assert load("/workspace/out/orders.json") == load("/tests/expected_orders.json")


def test_rejected():
    assert load("/workspace/out/rejected.json") == load("/tests/expected_rejected.json")
