"""What the benchmarks run: the smallest task, and a build-and-test workload."""

from pathlib import Path

TRIVIAL_TEST = "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n"

# Compiles a program of 60 files and runs a test suite of 300 tests; some seconds of honest work.
BUILD_AND_TEST = r"""
set -e
mkdir -p /tmp/w/src /tmp/w/tests && cd /tmp/w
for i in $(seq 60); do
    printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n' > src/f$i.c
    printf 'int f%d(int x) { return x * %d + 1; }\n' $i $i >> src/f$i.c
done
printf 'int main(void) { return 0; }\n' > src/main.c
printf 'OBJ := $(patsubst %%.c,%%.o,$(wildcard src/*.c))\nprog: $(OBJ)\n\tgcc -o $@ $^\n' > Makefile
make -s -j2 prog CFLAGS=-O1
for i in $(seq 10); do
    cat > tests/test_$i.py <<'PY'
import json
import pytest
@pytest.mark.parametrize("n", range(30))
def test_file(n, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps([n]))
    assert json.loads(file.read_text()) == [n]
PY
done
python3 -m pytest -q tests > /dev/null
"""


def trivial_task(folder: Path) -> Path:
    """Write a task whose test always gives 1; returns its folder."""
    (folder / "tests").mkdir(parents=True)
    (folder / "task.toml").write_text('version = "1.0"\n[affidavit]\nrootfs = "host"\n')
    (folder / "instruction.md").write_text("Do nothing.\n")
    (folder / "tests" / "test.sh").write_text(TRIVIAL_TEST)
    return folder
