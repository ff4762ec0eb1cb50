import os
from pathlib import Path

import pytest

from affidavit.grading.reward import RewardError, parse_reward, read_reward


@pytest.mark.parametrize(
    ("file", "raw", "value"),
    [
        ("reward.txt", b"1\n", 1.0),
        ("reward.txt", b" 0.25 ", 0.25),
        ("reward.json", b'{"reward": 0.5, "style": 7}', 0.5),
        ("reward.json", b"1", 1.0),
        ("reward.txt", b"\xef\xbb\xbf5e-1\r\n", 0.5),
        ("reward.txt", b"-0.0", 0.0),
    ],
)
def test_a_number_from_0_to_1_counts(file: str, raw: bytes, value: float) -> None:
    assert parse_reward(file, raw) == value


@pytest.mark.parametrize(
    ("file", "raw"),
    [
        ("reward.txt", b""),
        ("reward.txt", b"nan"),
        ("reward.txt", b"inf"),
        ("reward.txt", b"1.01"),
        ("reward.txt", b"-0.5"),
        ("reward.txt", b"passed"),
        ("reward.txt", b"\xff"),
        ("reward.json", b"{}"),
        ("reward.json", b'{"reward": true}'),
        ("reward.json", b'{"reward": "1"}'),
        ("reward.json", b"[1]"),
        ("reward.json", b"[" * 100_000),
        ("reward.json", b'{"reward": NaN}'),
        ("reward.json", b'{"reward": 0, "reward": 1}'),
        ("reward.json", b'{"reward": 1%s}' % (b"0" * 400)),
        ("reward.json", b'{"reward": -1%s}' % (b"0" * 5000)),
        ("reward.json", b'{"reward": 1.0000000000000000001}'),
        ("reward.json", b'{"reward": "\\ud800"}'),
        ("reward.json", b"null"),
        ("reward.txt", b"1_0e-1"),
        ("reward.txt", "\uff11".encode()),
        ("reward.txt", b"0x1p0"),
        ("reward.txt", b"1 0"),
        ("reward.txt", b"1" * 60_000),
    ],
)
def test_anything_else_is_an_error(file: str, raw: bytes) -> None:
    with pytest.raises(RewardError):
        parse_reward(file, raw)


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("1")
    folder = tmp_path / "verifier"
    folder.mkdir()
    (folder / "reward.txt").symlink_to(target)
    with pytest.raises(RewardError, match="regular file"):
        read_reward(folder)
    (folder / "reward.txt").unlink()
    os.mkfifo(folder / "reward.txt")
    with pytest.raises(RewardError, match="regular file"):
        read_reward(folder)
    (folder / "reward.txt").unlink()
    (folder / "reward.txt").mkdir()
    with pytest.raises(RewardError, match="regular file"):
        read_reward(folder)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "reward.txt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RewardError, match="larger"):
        read_reward(tmp_path)


def test_two_files_that_differ_are_refused(tmp_path: Path) -> None:
    (tmp_path / "reward.txt").write_text("0")
    (tmp_path / "reward.json").write_text('{"reward": 1}')
    with pytest.raises(RewardError, match="differ"):
        read_reward(tmp_path)


def test_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match="neither"):
        read_reward(tmp_path)
