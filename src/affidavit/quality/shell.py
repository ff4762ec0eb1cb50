"""Places in a shell script of the tests where what a program prints is taken for a part of the script."""

import re
from collections.abc import Iterator

_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_QUOTED = re.compile(r"'[^'\n]*'")
_DOUBLE_QUOTED = re.compile(r'"(?:\\.|\$\([^()\n]*\)|[^"\\\n])*"')
# A value that a command gives, up to the end of its line.
_ASSIGNED = re.compile(r"^\s*(?:local\s+|export\s+)?(\w+)=\"?(?:\$\(|`)([^\n]*)", re.MULTILINE)
_READ = re.compile(r"\b(?:read|mapfile|readarray)\s+(?:-\S+\s+)*(\w+)")
# These print numbers or names of their own, whatever they are given.
_PLAIN = re.compile(r"^\s*(?:wc|date|mktemp|nproc|stat|seq|basename|dirname|grep\s+-\w*c\w*|sha\d+sum|md5sum)\b")
_SINGLE = re.compile(
    r"(?<!\[)\[ ([^\n]*?) \](?!\])|(?:^|[;&|!({]|\b(?:if|while|until|elif)\b)\s*test ([^\n;&|]*)", re.MULTILINE
)
_DOUBLE = re.compile(r"\[\[ ([^\n]*?) \]\]")
_ARITHMETIC = re.compile(r"\(\(([^\n]*?)\)\)")
_COMPARED = re.compile(r"\s-(?:eq|ne|lt|le|gt|ge)\s")
_CODE = re.compile(r"(?:^|[\s;&|(])(awk|python3?|perl|node|eval|bc|(?:ba)?sh(?=\s+-c))\b([^\n]*)", re.MULTILINE)
_OF_ONE_WORD = ("eval", "bc", "sh", "bash")
_ALONE = re.compile(r'"(?:\$\w+|\$\{\w+\}|\$\([^()]*\))"')


def taken_for_script(text: str) -> Iterator[tuple[int, str, str]]:
    """Where output of a program is split into words, evaluated as arithmetic, or made a part of other code, so that
    whoever writes the program decides what comes out of it.

    Args:
        text: a shell script. Values are known as output by the line that assigns them.

    Yields:
        Line (from 1), what stands there, and how to fix it.
    """
    text = _COMMENT.sub(lambda found: " " * len(found[0]), text)
    names = {found[1] for found in _ASSIGNED.finditer(text) if not _is_plain(found[2])}
    names |= {found[1] for found in _READ.finditer(text)}
    output = re.compile(r"\$\((?!\()|`|" + "|".join([r"(?!)", *(rf"\$\{{?{name}\b" for name in sorted(names))]))
    bare = re.compile("|".join([r"(?!)", *(rf"\b{name}\b" for name in sorted(names))]))

    def at(found: re.Match[str]) -> tuple[int, str]:
        return text.count("\n", 0, found.start() + len(found[0]) - len(found[0].lstrip())) + 1, found[0].strip()[:80]

    def plain(part: str) -> bool:
        inner = re.fullmatch(r"\s*\$\(([^()]*)\)\s*[!=<>-].*", part)
        return inner is not None and _is_plain(inner[1])

    for found in _SINGLE.finditer(text):
        part = _DOUBLE_QUOTED.sub('""', _QUOTED.sub("''", found[1] or found[2] or ""))
        if output.search(part) and not plain(part):
            yield *at(found), 'put it between double quotes: unquoted, output such as "1 = 1 -o x" makes it true'
    for found in _DOUBLE.finditer(text):
        if _COMPARED.search(found[1]) and output.search(_QUOTED.sub("", found[1])) and not plain(found[1]):
            yield *at(found), 'compare texts with "=": -eq and the like evaluate output such as "x[$(command)]"'
    for found in _ARITHMETIC.finditer(text):
        if bare.search(found[1]) or output.search(found[1]):
            yield *at(found), 'compare texts with "=": arithmetic evaluates output such as "x[$(command)]"'
    for found in _CODE.finditer(text):
        quoted = _DOUBLE_QUOTED.findall(_QUOTED.sub("''", found[2]))
        if found[1] not in _OF_ONE_WORD:
            # A word by itself is an argument.
            quoted = [word for word in quoted if not _ALONE.fullmatch(word)]
        before = text[text.rfind("\n", 0, found.start()) + 1 : found.start(1)]
        fed = before if found[1] == "bc" and "|" in before else ""
        if output.search(f"{' '.join(quoted)} {fed}"):
            yield *at(found), "hand it over as an argument or on standard input of a program that takes it for data"


def _is_plain(command: str) -> bool:
    """Whether the last command of a pipeline prints nothing that it was given."""
    return _PLAIN.search(command.split(")")[0].split("|")[-1]) is not None
