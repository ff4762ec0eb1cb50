"""The reward that a verifier leaves behind: one number from 0 to 1.

Harbor's convention: ``/logs/verifier/reward.txt`` holds a number, or ``reward.json`` an object from names to numbers.
The score is the one that the task names, else ``reward``, else the only one there is.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from affidavit.grading.numbers import parse_number
from affidavit.signing import EvidenceError, strict_json

WORDS_FILE = ".affidavit-words"
"""Where the tests' processes count what they took on the word of the solution's sandbox."""

WAYS_FILE = f"{WORDS_FILE}-ways"
"""Where they say how else the solution had a say, when that is to be found out."""

REWARD_FILES = ("reward.txt", "reward.json")
_MAX_BYTES = 64 << 10
_MAX_REPORT_BYTES = 16 << 20
_MOST_NAMES = 200
_DEFAULT = "reward"
# Beyond it a number is no figure that anybody reads, and no float.
_LARGEST = 10**300


class RewardError(Exception):
    """The verifier left no usable reward; the text says why and what to do."""


@dataclass(frozen=True)
class Reward:
    """A reward.

    Attributes:
        value: the score, from 0 to 1.
        file: name of the file it stood in.
        raw: that file's bytes.
        named: every number of ``reward.json`` by its name, the score among them; empty where there are no names.
    """

    value: float
    file: str
    raw: bytes
    named: Mapping[str, float] = field(default_factory=dict)


def parse_reward(file: str, raw: bytes, name: str | None = None) -> Reward:
    """The numbers in a reward file: in decimal, in ASCII digits, and in JSON under names that stand there once.

    Args:
        file: the name of the file.
        raw: its bytes.
        name: of several rewards, the one that the task says is the score; else it is ``reward``, or the only one.

    Raises:
        RewardError: it holds something else than numbers, or it is not clear which is the score, or that one is not
            from 0 to 1.
    """
    # Only where it is needed: JSONPath comes with it.
    from affidavit.grading.documents import DocumentError, is_number, parse_json

    try:
        value = parse_json(raw) if file.endswith(".json") else parse_number(raw.decode("utf-8-sig"))
    except DocumentError as error:
        raise RewardError(f"{file} {error}: {raw[:60]!r}") from None
    except UnicodeDecodeError:
        value = None
    if value is None:
        raise RewardError(f"{file} holds no number: {raw[:60]!r}")
    named: dict[str, float] = {}
    if isinstance(value, dict):
        if len(value) > _MOST_NAMES:
            raise RewardError(f"{file} holds {len(value)} rewards; at most {_MOST_NAMES} are read")
        for key, item in value.items():
            if not is_number(item) or abs(item) > _LARGEST:
                raise RewardError(f"{file}: {key[:60]!r} must be a number, not {str(item)[:60]!r}")
            named[key] = float(item) or 0.0
        value = value[_scored(file, named, name)]
    if not is_number(value):
        raise RewardError(f"{file}: the reward must be a number from 0 to 1, not {str(value)[:60]!r}")
    if not 0 <= value <= 1:
        raise RewardError(f"{file}: the reward must be from 0 to 1, not {value}")
    # -0 is 0.
    return Reward(float(value) or 0.0, file, raw, named)


def _scored(file: str, named: Mapping[str, float], name: str | None) -> str:
    """Which of the named rewards is the score."""
    some = ", ".join(repr(key[:40]) for key in list(named)[:5])
    if name is not None:
        if name not in named:
            raise RewardError(f"{file} has no {name!r}, which task.toml says is the score; it has {some or 'nothing'}")
        return name
    if _DEFAULT in named:
        return _DEFAULT
    if len(named) == 1:
        return next(iter(named))
    if not named:
        raise RewardError(f'{file} holds no reward; write {{"reward": 0.5}}')
    raise RewardError(
        f'{file} holds {some}, and none is called "reward"; say which is the score: reward = "NAME" in the grader\'s '
        "table of task.toml"
    )


def read_reward(folder: Path, name: str | None = None) -> Reward:
    """The reward in a verifier's log folder, whose content is hostile.

    Args:
        folder: the folder.
        name: see `parse_reward`.

    Raises:
        RewardError: there is none, there are two, or it is not a number from 0 to 1 in a regular file.
    """
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = [(name, raw) for name in REWARD_FILES if (raw := _read(directory, name)) is not None]
    finally:
        os.close(directory)
    if not found:
        raise RewardError("tests/test.sh wrote neither /logs/verifier/reward.txt nor reward.json")
    rewards = [parse_reward(file, raw, name) for file, raw in found]
    if len({reward.value for reward in rewards}) > 1:
        raise RewardError("reward.txt and reward.json differ; write one of them")
    # The one with names, where there are two.
    return rewards[-1]


def read_left(folder: Path, name: str) -> bytes | None:
    """A report in a verifier's log folder, whose content is hostile; None where there is none.

    Raises:
        RewardError: it is no regular file, or is larger than 16 MiB.
    """
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _read(directory, name, _MAX_REPORT_BYTES)
    finally:
        os.close(directory)


def read_words(folder: Path) -> int:
    """How often the processes of the tests took something on the word of the solution's sandbox; 0 where none did.

    Raises:
        RewardError: the file in a verifier's log folder that says so can't be read.
    """
    raw = read_left(folder, WORDS_FILE) or b""
    counts = [line.split() for line in raw.splitlines()]
    if any(len(words) != 2 or not all(word.isdigit() and len(word) < 20 for word in words) for words in counts):
        raise RewardError(f"{WORDS_FILE} holds something else than counts: {raw[:60]!r}")
    return sum(int(count) for _, count in counts)


def read_ways(folder: Path) -> tuple[str, ...]:
    """In which ways the solution had a say in the tests' processes, in order; see ``separation/inside/README.md``.

    Raises:
        RewardError: the file in a verifier's log folder that says so can't be read.
    """
    found: set[str] = set()
    for line in (read_left(folder, WAYS_FILE) or b"").splitlines():
        try:
            told = strict_json(line)
        except EvidenceError as error:
            raise RewardError(f"{WAYS_FILE}: it {error}") from None
        if not isinstance(told, list) or not all(isinstance(way, str) for way in told):
            raise RewardError(f"{WAYS_FILE} holds something else than ways: {line[:60]!r}")
        found.update(told)
    return tuple(sorted(found))


def _read(directory: int, name: str, most: int = _MAX_BYTES) -> bytes | None:
    try:
        # O_NONBLOCK: a FIFO must not hold us up.
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RewardError(f"{name} can't be read as a regular file: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RewardError(f"{name} is not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            raw = file.read(most + 1)
    finally:
        os.close(fd)
    if len(raw) > most:
        raise RewardError(f"{name} is larger than {most} bytes")
    return raw
