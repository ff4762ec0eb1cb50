"""Who goes first where a sandbox wants all of the machine."""

import os
import subprocess
import sys
import threading

from affidavit.recorder import raise_thread_priority


def test_a_thread_goes_first_and_what_it_starts_does_not() -> None:
    said: list[str | int] = []

    def work() -> None:
        raise_thread_priority()
        said.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        program = "import os; print(os.sched_getscheduler(0))"
        said.append(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [os.SCHED_RR, str(os.SCHED_OTHER)]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
