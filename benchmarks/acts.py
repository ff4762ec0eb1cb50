"""Which ordinary acts of honest agents cost them their score under the default contracts.

    python benchmarks/acts.py [--profile strict|container] [--runtime runc|gvisor] [--together N] [--every N] [FILE]

Each act of FILE (acts.txt beside this program: one shell command a line) is played offline in a session of a task of
the example suite, followed by the task's solution. Each has to be a pass. With `--together`, N acts share a session,
and only where that is no pass each is played by itself: quicker, and as strict, because a violation stays one.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from affidavit import open_session

_SUITE = Path(__file__).resolve().parent.parent / "examples" / "suite"
_ACTS = Path(__file__).with_name("acts.txt")
_ACT_S = 15.0
_TASK = "prune-backups"


@dataclass(frozen=True)
class Played:
    """What came of the acts of a session: its verdict and score, what it was held against, and how many attempts."""

    verdict: str
    score: float | None
    why: tuple[str, ...]
    attempts: int

    @property
    def kept(self) -> bool:
        """Whether the solution got its score."""
        return (self.verdict, self.score) == ("pass", 1.0)


def acts(file: Path) -> list[str]:
    """The acts of a file: its lines, without the empty ones and those that start with ``#``."""
    return [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]


def without_contract(folder: Path, profile: str) -> Path:
    """A copy of the task for the default contract of a profile; it has more time, because many acts wait in vain."""
    task = folder / _TASK
    shutil.copytree(_SUITE / _TASK, task)
    (task / "contract.yaml").unlink(missing_ok=True)
    toml = task / "task.toml"
    text = toml.read_text().replace("[affidavit]\n", f'[affidavit]\nprofile = "{profile}"\n')
    toml.write_text(text.replace("[agent]\ntimeout_sec = 60.0", "[agent]\ntimeout_sec = 1800.0"))
    return task


def play(task: Path, runtime: str, commands: Sequence[str], out: Path) -> Played:
    """Play commands in a session of the task, then its solution, and grade it."""
    recorder = "gvisor" if runtime == "gvisor" else "ebpf"
    with open_session(task, runtime=runtime, recorder=recorder, out=out) as session:
        for command in commands:
            session.exec(["bash", "-c", command], timeout_s=_ACT_S)
        session.exec(["bash"], input=(task / "solution" / "solve.sh").read_bytes())
        judged = session.grade()
    why = [f"{one.rule}: {one.message}" for one in judged.violations] or judged.reasons
    return Played(judged.verdict, judged.score, tuple(why), sum(one.count for one in judged.attempts or ()))


def results(
    task: Path, runtime: str, chosen: Sequence[str], together: int, out: Path
) -> Iterator[tuple[tuple[str, ...], Played]]:
    """Acts with what came of them."""
    for start in range(0, len(chosen), together):
        group = tuple(chosen[start : start + together])
        played = play(task, runtime, group, out)
        if played.kept or len(group) == 1:
            yield group, played
        else:
            yield from (((act,), play(task, runtime, [act], out)) for act in group)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=_ACTS)
    parser.add_argument("--profile", choices=("strict", "container"), default="strict")
    parser.add_argument("--runtime", choices=("runc", "gvisor"), default="runc")
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="take only each Nth act")
    options = parser.parse_args()
    chosen = acts(options.file)[:: options.every]
    lost = attempts = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        task = without_contract(folder, options.profile)
        for number, (group, played) in enumerate(
            results(task, options.runtime, chosen, options.together, folder / "runs"), 1
        ):
            attempts += played.attempts
            print(f"session {number}: {played.verdict}, {played.attempts} attempts", file=sys.stderr, flush=True)
            if not played.kept:
                lost += 1
                print(f"{played.verdict} {played.score or 0:.2f}  {group[0]}")
                for reason in played.why:
                    print(f"    {reason}", flush=True)
    print(f"{len(chosen)} acts ({options.profile}, {options.runtime}): {lost} lost their score; {attempts} attempts")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
