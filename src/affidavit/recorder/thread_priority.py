"""Priority of the recorder's threads while a sandbox uses the whole machine."""

import contextlib
import os


def raise_thread_priority() -> None:
    """Let the calling thread go before what it watches, where this user may: a busy sandbox must not hold up its own
    record. What the thread starts does not inherit that (sched(7), SCHED_RESET_ON_FORK)."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
