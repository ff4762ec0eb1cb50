"""What process 1 of either sandbox, and those that it starts, do with processes."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def hide():
    """Keep other processes out of this one's memory and descriptors (ptrace(2), access mode checking); whether that
    could be done."""
    return ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0


def adopt_orphans():
    """Have orphans among what this process starts stay below it, and be found when it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def close_all_but(keep):
    """Let go of every descriptor but the standard streams and one."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != keep:
            with suppress(OSError):
                os.close(int(name))


class Forked:
    """A child that is a copy of this process, as far as `subprocess.Popen` has to do with one here.

    It does `work`, and what that returns is its exit status; 1 where it raises.
    """

    def __init__(self, work):
        self.returncode = None
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            status = work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)

    def poll(self):
        """Its exit status, negative for a signal; None while it runs."""
        done, how = os.waitpid(self.pid, os.WNOHANG)
        return ended(how) if done else None

    def wait(self):
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def ended(how):
    """The exit status in what waitpid(2) said, negative for a signal."""
    return os.WEXITSTATUS(how) if os.WIFEXITED(how) else -os.WTERMSIG(how)
