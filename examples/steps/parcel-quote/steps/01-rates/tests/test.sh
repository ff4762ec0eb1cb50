#!/bin/bash
# The rates, line by line.
if printf '500,320\n1000,475\n5000,810\n10000,1260\n' | cmp -s - /workspace/rates.csv; then
  echo 1 >/logs/verifier/reward.txt
else
  echo 0 >/logs/verifier/reward.txt
fi
