"""Ordinary work that makes many events loses none of them. The full sizes are in ``benchmarks/recording.py --full``."""

import os
import subprocess
from pathlib import Path

from affidavit.evaluation import capture
from affidavit.recorder import RecordSummary
from affidavit.recorder.ebpf import EbpfRecorder
from affidavit.sandbox import SandboxSpec, User, host_rootfs, runtimes, state_dir
from affidavit.trace import read_trace

SPAWN = r"""
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	char *again[] = {argv[0], NULL};
	for (long left = atol(argv[1]); left > 0; left--) {
		int pid = vfork();
		if (!pid) {
			execv(argv[0], again);
			_exit(1);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}
"""
BUILD = r"""
mkdir /tmp/w && cd /tmp/w || exit
for i in $(seq 200); do
    printf '#include <errno.h>\n#include <stdint.h>\nint f%d(int x) { return x * %d; }\n' $i $i > f$i.c
done
printf 'int main(void) { return 0; }\n' > main.c
printf 'prog: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tgcc -o $@ $^\n' > Makefile
make -s -j4 CFLAGS=-O0
"""
GIT = r"""
set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git init -q -b main /tmp/w && cd /tmp/w
for d in $(seq 40); do mkdir d$d; for i in $(seq 50); do echo $d $i > d$d/f$i; done; done
git add -A && git commit -q -m one
git mv d1 e1 && git rm -q -r d2 && git commit -q -m two
git clone -q --no-hardlinks . /tmp/v && cd /tmp/v
git log --stat > /tmp/log && git checkout -q HEAD~1 && git checkout -q - && git status --short
test "$(git ls-files | wc -l)" = 1950
"""
# Eight workers that each run tests of their own, files of their own.
TESTS = r"""
mkdir /tmp/w && cd /tmp/w || exit
cat > test_it.py <<'PY'
import json, pytest
@pytest.mark.parametrize("n", range(100))
def test_file(n, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps([n]))
    assert json.loads(file.read_text()) == [n]
PY
for i in 1 2 3 4 5 6 7 8; do
    python3 -m pytest -q -p no:cacheprovider --basetemp=/tmp/b$i test_it.py > /tmp/out$i || exit 1 &
done
wait
grep -l '100 passed' /tmp/out* | wc -l | grep -qx 8
"""


def whole(tmp_path: Path, name: str, command: str, *, status: int = 0) -> tuple[dict[str, int], RecordSummary]:
    """How many events of each operation a command makes in a sandbox; the record must be whole."""
    wanted = SandboxSpec(
        name=f"heavy-{name}-{os.getpid()}",
        rootfs=host_rootfs(state_dir(), User()).layers,
        host_usr=True,
        argv=("/bin/sh", "-c", command),
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/agent", "LC_ALL": "C.UTF-8"},
        cwd="/tmp",
        writable=("/tmp",),
    )
    recording = EbpfRecorder().open(wanted.name)
    try:
        with runtimes()["runc"].sandbox(wanted) as sandbox:
            captured = capture(sandbox, recording, tmp_path / "events.parquet", timeout_s=120)
    finally:
        recording.close()
    assert captured.exit.code == status, captured.output
    assert captured.summary.reasons == ()
    assert (captured.summary.lost, captured.summary.complete) == (0, True)
    events = read_trace(tmp_path / "events.parquet")
    assert events.num_rows == captured.summary.events
    counted = events["op"].combine_chunks().cast("string").value_counts().to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted}, captured.summary


def test_build(tmp_path: Path) -> None:
    ops, summary = whole(tmp_path, "build", BUILD)
    assert ops["exec"] >= 3 * 201
    assert ops["fork"] + 1 == ops["exit"]
    assert summary.events > 20_000


def test_git(tmp_path: Path) -> None:
    ops, _ = whole(tmp_path, "git", GIT)
    assert ops["create"] > 4000


def test_find(tmp_path: Path) -> None:
    # A folder that only root may read ends find with 1.
    ops, _ = whole(
        tmp_path, "find", "find /usr -printf '' 2> /dev/null; find /usr -xtype l > /dev/null 2>&1; exit 3", status=3
    )
    folders = subprocess.run(["find", "/usr", "-type", "d", "-printf", "."], capture_output=True, check=False).stdout
    assert ops["open_read"] >= 2 * len(folders) - 100


def test_eight_workers(tmp_path: Path) -> None:
    ops, _ = whole(tmp_path, "workers", TESTS)
    assert ops["create"] >= 8 * 100
    assert ops["mkdir"] >= 8 * 100


def test_many_short_processes(tmp_path: Path) -> None:
    number = 3000
    command = f"cd /tmp && cat > s.c <<'C'\n{SPAWN}\nC\ngcc -O1 -static -o s s.c || exit\n"
    ops, _ = whole(tmp_path, "short", f"{command} ./s {number} & ./s {number} & ./s {number} && wait")
    assert ops["exec"] >= 3 * number
    assert ops["fork"] + 1 == ops["exit"]
