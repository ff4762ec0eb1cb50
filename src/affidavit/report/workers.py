"""Work on many trials, shared among the machine's processors."""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from affidavit.report.runs import ReportError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

FEWEST = 100
"""Items for which other processes are worth their start."""

_MOST_PROCESSES = 8
_CHUNK = 8


class Share(Protocol):
    """Calls a function with each item, as `map` does. The function and what goes in and out can be pickled."""

    def __call__(self, function: Callable[[_Item], _Result], items: Iterable[_Item], /) -> Iterable[_Result]:
        """The results, in the order of the items."""


@contextmanager
def shared(items: int) -> Iterator[Share]:
    """A `map` that may use several processes, which end with the block.

    They are forked from a fresh process that has imported what they need, once for all of them; not from
    this one, where libraries have threads. So the program's main module must be importable, as `multiprocessing` asks
    for.

    Args:
        items: how many there will be; for a few it is `map` itself.

    Raises:
        ReportError: a process was killed.
    """
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    if items < FEWEST or processes < 2:
        yield map
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["affidavit.report"])
    with ProcessPoolExecutor(processes, context, _begin) as pool:

        def share(function: Callable[[_Item], _Result], items: Iterable[_Item], /) -> Sequence[_Result]:
            return list(pool.map(function, items, chunksize=_CHUNK))

        try:
            yield share
        except BrokenProcessPool as error:
            raise ReportError("a process that read trials was killed, perhaps for want of memory; try again") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Who interrupts the program interrupts its first process, which ends the others. What was imported stays to the
    end, so it need not be looked through for garbage again and again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
