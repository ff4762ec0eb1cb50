"""The reward that a verifier leaves behind: one number from 0 to 1.

Harbor's convention: ``/logs/verifier/reward.txt`` holds a number, or ``reward.json`` an object with ``reward`` and, if
the author likes, further numbers.
"""

import os
import stat
from dataclasses import dataclass
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


class RewardError(Exception):
    """The verifier left no usable reward; the text says why and what to do."""


@dataclass(frozen=True)
class Reward:
    """A reward.

    Attributes:
        value: from 0 to 1.
        file: name of the file it stood in.
        raw: that file's bytes.
    """

    value: float
    file: str
    raw: bytes


def parse_reward(file: str, raw: bytes) -> float:
    """The number in a reward file: in decimal, in ASCII digits, and in JSON under a name that stands there once.

    Raises:
        RewardError: it holds none from 0 to 1.
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
    if isinstance(value, dict):
        if "reward" not in value:
            raise RewardError(f'{file} has no "reward"; write {{"reward": 0.5}}')
        value = value["reward"]
    if not is_number(value):
        raise RewardError(f"{file}: the reward must be a number from 0 to 1, not {str(value)[:60]!r}")
    if not 0 <= value <= 1:
        raise RewardError(f"{file}: the reward must be from 0 to 1, not {value}")
    # -0 is 0.
    return float(value) or 0.0


def read_reward(folder: Path) -> Reward:
    """The reward in a verifier's log folder, whose content is hostile.

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
    values = {parse_reward(name, raw) for name, raw in found}
    if len(values) > 1:
        raise RewardError("reward.txt and reward.json differ; write one of them")
    name, raw = found[0]
    return Reward(values.pop(), name, raw)


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
