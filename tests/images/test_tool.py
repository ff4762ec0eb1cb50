"""What the tools for images say."""

from pathlib import Path

import pytest

from affidavit.images.tool import last_words


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("Step 1\nError: no such image\nafter\n", "no such image"),
        ('time="x" level=fatal msg="reading \\"a\\""\n', 'reading "a"'),
        ("", "nothing"),
        (
            "Error: committing container for step {Env:[A=1] Command:run Original:RUN x}: history lists 1 layer\n",
            "committing container for step: history lists 1 layer",
        ),
        (f"Error: {'a' * 300}{'b' * 300}{'c' * 200}\n", f"{'a' * 200}…{'c' * 200}"),
    ],
)
def test_the_last_error_is_told_with_its_beginning_and_its_end(tmp_path: Path, log: str, said: str) -> None:
    (tmp_path / "log").write_text(log)
    assert last_words(tmp_path / "log") == said
