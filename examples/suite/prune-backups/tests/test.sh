#!/bin/bash
# A plain script: the final state of the folder and the list, compared with what is expected.
export LC_ALL=C
reward=1

find /workspace/backups -mindepth 1 -printf '%P\n' | sort | diff /tests/expected_kept.txt - || reward=0
(cd /workspace/backups && sha256sum --quiet --check /tests/expected_kept.sha256) || reward=0
diff /tests/expected_pruned.txt /workspace/pruned.txt || reward=0

echo "$reward" > /logs/verifier/reward.txt
