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
        # Harbor's rewards are any named numbers: the only one is the score.
        ("reward.json", b'{"accuracy": 0.5}', 0.5),
        ("reward.json", b'{"reward": 1, "format_ok": 1, "seconds": 12.5, "delta": -3}', 1.0),
    ],
)
def test_a_number_from_0_to_1_counts(file: str, raw: bytes, value: float) -> None:
    assert parse_reward(file, raw).value == value


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
        ("reward.json", b'{"a": 1, "b": 0.5}'),
        ("reward.json", b'{"accuracy": 7}'),
        ("reward.json", b'{"reward": 1, "style": "good"}'),
        ("reward.json", b'{"reward": 1, "speed": 1%s}' % (b"0" * 390)),
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


def test_all_rewards_are_kept_and_the_task_says_which_is_the_score() -> None:
    reward = parse_reward("reward.json", b'{"a": 1, "b": 0.5, "seconds": 12.5}', "b")
    assert (reward.value, reward.named) == (0.5, {"a": 1.0, "b": 0.5, "seconds": 12.5})
    with pytest.raises(RewardError, match=r"holds 'a', 'b', .* reward = \"NAME\""):
        parse_reward("reward.json", b'{"a": 1, "b": 0.5}')
    with pytest.raises(RewardError, match=r"has no 'c', which task\.toml says is the score; it has 'a'"):
        parse_reward("reward.json", b'{"a": 1}', "c")


def test_many_names_are_refused() -> None:
    with pytest.raises(RewardError, match="holds 201 rewards"):
        parse_reward("reward.json", ("{" + ", ".join(f'"n{n}": 1' for n in range(201)) + "}").encode(), "n1")


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
