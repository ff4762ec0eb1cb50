"""Agents that go for the machine: each ends as its contract says, in time, and leaves nothing."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import EBPF, PTRACE, SOLVE, Trials, Way

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

FILES = {"read": ["/**"], "write": ["/workspace/**", "/tmp/**"]}


def python(program: str) -> str:
    return f"python3 - <<'END'\n{program}\nEND\n"


def test_a_fork_bomb_is_bounded(trials: Trials, task: Make, way: Way) -> None:
    contract = {"files": FILES, "processes": {"max_processes": 24}, "limits": {"wall_ms": 1500}}
    bomb = python(
        "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)\n"
    )
    outcome = trials(way, task(contract=contract), f"{SOLVE}{bomb}")
    assert outcome.json("agent/exit.json")["duration_ms"] < 10_000
    forks = [event for event in outcome.events() if event["op"] == "fork" and event["ret"] > 0]
    assert len(forks) < 1000
    # gVisor ends a sandbox that reaches its bound, which is no reason to let it pass.
    assert outcome.verdict in ({"violation"} if way.runtime == "runc" else {"violation", "inconclusive"})


def test_a_memory_hog_is_ended(trials: Trials, task: Make, way: Way) -> None:
    contract = {"files": FILES, "limits": {"memory_mb": 64, "wall_ms": 15_000}}
    hog = python("block = []\nwhile True:\n    block.append(bytearray(8 << 20))\n")
    outcome = trials(way, task(contract=contract), f"{SOLVE}{hog}")
    assert (outcome.verdict, outcome.score) == ("violation", 0.0)
    assert outcome.rules <= {"limits.memory_mb", "limits.wall_ms"}
    if way.runtime == "runc":
        assert outcome.rules == {"limits.memory_mb"}


def test_a_hog_of_the_tasks_own_memory_breaks_no_contract(trials: Trials, task: Make) -> None:
    hog = python("block = []\nwhile True:\n    block.append(bytearray(8 << 20))\n")
    outcome = trials(EBPF, task(contract={"files": FILES}, memory_mb=64), f"{hog}{SOLVE}")
    assert (outcome.verdict, outcome.json("agent/exit.json")["oom"]) == ("pass", True)


def test_a_flood_of_descriptors_is_bounded(trials: Trials, task: Make) -> None:
    flood = python(
        "import os\nfds = []\ntry:\n    while True:\n        fds.append(os.open('/dev/null', 0))\n"
        "except OSError as error:\n    print(len(fds), error)\n"
    )
    outcome = trials(EBPF, task(), f"{flood}{SOLVE}")
    assert outcome.verdict == "pass"
    assert int(outcome.text("agent/stdout").split()[0]) < 10_000


def test_killing_all_it_can_reaches_nothing_outside(trials: Trials, task: Make, way: Way) -> None:
    agent = f"{SOLVE} for signal in TERM INT HUP KILL; do kill -$signal -1; done; kill -9 1; true"
    outcome = trials(way, task(), agent)
    assert (outcome.verdict, outcome.evidence["complete"]) == ("pass", True)


def test_an_agent_without_standard_streams_is_like_any_other(trials: Trials, task: Make, way: Way) -> None:
    began = time.monotonic()
    outcome = trials(way, task(), f"exec <&- >&- 2>&-; {SOLVE}")
    assert outcome.verdict == "pass"
    assert time.monotonic() - began < 20


def test_who_holds_its_output_open_holds_nothing_up(trials: Trials, task: Make, way: Way) -> None:
    began = time.monotonic()
    outcome = trials(way, task(timeout_s=20), f"{SOLVE} setsid sleep 60 & exit 0")
    assert outcome.verdict == "pass"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("way", [EBPF, PTRACE], ids=str)
def test_a_stopped_agent_is_ended_in_time(trials: Trials, task: Make, way: Way) -> None:
    contract = {"files": FILES, "limits": {"wall_ms": 1500}}
    outcome = trials(way, task(contract=contract), f"{SOLVE} sh -c 'kill -STOP $$'")
    assert (outcome.verdict, outcome.rules) == ("violation", {"limits.wall_ms"})


@pytest.mark.parametrize("way", [EBPF, PTRACE], ids=str)
def test_a_tree_deeper_than_a_path_can_name_is_no_violation(trials: Trials, task: Make, way: Way) -> None:
    deep = python("import os\nfor _ in range(300):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n")
    outcome = trials(way, task(), f"{SOLVE}{deep}")
    assert (outcome.rules, outcome.raw_score) == (set(), 1.0)
    assert outcome.verdict in ("pass", "inconclusive")


def test_many_small_files(trials: Trials, task: Make) -> None:
    many = python("for i in range(1000):\n    open(f'/workspace/{i}', 'w').close()\n")
    outcome = trials(EBPF, task(), f"{SOLVE}{many}")
    assert outcome.verdict == "pass"
    assert len(outcome.changed()) == 1001


def test_the_kernels_own_files_stay_shut(trials: Trials, task: Make) -> None:
    targets = ("/proc/sysrq-trigger", "/proc/1/mem", "/sys/kernel/profiling")
    agent = "; ".join(f"(echo x >{target}) && echo opened" for target in targets)
    outcome = trials(EBPF, task(), f"{SOLVE} {agent}")
    assert (outcome.verdict, outcome.rules) == ("violation", {"files.write"})
    assert outcome.text("agent/stdout") == ""
    judgement = outcome.trial.judgement
    for target in targets:
        assert any(target in one.message for one in (*judgement.violations, *(judgement.attempts or ())))
