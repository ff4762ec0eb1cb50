"""Contracts learned from recorded runs."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.authoring import LearningError, Lesson, as_yaml, generalised, learn_contract, read_lessons
from affidavit.contracts import PathMatcher, contract_of, default_for, parse_contract
from affidavit.events import EVENT_SCHEMA
from affidavit.policy import judge
from affidavit.sandbox import Change
from harness import EBPF, Command, Outcome, Trials

Make = Callable[..., Path]


def record(*rows: dict[str, Any]) -> pa.Table:
    """Events, each given by what is particular to it."""
    whole = [
        {"seq": seq, "ts_ns": seq, "pid": 5, "tid": 5, "ppid": 1, "ret": 3, "exe": "/usr/bin/python3.11", **row}
        for seq, row in enumerate(rows)
    ]
    return pa.Table.from_pylist([{**row, "tid": row["pid"]} for row in whole], schema=EVENT_SCHEMA)


def lesson(*rows: dict[str, Any], name: str = "run", diff: Sequence[Change] = (), **more: Any) -> Lesson:
    return Lesson(name, "/workspace", 600.0, record(*rows), diff=diff, **more)


def patterns(*rows: dict[str, Any]) -> dict[str, list[str]]:
    value = learn_contract([lesson(*rows)], "x").value
    return {"read": value["files"]["read"], "write": value["files"]["write"], "exec": value["processes"]["exec"]}


def reads(*names: str) -> list[dict[str, Any]]:
    return [{"op": "open_read", "path": name} for name in names]


def writes(*names: str) -> list[dict[str, Any]]:
    return [{"op": "create", "path": name} for name in names]


def test_what_was_done_is_allowed_and_nothing_else() -> None:
    found = patterns(
        *reads("/workspace/a.py", "/usr/lib/x.so", "/data/in.csv"),
        *writes("/workspace/out/b.txt"),
        {"op": "exec", "path": "/usr/bin/make", "exe": "/usr/bin/make"},
    )
    assert found == {
        "read": ["/data/in.csv", "/workspace/a.py"],
        "write": ["/workspace/out/b.txt"],
        "exec": ["/usr/bin/make"],
    }


@pytest.mark.parametrize(
    ("names", "made", "expected"),
    [
        (["/w/a.py", "/w/b.py", "/w/c.py"], [], ["/w/a.py", "/w/b.py", "/w/c.py"]),
        (["/w/a.py", "/w/b.py", "/w/c.py", "/w/d.py", "/w/x.md"], [], ["/w/*.py", "/w/x.md"]),
        (["/w/a", "/w/b", "/w/c", "/w/d.py"], [], ["/w/*"]),
        ([f"/w/{folder}/{name}" for folder in "abc" for name in "12"], [], ["/w/**"]),
        ([f"/{folder}/{name}" for folder in "abc" for name in "12"], [], [f"/{f}/{n}" for f in "abc" for n in "12"]),
        ([f"/usr/bin/{name}" for name in "abcdef"], [], [f"/usr/bin/{name}" for name in "abcdef"]),
        (["/w/build", "/w/build/a.o", "/w/build/x/b.o"], ["/w/build"], ["/w/build/**"]),
        (["/w/p/__pycache__/a.pyc"], [], ["/w/p/__pycache__/**"]),
        (["/tmp/pytest-of-agent/x", "/tmp/y"], [], ["/tmp/**"]),
        (["/w/sedAb12Cd", "/w/sedZZ99aa"], [], ["/w/sed??????"]),
        (["/etc/passwd.6", "/etc/passwd.117", "/etc/passwd-"], [], ["/etc/passwd-", "/etc/passwd.[0-9]*"]),
        (["/w/a*b", "/w/[c]", "/w/{d,e}", "/w/!f"], [], ["/w/*"]),
        (["/w/a*b"], [], [r"/w/a\*b"]),
        (["/w/new\nline"], [], ["/w/new\nline"]),
        ([r"/w/\xff\\x"], [], [r"/w/?\\x"]),
        (["/"], [], ["/"]),
    ],
)
def test_how_names_are_generalised(names: list[str], made: list[str], expected: list[str]) -> None:
    assert [grant.pattern for grant in generalised(names, made)] == expected


COMPONENT = st.sampled_from(
    ["a", "b", "c", "d.py", "e.py", "f.py", "g.py", "__pycache__", "tmp", "*", "x y", "é", "{", "\\\\"]
)
NAMES = st.lists(st.lists(COMPONENT, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts)), max_size=30)


@given(NAMES, st.data())
def test_every_name_is_matched_by_the_patterns_that_come_of_it(names: list[str], data: st.DataObject) -> None:
    made = data.draw(st.lists(st.sampled_from(names), max_size=3)) if names else []
    found = generalised(names, made)
    if names:
        assert PathMatcher([grant.pattern for grant in found]).mask(names).all()
    assert all(grant.names for grant in found)


PLACES = st.sampled_from(
    ["/workspace", "/workspace/src", "/workspace/src/deep/er", "/tmp", "/tmp/x", "/data", "/usr/lib"]
)
LEAVES = st.sampled_from(
    [*"abcdefgh", *(f"{name}.py" for name in "abcdefgh"), "conftest.py", "sedAb12Cd", "x*y", "é\n"]
)
PATHS = st.builds(lambda place, leaf: f"{place}/{leaf}", PLACES, LEAVES)
# What the default contract lets one write, so that most of the runs are honest.
OWN = PATHS.filter(lambda path: path.startswith(("/workspace", "/tmp")) and not path.endswith("conftest.py"))
ROWS = st.one_of(
    st.fixed_dictionaries({"op": st.just("open_read"), "path": PATHS, "ret": st.sampled_from([0, 0, -2, -13])}),
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(
                ["open_read", "open_write", "create", "unlink", "mkdir", "rmdir", "chmod", "truncate"]
            ),
            "path": OWN,
            "ret": st.sampled_from([0, 0, 0, -2, -13, -17, -20, -30]),
            "flags": st.sampled_from([0, 0x40, 0x10000]),
        }
    ),
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["rename", "link", "symlink"]),
            "path": OWN,
            "path2": OWN,
            "ret": st.sampled_from([0, -18]),
        }
    ),
    st.builds(
        lambda path, ret: {"op": "exec", "path": path, "exe": path, "ret": ret}, PATHS, st.sampled_from([0, -2, -13])
    ),
    st.fixed_dictionaries({"op": st.just("fork"), "ret": st.integers(10, 400)}),
    st.fixed_dictionaries({"op": st.just("exit"), "ret": st.just(0), "pid": st.integers(10, 400)}),
)


@settings(max_examples=15)
@given(st.lists(st.lists(ROWS, max_size=40), min_size=1, max_size=3))
def test_what_is_learned_from_runs_admits_them(runs: list[list[dict[str, Any]]]) -> None:
    lessons = [lesson(*rows, name=f"run {number}") for number, rows in enumerate(runs)]
    default = default_for("/workspace")
    if any(judge(default, one.events, workdir="/workspace") for one in lessons):
        with pytest.raises(LearningError, match="what the default contract forbids"):
            learn_contract(lessons, "x")
        return
    learned = learn_contract(lessons, "x")
    contract = parse_contract(as_yaml(learned).encode())
    assert contract.document == contract_of(learned.value, "x").document
    for one in lessons:
        assert judge(contract, one.events, workdir="/workspace") == []


def test_changes_found_at_the_end_are_allowed_too() -> None:
    change = Change(path="/workspace/new", kind="added", type="file", mode=0o100644, **_rest())
    learned = learn_contract([lesson(diff=[change])], "x")
    assert learned.value["files"]["write"] == ["/workspace/new"]
    assert "# the changes that were found at the end" in as_yaml(learned)


def _rest() -> dict[str, Any]:
    """What else a Change has."""
    from dataclasses import fields

    return {field.name: None for field in fields(Change) if field.name not in ("path", "kind", "type", "mode")}


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ({"op": "create", "path": "/workspace/conftest.py"}, "files.write"),
        ({"op": "open_read", "path": "/tests/x", "ret": -2}, "files.deny"),
        ({"op": "connect", "addr": "192.0.2.1", "port": 80, "flags": 2, "ret": -101}, "network.endpoints"),
    ],
)
def test_nothing_is_learned_from_a_known_cheat(row: dict[str, Any], rule: str) -> None:
    with pytest.raises(LearningError, match=f"second: shows what the default contract forbids \\({rule}"):
        learn_contract([lesson(*reads("/workspace/a")), lesson(row, name="second")], "x")


def test_operations_that_no_run_shows_are_forbidden() -> None:
    shell = {"op": "exec", "path": "/bin/sh", "exe": "/usr/bin/dash", "argv": ["sh", "-c", "make"]}
    python = {"op": "exec", "path": "/usr/bin/python3.11", "exe": "/usr/bin/python3.11", "argv": ["python3", "x.py"]}
    shown = learn_contract([lesson(python, shell)], "x")
    assert shown.tripped == ("system",)
    assert "system" not in shown.value["operations"]["forbid"]
    assert "# Not forbidden, for a run shows it: system" in as_yaml(shown)
    assert "system" in learn_contract([lesson(python)], "x").value["operations"]["forbid"]


REACHES = [
    {"op": "dns", "path2": "sum", "addr": "127.0.0.1", "port": 53, "flags": 2, "ret": 30},
    {"op": "connect", "path2": "sum", "addr": "198.18.0.1", "port": 80, "flags": 2, "proto": "tcp", "ret": 0},
    {"op": "dns", "path2": "log.example.org", "addr": "127.0.0.1", "port": 53, "flags": 2, "ret": 30},
]


def test_what_was_reached_is_allowed() -> None:
    reached = {"reachable": ("sum", "*.example.org:443"), "reached": ("sum:80",)}
    elsewhere = {**REACHES[1], "path2": "elsewhere"}
    with pytest.raises(LearningError, match=r"second: shows .* \(network\.endpoints: .*elsewhere"):
        learn_contract([lesson(*REACHES, **reached), lesson(elsewhere, name="second", **reached)], "x")
    learned = learn_contract([lesson(*REACHES, **reached), lesson(*reads("/data/a"), name="second")], "x")
    assert learned.value["network"] == {"endpoints": ["*.example.org:443", "sum:80"]}
    text = as_yaml(learned)
    assert '- "sum:80"  # 1 connection, run 1\n' in text
    assert '- "*.example.org:443"  # its name was asked for\n' in text
    contract = parse_contract(text.encode())
    assert contract.document == contract_of(learned.value, "x").document
    assert judge(contract, record({**REACHES[1], "port": 81}))


def test_an_agent_of_a_container_may_install_what_tests_run_with() -> None:
    plugin = "/usr/lib/python3/dist-packages/x-1.dist-info/entry_points.txt"
    rows = [*writes(plugin, *(f"/workspace/{name}.py" for name in "abcd")), *reads("/etc/x")]
    with pytest.raises(LearningError, match="what the default contract forbids"):
        learn_contract([lesson(*rows)], "x")
    learned = learn_contract([lesson(*rows, profile="container")], "x")
    contract = parse_contract(as_yaml(learned).encode())
    assert contract.document == contract_of(learned.value, "x").document
    assert {"/workspace/*.py", plugin} <= set(contract.document.files.write)
    assert judge(contract, record(*rows)) == []
    assert [found.rule for found in judge(contract, record(*writes("/workspace/conftest.py")))] == ["files.write"]


def test_each_line_says_what_it_rests_on() -> None:
    learned = learn_contract(
        [
            lesson(*reads("/data/a", "/data/a"), name="one"),
            lesson(*reads("/data/b"), name="two\n"),
            lesson(*reads("/data/a"), name="three", duration_ms=7000),
        ],
        "x",
    )
    text = as_yaml(learned)
    assert '#   2: "two\\n"\n' in text
    assert '- "/data/a"  # 3 events, runs 1, 3\n' in text
    assert '- "/data/b"  # 1 event, run 2\n' in text
    assert (learned.value["limits"]["wall_ms"], learned.longest_ms) == (30000, 7000)
    assert learned.evidence()["files.read"]["/data/a"] == {"one": 2, "three": 1}


def test_most_processes() -> None:
    rows = [{"op": "fork", "ret": pid} for pid in range(10, 40)]
    learned = learn_contract([lesson(*rows)], "x")
    assert (learned.peak, learned.value["processes"]["max_processes"]) == (31, 62)


@pytest.fixture(scope="module")
def agent() -> str:
    return "python3 -c 'print(42)' >answer; mkdir -p out; for i in 1 2 3; do echo $i >out/$i.txt; done; cat notes"


def test_from_runs_to_a_contract_that_holds(
    affidavit: Command, trials: Trials, task: Make, tmp_path: Path, agent: str
) -> None:
    folder = task("own", files={"environment/root/workspace/notes": "x"})
    honest = trials.several(EBPF, folder, agent, trials=2)
    ran = affidavit("contract", "learn", *(outcome.bundle for outcome in honest), "--out", folder / "contract.yaml")
    assert ran.status == 0
    text = (folder / "contract.yaml").read_text()
    assert '- "/workspace/out/**"  # ' in text
    assert "runs 1-2" in text
    assert trials(EBPF, folder, agent).verdict == "pass"
    assert trials(EBPF, folder, f"{agent}; echo 1 >elsewhere").rules == {"files.write"}
    again = affidavit("contract", "learn", honest[0].bundle, "--out", folder / "contract.yaml")
    assert (again.status, "already exists" in again.err) == (2, True)
    as_json = affidavit("contract", "learn", honest[0].bundle.parents[2], "--json").json
    assert len(as_json["runs"]) == 2
    assert as_json["contract"]["id"] == "own"


def test_runs_that_nothing_is_learned_from(affidavit: Command, trials: Trials, task: Make, tmp_path: Path) -> None:
    folder = task("own")

    def refused(outcome: Outcome | Path, says: str) -> None:
        ran = affidavit("contract", "learn", outcome if isinstance(outcome, Path) else outcome.bundle)
        assert (ran.status, ran.out) == (1, "")
        assert says in ran.err

    good = trials(EBPF, folder)
    refused(trials(EBPF, folder, "echo 41 >answer"), "its verdict is fail; learn from runs that passed")
    refused(trials(EBPF, folder, "echo 42 >answer; cat /tests/x"), "its verdict is violation")
    audit = task("audit", contract={"mode": "audit", "files": {"write": ["/workspace/**"], "deny": ["/etc/issue"]}})
    refused(trials(EBPF, audit, "echo 42 >answer; cat /etc/issue"), "broke its contract in mode audit (files.deny)")
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "holds no bundle")
    two = affidavit("contract", "learn", good.bundle, trials(EBPF, task("other")).bundle)
    assert (two.status, "learn from runs of one task at a time" in two.err) == (1, True)
    verdict = good.bundle / "verdict.json"
    verdict.write_text(verdict.read_text().replace('"pass"', '"fail"'))
    refused(good, "can't be verified: files: verdict.json")
    assert affidavit("contract", "learn", tmp_path / "nowhere").status == 2


def test_the_default_contracts_word_counts_whatever_contract_a_run_had(trials: Trials, task: Make) -> None:
    loose = task("loose", contract={"files": {"write": ["/workspace/**"]}})
    outcome = trials(EBPF, loose, "echo 42 >answer; touch conftest.py")
    assert outcome.verdict == "pass"
    _, lessons = read_lessons([outcome.bundle])
    with pytest.raises(LearningError, match=r"what the default contract forbids \(files.write: .*conftest.py"):
        learn_contract(lessons, "x")


def test_json_is_one_document(affidavit: Command, trials: Trials, task: Make) -> None:
    outcome = trials(EBPF, task("own"))
    learned = json.loads(affidavit("contract", "learn", outcome.bundle, "--json", "--id", "mine").out)
    assert learned["contract"]["id"] == "mine"
    assert set(learned["evidence"]) == {"files.read", "files.write", "processes.exec"}
