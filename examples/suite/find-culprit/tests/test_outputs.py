"""Hidden tests: the answer, the history and what the code at its tip does."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = "/workspace/project"
TIP = "7b29e3ef08ed7e7de4d086e61ee9d5248a05a374"


def git(*arguments):
    done = subprocess.run(["git", "-C", PROJECT, *arguments], capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr}"


def value(expression):
    """What an expression on textkit's functions is at the tip; None where it fails."""
    code = f"import json, textkit; print(json.dumps({expression}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, timeout=30)
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_culprit():
    assert json.loads(Path("/workspace/culprit.json").read_text()) == {
        "commit": "59f2a091af2c24f89bfb658ff13a993b608b8b58",
        "author": "Ben Okoro",
        "subject": "Tidy up",
    }


def test_nothing_is_left_over():
    assert git("status", "--porcelain") == ""
    assert git("branch", "--show-current") == "main"


def test_one_commit_on_top():
    assert git("rev-parse", "main~1") == TIP
    assert git("diff", "--name-only", TIP, "main") == "textkit.py"


def test_check_passes():
    done = subprocess.run([sys.executable, "check_slug.py"], cwd=PROJECT, timeout=30)
    assert done.returncode == 0


def test_slugs():
    assert value("textkit.slugify('  --Größe: 5 % (neu)!')") == "groe-5-neu"


def test_later_work_is_kept():
    assert value("textkit.title('the end of a tale')") == "The End of a Tale"
    assert value("textkit.count_words('b a b')") == {"b": 2, "a": 1}
    assert value("hasattr(textkit, 'collections')") is True
