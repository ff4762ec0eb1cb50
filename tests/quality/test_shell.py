"""Scripts of the tests in which what a program prints decides more than it says."""

import subprocess
from pathlib import Path

import pytest

from affidavit.quality.shell import taken_for_script

SUITE = Path(__file__).parents[2] / "examples" / "suite"

TAKEN = [
    "out=$(./prog)\nif [ $out = 27 ]; then echo 1; fi",
    "[ $(./prog 3) = 27 ] && echo 1",
    "if test $(./prog) = 27; then echo 1; fi",
    'out="$(./prog)"\n[[ "$out" -eq 27 ]] && echo 1',
    "out=`./prog`\nif (( out == 27 )); then echo 1; fi",
    "./prog | while read line; do [[ $line -gt 3 ]] || exit 1; done",
    'out=$(./prog)\nawk "BEGIN { exit !($out == 27) }"',
    'out=$(./prog)\n[ "$(echo "$out == 27" | bc)" = 1 ]',
    'out=$(./prog)\npython3 -c "assert $out == 27"',
    'out=$(./prog)\neval "$out"',
]

NOT_TAKEN = [
    'out=$(./prog)\nif [ "$out" = 27 ]; then echo 1; fi',
    '[ "$(./prog 3)" = 27 ] && echo 1',
    "out=$(./prog)\n[[ $out == 27 ]] && echo 1",
    "count=$(./prog | wc -l)\n[ $count -eq 3 ] && (( count == 3 ))",
    "passed=$(grep -c '^ok' log)\nawk -v passed=\"$passed\" 'BEGIN { print passed / 3 }'",
    "reward=1\n./prog || reward=0\n[ $reward = 1 ]; ./prog; [ $? -eq 0 ]",
    "# [ $(./prog) = 27 ]\necho done",
    'out=$(./prog)\npython3 -c \'import sys; assert sys.argv[1] == "27"\' "$out"',
    "out=$(./prog)\nawk -v out=\"$out\" 'BEGIN { exit out != 27 }'",
    'out=$(./prog)\necho "$out" | diff - /tests/expected',
    "for n in 1 2; do total=$((total + n)); done",
]


@pytest.mark.parametrize("script", TAKEN)
def test_output_that_is_taken_for_script(script: str) -> None:
    assert len(list(taken_for_script(script))) == 1


@pytest.mark.parametrize("script", NOT_TAKEN)
def test_output_that_is_taken_for_text(script: str) -> None:
    assert list(taken_for_script(script)) == []


def test_the_line_is_named() -> None:
    ((line, found, fix),) = taken_for_script("#!/bin/bash\nout=$(./prog)\n\nif [ $out = 27 ]; then\n  echo 1\nfi\n")
    assert (line, found) == (4, "[ $out = 27 ]")
    assert "double quotes" in fix


@pytest.mark.parametrize("script", sorted(SUITE.glob("*/tests/*.sh")), ids=lambda path: path.parts[-3])
def test_the_example_suite_takes_output_for_text(script: Path) -> None:
    assert list(taken_for_script(script.read_text())) == []


@pytest.mark.parametrize("number", [0, 3])
def test_such_a_script_can_be_fooled(number: int, tmp_path: Path) -> None:
    """What is warned of is real: the program below does not know that 27 is wanted, and is paid."""
    lie = "1 = 1 -o x" if number == 0 else "x[$(kill -9 $$)0]"
    (tmp_path / "prog").write_text(f"#!/bin/sh\ncat <<'EOF'\n{lie}\nEOF\n")
    (tmp_path / "prog").chmod(0o755)
    done = subprocess.run(["bash", "-c", TAKEN[number]], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.stdout == "1\n" if number == 0 else done.returncode == -9
