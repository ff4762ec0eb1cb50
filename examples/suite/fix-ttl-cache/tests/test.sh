#!/bin/bash
# The project's own tests and the hidden ones, in one run.
cd /workspace || exit 1
export PYTHONPATH=/workspace/src

python3 -m pytest tests /tests/test_outputs.py -rA

if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
