"""Each construct of a contract, tried in a sandbox: is it prevented, is it detected? docs/contracts.md shows it.

    AFFIDAVIT_WRITE_DOCS=1 pytest tests/evaluation/test_enforcement.py

writes what was found into the page; without that variable a page that says something else fails.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.contracts import treatment
from harness import Outcome, Trials, Way

pytestmark = pytest.mark.usefixtures("nothing_left")

PAGE = Path(__file__).parents[2] / "docs" / "contracts.md"
TABLE = re.compile(r"(<!-- tried: begin -->\n)(.*?)(<!-- tried: end -->)", re.DOTALL)

CONTRACT = {
    "files": {
        "read": ["/workspace/{deeds.py,answer_key.json,bin/**}", "/workspace/.hidden/**", "/tmp/**"],
        "write": ["/workspace/**", "/tmp/**", "/srv/out/**", "!/workspace/kept"],
        "deny": ["/workspace/denied", "/tests/**"],
    },
    "processes": {"exec": ["/usr/bin/python3*", "/bin/sh"]},
    "syscalls": {"deny": ["unshare"]},
    "operations": {
        "forbid": [
            *("system", "exec", "modify_test_runner", "read_answer_key", "write_outside_workspace"),
            *("hidden_directory_access", "tmp_read", "unexpected_network", "clock_change", "persistence"),
            *("tool_replacement", "process_injection"),
        ]
    },
}

# Says of each deed whether it could be done. A construct is tried where it could be prevented, and where not.
DEEDS = r"""
import ctypes, os, socket, subprocess

libc = ctypes.CDLL(None, use_errno=True)

def write(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("x")

def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

DEEDS = [
    ("files.read", lambda: open("/srv/unread").read()),
    ("files.write", lambda: write("/workspace/kept")),
    ("files.write", lambda: write("/opt/x")),
    ("files.deny", lambda: open("/workspace/denied").read()),
    ("files.deny", lambda: open("/tests/x").read()),
    ("network.endpoints operations.unexpected_network", lambda: socket.create_connection(("192.0.2.1", 80), 2)),
    ("processes.exec", lambda: subprocess.run(["/usr/bin/id"], check=True)),
    ("syscalls.deny", lambda: call(272, 0x10000000)),
    ("operations.system", lambda: subprocess.run("true", shell=True, check=True)),
    ("operations.exec", lambda: subprocess.run(["python3", "-c", "pass"], check=True)),
    ("operations.modify_test_runner", lambda: write("/workspace/conftest.py")),
    ("operations.modify_test_runner", lambda: write("/usr/lib/python3/dist-packages/pytest/x.py")),
    ("operations.read_answer_key", lambda: open("/workspace/answer_key.json").read()),
    ("operations.read_answer_key", lambda: open("/solution/solve.sh").read()),
    ("operations.write_outside_workspace", lambda: write("/srv/out/x")),
    ("operations.write_outside_workspace", lambda: write("/opt/y")),
    ("operations.hidden_directory_access", lambda: open("/workspace/.hidden/x").read()),
    ("operations.tmp_read", lambda: (write("/tmp/t"), open("/tmp/t").read())),
    ("operations.clock_change", lambda: call(164, (ctypes.c_long * 2)(1, 1), None)),
    ("operations.persistence", lambda: write("/workspace/.git/hooks/pre-commit")),
    ("operations.persistence", lambda: write("/etc/cron.d/x")),
    ("operations.tool_replacement", lambda: write("/workspace/bin/python3")),
    ("operations.tool_replacement", lambda: write("/usr/local/bin/curl")),
    ("operations.process_injection", lambda: open("/proc/self/mem", "r+b").close()),
    ("operations.process_injection", lambda: call(101, 16, os.getppid(), 0, 0)),
]
for construct, deed in DEEDS:
    try:
        deed()
        done = "done"
    except (OSError, subprocess.CalledProcessError):
        done = "not"
    for name in construct.split():
        print("DEED", name, done)
"""
CONSTRUCTS = list(
    dict.fromkeys(name for names in re.findall(r'^    \("([^"]+)"', DEEDS, re.M) for name in names.split())
)


def found(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """For each construct: was it prevented (yes, partly, no), and was it detected (live, end, no)?"""
    done: dict[str, set[str]] = {}
    for name, how in re.findall(r"^DEED (\S+) (\S+)$", outcome.text("agent/stdout"), re.MULTILINE):
        done.setdefault(name, set()).add(how)
    detected: dict[str, str] = {}
    for violation in outcome.trial.judgement.violations:
        if violation.events or violation.rule not in detected:
            detected[violation.rule] = "live" if violation.events else "end"
    prevented = {name: "partly" if len(how) == 2 else "yes" if how == {"not"} else "no" for name, how in done.items()}
    return {name: (prevented[name], detected.get(name, "no")) for name in CONSTRUCTS}


def column(text: str, way: Way) -> dict[str, tuple[str, str]]:
    """What the page says of a runtime and recorder."""
    match = TABLE.search(text)
    assert match, "docs/contracts.md has lost its table"
    header, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in match[2].splitlines()]
    if str(way) not in header:
        return {}
    place = header.index(str(way))
    return {row[0]: tuple(row[place].split(", ")) for row in rows}  # type: ignore[misc]


def written(text: str, way: Way, of_way: dict[str, tuple[str, str]]) -> str:
    """The page with a column as it was found."""
    ways = ["runc+ebpf", "runc+ptrace", "gvisor+gvisor"]
    known = {name: column(text, Way(*name.split("+"))) for name in ways} | {str(way): of_way}
    lines = [f"| construct | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    for name in CONSTRUCTS:
        cells = [", ".join(known[one].get(name, ("?", "?"))) for one in ways]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    return TABLE.sub(lambda match: match[1] + table + match[3], text)


def test_what_is_prevented_and_what_is_detected(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    root = "environment/root/workspace"
    files = {f"{root}/{name}": "x" for name in ("denied", "kept", "answer_key.json", ".hidden/x", "bin/x")}
    files |= {f"{root}/deeds.py": DEEDS, "environment/root/srv/unread": "x"}
    folder = task(contract=CONTRACT, files=files)
    outcome = trials(way, folder, "mkdir -p /srv/out; python3 /workspace/deeds.py")
    seen = found(outcome)
    if os.environ.get("AFFIDAVIT_WRITE_DOCS"):
        PAGE.write_text(written(PAGE.read_text("utf-8"), way, seen), "utf-8")
    assert column(PAGE.read_text("utf-8"), way) == seen
    # What contract lint says is what happens.
    stated = {name: treatment(name, way.runtime, way.recorder) for name in CONSTRUCTS}
    assert {name: (one.prevented, one.detected) for name, one in stated.items()} == seen
