#!/bin/bash
# The work, done as an agent would do it.
set -euo pipefail

python3 - <<'PYTHON'
import csv
import json

totals = {}
with open("/workspace/deliveries.csv", newline="") as file:
    for line in csv.DictReader(file):
        if not line["item"].startswith("-"):
            totals[line["item"]] = totals.get(line["item"], 0) + int(line["count"])
with open("/workspace/totals.json", "w") as file:
    json.dump(totals, file)
PYTHON
