"""Finds holes in a contract: what it allows that its author hardly meant."""

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from affidavit.contracts import Contract, Endpoint, PathMatcher, compile_settings, expand_braces, matcher

Severity = Literal["error", "warning", "note"]
_ORDER = {"error": 0, "warning": 1, "note": 2}

# Written beside the code under test, each decides what tests report (the pack affidavit:test-infrastructure has more).
_RUNNERS = ("conftest.py", "pytest.ini", "sitecustomize.py", "setup.cfg", "jest.config.js")
_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")
_HIDDEN = ("/tests/test_outputs.py", "/solution/solve.sh", "/logs/verifier/reward.txt")
_SYSTEM = (
    "/usr/bin/python3",
    "/bin/sh",
    "/usr/local/bin/pytest",
    "/usr/lib/python3/dist-packages/x.py",
    "/etc/profile",
)
_STARTED_LATER = ("/home/agent/.bashrc", "/root/.bashrc", "/etc/ld.so.preload", "/etc/cron.d/x")
_SHELLS = ("/bin/sh", "/usr/bin/bash", "/usr/bin/dash", "/usr/bin/zsh", "/usr/bin/busybox")
_INTERPRETERS = ("/usr/bin/python3", "/usr/bin/perl", "/usr/bin/node", "/usr/bin/ruby")
# Where the task's own repository, its solution, or anything at all that somebody put there can be had.
_CODE_HOSTS = (
    *("github.com", "api.github.com", "raw.githubusercontent.com", "codeload.github.com", "gist.github.com"),
    *("gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht", "sourceforge.net", "huggingface.co", "pastebin.com"),
    *("dev.azure.com", "gitea.com", "sourcegraph.com"),
)
_ANYWHERE = 8  # a range of addresses wider than /8 (IPv6: /32) is as good as all of them


@dataclass(frozen=True)
class ContractFinding:
    """What is wrong with a contract.

    Attributes:
        severity: ``error``: a hole through which scores are forged or answers read; ``warning``: probably not meant;
            ``note``: good to know.
        place: of the contract: ``files.write[2]``, ``mode``.
        message: a sentence with the fix.
        line, column: where that is in the contract's text, from 1; what is not written stands where it would. None
            where the contract was not read from a text.
    """

    severity: Severity
    place: str
    message: str
    line: int | None = None
    column: int | None = None


def lint(contract: Contract, now: datetime) -> list[ContractFinding]:
    """The holes of a contract, gravest first.

    Args:
        contract: as loaded, packs included.
        now: for its expiry.

    Returns:
        Each with its place in the text, where the contract was read from one.
    """
    found = [*_writes(contract), *_reads(contract), *_useless(contract), *_programs(contract), *_network(contract)]
    found += [*_misleading(contract), *_general(contract, now)]
    found = sorted(dict.fromkeys(found), key=lambda finding: _ORDER[finding.severity])
    if (positions := contract.positions) is None:
        return found
    placed = ((finding, positions.at(finding.place)) for finding in found)
    return [replace(finding, line=line, column=column) for finding, (line, column) in placed]


def _writes(contract: Contract) -> Iterator[ContractFinding]:
    may, denied = matcher(contract.write), matcher(contract.deny)

    def open_to(names: Iterable[str]) -> list[str]:
        asked = [*names]
        return [
            name for name, yes, no in zip(asked, may.mask(asked), denied.mask(asked), strict=True) if yes and not no
        ]

    for index, written in enumerate(contract.document.files.write):
        if written.startswith(("!", "affidavit:")):
            continue
        own = matcher((written,))
        folder = _example(written).rpartition("/")[0]
        place = f"files.write[{index}]"
        beside = [f"{folder}/{name}" for name in _RUNNERS if not folder.startswith(_SCRATCH)]
        if hole := [name for name in open_to(beside) if own.matches(name)]:
            names = ", ".join(posixpath.basename(name) for name in hole)
            yield ContractFinding(
                "error",
                place,
                f"{written} covers files that decide how tests run ({names}): extend affidavit:test-infrastructure, or "
                "name the files that are meant",
            )
        for names_of, what in (
            (_HIDDEN, "the hidden parts of the task"),
            (_SYSTEM, "programs and settings of the system"),
            (_STARTED_LATER, "files that start programs later"),
        ):
            if hole := [name for name in open_to(names_of) if own.matches(name)]:
                yield ContractFinding(
                    "error", place, f"{written} covers {what} ({', '.join(hole)}): take it back with !"
                )
    if any(written == "/**" for written in contract.document.files.write):
        yield ContractFinding("warning", "files.write", "/** makes the whole file system writable: name the folders")


def _reads(contract: Contract) -> Iterator[ContractFinding]:
    names = [*_HIDDEN]
    readable = [True] * len(names) if contract.read is None else matcher(contract.read).mask(names).tolist()
    denied = matcher(contract.deny).mask(names).tolist()
    hole = [name for name, yes, no in zip(names, readable, denied, strict=True) if yes and not no]
    if hole:
        folders = sorted({"/" + name.split("/")[1] for name in hole})
        yield ContractFinding(
            "warning",
            "files.deny",
            f"looking for the hidden parts of the task is no violation: deny {', '.join(f'{f}/**' for f in folders)}",
        )
    if contract.read is None or "/**" in (contract.document.files.read or ()):
        yield ContractFinding("note", "files.read", "everything in the sandbox may be read: name what the work needs")


def _misleading(contract: Contract) -> Iterator[ContractFinding]:
    """Names that look like others: a file's name is its bytes, whatever people see."""
    document = contract.document
    lists: dict[str, Sequence[str]] = {
        "files.read": document.files.read or (),
        "files.write": document.files.write,
        "files.deny": document.files.deny,
        "processes.exec": document.processes.exec or (),
    }
    for scope in document.scopes:
        for name in ("read", "write", "deny"):
            lists[f"scopes.{scope.id}.files.{name}"] = getattr(scope.files, name) or ()
        lists[f"scopes.{scope.id}.for"] = scope.for_
        lists[f"scopes.{scope.id}.processes.exec"] = scope.processes.exec or ()
    for place, entries in lists.items():
        for index, written in enumerate(entries):
            if unseen := [c for c in written if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]:
                codes = ", ".join(f"U+{ord(character):04X}" for character in dict.fromkeys(unseen))
                yield ContractFinding("warning", f"{place}[{index}]", f"{written!a} holds what can't be seen ({codes})")
            elif any(unicodedata.normalize(form, written) != written for form in ("NFC", "NFD")):
                message = f"{written} can be spelled in two ways that look the same, and only this one is meant: use ?"
                yield ContractFinding("note", f"{place}[{index}]", message)


def _useless(contract: Contract) -> Iterator[ContractFinding]:
    """Entries that allow nothing, or nothing more than another does."""
    denied = matcher(contract.deny)
    for name, entries, whole in (
        ("files.write", contract.document.files.write, matcher(contract.write)),
        ("files.read", contract.document.files.read or (), None),
        ("files.deny", contract.document.files.deny, None),
    ):
        for index, written in enumerate(entries):
            if written.startswith(("!", "affidavit:")):
                continue
            examples = [_example(plain) for plain in expand_braces(written)]
            if not matcher((written,)).mask(examples).all():
                # No name was found that it matches: nothing can be said.
                continue
            if name != "files.deny" and denied.mask(examples).all():
                yield ContractFinding("warning", f"{name}[{index}]", f"{written} allows nothing: files.deny covers it")
            elif whole is not None and not whole.mask(examples).any():
                yield ContractFinding(
                    "warning", f"{name}[{index}]", f"{written} allows nothing: an exception (!) covers it"
                )
            elif wider := _wider(written, examples, entries):
                yield ContractFinding("note", f"{name}[{index}]", f"{written} says nothing that {wider} does not say")


def _wider(written: str, examples: Sequence[str], entries: Sequence[str]) -> str | None:
    """Another entry ``FOLDER/**`` that covers everything that this one matches."""
    for other in entries:
        if other == written or not other.endswith("/**") or re.search(r"[*?\[{!\\]", other[:-3]):
            continue
        if all(plain == other[:-3] or plain.startswith(other[:-2]) for plain in expand_braces(written)):
            return other
    return None


def _programs(contract: Contract) -> Iterator[ContractFinding]:
    allowed = contract.document.processes.exec
    if allowed is None:
        yield ContractFinding(
            "note", "processes.exec", "any program in the sandbox may be run: name those that are needed"
        )
        return
    patterns = [entry for entry in allowed if not entry.startswith("sha256:")]
    for index, entry in enumerate(allowed):
        if entry.startswith(("!", "affidavit:", "sha256:")):
            continue
        own = matcher((entry,))
        if own.mask(_SHELLS).any():
            yield ContractFinding(
                "warning", f"processes.exec[{index}]", f"{entry} allows a shell, which runs any command"
            )
        elif own.mask(_INTERPRETERS).any():
            yield ContractFinding(
                "note", f"processes.exec[{index}]", f"{entry} allows an interpreter, which can do what a shell can"
            )
    runs = matcher(tuple(patterns))
    for folder in compile_settings(contract).writable:
        if runs.matches(posixpath.join(folder, "x")):
            yield ContractFinding("note", "processes.exec", f"what is written to {folder} may be run there")


def _network(contract: Contract) -> Iterator[ContractFinding]:
    for index, text in enumerate(contract.document.network.endpoints):
        endpoint, place = Endpoint.parse(text), f"network.endpoints[{index}]"
        if hosts := [host for host in _CODE_HOSTS if endpoint.allows_name(host)]:
            yield ContractFinding(
                "warning",
                place,
                f"{text} is a code host ({hosts[0]}): the task's repository or its solution may be there",
            )
        if (addresses := endpoint.addresses) is not None:
            if addresses.prefixlen < (_ANYWHERE if addresses.version == 4 else 32):
                yield ContractFinding("error", place, f"{text} is most of the internet: name the hosts")
            elif addresses.num_addresses == 1 and addresses.network_address.is_link_local:
                yield ContractFinding("error", place, f"{text} is where clouds tell a machine its credentials")
        if ":" not in text.removeprefix("[").split("]")[-1] and "/" not in text:
            yield ContractFinding("note", place, f"{text} allows every port: add one, such as {text}:443")


def _general(contract: Contract, now: datetime) -> Iterator[ContractFinding]:
    document = contract.document
    if contract.mode == "audit":
        yield ContractFinding("warning", "mode", "audit: violations are recorded and change no score")
    if contract.expired(now):
        yield ContractFinding("error", "expires", f"it has expired ({document.expires}): no run begins under it")
    if "attempts" not in document.model_fields_set:
        yield ContractFinding(
            "note",
            "attempts",
            "is not written, so what the sandbox refuses is a violation, and real agents try much: say record, or "
            "violation where that is meant",
        )
    if document.limits.wall_ms is None and document.limits.cpu_ms is None:
        yield ContractFinding("note", "limits", "there are no limits but the task's: add wall_ms")
    if document.processes.max_processes is None:
        yield ContractFinding("note", "processes.max_processes", "as many processes as fit: say how many are needed")
    if not contract.write:
        yield ContractFinding(
            "note", "files.write", "nothing may be written: no task that changes a file can be solved"
        )
    for warning in contract.warnings:
        place, _, text = warning.partition(": ")
        yield ContractFinding("warning", place, text)


def _example(pattern: str) -> str:
    """A name that a pattern matches; of its braces the first alternative."""
    [plain, *_] = expand_braces(pattern)
    parts = []
    for part in (plain if plain.startswith("/") else f"/{plain}").split("/")[1:]:
        if part == "**":
            parts.append("x")
            continue
        part = re.sub(r"(?<!\\)\[[!^]?[^\]]*\]", "x", part)
        part = re.sub(r"(?<!\\)(?:\*+|\?)", "x", part)
        parts.append(re.sub(r"\\(.)", r"\1", part))
    name = "/" + "/".join(parts)
    return name if PathMatcher([pattern]).matches(name) else _found(pattern, name)


def _found(pattern: str, name: str) -> str:
    """A set of characters may not hold the x that stands for it: try others."""
    for character in "a0A_-.":
        tried = name.replace("x", character)
        if PathMatcher([pattern]).matches(tried):
            return tried
    return name
