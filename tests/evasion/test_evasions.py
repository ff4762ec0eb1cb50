"""Agents that try to act unseen, in real sandboxes under each recorder, held to the table in docs/evasion.md.

What an evasion came to is told by facts: what lies in the changed layer afterwards, and what the record has. Its own
word is heard only where it says that it failed.
"""

import functools
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from acting import Played, Stage, build_programs, unseen

from affidavit.recorder import make_recorder
from affidavit.recorder.ptrace import transcript
from affidavit.recorder.ptrace.tasks import task_link
from affidavit.sandbox import Limits
from harness import Home, Way

PAGE = Path(__file__).parents[2] / "docs" / "evasion.md"
AGENTS = Path(__file__).parent / "agents"
WAYS = (Way("runc", "ebpf"), Way("runc", "ptrace"), Way("gvisor", "gvisor"))
LIMITS = Limits(disk_mb=64, memory_mb=256, pids=200)
# What takes all there is of something, and so goes last, in a sandbox of its own.
GREEDY = ("no_pids_left", "no_memory_left")
# What floods a recorder or forges what it reads, and what goes on beside it in another sandbox.
HOSTILE = ("forged_output", "odd_names", "forged_arguments", "name_of_lines", "flood_of_calls", "flood_of_processes")
CALM = ("root_of_self", "folder_moved", "hard_link", "link_of_folders", "abstract_socket")
# What kills everything of its user's, and with it the program that plays them where that is not process 1.
ENDS_ITS_RUNNER = ("kill_helpers", "kill_everything")
# What one sandbox left, another one looks for.
FOUND = "_found"


@dataclass(frozen=True)
class Expected:
    """A line of the table: what an evasion may come to by way, and what shows it where it is recorded."""

    outcomes: dict[str, tuple[str, ...]]
    shown: frozenset[str]


def table() -> dict[str, Expected]:
    """The lines of the page's tables by the evasion's name."""
    lines = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"`\w+`", cells[0]) and len(cells) == 2 + len(WAYS):
            outcomes = {str(way): tuple(cell.split(" or ")) for way, cell in zip(WAYS, cells[1:-1], strict=True)}
            lines[cells[0].strip("`")] = Expected(outcomes, frozenset(re.findall(r"`([^`]+)`", cells[-1])))
    return lines


TABLE = table()


def test_the_table_has_every_evasion() -> None:
    written = [name for file in AGENTS.glob("*.c") for name in re.findall(r"^EVASION\((\w+)\)", file.read_text(), re.M)]
    assert sorted(written) == sorted(TABLE)


def test_none_may_end_unseen() -> None:
    outcomes = {outcome.split()[0] for line in TABLE.values() for ways in line.outcomes.values() for outcome in ways}
    assert outcomes == {"impossible", "recorded", "inconclusive", "gap:"}


@functools.cache
def _gaps(way: Way) -> tuple[str, ...]:
    return make_recorder(way.recorder).available().gaps


@dataclass
class Theatre:
    """Plays each evasion once in each way: those together whose record is to be complete."""

    stage: Stage
    folder: Path
    played: dict[tuple[str, str], Played] = field(default_factory=dict)

    def __call__(self, way: Way, name: str) -> Played:
        if (str(way), name) not in self.played:
            if name.endswith(FOUND):
                self(way, name.replace(FOUND, "_left"))
            events = self.folder / f"{len(self.played)}.parquet"
            for one in self.stage.play(way.runtime, way.recorder, self._company(way, name), LIMITS, events):
                self.played[str(way), one.name] = one
        return self.played[str(way), name]

    def _company(self, way: Way, name: str) -> list[str]:
        together = [
            one
            for one, line in TABLE.items()
            if "inconclusive" not in line.outcomes[str(way)] and one not in GREEDY and not one.endswith(FOUND)
        ]
        return together if name in together else [name]


@pytest.fixture(scope="module")
def play(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    for part in ("layers", "runtimes", "sandboxes"):
        (home.state / part).mkdir(mode=0o700, exist_ok=True, parents=True)
    programs = tmp_path_factory.mktemp("evasions")
    # A layer of a root file system: whoever runs in the sandbox must get into it.
    programs.chmod(0o755)
    return Theatre(Stage(home.state, build_programs(programs / "layer")), tmp_path_factory.mktemp("records"))


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_ends_as_the_table_says(play: Theatre, way: Way, name: str) -> None:
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")
    line, played = TABLE[name], play(way, name)
    wanted = line.outcomes[str(way)]
    if wanted[0].startswith("gap: "):
        # Not seen, or not whole, and said so wherever the record is shown.
        assert any(wanted[0].removeprefix("gap: ") in gap for gap in _gaps(way)), wanted
        return
    assert played.outcome in wanted, (played.report, played.gaps, unseen(played))
    if played.outcome == "recorded":
        assert line.shown <= played.shown
    if played.outcome.startswith("impossible"):
        assert "mark" not in played.files


def test_a_program_that_is_gone_before_anyone_looks(
    play: Theatre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "task_link", lambda pid, name: None if name == "exe" else task_link(pid, name))
    names = ["exec_of_a_changing_name"]
    [played] = play.stage.play("runc", "ptrace", names, LIMITS, tmp_path / "events.parquet")
    assert played.outcome == "recorded", (played.report, played.gaps, unseen(played))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_hostile_sandbox_changes_nothing_in_anothers_record(play: Theatre, way: Way, tmp_path: Path) -> None:
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")

    def act(names: tuple[str, ...]) -> list[Played]:
        return play.stage.play(way.runtime, way.recorder, names, LIMITS, tmp_path / f"{names[0]}.parquet")

    with ThreadPoolExecutor(2) as pool:
        hostile, calm = pool.map(act, (HOSTILE, CALM))
    for company, others in ((calm, HOSTILE), (hostile, CALM)):
        for played in company:
            assert (played.outcome, TABLE[played.name].shown - played.shown) == ("recorded", set())
        named = {str(row[name]) for row in company[0].all_rows for name in ("path", "path2")}
        assert not [name for name in named if any(f"/workspace/{other}" in name for other in others)]
    # As the machine counts, they have no process in common; as two sentries do, they may.
    if way.runtime == "runc":
        one, other = ({row["pid"] for row in company[0].all_rows} for company in (calm, hostile))
        assert not one & other


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_by_a_command_that_entered_they_end_likewise(play: Theatre, way: Way, tmp_path: Path) -> None:
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")
    names = [
        name
        for name, line in TABLE.items()
        if "inconclusive" not in line.outcomes[str(way)] and name not in GREEDY and "_left" not in name
    ]
    names = [name for name in names if not name.endswith(FOUND) and name not in ENDS_ITS_RUNNER]
    events = tmp_path / "events.parquet"
    wrong = {}
    for played in play.stage.play(way.runtime, way.recorder, names, LIMITS, events, enters=True):
        wanted = TABLE[played.name].outcomes[str(way)]
        if not wanted[0].startswith("gap: ") and played.outcome not in wanted:
            wrong[played.name] = (played.outcome, played.report, played.gaps, unseen(played))
    assert not wrong, wrong
