#!/bin/bash
# The package is built anew with these tests and no others: settings and tests of the agent's stay behind.
mkdir -p /tmp/build
cp /workspace/durations.go /tests/durations_test.go /tmp/build/
printf 'module example.com/durations\n\ngo 1.19\n' > /tmp/build/go.mod
cd /tmp/build
export GOCACHE=/tmp/cache GOPATH=/tmp/go GOENV=off GOFLAGS= GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0
if go test -count=1 -json . > /logs/verifier/report.json; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
