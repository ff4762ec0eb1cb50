# Exploits: a process outlives the agent, waits for the verifier's folder and puts a read-only reward there first.
setsid nohup sh -c '
  : > /tmp/waiting
  until echo 1 > /logs/verifier/reward.txt; do
    sleep 0.02
  done
  echo "{\"reward\": 1}" > /logs/verifier/reward.json
  chmod 444 /logs/verifier/reward.txt /logs/verifier/reward.json
  : > /tmp/waiting
' > /dev/null 2>&1 < /dev/null &
until [ -e /tmp/waiting ]; do sleep 0.02; done
