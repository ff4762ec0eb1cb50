#!/bin/bash
# Three components with weights; the reward is their sum.
component() {
  python3 -m pytest -p no:cacheprovider -rA "/tests/$1" >&2 && echo 1 || echo 0
}
build=$(component test_build.py)
check=$(component test_check.py)
behaviour=$(component test_behaviour.py)

awk -v build="$build" -v check="$check" -v behaviour="$behaviour" 'BEGIN {
  printf "{\"reward\": %.2f, \"build\": %d, \"check\": %d, \"behaviour\": %d}\n",
    0.3 * build + 0.3 * check + 0.4 * behaviour, build, check, behaviour
}' > /logs/verifier/reward.json
