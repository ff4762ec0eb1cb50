"""The examples of integrations are named where users look for them, and what they install is removed again."""

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
EXAMPLES = sorted(path.name for path in (TOP / "examples/integrations").iterdir() if path.is_dir())
# Whatever a target makes for itself at the top.
MADE = sorted({"build", *re.findall(r"^[A-Z_]+ := (\.venv\S*)$", (TOP / "Makefile").read_text(), re.MULTILINE)})


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_named(name: str) -> None:
    readme = (TOP / "examples/integrations" / name / "README.md").read_text()
    assert len(readme.splitlines()) <= 50
    assert "(../../../docs/" in readme
    assert f"`{name}/`" in (TOP / "examples/README.md").read_text()
    assert f"`examples/integrations/{name}" in (TOP / "docs/integrations.md").read_text()


def test_what_the_makefile_makes_is_ignored_and_removed() -> None:
    assert len(MADE) == 6
    done = subprocess.run(["make", "--dry-run", "clean"], cwd=TOP, check=True, capture_output=True, text=True)
    assert {*MADE} <= {*done.stdout.split()}
    # As folders, which is what they are in a clone.
    ignored = [line.strip("/") for line in (TOP / ".gitignore").read_text().splitlines()]
    assert all(any(Path(name).match(pattern) for pattern in ignored) for name in MADE)
