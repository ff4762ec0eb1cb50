#!/bin/bash
python3 - <<'EOF'
import os
from browser import Browser

with Browser() as browser:
    browser.open(os.environ["SHOP"])
    browser.fill("customer", "Ines Moreau")
    browser.click("Search")
    (line,) = [line for line in browser.text().splitlines() if "Blue kettle" in line]
    browser.click(line.partition(":")[0])
    browser.click("Cancel order")
    print(browser.text().rpartition("Refund: ")[2].strip())
EOF
