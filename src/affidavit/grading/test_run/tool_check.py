"""Tools that a verifier says it could not start, load or fetch."""

import re

_MOST_BYTES = 1 << 20
_MOST_NAMES = 20
_NETWORK = "the network"
# What shells, env(1), Python, Node and pip say; each names what is missing.
_MISSING = re.compile(
    rb"([\w.+/@-]{1,100}): (?:command )?not found[.!]?\s*$"
    rb"|^env: \W{1,3}([\w.+/@-]{1,100}?)\W{1,3}: No such file or directory"
    rb"|^\S*python[\w.]*: No module named ([\w.]{1,100})\s*$"
    rb"|^(?:ModuleNotFoundError|ImportError): No module named '([\w.]{1,100})'"
    rb"|No matching distribution found for ([\w.\[\]=<>~!+-]{1,100})"
    rb"|^Error: Cannot find module '([^'\n]{1,100})'",
    re.MULTILINE,
)
_UNREACHABLE = re.compile(
    rb"Temporary failure (?:in name resolution|resolving)|Could not resolve host|Name or service not known"
    rb"|Network is unreachable|getaddrinfo (?:EAI_AGAIN|ENOTFOUND)|dns error: failed to lookup"
)


def missing_tools(said: bytes) -> tuple[str, ...]:
    """What a verifier's output names as missing, each once; bounded, for the code under test may have said it.

    Args:
        said: standard output and error output.
    """
    head = said[:_MOST_BYTES]
    names = [next(filter(None, match.groups())).decode("ascii", "replace") for match in _MISSING.finditer(head)]
    if _UNREACHABLE.search(head):
        names.append(_NETWORK)
    return tuple(dict.fromkeys(names))[:_MOST_NAMES]
