"""What the benchmarks run: the smallest task, and commands that do what agents do.

A command finds at /bench what `prepare` made, read-only, and works in /tmp.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

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

BUILD = "cp -r /bench/project /tmp/w && cd /tmp/w && make -s -j2"
# numpy's own tests of reading and writing files, as it is installed; without those that want gigabytes.
PYTEST = """
cd /bench/packages/numpy/lib/tests
export PYTHONPATH=/bench/packages PYTHONDONTWRITEBYTECODE=1
python3 -m pytest -q -p no:cacheprovider -W ignore -k 'not big_arrays and not large_archive' \\
    test__datasource.py test_io.py test_format.py > /tmp/out || { tail -30 /tmp/out; exit 1; }
"""
# Eight at once, each with tests and files of its own.
WORKERS = r"""
mkdir /tmp/w && cd /tmp/w || exit
cat > test_it.py <<'PY'
import json, pytest
@pytest.mark.parametrize("n", range(500))
def test_file(n, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps([n]))
    assert json.loads(file.read_text()) == [n]
PY
for i in 1 2 3 4 5 6 7 8; do
    python3 -m pytest -q -p no:cacheprovider --basetemp=/tmp/b$i test_it.py > /tmp/out$i || exit 1 &
done
wait
grep -l '500 passed' /tmp/out* | wc -l | grep -qx 8
"""
GIT = """
set -e
git clone -q --no-hardlinks /bench/repository /tmp/w && cd /tmp/w
git log --stat > /tmp/log
git checkout -q HEAD~5
git checkout -q -
git grep -q value
git status --short
"""
# Some folders are not for the user to look into.
FIND = "find /usr -name '*.h' -size +100k > /tmp/found 2>&1; find /usr > /tmp/found 2>&1; test -s /tmp/found"
SHORT_PROCESSES = "/bench/spawn {number}"
OPEN_CLOSE = "/bench/opens {number}"
PACED = "exec taskset -c 1 /bench/paced {rate} {seconds}"

_OPENS = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	close(open("/tmp/file", O_CREAT | O_RDWR, 0600));
	for (long left = atol(argv[1]); left > 0; left--)
		close(open("/tmp/file", O_RDONLY));
	return 0;
}
"""

# Opens files, `rate` a second, each millisecond its part; ends with 1 where it can't keep up.
_PACED = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	long rate = atol(argv[1]), all = rate * atol(argv[2]), done = 0, tick = 0;
	char name[32];
	for (int n = 0; n < 1000; n++) {
		sprintf(name, "/tmp/file%d", n);
		close(open(name, O_CREAT | O_RDWR, 0600));
	}
	struct timespec begin, next, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (done < all) {
		for (long due = rate * ++tick / 1000; done < due; done++) {
			sprintf(name, "/tmp/file%ld", done % 1000);
			close(open(name, O_RDONLY));
		}
		long ns = begin.tv_nsec + tick % 1000 * 1000000;
		next.tv_sec = begin.tv_sec + tick / 1000 + ns / 1000000000;
		next.tv_nsec = ns % 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - next.tv_sec > 1;
}
"""

_SPAWN = r"""
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


@dataclass(frozen=True)
class Sizes:
    """How much there is to do.

    Attributes:
        sources: files of the C project.
        tracked: files in the repository.
    """

    sources: int = 200
    tracked: int = 3000


def prepare(folder: Path, sizes: Sizes) -> Path:
    """Make what the commands find at /bench; returns `folder`."""
    folder.mkdir(mode=0o755)
    _project(folder / "project", sizes.sources)
    _repository(folder / "repository", sizes.tracked)
    programs(folder)
    _packages(folder / "packages")
    return folder


def programs(folder: Path) -> None:
    """Compile those of the C programs."""
    for name, source in {"opens": _OPENS, "spawn": _SPAWN, "paced": _PACED}.items():
        command = ["gcc", "-O1", "-static", "-x", "c", "-o", str(folder / name), "-"]
        subprocess.run(command, input=source, text=True, check=True)


def _packages(folder: Path) -> None:
    """numpy with its tests, and pytest, as they are installed here."""
    folder.mkdir()
    site = Path(np.__file__).parent.parent
    assert Path(pytest.__file__).parent.parent == site
    for name in ("numpy", "numpy.libs", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        shutil.copytree(site / name, folder / name)


def _project(folder: Path, sources: int) -> None:
    folder.mkdir()
    (folder / "common.h").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <errno.h>\n"
    )
    for n in range(sources):
        functions = "".join(
            f"int f{n}_{k}(const char *text) {{ char copy[64]; strncpy(copy, text, 63); copy[63] = 0;"
            f' return snprintf(copy, 64, "%d %s", {k}, text) + atoi(copy); }}\n'
            for k in range(10)
        )
        (folder / f"part{n}.h").write_text(f"int f{n}_0(const char *text);\n")
        (folder / f"part{n}.c").write_text(f'#include "common.h"\n#include "part{n}.h"\n{functions}')
    (folder / "main.c").write_text('#include "part0.h"\nint main(void) { return f0_0("0") > 9; }\n')
    (folder / "Makefile").write_text(
        "CFLAGS := -O1\nOBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\tgcc -o $@ $^\n"
    )


def _repository(folder: Path, files: int) -> None:
    """Twenty commits, each of which touches a part of the files."""
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "gc.auto=0"]
    home = {"HOME": str(folder), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True, env=home)
    for commit in range(20):
        for n in range(files) if commit == 0 else range(commit, files, 20):
            place = folder / f"part{n % 60}" / f"module{n % 7}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"file{n}.py").write_text(f"value = {n}\n" * 20 + f"commit = {commit}\n")
        subprocess.run([*git, "add", "-A"], check=True, env=home)
        subprocess.run([*git, "commit", "-q", "-m", f"change {commit}"], check=True, env=home)
    # git refuses a repository of another user.
    subprocess.run(["chown", "-R", "1000:1000", str(folder)], check=True)


def trivial_task(folder: Path) -> Path:
    """Write a task whose test always gives 1; returns its folder."""
    (folder / "tests").mkdir(parents=True)
    (folder / "task.toml").write_text('version = "1.0"\n[affidavit]\nrootfs = "host"\n')
    (folder / "instruction.md").write_text("Do nothing.\n")
    (folder / "tests" / "test.sh").write_text(TRIVIAL_TEST)
    return folder
