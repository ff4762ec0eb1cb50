"""The answer is read as data: nothing of the agent's runs in this process."""

import json
import unittest


class Totals(unittest.TestCase):
    def test_totals(self):
        with open("/workspace/totals.json") as file:
            totals = json.load(file)
        self.assertEqual(totals, {"apples": 15, "pears": 18, "plums": 32})
