#!/bin/bash
# 320 + 475 + 1260 + 320 + 810
if [ "$(tr -d '[:space:]' </workspace/quote.txt)" = 3185 ]; then
  echo 1 >/logs/verifier/reward.txt
else
  echo 0 >/logs/verifier/reward.txt
fi
