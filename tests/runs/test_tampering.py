"""Whatever is done to a finished run, ``verify`` says what: named kinds of tampering, and random ones."""

import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from affidavit.evidence import BundleReader
from affidavit.evidence.statement import read_statement
from affidavit.runs import (
    LEDGER,
    PLAN,
    RUN_STATEMENT,
    RunFacts,
    RunVerification,
    read_plan,
    read_run_statement,
    verify_run,
)
from affidavit.runs.statement import sign_run, subjects_of
from affidavit.signing import SigningKey, load_key, new_key, read_envelope, sign
from harness import Home


@dataclass(frozen=True)
class Spoiling:
    """What a kind of tampering has at hand: the run, another one of the same plan's making, and the key."""

    run: Path
    other: Path
    key: SigningKey
    stranger: SigningKey

    def lines(self) -> list[bytes]:
        return (self.run / LEDGER).read_bytes().splitlines(keepends=True)

    def write(self, lines: list[bytes]) -> None:
        (self.run / LEDGER).write_bytes(b"".join(lines))

    def take(self, *names: str) -> None:
        for name in names:
            place, theirs = self.run / name, self.other / name
            if theirs.is_dir():
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(theirs, place)
            else:
                shutil.copy(theirs, place)

    def swap(self, one: str, another: str) -> None:
        aside = self.run.parent / "aside"
        (self.run / one).rename(aside)
        (self.run / another).rename(self.run / one)
        aside.rename(self.run / another)

    def copy(self, source: str, target: str) -> None:
        shutil.rmtree(self.run / target, ignore_errors=True)
        shutil.copytree(self.run / source, self.run / target)

    def remove(self, name: str) -> None:
        path = self.run / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def replace(self, name: str, old: bytes, new: bytes) -> None:
        content = (self.run / name).read_bytes()
        assert old in content
        (self.run / name).write_bytes(content.replace(old, new, 1))

    def restate(self, change: Callable[[RunFacts], RunFacts], key: SigningKey) -> None:
        facts = change(read_run_statement(self.run / RUN_STATEMENT).facts)
        files = {"run.json": (self.run / "run.json").read_bytes()}
        (self.run / RUN_STATEMENT).write_bytes(sign_run(facts, subjects_of(facts, files), key).data())

    def reseal(self, place: str, verdict: str, score: float) -> None:
        """Sign a better verdict with the run's own key, as its operator might."""
        path = self.run / place / "statement.dsse.json"
        statement = read_statement(read_envelope(path.read_bytes()).payload)
        facts = statement.facts.model_copy(update={"verdict": verdict, "score": score, "raw_score": score})
        payload = type(statement)(statement.files, facts).payload()
        path.write_bytes(sign(payload, "application/vnd.in-toto+json", self.key))

    def link(self, name: str, target: Path) -> None:
        self.remove(name)
        (self.run / name).symlink_to(target)


def better(facts: RunFacts) -> RunFacts:
    # No trial has this score, so that the statement is another one whatever the trials came to.
    ends = [end.model_copy(update={"verdict": "pass", "score": 0.75}) for end in facts.trials]
    return facts.model_copy(update={"trials": ends, "result": "PASSED"})


def fewer(facts: RunFacts) -> RunFacts:
    return facts.model_copy(update={"trials": facts.trials[1:]})


KINDS: dict[str, tuple[Callable[[Spoiling], object], str]] = {
    "a bundle is deleted": (lambda s: s.remove("a/cmd/0/bundle"), "trial a/cmd/0: a/cmd/0/bundle: is missing"),
    "a trial is deleted": (lambda s: s.remove("b/other/1"), "trial b/other/1: b/other/1/bundle: is missing"),
    "a task is deleted": (lambda s: s.remove("b"), "trial b/other/0: .* missing; trial b/other/1: .* missing"),
    "two trials are swapped": (
        lambda s: s.swap("a/cmd/0", "a/cmd/1"),
        "a/cmd/0/bundle: holds the bundle of a/cmd/1; trial a/cmd/1: a/cmd/1/bundle: holds the bundle of a/cmd/0",
    ),
    "trials of two tasks are swapped": (
        lambda s: s.swap("a/cmd/0", "b/other/0"),
        "a/cmd/0/bundle: holds the bundle of b/other/0",
    ),
    "a trial is there in place of another": (
        lambda s: s.copy("a/cmd/0", "a/cmd/1"),
        "a/cmd/1/bundle: holds the bundle of a/cmd/0",
    ),
    "a trial is repeated": (
        lambda s: s.copy("a/cmd/0", "a/cmd/7"),
        "nothing else: does not belong to the run: a/cmd/7/bundle: is a copy of the bundle of a/cmd/0",
    ),
    "a trial is renumbered": (
        lambda s: (s.run / "a/cmd/1").rename(s.run / "a/cmd/9"),
        "a/cmd/1/bundle: is missing; nothing else: .*a/cmd/9/bundle: is a copy of the bundle of a/cmd/1",
    ),
    "a trial is hidden elsewhere": (
        lambda s: s.copy("a/cmd/0", "a/cmd/0/.more/deep"),
        r"a/cmd/0/\.more/deep/bundle: is a copy of the bundle of a/cmd/0",
    ),
    "a trial of another run is added": (
        lambda s: shutil.copytree(s.other / "a/cmd/0", s.run / "a/cmd/7"),
        "a/cmd/7/bundle: is a bundle of another run: 2",
    ),
    "a trial of another run is there in place of one": (
        lambda s: s.take("a/cmd/0"),
        "trial a/cmd/0: a/cmd/0/bundle: is a bundle of another run: 2",
    ),
    "a task of another run is mixed in": (
        lambda s: s.take("b"),
        "trial b/other/0: b/other/0/bundle: is a bundle of another run: .*; trial b/other/1: .* of another run",
    ),
    "the plan is of another run": (
        lambda s: s.take(PLAN),
        r"statement: run\.dsse\.json: is of the run .* not of the plan",
    ),
    "the ledger is of another run": (lambda s: s.take(LEDGER), r"ledger: ledger\.jsonl: is of the run .* and the plan"),
    "the statement is of another run": (
        lambda s: s.take(RUN_STATEMENT),
        r"statement: run\.dsse\.json: is of the run .* not of the plan",
    ),
    "all but the bundles is of another run": (
        lambda s: s.take(PLAN, LEDGER, RUN_STATEMENT, "run.json", "svr.dsse.json", "test-result.dsse.json"),
        "trial a/cmd/0: a/cmd/0/bundle: is a bundle of another run",
    ),
    "the ledger is rolled back by an entry": (
        lambda s: s.write(s.lines()[:-2]),
        r"ledger head: ledger\.jsonl: was rolled back: it holds \d+ entries, and run\.dsse\.json was made of \d+",
    ),
    "the ledger is rolled back by a trial": (lambda s: s.write(s.lines()[:-12]), "ledger head: .* was rolled back"),
    "the ledger is rolled back and the statement removed": (
        lambda s: (s.write(s.lines()[:-14]), s.remove(RUN_STATEMENT)),
        r"statement: .* is missing: .*; trials: \d+ of \d+ planned trials have no end",
    ),
    "an entry is taken from the ledger": (
        lambda s: s.write([*s.lines()[:4], *s.lines()[6:]]),
        r"ledger: ledger\.jsonl:\d+: ",
    ),
    "entries are put in another order": (
        lambda s: s.write([*s.lines()[:2], *s.lines()[4:6], *s.lines()[2:4], *s.lines()[6:]]),
        r"ledger: ledger\.jsonl:\d+: ",
    ),
    "a verdict in the ledger is changed": (
        lambda s: s.replace(LEDGER, b'"verdict":"', b'"verdict":"x'),
        r"ledger: ledger\.jsonl:\d+: is not an entry",
    ),
    "a score in the ledger is changed": (
        lambda s: s.replace(LEDGER, b'"raw_score":', b'"raw_score":0.5,"score":'),
        r"ledger: ledger\.jsonl:\d+: ",
    ),
    "an entry is added to the ledger": (
        lambda s: s.write([*s.lines(), s.lines()[2]]),
        r"ledger: ledger\.jsonl:\d+: comes after the run was closed",
    ),
    "bytes are added to the ledger": (lambda s: s.write([*s.lines(), b"{"]), "ledger head: .* goes on after"),
    "a checkpoint is taken from the ledger": (
        lambda s: s.write([*s.lines()[:3], *s.lines()[4:]]),
        "the entry before has no checkpoint",
    ),
    "the last checkpoint is taken from the ledger": (
        lambda s: s.write(s.lines()[:-1]),
        "its last checkpoint was taken away",
    ),
    "the plan is deleted": (lambda s: s.remove(PLAN), r"plan: plan\.dsse\.json: is missing: without a plan"),
    "the ledger is deleted": (lambda s: s.remove(LEDGER), r"ledger: ledger\.jsonl: is missing"),
    "the statement is deleted": (lambda s: s.remove(RUN_STATEMENT), r"statement: run\.dsse\.json: is missing"),
    "run.json is deleted": (lambda s: s.remove("run.json"), r"run\.json: is missing"),
    "a verdict in run.json is changed": (
        lambda s: s.replace("run.json", b'"verdict": "', b'"verdict": "x'),
        r"run\.json: its content was changed",
    ),
    "the statement is changed": (
        lambda s: s.replace(RUN_STATEMENT, b'"payload":"', b'"payload":"A'),
        r"statement: run\.dsse\.json: ",
    ),
    "somebody else signs a better statement": (
        lambda s: s.restate(better, s.stranger),
        r"statement: run\.dsse\.json: the signature of sha256:.* is missing or does not fit",
    ),
    "the operator signs a better statement": (
        lambda s: s.restate(better, s.key),
        r"aggregate: run\.dsse\.json: its trials is not what plan, ledger and bundles come to",
    ),
    "the operator leaves a trial out of the statement": (
        lambda s: s.restate(fewer, s.key),
        r"aggregate: run\.dsse\.json: its trials is not what",
    ),
    "the operator signs a better bundle": (
        lambda s: s.reseal("a/cmd/0/bundle", "pass", 0.75),
        "trial a/cmd/0: a/cmd/0/bundle: is a bundle of a/cmd/0 that the ledger does not know",
    ),
    "the test result is of another run": (
        lambda s: s.take("test-result.dsse.json"),
        r"test-result: test-result\.dsse\.json: is not what run\.dsse\.json comes to",
    ),
    "the verification result is deleted": (lambda s: s.remove("svr.dsse.json"), r"svr: svr\.dsse\.json: is missing"),
    "a private part is deleted": (lambda s: s.remove("a/cmd/0/private"), "trial a/cmd/0: a/cmd/0/private: is missing"),
    "private parts are swapped": (
        lambda s: s.swap("a/cmd/0/private", "a/cmd/1/private"),
        "trial a/cmd/0: files: private/.*content was changed",
    ),
    "a file of a bundle is changed": (
        lambda s: s.replace("b/other/0/bundle/task.json", b"42", b"43"),
        r"trial b/other/0: files: task\.json: its content was changed",
    ),
    "a file is added to a bundle": (
        lambda s: (s.run / "b/other/0/bundle/agent/more").write_text("x"),
        "trial b/other/0: files: agent/more: does not belong to the bundle",
    ),
    "a bundle is a link": (
        lambda s: s.link("a/cmd/0", s.run / "a/cmd/1"),
        "trial a/cmd/0: a/cmd/0: is a symbolic link",
    ),
    "the plan is a link": (lambda s: s.link(PLAN, s.other / PLAN), r"plan: plan\.dsse\.json: is a symbolic link"),
}


def wrong(verification: RunVerification) -> str:
    return "; ".join(f"{check.name}: {check.detail}" for check in verification.checks if not check.ok)


@pytest.fixture
def spoiling(run: Path, other: Path, home: Home, tmp_path: Path) -> Spoiling:
    return Spoiling(run, other, load_key(home.keys), new_key(tmp_path / "stranger"))


def test_an_untouched_run_verifies(spoiling: Spoiling) -> None:
    verification = verify_run(spoiling.run, [spoiling.key.public])
    assert wrong(verification) == ""
    assert verification.signer == spoiling.key.key_id
    assert verification.facts is not None
    # The trials are no copies of each other.
    assert len({end.bundle for end in verification.facts.trials}) == len(verification.facts.trials) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_tampering_is_named(spoiling: Spoiling, kind: str) -> None:
    spoil, says = KINDS[kind]
    before = snapshot(spoiling.run)
    spoil(spoiling)
    verification = verify_run(spoiling.run, [spoiling.key.public])
    assert not verification.ok
    assert re.search(says, wrong(verification)), wrong(verification)
    after = snapshot(spoiling.run)
    touched = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert misnamed(verification, touched) == []


def snapshot(run: Path) -> dict[str, tuple[int, int, int]]:
    """What changes where a file of a run is written, moved or replaced."""
    found = {}
    for path in run.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            status = path.lstat()
            found[path.relative_to(run).as_posix()] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def misnamed(verification: RunVerification, touched: set[str]) -> list[str]:
    """What is said to be wrong, and is not: of trials, and of files of the run itself, that nobody touched."""
    trials = {"/".join(name.split("/")[:3]) for name in touched if "/" in name} | {
        name for name in touched if name.count("/") == 1
    }
    own = {name for name in touched if "/" not in name}
    # What plan or ledger say is then somebody else's word, by which any bundle may be a stranger.
    judged_by_others = bool(own & {PLAN, LEDGER})
    found = []
    for check in verification.checks:
        if check.ok or (check.name == "bundles" and trials):
            continue
        kind, _, name = check.name.partition(" ")
        accused = f"{check.name}: {check.detail}"
        named = name in trials if kind == "trial" else any(part in accused for part in (*own, *trials))
        if not named and not judged_by_others:
            found.append(accused)
    return found


def test_the_published_parts_verify_alone(spoiling: Spoiling) -> None:
    for place in [*spoiling.run.rglob("private")]:
        shutil.rmtree(place)
    (spoiling.run / "run.json").unlink()
    assert not verify_run(spoiling.run, [spoiling.key.public]).ok
    assert wrong(verify_run(spoiling.run, [spoiling.key.public], public=True)) == ""


@pytest.mark.parametrize("name", ["a/cmd/1/bundle/verdict.json", LEDGER, PLAN, RUN_STATEMENT, "svr.dsse.json"])
def test_the_published_parts_are_checked_alone(spoiling: Spoiling, name: str) -> None:
    for place in [*spoiling.run.rglob("private")]:
        shutil.rmtree(place)
    content = bytearray((spoiling.run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (spoiling.run / name).write_bytes(content)
    verification = verify_run(spoiling.run, [spoiling.key.public], public=True)
    assert Path(name).name in wrong(verification)


def test_an_unknown_key_is_named(spoiling: Spoiling) -> None:
    assert "signed by unknown key" in wrong(verify_run(spoiling.run, [spoiling.stranger.public]))


def test_every_random_change_is_named(spoiling: Spoiling) -> None:
    files = sorted(path.relative_to(spoiling.run).as_posix() for path in spoiling.run.rglob("*") if path.is_file())
    unnamed, wrongly = [], []
    for seed in range(200):
        name, done, content = spoil_at_random(spoiling.run, spoiling.other, files, random.Random(seed))
        verification = verify_run(spoiling.run, [spoiling.key.public])
        found = wrong(verification)
        if not any(expected in found for expected in names_of(name)):
            unnamed.append((seed, name, done, found))
        wrongly += misnamed(verification, {name})
        (spoiling.run / name).write_bytes(content)
    assert (unnamed, wrongly) == ([], [])


def spoil_at_random(run: Path, other: Path, files: list[str], dice: random.Random) -> tuple[str, str, bytes]:
    """Change one file; its name, what was done, and what it held."""
    while True:
        name = dice.choice(files)
        path = run / name
        content = path.read_bytes()
        at = dice.randrange(len(content) + 1)
        done = dice.choice(("flip", "cut", "append", "insert", "delete", "another", "theirs"))
        match done:
            case "flip" if at < len(content):
                new: bytes | None = content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]
            case "cut":
                new = content[:at]
            case "append":
                new = content + dice.choice((b"\0", b"\n", b" ", content[:1000] or b"x"))
            case "insert":
                new = content[:at] + dice.randbytes(dice.randrange(1, 9)) + content[at:]
            case "another":
                new = (run / dice.choice(files)).read_bytes()
            case "theirs" if (other / name).is_file():
                new = (other / name).read_bytes()
            case _:
                new = None
        if new == content:
            continue
        if new is None:
            path.unlink()
        else:
            path.write_bytes(new)
        return name, done, content


def names_of(name: str) -> list[str]:
    """What a sentence on a file may call it."""
    if "/" not in name:
        return [name]
    return [f"trial {'/'.join(name.split('/')[:3])}"]


def test_a_run_without_a_plan_says_so(spoiling: Spoiling) -> None:
    for name in (PLAN, LEDGER, RUN_STATEMENT):
        (spoiling.run / name).unlink()
    assert "without a plan nothing shows that these are all trials" in wrong(
        verify_run(spoiling.run, [spoiling.key.public])
    )


def test_a_bundle_still_names_its_plan_alone(spoiling: Spoiling) -> None:
    plan = read_plan(spoiling.run / PLAN).plan
    with BundleReader(spoiling.run / "a/cmd/0/bundle") as reader:
        payload = read_envelope(reader.read("statement.dsse.json")).payload
    assert json.loads(payload)["predicate"]["plan"]["digest"] == plan.digest
