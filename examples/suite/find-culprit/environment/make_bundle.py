"""Makes `root/workspace/project.bundle`, byte for byte the same each time: python3 make_bundle.py

It lies beside `root/`, so it never reaches the agent. The hidden tests know the hash of the commit marked `CULPRIT`.
"""

import os
import subprocess
import tempfile
from pathlib import Path

ADA = ("Ada Field", "ada@example.org")
BEN = ("Ben Okoro", "ben@example.org")
CLEO = ("Cleo Marsh", "cleo@example.org")

SLUGIFY = '''def slugify(text):
    """Lower-case words joined by single hyphens: what a title is called in an address."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    return "-".join(words)
'''
CULPRIT_SLUGIFY = '''def slugify(text):
    """Lower-case words joined by single hyphens: what a title is called in an address."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())
'''
TRUNCATE = '''def truncate(text, limit):
    """At most `limit` characters of `text`, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
'''
INITIALS = '''def initials(name):
    """First letters of the words of a name, in capitals."""
    return "".join(word[0] for word in name.split()).upper()
'''
WRAP = '''def wrap(text, width):
    """Lines of whole words, none longer than `width` where that can be had."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
'''
COUNT = '''def count_words(text):
    """How often each word occurs, in lower case."""
    counts = {}
    for word in re.findall(r"\\w+", text.lower()):
        counts[word] = counts.get(word, 0) + 1
    return counts
'''
TITLE = '''def title(text):
    """Capitals at the start of all words but the small ones."""
    small = {"a", "an", "and", "of", "the"}
    words = text.lower().split()
    return " ".join(w if n and w in small else w.capitalize() for n, w in enumerate(words))
'''
COUNT_FAST = (
    COUNT.replace("counts = {}", "counts = collections.Counter()")
    .replace("counts[word] = counts.get(word, 0) + 1", "counts[word] += 1")
    .replace("return counts", "return dict(counts)")
)
CHECK = '''"""Exits 0 when slugs are as the site needs them, 1 when not."""

import sys

from textkit import slugify

WANTED = {"Hello, World": "hello-world", "Crème brûlée": "creme-brulee", "What is new?": "what-is-new"}

sys.exit(any(slugify(text) != slug for text, slug in WANTED.items()))
'''
HEAD = '"""Small functions on text."""\n\nimport re\nimport unicodedata\n'
HEAD_COLLECTIONS = HEAD.replace("import re", "import collections\nimport re")


def module(*parts: str, head: str = HEAD) -> str:
    return "\n\n".join([head, *parts])


README = "# textkit\n\nSmall functions on text.\n"
HISTORY = [
    (ADA, "Start with slugs", {"textkit.py": module(SLUGIFY), "README.md": README, ".gitignore": "__pycache__/\n"}),
    (ADA, "Check the slugs that the site needs", {"check_slug.py": CHECK}),
    (BEN, "Add truncate", {"textkit.py": module(SLUGIFY, TRUNCATE)}),
    (BEN, "Add initials", {"textkit.py": module(SLUGIFY, TRUNCATE, INITIALS)}),
    (CLEO, "Say what textkit is for", {"README.md": README + "\nUsed by the site and by the newsletter.\n"}),
    (CLEO, "Add wrap", {"textkit.py": module(SLUGIFY, TRUNCATE, INITIALS, WRAP)}),
    (ADA, "Add count_words", {"textkit.py": module(SLUGIFY, TRUNCATE, INITIALS, WRAP, COUNT)}),
    # CULPRIT
    (BEN, "Tidy up", {"textkit.py": module(CULPRIT_SLUGIFY, TRUNCATE, INITIALS, WRAP, COUNT)}),
    (CLEO, "Add title", {"textkit.py": module(CULPRIT_SLUGIFY, TRUNCATE, INITIALS, WRAP, COUNT, TITLE)}),
    (ADA, "List the functions", {"README.md": README + "\nslugify, truncate, initials, wrap, count_words, title\n"}),
    (
        BEN,
        "Count faster",
        {"textkit.py": module(CULPRIT_SLUGIFY, TRUNCATE, INITIALS, WRAP, COUNT_FAST, TITLE, head=HEAD_COLLECTIONS)},
    ),
    (CLEO, "Thank the contributors", {"THANKS.md": "Ada, Ben and Cleo.\n"}),
]


def main() -> None:
    target = Path(__file__).parent / "root/workspace/project.bundle"
    with tempfile.TemporaryDirectory() as folder:

        def git(*arguments: str, **environment: str) -> str:
            settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
            command = ["git", "-c", "init.defaultBranch=main", "-c", "pack.threads=1", "-C", folder, *arguments]
            return subprocess.run(
                command, env=settings | environment, check=True, capture_output=True, text=True
            ).stdout.strip()

        git("init", "--quiet")
        for number, ((name, email), subject, files) in enumerate(HISTORY):
            for path, content in files.items():
                Path(folder, path).write_text(content, encoding="utf-8")
            date = f"2024-05-{number + 1:02} 12:00:00 +0000"
            git("add", "--all")
            who = {"NAME": name, "EMAIL": email, "DATE": date}
            git(
                "commit", "--quiet", "--message", subject,
                **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()},
            )  # fmt: skip
            if number == 2:
                git("tag", "v1.0")
            print(git("log", "-1", "--format=%H %an: %s"))
        git("bundle", "create", "--quiet", str(target.resolve()), "HEAD", "main", "v1.0")


if __name__ == "__main__":
    main()
