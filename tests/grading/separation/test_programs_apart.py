"""Scripts that test a program of the solution's: it runs in the solution's sandbox, behind a launcher."""

import json
import subprocess
import sys

import pytest

from separated import INSIDE, Pair

SCRIPT = """
cd "$AFFIDAVIT_WORKDIR"
check() { [ "$1" = "$2" ] || { echo "got [$1], wanted [$2]"; exit 1; }; }
check "$(./shout one 'two  three' </dev/null)" "[one] [two  three] "
check "$(echo hello | ./shout)" "hello"
./shout fail >/dev/null 2>&1 && exit 1
check "$(./shout fail 2>/dev/null; echo $?)" "3"
check "$(./shout fail 2>&1 >/dev/null)" "no good"
check "$(./tool.py x)" "tool x"
check "$(python3 tool.py y)" "tool y"
check "$(python3 "$AFFIDAVIT_WORKDIR/tool.py" z)" "tool z"
check "$(python3 -m tool z)" "tool z"
check "$(cd /tmp; python3 -c 'print(1)')" "1"
echo input >in.txt
check "$(./shout copy in.txt out.txt; cat out.txt)" "INPUT"
check "$(cat data.txt)" "data"
check "$(./shout kill; echo $?)" "137"
[ -x shout ] && [ ! -e conftest.py ] || exit 1
grep -q secret tool.py shout && exit 1
exit 7
"""

SHOUT = """#!/bin/bash
# secret
case "$1" in
  fail) echo "no good" >&2; exit 3 ;;
  copy) tr a-z A-Z <"$2" >"$3" ;;
  kill) kill -9 $$ ;;
  "") cat ;;
  *) printf '[%s] ' "$@" ;;
esac
"""


def test_a_script_runs_programs_of_the_solution(pair: Pair) -> None:
    solution = pair.folder / "solution"
    pair.solve(tool="#!/usr/bin/env python3\n# secret\nimport sys\nprint('tool', *sys.argv[1:])\n", conftest="")
    (solution / "tool.py").chmod(0o755)
    (solution / "shout").write_text(SHOUT)
    (solution / "shout").chmod(0o755)
    (solution / "data.txt").write_text("data")
    pair.tests.mkdir()
    (pair.tests / "test.sh").write_text(SCRIPT)
    assert pair.run(["bash", str(pair.tests / "test.sh")], sources=False) == 7, pair.output


@pytest.mark.parametrize(
    "program", ["print(__import__('os').path.exists('{tests}/secret'))", "print(__import__('os').listdir('{tests}'))"]
)
def test_a_program_does_not_see_the_tests(pair: Pair, program: str) -> None:
    pair.tests.mkdir()
    (pair.tests / "secret").write_text("42")
    pair.solve(look="#!/usr/bin/env python3\n" + program.format(tests=pair.tests) + "\n")
    (pair.folder / "solution/look.py").chmod(0o755)
    script = '[ "$("$AFFIDAVIT_WORKDIR/look.py")" = "False" ] || [ "$("$AFFIDAVIT_WORKDIR/look.py")" = "[]" ]'
    assert pair.run(["bash", "-c", script], sources=False) == 0, pair.output


def test_what_the_verifier_prints_reaches_the_host(pair: Pair) -> None:
    assert pair.run(["sh", "-c", "echo one; echo two; exit 5"]) == 5
    assert pair.results == b"one\ntwo\n"


def test_the_end_of_the_solution_is_not_the_end_of_the_tests(pair: Pair) -> None:
    pair.solve(bad="import os, signal\ndef answer(n):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 16\n")
    text = "import bad\ndef test_a():\n    assert bad.answer(4) == 4\n\ndef test_b():\n    assert 1 == 1\n"
    assert pair.pytest(text, python=sys.executable) == 1, pair.output
    assert "1 failed, 1 passed" in pair.output


def test_nothing_is_lost_of_a_program_that_does_not_listen(pair: Pair) -> None:
    """It may have ended before it is told that its input has: what it said is still its answer."""
    pair.solve(one="print(1)\n")
    text = (
        "import subprocess\n\ndef test_many():\n    for number in range(60):\n"
        f"        done = subprocess.run(['/bin/echo', str(number)], cwd='{pair.workdir}', input='x' * 5000,"
        " capture_output=True, text=True)\n        assert (done.returncode, done.stdout) == (0, f'{number}\\n'), done\n"
    )
    assert pair.pytest(text) == 0, pair.output


LIKE_A_PROCESS = """
cd "$AFFIDAVIT_WORKDIR"
check() { [ "$1" = "$2" ] || { echo "got [$1], wanted [$2]"; exit 1; }; }

# A signal reaches the program, which may do with it what it likes.
./act trap >out & pid=$!
until [ -s out ]; do sleep 0.02; done
kill -TERM $pid; wait $pid
check "$?" "5"
check "$(cat out)" "$(printf 'ready\\ncaught')"

# One that is killed here has ended there.
./act beat & pid=$!
until [ -n "$(./act look)" ]; do sleep 0.02; done
kill -KILL $pid; wait $pid
check "$?" "137"
still=no
for try in $(seq 50); do
  before=$(./act look); sleep 0.3; [ "$(./act look)" = "$before" ] && still=yes && break
done
check "$still" "yes"

# Who no longer reads is not waited for, and is told as any program is.
check "$(./act flood | head -c 5)" "flood"
{ ./act flood; echo $? >status; } | head -c 5 >/dev/null
check "$(cat status)" "141"

# Streams that are closed are at their end.
check "$(./act cat <&-)" ""
check "$(./act cat 2>&- <<<word)" "word"

# What both streams are given arrives in order where they are one.
check "$(./act both 2>&1)" "$(printf 'out\\nerr\\nout')"
exit 7
"""

ACT = """#!/bin/bash
case "$1" in
  trap) trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.02; done ;;
  beat) while :; do echo >>count; sleep 0.05; done ;;
  look) cat count 2>/dev/null | wc -l | grep -v '^0$' ;;
  flood) yes flood ;;
  cat) cat ;;
  both) echo out; echo err >&2; echo out ;;
esac
"""


def test_a_launcher_is_like_the_process_that_it_stands_for(pair: Pair) -> None:
    act = pair.folder / "solution" / "act"
    act.parent.mkdir(exist_ok=True)
    act.write_text(ACT)
    act.chmod(0o755)
    pair.tests.mkdir()
    (pair.tests / "test.sh").write_text(LIKE_A_PROCESS)
    assert pair.run(["bash", str(pair.tests / "test.sh")], sources=False) == 7, pair.output


@pytest.mark.parametrize(
    ("command", "judges"),
    [
        (["timeout", "10", "python3", "-c", "assert 1"], True),
        (["env", "A=1", "python3", "-c", "assert 1"], True),
        (["bash", "-c", "cd /w && python3 -c 'assert 1'"], True),
        (["python3", "-m", "pytest", "-q"], True),
        # What it runs, the solution's own files say.
        (["make", "check"], False),
        (["node", "-e", "1"], True),
        (["git", "diff", "--name-only"], False),
        (["python3", "prog.py", "-c", "test"], False),
        (["bash", "run.sh"], False),
        (["make"], False),
        ("cd /w && ./prog | diff - /tmp/expected", True),
        ("./prog|grep -q x", True),
        ("if X=1 cmp a b; then echo; fi", True),
        ("true\ndiff a b", True),
        ("[ $(./prog) = 3 ]", True),
        ("timeout 5 python3 -m unittest", True),
        ("echo test; git diff", False),
        ("./prog 'a' \"b", False),
    ],
)
def test_commands_that_hold_a_verdict(command: str | list[str], judges: bool) -> None:
    """What is run on the solution's side and tells the tests whether all is well is the solution's word."""
    shell = isinstance(command, str)
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); from affidavit_inside import programs as p; "
    code += "print(p.judges(*json.loads(sys.argv[2])))"
    asked = json.dumps([[command] if shell else command, shell])
    done = subprocess.run([sys.executable, "-c", code, INSIDE, asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(judges)
