"""Both ends of the channels of channels.py; runs in their sandboxes, with the standard library only.

python3 channel_ends.py send|look|touch|time|count CHANNEL SEED BITS SLOT_S BEGIN
"""

import ctypes
import json
import mmap
import os
import random
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_SO_COOKIE = 57
_MOVED = 0xC0
_SENT_BYTES = 128 << 20
# Work between two looks at the clock.
_STEP = range(500)


def slots(count: int, slot_s: float, begin: float) -> Iterator[tuple[int, float]]:
    """Number and end of each slot, when it begins."""
    for number in range(count):
        while time.time() < begin + number * slot_s:
            time.sleep(0.0005)
        yield number, begin + (number + 1) * slot_s - 0.001


def wait(end: float) -> None:
    """Sleep until then."""
    time.sleep(max(0.0, end - time.time()))


# Beside each other: what a sender does in a slot whose bit is 1.


def compute(end: float) -> None:
    """On two processors: a hash of much data goes without the interpreter's lock."""
    other = threading.Thread(target=_compute, args=(end,))
    other.start()
    _compute(end)
    other.join()


def _compute(end: float) -> None:
    data = bytes(1 << 17)
    while time.time() < end:
        zlib.crc32(data)


def write(end: float) -> None:
    with Path("/tmp/sent").open("wb", buffering=0) as file:
        while time.time() < end:
            os.pwrite(file.fileno(), bytes(1 << 20), 0)
            os.fsync(file.fileno())


def allocate(end: float) -> None:
    with mmap.mmap(-1, _SENT_BYTES) as kept:
        for at in range(0, _SENT_BYTES, mmap.PAGESIZE):
            kept[at] = 1
        wait(end)


def make_pipes(end: float) -> None:
    while time.time() < end:
        pipe_number()


# And what a receiver measures in each slot.


def computed(end: float) -> float:
    done = 0
    while time.time() < end:
        sum(_STEP)
        done += 1
    return done


def written(end: float) -> float:
    done = 0
    with Path("/tmp/seen").open("wb", buffering=0) as file:
        while time.time() < end:
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fsync(file.fileno())
            done += 1
    return done


def free_memory(end: float) -> float:
    wait(end)
    about = (ctypes.c_ulong * 16)()
    _LIBC.sysinfo(about)
    return about[5]


def pipes_made(end: float) -> float:
    before = pipe_number()
    wait(end)
    return pipe_number() - before


# After each other: what a sender does with names whose bit is 1, and what a receiver clocks for all.


def read_page(name: str) -> None:
    with Path(name).open("rb", buffering=0) as file:
        file.read(mmap.PAGESIZE)


def names(count: int, seed: int) -> list[str]:
    found = [
        f"{folder}/{name}" for top in ("/usr/share", "/usr/lib") for folder, _, files in os.walk(top) for name in files
    ]
    return random.Random(seed).sample(sorted(found), count)


def clocked(act: Callable[[str], object], name: str) -> float:
    began = time.perf_counter()
    act(name)
    return time.perf_counter() - began


# Counters that the kernel keeps for the whole machine.


def pipe_number() -> int:
    ends = os.pipe()
    number = os.fstat(ends[0]).st_ino
    for end in ends:
        os.close(end)
    return number


def memory_file_number() -> int:
    file = os.memfd_create("")
    number = os.fstat(file).st_ino
    os.close(file)
    return number


def socket_cookie() -> int:
    with socket.socket() as one:
        return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")


class Renames:
    """Inotify numbers the renames that it tells of."""

    def __init__(self) -> None:
        self.watch = _LIBC.inotify_init1(os.O_NONBLOCK)
        for folder in ("watched", "other"):
            Path(f"/dev/shm/{folder}").mkdir()
            Path(f"/dev/shm/{folder}/a").touch()
        _LIBC.inotify_add_watch(self.watch, b"/dev/shm/watched", _MOVED)

    def __call__(self) -> int:
        self.rename("watched")
        return int.from_bytes(os.read(self.watch, 4096)[8:12], "little")

    def move(self) -> None:
        self.rename("other")

    def rename(self, folder: str) -> None:
        # As often in a second as can be.
        os.rename(f"/dev/shm/{folder}/a", f"/dev/shm/{folder}/b")  # noqa: PTH104
        os.rename(f"/dev/shm/{folder}/b", f"/dev/shm/{folder}/a")  # noqa: PTH104


def packets() -> int:
    with Path("/proc/net/softnet_stat").open() as file:
        return sum(int(line.split()[0], 16) for line in file)


def send_packet(one: socket.socket) -> None:
    one.sendto(b"", one.getsockname())


def counter(name: str) -> tuple[Callable[[], int], Callable[[], object]]:
    """What reads a counter, and what moves it on."""
    if name == "renames":
        renames = Renames()
        return renames, renames.move
    if name == "packets":
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        return packets, lambda: send_packet(one)
    read = {"pipes": pipe_number, "memory files": memory_file_number, "sockets": socket_cookie}[name]
    return read, read


def count(name: str) -> list[int] | None:
    """A counter before and after a second in which it is moved as far as can be; None where it can't be read."""
    try:
        read, move = counter(name)
        first, until = read(), time.time() + 1
        while time.time() < until:
            move()
        return [first, read()]
    except (OSError, IndexError):
        return None


SEND = {"processors": compute, "disk": write, "free memory": allocate, "pipes beside": make_pipes}
LOOK = {"processors": computed, "disk": written, "free memory": free_memory, "pipes beside": pipes_made}
TOUCH: dict[str, Callable[[str], object]] = {"pages": read_page, "names": os.stat}


def main(what: str, channel: str, seed: int, bits: int, slot_s: float, begin: float) -> None:
    sent = random.Random(seed).choices((0, 1), k=bits)
    if what == "send":
        for number, end in slots(bits, slot_s, begin):
            if sent[number]:
                SEND[channel](end)
    elif what == "look":
        print(json.dumps([LOOK[channel](end) for _, end in slots(bits, slot_s, begin)]))
    elif what == "touch":
        for name, bit in zip(names(bits, seed), sent, strict=True):
            if bit:
                TOUCH[channel](name)
    elif what == "time":
        print(json.dumps([clocked(TOUCH[channel], name) for name in names(bits, seed)]))
    else:
        print(json.dumps(count(channel)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6]))
