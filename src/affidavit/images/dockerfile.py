"""Dockerfiles: read with their lines, and rewritten for the builder that Debian has (buildah 1.28).

That one knows no heredocs and no ``--link``. Images from elsewhere are taken from the image store, so their names are
replaced, too. What it can't build, or what a build may not have, is an error that names the line.
"""

import errno
import json
import os
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from affidavit.images.errors import ImageError

HEREDOCS = ".affidavit-heredocs"
"""The folder of the context that holds files which stood in the Dockerfile."""

_MOST_BYTES = 1 << 20
_MOST_INSTRUCTIONS = 1000
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(.*?)\s*$")
_NAME = r"[A-Za-z_][\w.-]*"
# A word of its own, as BuildKit has it: $((1<<X)) and <<<text are none.
_HEREDOC = re.compile(rf"(?:(?<=\s)|^)[0-9]*<<(-?)(?:\"({_NAME})\"|'({_NAME})'|({_NAME}))(?=\s|$)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
_FLAG = re.compile(r"--[a-z]+(?:=\S*)?")
_KNOWN = frozenset(
    {
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
        "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    }
)  # fmt: skip
_URL = re.compile(r"(?:https?|ftp|git|ssh)://|git@", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        line: its first line, from 1.
        word: in capitals.
        flags: ``--name=value`` before the arguments.
        rest: the arguments, continued lines joined.
        heredocs: name, content, and whether variables in it are to be filled in.
        tail: for a heredoc, the lines as they stand, terminators among them.
    """

    line: int
    word: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[tuple[str, str, bool], ...] = ()
    tail: str = ""


@dataclass(frozen=True)
class BuildPlan:
    """What the builder is given.

    Attributes:
        text: the rewritten Dockerfile.
        files: further files for the context, by name in HEREDOCS.
        steps: line and rewritten text of each instruction, by stage and by number in it, both from 0.
        bases: name of each image from elsewhere as the Dockerfile has it, and what it is called in `text`.
    """

    text: str
    files: Mapping[str, bytes]
    steps: tuple[tuple[tuple[int, str], ...], ...]
    bases: Mapping[str, str]


@dataclass
class _Stage:
    name: str
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    steps: list[tuple[int, str]] = field(default_factory=list)


def read_dockerfile(path: Path) -> str:
    """The text of a Dockerfile.

    Raises:
        ImageError: it can't be read, is a link, is larger than 1 MiB, or is not UTF-8.
    """
    try:
        # A link could lead to a file of the machine, which an error would then quote.
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise ImageError(f"{path}: is a link; put the file itself there") from None
        raise ImageError(f"{path}: can't be read: {problem.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ImageError(f"{path}: is larger than 1 MiB")
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise ImageError(f"{path}: is not UTF-8 (byte {problem.start})") from None


def declared_workdir(folder: Path) -> str | None:
    """The working directory that the last stage of a folder's Dockerfile names, as far as known without building.

    Returns:
        None where it names none, or there is no such Dockerfile.
    """
    try:
        instructions = parse(read_dockerfile(folder / "Dockerfile"), folder / "Dockerfile")
    except ImageError:
        return None
    workdir = None
    for instruction in instructions:
        if instruction.word == "FROM":
            workdir = None
        elif instruction.word == "WORKDIR" and "$" not in instruction.rest:
            workdir = posixpath.normpath(posixpath.join(workdir or "/", instruction.rest.strip("\"'")))
    return workdir


def parse(text: str, path: Path) -> list[Instruction]:
    """The instructions of a Dockerfile.

    Args:
        text: the Dockerfile.
        path: what it is called in an error.

    Raises:
        ImageError: an instruction is unknown, a heredoc has no end, or there are too many.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    escape = _escape(lines)
    found: list[Instruction] = []
    number = 0
    while number < len(lines):
        start, joined, begun = number, "", False
        while number < len(lines):
            line = lines[number]
            number += 1
            if line.lstrip().startswith("#") or (begun and not line.strip()):
                if begun:
                    continue
                break
            if not begun:
                start, begun = number - 1, True
            joined += line.rstrip()
            if not joined.endswith(escape):
                break
            joined = joined[:-1]
        joined = joined.strip()
        if not joined:
            continue
        word, _, rest = joined.partition(" ") if " " in joined else joined.partition("\t")
        word, rest = word.upper(), rest.strip()
        if word not in _KNOWN:
            raise ImageError(f"{path}:{start + 1}: {word[:40]!r} is not an instruction of a Dockerfile")
        flags, rest = _flags(rest) if word in ("FROM", "RUN", "COPY", "ADD", "HEALTHCHECK") else ((), rest)
        heredocs: list[tuple[str, str, bool]] = []
        tail = ""
        if word in ("RUN", "COPY", "ADD") and not rest.startswith("["):
            for match in _HEREDOC.finditer(rest):
                name = match[2] or match[3] or match[4]
                begin = number
                body, number = _heredoc_body(lines, number, name, bool(match[1]))
                if body is None:
                    raise ImageError(f"{path}:{start + 1}: the heredoc <<{name} has no line {name} that ends it")
                heredocs.append((name, body, match[4] is not None))
                tail += "\n" + "\n".join(lines[begin:number])
        found.append(Instruction(start + 1, word, flags, rest, tuple(heredocs), tail))
        if len(found) > _MOST_INSTRUCTIONS:
            raise ImageError(f"{path}: has more than {_MOST_INSTRUCTIONS} instructions")
    if not any(instruction.word == "FROM" for instruction in found):
        raise ImageError(f"{path}: has no FROM; the first instruction says which image to begin with")
    return found


def _escape(lines: list[str]) -> str:
    for line in lines:
        match = _DIRECTIVE.match(line)
        if not match:
            break
        if match[1].lower() == "escape" and match[2] in ("\\", "`"):
            return match[2]
    return "\\"


def _flags(rest: str) -> tuple[tuple[str, ...], str]:
    flags = []
    while match := _FLAG.match(rest):
        flags.append(match[0])
        rest = rest[match.end() :].lstrip()
    return tuple(flags), rest


def _heredoc_body(lines: list[str], number: int, name: str, tabs: bool) -> tuple[str | None, int]:
    body: list[str] = []
    while number < len(lines):
        line = lines[number].lstrip("\t") if tabs else lines[number]
        number += 1
        if line == name:
            return "".join(f"{text}\n" for text in body), number
        body.append(line)
    return None, number


def plan_build(
    text: str,
    path: Path,
    base: Callable[[str, int], str],
    *,
    platform: str,
    arguments: Mapping[str, str],
    network: bool,
) -> BuildPlan:
    """Rewrite a Dockerfile for the builder.

    Args:
        text: the Dockerfile.
        path: what it is called in an error.
        base: gives the name under which the builder has an image from elsewhere, by its name and line.
        platform: this machine's, ``linux/amd64``.
        arguments: build arguments from the command line.
        network: whether the build may use the network.

    Raises:
        ImageError: it can't be built; the line is named.
    """
    escape = _escape(text.split("\n"))
    return _Planner(path, base, platform, arguments, network, escape).plan(parse(text, path))


class _Planner:
    def __init__(
        self,
        path: Path,
        base: Callable[[str, int], str],
        platform: str,
        arguments: Mapping[str, str],
        network: bool,
        escape: str,
    ) -> None:
        self._escape = escape
        self._path = path
        self._base = base
        self._platform = platform
        self._given = dict(arguments)
        self._network = network
        self._global: dict[str, str] = {}
        self._stages: list[_Stage] = []
        self._files: dict[str, bytes] = {}
        self._bases: dict[str, str] = {}

    def plan(self, instructions: list[Instruction]) -> BuildPlan:
        out = [] if self._escape == "\\" else [f"# escape={self._escape}"]
        for instruction in instructions:
            line = self._rewritten(instruction)
            out.append(line)
            if self._stages:
                self._stages[-1].steps.append((instruction.line, line))
        steps = tuple(tuple(stage.steps) for stage in self._stages)
        return BuildPlan("\n".join(out) + "\n", self._files, steps, self._bases)

    def _wrong(self, instruction: Instruction, message: str) -> NoReturn:
        raise ImageError(f"{self._path}:{instruction.line}: {instruction.word} {message}")

    def _rewritten(self, instruction: Instruction) -> str:
        word = instruction.word
        if word == "FROM":
            return self._from(instruction)
        if not self._stages:
            if word != "ARG":
                self._wrong(instruction, "stands before the first FROM; only ARG may")
            self._global_argument(instruction)
        if word == "SHELL":
            self._shell(instruction)
        if word == "RUN":
            return self._run(instruction)
        if word in ("COPY", "ADD"):
            return self._copy(instruction)
        return " ".join((word, *instruction.flags, instruction.rest))

    def _global_argument(self, instruction: Instruction) -> None:
        try:
            words = shlex.split(instruction.rest)
        except ValueError:
            self._wrong(instruction, "has a quotation mark without its partner")
        for argument in words:
            name, _, value = argument.partition("=")
            self._global[name] = self._given.get(name, self._filled(value))

    def _filled(self, text: str) -> str:
        known = {"TARGETPLATFORM": self._platform, "BUILDPLATFORM": self._platform, **self._global}

        def value(match: re.Match[str]) -> str:
            there = known.get(match[1] or match[4], "")
            if match[2] in ("-", ":-"):
                return there or match[3]
            if match[2] in ("+", ":+"):
                return match[3] if there else ""
            return there

        return _VARIABLE.sub(value, text)

    def _from(self, instruction: Instruction) -> str:
        for flag in instruction.flags:
            name, _, value = flag.partition("=")
            if name != "--platform":
                self._wrong(instruction, f"{flag} is not known here; remove it")
            if self._filled(value) not in (self._platform, "linux"):
                self._wrong(instruction, f"wants {value}, and only images for {self._platform} can be built here")
        words = instruction.rest.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            self._wrong(instruction, "must be FROM IMAGE or FROM IMAGE AS NAME")
        image = self._filled(words[0].strip("\"'"))
        if not image:
            self._wrong(instruction, f"{words[0]} comes to nothing; give the ARG a default before the first FROM")
        name = words[2].lower() if len(words) == 3 else str(len(self._stages))
        if image.lower() not in {stage.name for stage in self._stages} and image != "scratch":
            image = self._elsewhere(image, instruction)
        self._stages.append(_Stage(name))
        return f"FROM {image}{f' AS {words[2]}' if len(words) == 3 else ''}"

    def _elsewhere(self, image: str, instruction: Instruction) -> str:
        if image not in self._bases:
            self._bases[image] = self._base(image, instruction.line)
        return self._bases[image]

    def _source(self, value: str, instruction: Instruction) -> str:
        """What ``--from=`` and ``from=`` name: a stage by name or number, or an image from elsewhere."""
        value = self._filled(value)
        names = {stage.name for stage in self._stages[:-1]}
        if value.lower() in names or (value.isdecimal() and int(value) < len(self._stages) - 1):
            return value
        if value.isdecimal() or value.lower() == self._stages[-1].name:
            self._wrong(instruction, f"takes files from {value!r}, which is not a stage above this one")
        return self._elsewhere(value, instruction)

    def _shell(self, instruction: Instruction) -> None:
        try:
            shell = json.loads(instruction.rest)
        except ValueError:
            shell = None
        if not isinstance(shell, list) or not shell or not all(isinstance(part, str) for part in shell):
            self._wrong(instruction, 'must be a JSON array, as in SHELL ["/bin/bash", "-c"]')
        self._stages[-1].shell = tuple(shell)

    def _run(self, instruction: Instruction) -> str:
        flags = []
        for flag in instruction.flags:
            name, _, value = flag.partition("=")
            if name == "--mount":
                flags.append(f"--mount={self._mount(value, instruction)}")
            elif flag in ("--network=default", "--security=sandbox") or flag == "--network=none":
                # The whole build has no network, or the one that the user allows.
                if flag == "--network=none" and self._network:
                    self._wrong(instruction, "--network=none can't be kept in a build with --network; remove it")
            else:
                self._wrong(instruction, f"{flag} is not allowed here; remove it")
        command = self._heredoc_command(instruction) if instruction.heredocs else instruction.rest
        if not command:
            self._wrong(instruction, "says nothing to run")
        return " ".join(("RUN", *flags, command))

    def _mount(self, value: str, instruction: Instruction) -> str:
        fields = dict(part.partition("=")[::2] for part in value.split(","))
        kind = fields.get("type", "bind")
        if kind not in ("bind", "cache", "tmpfs"):
            self._wrong(instruction, f"--mount=type={kind} is not given here: a build gets no secrets of this machine")
        parts = []
        for part in value.split(","):
            name, _, content = part.partition("=")
            if name in ("source", "src") and ".." in content.split("/"):
                self._wrong(
                    instruction, f"--mount takes its source from {content}, which leads out; name it without .."
                )
            if name == "from":
                part = f"from={self._source(content, instruction)}"
            if name != "id":
                parts.append(part)
        return ",".join(parts if "type" in fields else ["type=bind", *parts])

    def _heredoc_command(self, instruction: Instruction) -> str:
        """In exec form: the shell that would have run it gets it with its lines; shells know heredocs."""
        shell = [*self._stages[-1].shell]
        name, body, _ = instruction.heredocs[0]
        alone = len(instruction.heredocs) == 1 and _HEREDOC.fullmatch(instruction.rest)
        if not alone:
            return json.dumps([*shell, instruction.rest + instruction.tail])
        if not body.startswith("#!"):
            return json.dumps([*shell, body])
        script = (
            'mkdir -p /tmp; file=/tmp/.heredoc-$$; printf %s "$1" >"$file" && chmod 755 "$file" || exit; '
            '"$file"; status=$?; rm -f "$file"; exit $status'
        )
        return json.dumps(["/bin/sh", "-c", script, name, body])

    def _copy(self, instruction: Instruction) -> str:
        flags = []
        for flag in instruction.flags:
            name, _, value = flag.partition("=")
            if name == "--link":
                continue
            if name == "--from":
                flag = f"--from={self._source(value, instruction)}"
            elif name not in ("--chown", "--chmod"):
                self._wrong(instruction, f"{flag} is not known to the builder; remove it")
            flags.append(flag)
        if instruction.word == "ADD" and not self._network and _URL.search(instruction.rest):
            self._wrong(
                instruction,
                "downloads, and builds have no network: put the file into the context, or build with "
                "affidavit image build --network",
            )
        rest = instruction.rest
        for name, body, filled in instruction.heredocs:
            if filled and re.search(r"(?<!\\)\$[\w{]", body):
                self._wrong(
                    instruction,
                    f"<<{name} has variables to be filled in, which can't be done here: write <<'{name}' or put the "
                    "file into the context",
                )
            file = f"{len(self._files)}/{name}"
            self._files[file] = (body.replace("\\$", "$") if filled else body).encode()
            rest = _HEREDOC.sub(lambda match, to=f"{HEREDOCS}/{file}": to, rest, count=1)  # type: ignore[misc]
        return " ".join((instruction.word, *flags, rest))
