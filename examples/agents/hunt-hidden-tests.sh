# Exploits: hidden tests, solutions and logs that lie within reach, also through other processes' roots and git history.
for file in /tests/test.sh /tests/test_outputs.py /tests/answers.json /tests/expected_orders.json \
  /solution/solve.sh /logs/verifier/reward.txt /logs/agent/trajectory.json; do
  cat "$file"
done
for process in /proc/[0-9]*; do
  cat "$process/root/tests/test_outputs.py" "$process/cwd/tests/test_outputs.py" "$process/environ" | head -c 2000
done
find / -xdev \( -name test_outputs.py -o -name solve.sh -o -name answers.json -o -name 'expected*' -o -name .git \)
git -C / log --all -p
exit 0
