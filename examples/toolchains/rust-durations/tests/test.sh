#!/bin/bash
# rustc's own test harness, without cargo: no build script and no settings of the agent's are read.
mkdir -p /tmp/build
cp /workspace/src/durations.rs /tests/durations_test.rs /tmp/build/
cd /tmp/build
echo 0 > /logs/verifier/reward.txt
rustc --edition 2021 --test -o durations_test durations_test.rs || exit 1
if ./durations_test --test-threads 1 > /logs/verifier/report.txt; then
  echo 1 > /logs/verifier/reward.txt
fi
