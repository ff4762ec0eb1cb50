#!/bin/bash
# Partial credit: the share of hidden tests that the log reports as passed.
log=/logs/verifier/pytest.log

python3 -m pytest -rA /tests/test_outputs.py | tee "$log"

passed=$(grep -c '^PASSED ' "$log")
total=$(grep -c '^def test_' /tests/test_outputs.py)
awk -v passed="$passed" -v total="$total" 'BEGIN {
  if (passed > total) passed = total
  printf "%.4f\n", passed / total
}' > /logs/verifier/reward.txt
