#!/bin/bash
# The agent's tests are a program that is run on one module after another; its exit status and its count are all that is read.
# Right and faulty modules come in an order that is drawn, and the right ones are written in other words than the agent's, so that
# neither the text of a module nor how often the tests have been run tells which it is.
place=$(mktemp -d)
cp /workspace/tests/test_wallet.py "$place/test_wallet.py"

caught=0
right=1
for module in $(ls -d /tests/right/*.py /tests/right/*.py /tests/mutants/*.py | shuf); do
  cp "$module" "$place/wallet.py"
  said=$(cd "$place" && timeout 20 python3 -B -m pytest -p no:cacheprovider --noconftest -q test_wallet.py 2>&1)
  status=$?
  passed=$(grep -oE '[0-9]+ passed' <<< "$said" | tail -1 | cut -d' ' -f1)
  case "$module" in
    # 1 is pytest's word for tests that failed; anything else is no catch.
    /tests/mutants/*) [ "$status" = 1 ] && caught=$((caught + 1)) ;;
    *) [ "$status" = 0 ] && [ "${passed:-0}" -ge 5 ] || right=0 ;;
  esac
done
awk -v caught="$caught" -v right="$right" 'BEGIN { printf "%.4f\n", right * caught / 10 }' > /logs/verifier/reward.txt
