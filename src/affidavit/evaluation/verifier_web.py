"""What the tests of a task fetch from the web: a cache that is filled once, with a network, and answers every grading
without one."""

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from affidavit.evidence import CacheFacts
from affidavit.gateway import (
    WEB_PORT,
    Answers,
    Authority,
    CachedAnswer,
    GatewayError,
    WebCache,
    WebProcess,
    WebSettings,
    new_cache,
    own_proxies,
    web_environment,
    write_web_files,
)
from affidavit.sandbox import NetworkNamespace
from affidavit.tasks import Task

WEB_FOLDER = "/run/affidavit-web"
"""Where a verifier's sandbox finds whom to trust."""

_CACHES = "verifier-cache"
_MOST_FAILURES = 20


def failures(answers: Iterable[CachedAnswer]) -> list[str]:
    """The requests that got no answer, or a server's error, and why."""
    failed = [answer for answer in answers if answer.failed or answer.status >= 500]
    return [f"{answer.query}: {answer.failed or answer.status}" for answer in failed]


def cache_folder(state: Path, task: Task) -> Path:
    """Where the verifier cache of a task lies, if it has one.

    Args:
        state: the state folder.
        task: by its digest.
    """
    return state / _CACHES / task.digest.rpartition(":")[2]


def kept_cache(state: Path, task: Task) -> WebCache | None:
    """The verifier cache of a task; None where it has none.

    Raises:
        GatewayError: it can't be used.
    """
    folder = cache_folder(state, task)
    return WebCache.read(folder) if folder.is_dir() else None


def kept_caches(state: Path) -> list[WebCache]:
    """All verifier caches, by the digests of their tasks; one that can't be read has no answers.

    Args:
        state: the state folder.
    """
    root = state / _CACHES
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith("."):
            # What somebody who was killed left of a removal.
            continue
        try:
            found.append(WebCache.read(folder))
        except GatewayError:
            found.append(WebCache(folder, "", Answers()))
    return found


def remove_caches(state: Path) -> list[WebCache]:
    """Remove all verifier caches. A grading that is using one ends in an error.

    Args:
        state: the state folder.

    Returns:
        those that were there.

    Raises:
        OSError: one can't be removed.
    """
    found = kept_caches(state)
    for cache in found:
        # At once for those who look for it.
        cache.folder.rename(cache.folder.with_name(f".{cache.folder.name}.{secrets.token_hex(6)}.old"))
    if (state / _CACHES).is_dir():
        for left in (state / _CACHES).glob(".*.old"):
            shutil.rmtree(left)
    return found


@dataclass(frozen=True)
class WebAccess:
    """A verifier's way to the web, or to what was kept of it.

    Attributes:
        network: path of the namespace that its sandbox must be in.
        folder: what appears at WEB_FOLDER.
    """

    network: str
    folder: Path
    _process: WebProcess
    _web: "VerifierWeb"

    @property
    def env(self) -> dict[str, str]:
        """What its environment has for that."""
        return web_environment(WEB_FOLDER, WEB_PORT)

    def finish(self) -> list[str]:
        """End it; what was asked for and not there, method and URL.

        Raises:
            GatewayError: what the server did can't be known.
        """
        spool = self._process.stop()
        self._web.take(spool.fetched)
        return [*spool.missed]


class VerifierWeb:
    """What the verifiers of one trial have of the web.

    Attributes:
        cache: that answers them.
        filling: what is not in it is fetched, and put there.
    """

    def __init__(self, cache: WebCache, allowed: tuple[str, ...] | None = None) -> None:
        """
        Args:
            cache: that answers.
            allowed: the hosts that may be reached though they are private; None: nothing is reached.
        """
        self.cache = cache
        self.filling = allowed is not None
        self._allowed = allowed or ()

    @classmethod
    def new(cls, folder: Path, allowed: tuple[str, ...]) -> "VerifierWeb":
        """One that is to be filled, in a folder that is made. Raises GatewayError, OSError."""
        return cls(new_cache(folder), allowed)

    @property
    def facts(self) -> CacheFacts:
        """What the bundle says of it."""
        failed = tuple(failures(self.cache.answers.all())[:_MOST_FAILURES]) if self.filling else None
        return CacheFacts(
            digest=self.cache.digest, answers=len(self.cache.answers), filling=self.filling, failed=failed
        )

    @contextmanager
    def open(self, place: Path) -> Iterator[WebAccess]:
        """Serve a verifier.

        Args:
            place: a private folder.

        Raises:
            SandboxError, GatewayError, OSError: it can't be done.
        """
        authority = Authority.new()
        folder = place / secrets.token_hex(8)
        write_web_files(folder, WEB_FOLDER, authority)
        proxies = own_proxies() if self.filling else {}
        settings = WebSettings(self.cache.folder, authority, self.filling, self._allowed, proxies)
        spool = place / secrets.token_hex(8)
        with (
            NetworkNamespace() as namespace,
            WebProcess(settings, namespace.listen(WEB_PORT), spool) as process,
        ):
            yield WebAccess(namespace.path, folder, process, self)

    def take(self, fetched: Iterable[CachedAnswer]) -> None:
        """Put answers that were fetched into the cache. Raises GatewayError, OSError."""
        if not self.filling:
            return
        answers = Answers(self.cache.answers.all())
        for answer in fetched:
            answers.add(answer)
        self.cache = WebCache.write(self.cache.folder, answers)

    def keep(self, state: Path, task: Task) -> None:
        """Keep it for all gradings of the task from now on. Raises GatewayError."""
        try:
            self.cache = self.cache.keep(cache_folder(state, task))
        except OSError as error:
            raise GatewayError(f"{cache_folder(state, task)}: can't be written: {error.strerror}") from error
