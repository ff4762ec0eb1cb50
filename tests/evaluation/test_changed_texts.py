"""The text of changed files: what is kept of it, and what is not."""

from pathlib import Path

import pytest

from affidavit.evaluation import changed_texts
from affidavit.sandbox import Change, diff


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    """The changed layer and the one below it."""
    made = tmp_path / "upper", tmp_path / "lower"
    for layer in made:
        (layer / "w").mkdir(parents=True)
    return made


def texts_of(
    layers: tuple[Path, Path], unknown: frozenset[str] = frozenset()
) -> tuple[dict[str, tuple[str, str]], int]:
    upper, lower = layers
    found = changed_texts(upper, [lower], diff(upper, [lower]), unknown)
    return {one.path: (one.before, one.after) for one in found.files}, found.left_out


def test_text_before_and_after(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (lower / "w/changed").write_text("one\n")
    (upper / "w/changed").write_text("two\n")
    (upper / "w/new").write_text("ü\n")
    assert texts_of(layers) == ({"/w/changed": ("one\n", "two\n"), "/w/new": (None, "ü\n")}, 0)
    gone = Change("/w/changed", "deleted", "file", 0o644, 0, 0, 4, None, None)
    assert changed_texts(upper, [lower], [gone]).to_json() == {
        "files": [{"path": "/w/changed", "before": "one\n", "after": None}],
        "left_out": 0,
    }


def test_what_is_no_text_or_too_large_or_was_changed_before_is_counted(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (upper / "w/binary").write_bytes(b"\xff\xfe")
    (upper / "w/nul").write_bytes(b"a\0b")
    (upper / "w/large").write_bytes(b"x" * (64 * 1024 + 1))
    (lower / "w/was-binary").write_bytes(b"\xff")
    (upper / "w/was-binary").write_text("text")
    (upper / "w/of-setup").write_text("text")
    (upper / "w/link").symlink_to("/etc/passwd")
    (upper / "w/just-right").write_bytes(b"x" * 64 * 1024)
    found, left_out = texts_of(layers, frozenset({"/w/of-setup"}))
    assert ({*found}, left_out) == ({"/w/just-right"}, 5)


def test_there_is_an_end_to_what_is_kept_and_to_what_is_looked_at(layers: tuple[Path, Path]) -> None:
    upper, _ = layers
    for number in range(1200):
        (upper / f"w/{number:04d}").write_bytes(b"text" if number % 10 == 0 else b"\xff")
    found, left_out = texts_of(layers)
    assert (len(found), left_out) == (100, 1100)
    for number in range(1200):
        (upper / f"w/{number:04d}").write_bytes(b"x" * 32 * 1024)
    found, left_out = texts_of(layers)
    assert (len(found), left_out) == (64, 1136)
