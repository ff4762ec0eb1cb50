"""Bounds on what the agent changed."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from affidavit.contracts import PathMatcher
from affidavit.grading.state_diff.settings import ChangeCheck
from affidavit.sandbox import Change

_MOST_LINES = 20_000
_SHOWN = 3


def looked_at(check: ChangeCheck, changes: Sequence[Change]) -> list[Change]:
    """The changes that a check is about: of files and links, and folders that are gone."""
    within, ignored = PathMatcher(check.paths), PathMatcher(check.ignore)
    changes = [change for change in changes if change.type != "directory" or change.kind == "deleted"]
    paths = [change.path for change in changes]
    if not paths:
        return []
    mask = within.mask(paths) & ~ignored.mask(paths)
    return [change for change, wanted in zip(changes, mask, strict=True) if wanted]


def broken_by_paths(check: ChangeCheck, changes: Sequence[Change]) -> list[str]:
    """What `changes`, those that the check is about, break of it by their paths: the end of a sentence each."""
    paths = [change.path for change in changes]
    files = [change for change in changes if change.type != "directory"]
    broken = []
    if check.max_files is not None and len(files) > check.max_files:
        broken.append(f"{len(files)} files changed, where {check.max_files} may")
    if not paths:
        return broken
    if check.only is not None:
        outside = _unmatched(check.only, paths)
        if outside:
            broken.append(f"changed beside what may be: {_some(outside)}")
    if check.keep:
        matcher = PathMatcher(check.keep).mask(paths)
        lost = [change.path for change, hit in zip(changes, matcher, strict=True) if hit and change.kind != "added"]
        if lost:
            broken.append(f"changed what is to stay: {_some(lost)}")
    if check.no_deletion:
        matcher = PathMatcher(check.no_deletion).mask(paths)
        gone = [
            change.path
            for change, hit in zip(changes, matcher, strict=True)
            # What is there no longer as a file of its own is gone too.
            if hit and (change.kind == "deleted" or (change.kind == "modified" and change.type != "file"))
        ]
        if gone:
            broken.append(f"deleted: {_some(gone)}")
    return broken


def broken_by_lines(check: ChangeCheck, versions: Sequence[tuple[str, bytes, bytes]]) -> list[str]:
    """What the changed files break of a check by their lines, called in the confined process.

    Args:
        check: bounds.
        versions: path, content before and content after of each changed file; empty where there was or is none.
    """
    broken, changed = [], 0
    for path, before, after in versions:
        old, new = before.splitlines(), after.splitlines()
        if check.keep_lines is not None:
            pattern = re.compile(check.keep_lines.encode())
            kept = Counter(line.strip() for line in new)
            lost = Counter(line.strip() for line in old if pattern.search(line)) - kept
            if lost:
                first = next(iter(lost)).decode("utf-8", "backslashreplace")
                broken.append(f"{lost.total()} lines that are to stay are gone from {path}: {first[:80]!r}")
        changed += _changed_lines(old, new)
    if check.max_lines is not None and changed > check.max_lines:
        broken.append(f"{changed} lines were added or removed, where {check.max_lines} may be")
    return broken


def _changed_lines(old: list[bytes], new: list[bytes]) -> int:
    """Lines removed and lines added; for very long files, those that the other has not got anywhere."""
    if len(old) + len(new) > _MOST_LINES:
        return ((Counter(old) - Counter(new)) + (Counter(new) - Counter(old))).total()
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return len(old) + len(new) - 2 * sum(block.size for block in blocks)


def _unmatched(patterns: Sequence[str], paths: Sequence[str]) -> list[str]:
    return [path for path, hit in zip(paths, PathMatcher(patterns).mask(paths), strict=True) if not hit]


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(path[:120] for path in paths[:_SHOWN]) + more
