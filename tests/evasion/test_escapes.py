"""Known ways out of a container, tried by root of a sandbox, held to the table in docs/evasion.md."""

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from affidavit.evaluation import capture
from affidavit.events import SYSTEM_CALL_NAMES
from affidavit.policy import unexplained
from affidavit.recorder import make_recorder
from affidavit.sandbox import Limits, Mount, SandboxSpec, User, diff, host_rootfs, runtimes
from affidavit.trace import read_trace
from entering import capture_entered, idle
from harness import EBPF, GVISOR, Home

PAGE = Path(__file__).parents[2] / "docs" / "evasion.md"
AGENT = Path(__file__).parent / "agents" / "escape.py"


@dataclass(frozen=True)
class Tried:
    """What the ways came to.

    Attributes:
        runtime: of the sandbox.
        said: of each by its name: ``done``, ``failed ERRNO`` or ``killed SIGNAL``.
        refused: the system calls that the record shows as refused.
        gaps: why the record is not complete, or what of the changes it does not explain, a sentence each.
    """

    runtime: str
    said: dict[str, str]
    refused: frozenset[str]
    gaps: tuple[str, ...]


def table() -> dict[str, dict[str, str]]:
    """The line of each way: what it comes to under each runtime (one of several), and the refused call that shows it;
    empty for none."""
    lines = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"`\w+`", cells[0]) and len(cells) == 4:
            lines[cells[0].strip("`")] = {"runc": cells[1], "refused": cells[2].strip("`"), "gvisor": cells[3]}
    return lines


TABLE = table()


@pytest.fixture(
    scope="module",
    params=[(way, how) for way in (EBPF, GVISOR) for how in ("begins", "enters")],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def tried(request: pytest.FixtureRequest, home: Home, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    way, how = request.param
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")
    for part in ("layers", "runtimes", "sandboxes"):
        (home.state / part).mkdir(mode=0o700, exist_ok=True, parents=True)
    folder = tmp_path_factory.mktemp("escapes")
    instruction = folder / "instruction.md"
    instruction.write_text("as it is\n")
    instruction.chmod(0o644)
    root = User(0, 0, "root", "/root")
    rootfs = host_rootfs(home.state, root)
    spec = SandboxSpec(
        name=f"escape-{uuid.uuid4().hex[:12]}",
        rootfs=rootfs.layers,
        host_usr=True,
        argv=("/usr/bin/python3", "-c", AGENT.read_text()),
        env={"PATH": "/usr/bin:/bin", "HOME": "/root"},
        user=root,
        mounts=[Mount(instruction, "/instruction.md")],
        limits=Limits(disk_mb=64, memory_mb=256),
        # gVisor has the strict profile only, whose root has no capabilities.
        profile="container" if way.runtime == "runc" else "strict",
        writable=() if way.runtime == "runc" else ("/tmp", "/root"),
    )
    recording = make_recorder(way.recorder).open(spec.name)
    events = folder / "events.parquet"
    enters = how == "enters"
    try:
        with runtimes()[way.runtime].sandbox(idle(spec) if enters else spec, home.state) as sandbox:
            if enters:
                captured = capture_entered(sandbox, recording, events, spec, 120)
            else:
                captured = capture(sandbox, recording, events, timeout_s=120)
            changes = diff(sandbox.upper(), sandbox.layers)
    finally:
        recording.close()
    trace = read_trace(events)
    refused = {SYSTEM_CALL_NAMES.get(row["flags"], "?") for row in trace.to_pylist() if row["op"] == "denied"}
    lines = captured.output.stdout.decode().splitlines()
    gaps = (*captured.summary.reasons, *unexplained(trace.to_batches(), changes))
    assert lines, captured.output
    return Tried(way.runtime, dict(line.split(" ", 1) for line in lines), frozenset(refused), gaps)


def test_the_table_has_every_way() -> None:
    assert re.findall(r"^@way\ndef (\w+)", AGENT.read_text(), re.M) == list(TABLE)
    assert len(TABLE) >= 40


def test_each_ends_as_the_table_says(tried: Tried) -> None:
    assert tried.gaps == ()
    outcomes = {
        name: "recorded" if said == "done" else f"impossible {said.split()[1]}" for name, said in tried.said.items()
    }
    assert outcomes.keys() == TABLE.keys()
    wrong = {
        name: outcome for name, outcome in outcomes.items() if outcome not in TABLE[name][tried.runtime].split(" or ")
    }
    assert not wrong


def test_what_the_filter_refused_is_in_the_record(tried: Tried) -> None:
    # The sentry does not show it.
    if tried.runtime == "runc":
        assert {line["refused"] for line in TABLE.values() if line["refused"]} <= tried.refused
