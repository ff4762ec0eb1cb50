"""How many bits pass from one sandbox to another by channels that only a clock shows, and by those that are open.

    python benchmarks/channels.py [--runtime runc|gvisor] [--bits N]

The sender knows some random bits, and the receiver guesses each of them by what it measures: whether that lies above a
threshold, which is learned from half of the bits and tried on the others. If a share p of these guesses is wrong, the
share 1 - H(p) of each bit has passed (the capacity of a binary symmetric channel). What a counter carries is computed:
the logarithm of how far a sender gets in a minute, over how differently others move it between two sandboxes.
"""

import argparse
import json
import math
import os
import random
import shutil
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measuring import UNRECORDED, spec

from affidavit.sandbox import OciSandbox, runtimes

_BESIDE = ("processors", "disk", "free memory", "pipes beside")
_AFTER = ("pages", "names")
_COUNTERS = ("pipes", "memory files", "renames", "sockets", "packets")
_SLOTS_S = (0.01, 0.05)
# A grading with this long to send.
_LIFE_S = 60
_STARTS_WITHIN_S = 3.0
_HANDOVERS = 5


class Ends:
    """Starts both ends."""

    def __init__(self, runtime: str, folder: Path) -> None:
        self.runtime, self.folder = runtime, folder
        shutil.copy(Path(__file__).with_name("channel_ends.py"), folder)
        folder.chmod(0o755)

    def start(self, what: str, channel: str, seed: int, bits: int, slot_s: float = 0, begin: float = 0) -> OciSandbox:
        """A sandbox that runs one end."""
        command = f"exec python3 /bench/channel_ends.py {what} '{channel}' {seed} {bits} {slot_s} {begin}"
        sandbox = runtimes()[self.runtime].sandbox(spec(command, self.folder))
        sandbox.create(UNRECORDED)
        sandbox.start()
        return sandbox

    def ask(self, what: str, channel: str, seed: int, bits: int) -> object:
        """What one end prints."""
        with self.start(what, channel, seed, bits) as sandbox:
            return said(sandbox)


def said(sandbox: OciSandbox) -> object:
    """What a sandbox prints until its end; None: nothing."""
    sandbox.wait(600)
    sandbox.kill()
    return json.loads(sandbox.output().stdout or b"null")


def passed(sent: npt.NDArray[np.bool_], measured: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The share of wrong guesses, and bits that passed of each."""
    half = len(sent) // 2
    cuts = np.quantile(measured[:half], np.linspace(0, 1, 101))
    hits = np.array([np.mean((measured[:half] > cut) == sent[:half]) for cut in cuts])
    best = int(np.argmax(np.abs(hits - 0.5)))
    wrong = float(np.mean((measured[half:] > cuts[best]) != sent[half:]))
    if hits[best] < 0.5:
        wrong = 1 - wrong
    # Worse than chance is chance.
    wrong = min(wrong, 0.5)
    return wrong, 1 - (0 if wrong in (0, 1) else -wrong * math.log2(wrong) - (1 - wrong) * math.log2(1 - wrong))


def beside(ends: Ends, channel: str, bits: int) -> None:
    """Measure a channel between sandboxes that run at the same time, with slots of several lengths; the best counts."""
    found = []
    for slot_s in _SLOTS_S:
        seed, begin = random.randrange(1 << 30), time.time() + _STARTS_WITHIN_S
        with ExitStack() as stack:
            looking, sending = (
                stack.enter_context(ends.start(what, channel, seed, bits, slot_s, begin)) for what in ("look", "send")
            )
            measured = said(looking)
            sending.kill()
        if isinstance(measured, list):
            wrong, share = passed(drawn(seed, bits), np.array(measured, float))
            found.append((share / slot_s, wrong, slot_s))
    rate, wrong, slot_s = max(found)
    show(channel, f"{wrong:5.1%} wrong, slots of {slot_s * 1000:3.0f} ms: {rate:6.2f} bits/s", rate * _LIFE_S)


def after(ends: Ends, channel: str, bits: int) -> None:
    """Measure a channel from a sandbox to the next."""
    seed = random.randrange(1 << 30)
    ends.ask("touch", channel, seed, bits)
    measured = ends.ask("time", channel, seed, bits)
    wrong, share = passed(drawn(seed, bits), np.array(measured, float))
    show(channel, f"{wrong:5.1%} wrong of {bits} bits", share * bits)


def counter(ends: Ends, channel: str) -> None:
    """Measure a counter."""
    read = [ends.ask("count", channel, 0, 0) for _ in range(_HANDOVERS + 1)]
    pairs = [pair for pair in read if isinstance(pair, list)]
    if len(pairs) < len(read):
        show(channel, "can't be read", 0)
        return
    rate = float(np.median([last - first for first, last in pairs]))
    between = np.array([later[0] - earlier[1] for earlier, later in pairwise(pairs)])
    if between.max() < 0:
        show(channel, "each sandbox has its own", 0)
        return
    spread = float(between.max() - between.min() + 1)
    carried = max(0.0, math.log2(max(1.0, rate * _LIFE_S / spread)))
    show(channel, f"{rate:9.0f} a second; others move it by {between.min()} to {between.max()}", carried)


def drawn(seed: int, bits: int) -> npt.NDArray[np.bool_]:
    """What the sender sends."""
    return np.array(random.Random(seed).choices((0, 1), k=bits), bool)


def show(channel: str, how: str, in_a_life: float) -> None:
    print(f"  {channel:14} {how:62} {in_a_life:8.0f} bits in {_LIFE_S} s (load {os.getloadavg()[0]:.1f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=("runc", "gvisor"), action="append")
    parser.add_argument("--bits", type=int, default=600)
    options = parser.parse_args()
    for runtime in options.runtime or ("runc", "gvisor"):
        with tempfile.TemporaryDirectory() as folder:
            ends = Ends(runtime, Path(folder))
            print(f"{runtime}: beside each other")
            for channel in _BESIDE:
                beside(ends, channel, options.bits)
            print(f"{runtime}: after each other")
            for channel in _AFTER:
                after(ends, channel, options.bits)
            for channel in _COUNTERS:
                counter(ends, channel)


if __name__ == "__main__":
    main()
