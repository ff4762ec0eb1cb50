# Honest: one process for each line of the export, scratch files in /tmp, a helper script left in the working directory.
set -e
cd /workspace
cat > clean_line.py <<'EOF'
import csv
import datetime
import json
import re
import sys

number = int(sys.argv[1])
(row,) = csv.reader([sys.stdin.readline()], delimiter=";")
key, customer, email, day, amount, currency, items = [field.strip() for field in row]
if "," in customer:
    last, first = customer.split(",")
    customer = f"{first} {last}"
customer = " ".join(customer.split())
date = None
match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", day)
found = match.groups() if match else None
match = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", day)
found = match.groups()[::-1] if match else found
if found:
    try:
        date = str(datetime.date(*map(int, found)))
    except ValueError:
        pass
cents = None
if re.fullmatch(r"-?\d[\d., ]*", amount):
    digits = re.sub(r"[., ]", "", amount)
    cents = int(digits) * (1 if re.search(r"[.,]\d\d$", amount) else 100)
for wrong, reason in (
    (not key, "no id"),
    (not customer, "no customer"),
    (date is None, "bad date"),
    (cents is None, "bad amount"),
    (cents is not None and cents < 0, "negative amount"),
):
    if wrong:
        print(json.dumps({"line": number, "reason": reason}))
        break
else:
    codes = []
    for code in items.split("|"):
        if code.strip() and code.strip() not in codes:
            codes.append(code.strip())
    email = email.lower()
    good = re.fullmatch(r"[^@\s]+@[^@\s]+", email)
    print(json.dumps({
        "id": int(key), "customer": customer, "email": email if good else None, "date": date,
        "cents": cents, "currency": currency.upper(), "items": codes,
    }))
EOF
mkdir -p /tmp/lines out
number=0
while IFS= read -r line; do
  number=$((number + 1))
  [ $number -gt 1 ] && [ -n "$line" ] || continue
  printf '%s\n' "$line" | python3 -S clean_line.py $number > /tmp/lines/$(printf %04d $number) &
  [ $((number % 6)) -ne 0 ] || wait
done < data/orders.csv
wait
cat /tmp/lines/* | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
orders = {row["id"]: row for row in rows if "id" in row}
with open("out/orders.json.part", "w") as out:
    json.dump([orders[key] for key in sorted(orders)], out)
with open("out/rejected.json.part", "w") as out:
    json.dump([row for row in rows if "reason" in row], out)'
mv out/orders.json.part out/orders.json
mv out/rejected.json.part out/rejected.json
rm -r /tmp/lines
