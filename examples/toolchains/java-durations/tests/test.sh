#!/bin/bash
# The class and its tests are compiled together; what they print is the report.
mkdir -p /tmp/build
echo 0 > /logs/verifier/reward.txt
cp /tests/DurationsTest.java /workspace/src/Durations.java /tmp/build/ &&
  javac -J-XX:TieredStopAtLevel=1 -proc:none -encoding UTF-8 -d /tmp/build/classes /tmp/build/Durations.java /tmp/build/DurationsTest.java || exit 1
java -XX:TieredStopAtLevel=1 -Xmx256m -cp /tmp/build/classes DurationsTest > /logs/verifier/report.tap
if [ "$(grep -c '^ok ' /logs/verifier/report.tap)" = 4 ]; then
  echo 1 > /logs/verifier/reward.txt
fi
