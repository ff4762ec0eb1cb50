"""Each fuzz target for a fixed number of runs from a fixed seed; ``make fuzz`` goes on for longer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from targets import TARGETS

FUZZ = Path(__file__).parent / "fuzz.py"
SEEDS = Path(__file__).parent / "seeds"


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_raises_or_hangs(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    # Bytes of memory are bounded by libFuzzer itself, and so is the time for one input, in seconds.
    bounds = ("-runs=400", "-seed=1", "-max_len=4096", "-rss_limit_mb=1024", "-timeout=20")
    command = [sys.executable, FUZZ, target, *bounds, f"-artifact_prefix={tmp_path}/", tmp_path, SEEDS / target]
    # A process forked from this one counts our peak as its own (getrusage(2), ru_maxrss); a shell's child doesn't.
    command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    # libFuzzer ends without Python's own clearing up: what lies there goes with the test's folder.
    places = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=places, check=False)
    assert done.returncode == 0, (done.stderr[-3000:], [path.read_bytes() for path in tmp_path.glob("crash-*")])


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_known_of_old_is_read(target: str) -> None:
    for seed in sorted((SEEDS / target).iterdir()):
        TARGETS[target](seed.read_bytes())
