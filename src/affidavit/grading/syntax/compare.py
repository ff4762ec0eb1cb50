"""Scores code: pure functions, called in the confined process."""

from affidavit.grading.syntax.canonical import canonical, likeness
from affidavit.grading.syntax.features import occurrences
from affidavit.grading.syntax.languages import GRAMMARS, load
from affidavit.grading.syntax.settings import BanCheck, CodeCheck, RequireCheck, SameCheck
from affidavit.grading.syntax.spelling import SyntaxFault
from affidavit.grading.syntax.tree import read

Task = tuple[CodeCheck, bool, bytes | None, bytes | None, bytes | None]


def ready(*_: object) -> None:
    """Load the grammars; see run_confined."""
    for name in GRAMMARS:
        load(name)


def judge_all(
    tasks: list[Task], bans: list[tuple[BanCheck, list[tuple[str, bytes | None]]]]
) -> tuple[list[tuple[float, str]], list[list[str]]]:
    """`judge` and `broken` for each of several checks."""
    return [judge(*task) for task in tasks], [broken(*ban) for ban in bans]


def judge(
    check: CodeCheck, counts: bool, source: bytes | None, reference: bytes | None, before: bytes | None
) -> tuple[float, str]:
    """Score code.

    Args:
        check: what is asked of it.
        counts: the agent changed the file, or need not have.
        source: the file; None where there is none.
        reference: content of the check's ``reference``.
        before: the file before the agent's work; None where there was none.

    Returns:
        The score, from 0 to 1, and a sentence.
    """
    if not counts:
        return 0.0, f"{check.path} was not changed"
    if source is None:
        return 0.0, f"{check.path} is not there, or is larger than 1 MiB"
    try:
        match check:
            case SameCheck():
                score, told = _same(check, source, reference or b"", before)
            case RequireCheck():
                count = occurrences(source, check.grammar, check.feature)
                right = count >= check.min and (check.max is None or count <= check.max)
                score, told = float(right), f"has {check.feature.told} {count} times"
            case _:
                raise TypeError(f"{type(check).__name__} is no check of a file")
    except SyntaxFault as fault:
        return 0.0, f"{check.path} {fault}"
    return score, f"{check.path} {told}"


def broken(check: BanCheck, files: list[tuple[str, bytes | None]]) -> list[str]:
    """What breaks a ban, a sentence each; what can't be looked at may hide anything, and breaks it too."""
    found = []
    for path, source in files:
        try:
            if source is None:
                raise SyntaxFault("is larger than 1 MiB, or no regular file")
            count = occurrences(source, check.language, check.feature) if source.strip() else 0
        except SyntaxFault as fault:
            if str(fault) != "holds no code":
                found.append(f"{path} {fault}")
        else:
            if count:
                found.append(f"{path} has {check.feature.told} {count} times")
    return found


def _same(check: SameCheck, source: bytes, reference: bytes, before: bytes | None) -> tuple[float, str]:
    try:
        wanted = canonical(read(reference, check.grammar), check.grammar)
    except SyntaxFault as fault:
        raise ValueError(f"tests/{check.reference} {fault}") from None
    found = canonical(read(source, check.grammar), check.grammar)
    if found == wanted:
        return 1.0, "is the reference"
    near = likeness(found, wanted)
    start = 0.0
    if before is not None:
        try:
            start = likeness(canonical(read(before, check.grammar), check.grammar), wanted)
        except SyntaxFault:
            start = 0.0
    # What was there before is worth nothing, and what is not the reference is not worth all.
    gained = min(0.99, max(0.0, (near - start) / (1 - start))) if start < 1 else 0.0
    told = f"is like the reference by {near:.2f}, and what was there before by {start:.2f}"
    return (round(gained, 6) if check.partial else 0.0), told
