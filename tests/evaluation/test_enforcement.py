"""Each construct of a contract, tried in a sandbox: is it prevented, is it detected? docs/contracts.md shows it.

    AFFIDAVIT_WRITE_DOCS=1 pytest tests/evaluation/test_enforcement.py

writes what was found into the page; without that variable a page that says something else fails.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from affidavit.contracts import constructs, parse_contract, treatment
from affidavit.evaluation import RunError
from affidavit.gateway import GatewaySettings, Upstream
from affidavit.gateway.settings import base_of
from affidavit.policy import Judge
from affidavit.trace import read_trace
from harness import Outcome, Trials, Way
from http_agent import bash, http_agent
from scripted_model import scripted_model

pytestmark = pytest.mark.usefixtures("nothing_left")

PAGE = Path(__file__).parents[2] / "docs" / "contracts.md"
TABLE = re.compile(r"(<!-- tried: begin -->\n)(.*?)(<!-- tried: end -->)", re.DOTALL)
# Of those that end the agent each has a sandbox of its own.
ENDS = {
    "wall_ms": (1000, "sleep 60"),
    "memory_mb": (64, "exec python3 -c \"x = b'x'; exec('while True: x += x')\""),
}
# What is said of model traffic has a sandbox of its own, too.
ASKING = {
    "files": {"write": ["/workspace/**"]},
    "processes": {"max_processes": 64},
    "model": {"requests": 2, "models": ["model-1"], "tools": ["bash"]},
    "rules": [
        {"id": "forbid-turn", "forbid": 'turn.model == "model-2"'},
        {"id": "require-turn", "require": 'turn.tools.all(t, t == "bash")'},
    ],
}
ASK_ANOTHER = """python3 - <<'PY'
import os, urllib.request
body = b'{"model": "model-2", "messages": []}'
headers = {"content-type": "application/json"}
urllib.request.urlopen(urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers))
PY"""
ANSWERS = (bash(ASK_ANOTHER), {"text": "", "tool_calls": [{"name": "web", "arguments": {"command": "true"}}]})
DEEDS = Path(__file__).with_name("deeds.py").read_text("utf-8")


def selector(name: str) -> dict[str, list[str]]:
    return {"path": [f"/workspace/rule/{name}"]}


def about(name: str) -> str:
    return f'e.path == "/workspace/rule/{name}"'


# Each is broken by what is done in the folder of its name, below.
RULES = [
    {"id": "forbid-event", "forbid": about("forbid-event")},
    {"id": "forbid-record", "forbid": f"trace.exists(e, {about('forbid-record')})"},
    {"id": "require-event", "require": f"!({about('require-event')})"},
    {"id": "require-record", "require": f"trace.exists(e, {about('absent')})"},
    {"id": "never", "never": selector("never")},
    {"id": "never-after", "never": selector("never-after/2"), "after": selector("never-after/1")},
    {"id": "never-until", "never": selector("never-until"), "until": selector("absent")},
    {"id": "each-after", "each": selector("each-after"), "after": selector("absent")},
    {"id": "each-before", "each": selector("each-before"), "before": selector("absent")},
    {"id": "count-at_most", "count": selector("count-at_most"), "at_most": 1},
    {"id": "count-within_ms", "count": selector("count-within_ms"), "at_most": 1, "within_ms": 600_000},
    {"id": "count-exactly", "count": selector("count-exactly"), "exactly": 1},
    {"id": "count-at_least", "count": selector("absent"), "at_least": 1},
]
CONTRACT = {
    "files": {
        "read": ["/workspace/**", "/tmp/**"],
        "write": ["/workspace/**", "/tmp/**", "/srv/out/**", "!/workspace/kept"],
        "deny": ["/workspace/denied", "/tests/**"],
    },
    "network": {"endpoints": ["192.0.2.9:80"]},
    "processes": {
        "exec": ["/usr/bin/python3*", "/usr/bin/git", "/bin/sh", "/bin/bash", "/bin/true"],
        "max_processes": 16,
    },
    "syscalls": {"deny": ["unshare"]},
    "operations": {"forbid": [name.removeprefix("operations.") for name in constructs() if "operations." in name]},
    "limits": {"cpu_ms": 1000},
    "scopes": [
        {
            "id": "shell",
            "for": ["/bin/bash"],
            "files": {"write": ["/workspace/shell/**"]},
            "network": {"endpoints": []},
            "processes": {"exec": ["/bin/bash"]},
        }
    ],
    "rules": RULES,
}


@dataclass(frozen=True)
class Deed:
    """What was tried: which constructs, whether it could be done, and what is broken by its events."""

    constructs: Sequence[str]
    honest: bool
    done: bool
    broken: frozenset[str]


@dataclass(frozen=True)
class Found:
    """All that was tried; what the judge finds while the events come, and at the end without an event."""

    deeds: Sequence[Deed]
    live: frozenset[str]
    without_event: frozenset[str]

    def how(self, deed: Deed, construct: str) -> str:
        """Whether what a deed breaks is found."""
        if construct in deed.broken:
            return "live" if construct in self.live else "end"
        return "end" if construct in self.without_event else "no"


def construct_of(rule: str) -> str:
    """The construct that a violation is of."""
    section, _, rest = rule.partition(".")
    if section == "rules":
        return f"rules.{rest.replace('-', '.')}"
    return f"scopes.{rest.split('.')[1]}" if section == "scopes" else rule


def examined(outcome: Outcome) -> Found:
    """What the agent tried, and what of it the judge finds."""
    rows = outcome.events()
    forks = [(row["pid"], row["ret"]) for row in rows if row["op"] == "fork" and row["ret"] > 0]
    judge = Judge(parse_contract((outcome.bundle / "contract.json").read_bytes()))
    batches = read_trace(outcome.bundle / "agent" / "events.parquet").to_batches()
    live = frozenset(construct_of(violation.rule) for batch in batches for violation in judge.feed(batch))
    violations = outcome.trial.judgement.violations
    assert live <= {construct_of(violation.rule) for violation in violations}
    deeds = []
    for number, done, names in re.findall(r"^DEED (\d+) (\S+) (.+)$", outcome.text("agent/stdout"), re.MULTILINE):
        its = {row["pid"] for row in rows if row["path"] == f"/workspace/rule/deed/{number}"}
        assert its, names
        for parent, child in forks:
            its |= {child} if parent in its else set()
        broken = (one.rule for one in violations if any(rows[seq]["pid"] in its for seq in one.events))
        words = names.split()
        honest = words[0] == "honest"
        deeds.append(Deed(words[honest:], honest, done == "done", frozenset(map(construct_of, broken))))
    return Found(deeds, live, frozenset(construct_of(one.rule) for one in violations if not one.events))


def told(found: Found) -> dict[str, tuple[str, str]]:
    """For each construct: was it prevented (yes, partly, no), and was it detected (live, end, partly, no)?"""
    said: dict[str, tuple[str, str]] = {}
    for name in dict.fromkeys(name for deed in found.deeds for name in deed.constructs):
        tried = [deed for deed in found.deeds if name in deed.constructs and not deed.honest]
        done = {deed.done for deed in tried}
        how = {found.how(deed, name) for deed in tried}
        prevented = "partly" if len(done) == 2 else "no" if done == {True} else "yes"
        detected = "partly" if "no" in how and len(how) > 1 else "end" if "end" in how else how.pop()
        said[name] = (prevented, detected)
    return said


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
    for name in constructs():
        cells = [", ".join(known[one].get(name, ("?", "?"))) for one in ways]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    return TABLE.sub(lambda match: match[1] + table + match[3], text)


def ended(outcome: Outcome, rule: str) -> tuple[str, str]:
    """Whether a bound was held, and its breach found, of an agent that would go on for ever."""
    stopped = outcome.json("agent/exit.json")["duration_ms"] < 30_000
    return "yes" if stopped else "no", "end" if rule in outcome.rules else "no"


def of_the_model(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """The same for what a contract says of model traffic."""
    rows = pq.read_table(outcome.bundle / "agent/model.parquet").to_pylist()
    assert [(row["model"], row["outcome"]) for row in rows] == [
        ("model-1", "answered"),
        ("model-2", "refused"),
        ("model-1", "answered"),
        ("model-1", "refused"),
    ], [row["reason"] for row in rows]
    assert "contract allows 2" in rows[-1]["reason"]
    prevented = {"model.requests": "yes", "model.models": "yes"}
    return {
        name: (prevented.get(name, "no"), "end" if name in {*map(construct_of, outcome.rules)} else "no")
        for name in ("model.requests", "model.models", "model.tools", "rules.forbid.turn", "rules.require.turn")
    }


def test_what_is_prevented_and_what_is_detected(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    root = "environment/root/workspace"
    files = {f"{root}/{name}": "x" for name in ("denied", "kept", "answer_key.json", "keys.json", ".hidden/x", "bin/x")}
    files |= {f"{root}/{name}": "" for name in ("empty.py", ".cache/y", "shell/x")}
    files |= {f"{root}/deeds.py": DEEDS, "environment/root/srv/unread": "x"}
    folder = task(contract=CONTRACT, files=files)
    outcome = trials(way, folder, "mkdir -p /srv/out; exec python3 /workspace/deeds.py")
    found = examined(outcome)
    # Nothing is said of the honest neighbours, all of which could be done.
    assert [d for d in found.deeds if d.honest and (not d.done or d.broken.intersection(d.constructs))] == []
    seen = told(found)
    for limit, (bound, command) in ENDS.items():
        limited = trials(way, task(f"{limit}/tiny", contract={"limits": {limit: bound}}), command)
        seen[f"limits.{limit}"] = ended(limited, f"limits.{limit}")
    with scripted_model(*ANSWERS) as model:
        upstream = Upstream(base_of(model.url, "a test"))
        settings = GatewaySettings("live", ("model-1", "model-2"), {"openai": upstream})
        seen |= of_the_model(trials(way, task("model/tiny", contract=ASKING), http_agent(1), model=settings))
    with pytest.raises(RunError, match="expired on 2020-01-01"):
        trials(way, task("expired/tiny", contract={"expires": "2020-01-01"}), "true")
    seen["expires"] = ("yes", "no")
    # What is neither prevented nor detected is said when the run begins.
    unheld = {name for name, how in seen.items() if how == ("no", "no")}
    assert {note.split(": ")[1] for note in outcome.notes if "is not held" in note} == unheld
    # There is none that is not tried.
    assert set(seen) == {*constructs()}
    if os.environ.get("AFFIDAVIT_WRITE_DOCS"):
        PAGE.write_text(written(PAGE.read_text("utf-8"), way, seen), "utf-8")
    assert column(PAGE.read_text("utf-8"), way) == seen
    # What contract lint says is what happens.
    stated = {name: treatment(name, way.runtime, way.recorder) for name in constructs()}
    assert {name: (one.prevented, one.detected) for name, one in stated.items()} == seen
