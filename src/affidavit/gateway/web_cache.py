"""What programs fetched from the web, kept so that it can be answered again without a network.

A cache is a folder: ``index.json`` lists the answers, ``bodies/`` holds their bodies, each named by its SHA-256. The
SHA-256 of the index names the whole.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from affidavit.gateway.errors import GatewayError
from affidavit.signing import EvidenceError, read_bounded, strict_json, write_whole

SCHEMA = "affidavit.web-cache/v1"
INDEX = "index.json"
BODIES = "bodies"
MOST_ANSWERS = 20_000
MOST_BYTES = 8 << 30
"""Of all bodies of a cache together."""

_MOST_INDEX_BYTES = 256 << 20
_BLOCK = 1 << 20
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Query:
    """What decides which answer a request gets.

    Attributes:
        method: of HTTP.
        url: whole, without a fragment.
        accept: the header ``Accept``, empty where there is none.
        body: SHA-256 of the request's body, in hex.
    """

    method: str
    url: str
    accept: str = ""
    body: str = EMPTY

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True)
class CachedAnswer:
    """An answer.

    Attributes:
        query: what was asked.
        status: of HTTP.
        headers: those that concern its content, in order.
        sha256: of its body, in hex.
        size: of its body, bytes.
        failed: why there was no answer, a sentence; empty where there was one.
    """

    query: Query
    status: int
    headers: tuple[tuple[str, str], ...]
    sha256: str
    size: int
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """What `to_json` made.

        Raises:
            GatewayError: it is something else.
        """
        match value:
            case {
                "query": {"method": str(method), "url": str(url), "accept": str(accept), "body": str(body)},
                "status": int(status),
                "headers": list(headers),
                "sha256": str(sha256),
                "size": int(size),
                "failed": str(failed),
            } if _is_digest(sha256) and 200 <= status < 600 and size >= 0:
                pairs = tuple((name, text) for name, text in map(_pair, headers))
                return cls(Query(method, url, accept, body), status, pairs, sha256, size, failed)
        raise GatewayError("an answer of a web cache is none")

    @property
    def varies(self) -> bool:
        """Whether another ``Accept`` might have got another answer."""
        named = ",".join(text for name, text in self.headers if name == "vary").lower()
        return any(part.strip() in ("accept", "*") for part in named.split(","))


class Answers:
    """Answers by what was asked."""

    def __init__(self, answers: Iterable[CachedAnswer] = ()) -> None:
        self._by_url: dict[tuple[str, str, str], list[CachedAnswer]] = {}
        self.size = 0
        for answer in answers:
            self.add(answer)

    def __len__(self) -> int:
        return sum(map(len, self._by_url.values()))

    def all(self) -> list[CachedAnswer]:
        """All of them, in an order that their requests' alone decides."""
        every = [answer for answers in self._by_url.values() for answer in answers]
        return sorted(every, key=lambda one: (one.query.url, one.query.method, one.query.accept, one.query.body))

    def add(self, answer: CachedAnswer) -> None:
        """Add one, unless there is one to the very same request."""
        query = answer.query
        found = self._by_url.setdefault((query.method, query.url, query.body), [])
        if all(one.query != query for one in found):
            found.append(answer)
            self.size += answer.size

    def find(self, query: Query) -> CachedAnswer | None:
        """The answer to a request; that to a GET does for a HEAD. None: there is none."""
        methods = ("HEAD", "GET") if query.method == "HEAD" else (query.method,)
        for method in methods:
            found = self._by_url.get((method, query.url, query.body), [])
            for answer in found:
                if answer.query.accept == query.accept:
                    return answer
            for answer in found:
                if not answer.varies:
                    return answer
        return None


@dataclass(frozen=True)
class WebCache:
    """A cache on the disk.

    Attributes:
        folder: it lies there.
        digest: ``sha256:`` and the SHA-256 of its index in hex.
        answers: in it.
    """

    folder: Path
    digest: str
    answers: Answers

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The cache in a folder.

        Raises:
            GatewayError: there is none, or it can't be used.
        """
        path = folder / INDEX
        try:
            data = read_bounded(path, _MOST_INDEX_BYTES)
            value = strict_json(data)
        except EvidenceError as error:
            raise GatewayError(str(error)) from error
        if not isinstance(value, Mapping) or value.get("schema") != SCHEMA or not isinstance(value["answers"], list):
            raise GatewayError(f"{path}: is no {SCHEMA}; fill the cache again")
        try:
            answers = Answers(map(CachedAnswer.from_json, value["answers"]))
        except GatewayError as error:
            raise GatewayError(f"{path}: {error}; fill the cache again") from None
        return cls(folder, "sha256:" + hashlib.sha256(data).hexdigest(), answers)

    @classmethod
    def write(cls, folder: Path, answers: Answers) -> Self:
        """Write the index of a folder that has the bodies in it already; bodies that belong to no answer are removed.

        Args:
            folder: its bodies were written by nobody who is trusted.
            answers: in it.

        Raises:
            GatewayError: a body is missing or another one, or there is too much.
            OSError: it can't be written.
        """
        found = answers.all()
        if len(found) > MOST_ANSWERS or answers.size > MOST_BYTES:
            raise GatewayError(f"more than {MOST_ANSWERS} answers or {MOST_BYTES >> 30} GiB were fetched")
        wanted = {answer.sha256: answer.size for answer in found}
        for entry in os.scandir(folder / BODIES):
            if entry.name not in wanted:
                Path(entry.path).unlink()
        for name, size in wanted.items():
            _check_body(folder / BODIES / name, name, size)
        value = {"schema": SCHEMA, "answers": [answer.to_json() for answer in found]}
        data = json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        try:
            write_whole(folder / INDEX, data)
        except EvidenceError as error:
            raise GatewayError(str(error)) from error
        return cls(folder, "sha256:" + hashlib.sha256(data).hexdigest(), answers)

    def keep(self, place: Path) -> Self:
        """Move it to another place, instead of what is there.

        Raises:
            OSError: it can't be moved.
        """
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = place.with_name(f".{place.name}.{secrets.token_hex(6)}.old")
        with suppress(FileNotFoundError):
            place.rename(before)
        self.folder.rename(place)
        shutil.rmtree(before, ignore_errors=True)
        return type(self)(place, self.digest, self.answers)


def new_cache(folder: Path) -> WebCache:
    """An empty cache in a folder that is made.

    Raises:
        GatewayError, OSError: it can't be made.
    """
    folder.mkdir(mode=0o755)
    (folder / BODIES).mkdir(mode=0o755)
    for made in (folder, folder / BODIES):
        made.chmod(0o755)
    return WebCache.write(folder, Answers())


def _check_body(path: Path, name: str, size: int) -> None:
    """Look whether a body is what its name says, and make it readable for whoever will serve it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            raise GatewayError(f"a body that was fetched is not there: {name}") from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        digest = hashlib.sha256()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != name or os.fstat(descriptor).st_size != size:
            raise GatewayError(f"a body that was fetched is another one now: {name}")
        if os.geteuid() == 0:
            os.fchown(descriptor, 0, 0)
        os.fchmod(descriptor, 0o644)


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)


def _pair(value: Any) -> tuple[str, str]:
    match value:
        case [str(name), str(text)]:
            return name, text
    raise GatewayError("a header of an answer is none")
