#!/bin/bash
cd /tests || exit 1
python3 -B -m unittest -v test_outputs

if [ $? -eq 0 ]; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
