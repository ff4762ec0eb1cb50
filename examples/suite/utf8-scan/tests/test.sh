#!/bin/bash
# Tests in C, linked with the code that they are about; they report in TAP.
cp /tests/test_utf8.c /tmp/test_utf8.c
gcc -std=c11 -Wall -Wextra -Werror -I/workspace/src -o /tmp/test_utf8 /tmp/test_utf8.c /workspace/src/utf8.c || {
  echo 0 > /logs/verifier/reward.txt
  exit 1
}
/tmp/test_utf8 > /logs/verifier/report.tap

passed=$(grep -c '^ok ' /logs/verifier/report.tap)
awk -v passed="$passed" 'BEGIN { printf "%.4f\n", passed / 8 }' > /logs/verifier/reward.txt
