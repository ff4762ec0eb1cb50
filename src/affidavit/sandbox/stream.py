"""What a sandbox writes to a standard stream, bounded."""

import errno
import os


class BoundedStream:
    """The reading end of a pipe whose first `bound` bytes are kept and whose rest is counted."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept: list[bytes] = []
        self._size = 0
        self.dropped = 0
        self.read_end = self.write_end = -1

    def open(self) -> None:
        """Make the pipe."""
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)

    def attach(self, descriptor: int) -> None:
        """Read from a descriptor instead, which does not block and is closed with this."""
        self.read_end = descriptor

    def drain(self) -> bool:
        """Take what is there now, a megabyte at most. Returns False at the end of the stream."""
        if self.read_end < 0:
            return False
        for _ in range(16):
            try:
                chunk = os.read(self.read_end, 1 << 16)
            except BlockingIOError:
                return True
            except OSError as problem:
                # A terminal that nobody holds any more (tty_ioctl(4) calls it a hang-up).
                if problem.errno == errno.EIO:
                    return False
                raise
            if not chunk:
                return False
            room = self._bound - self._size
            if room > 0:
                self._kept.append(chunk[:room])
                self._size += len(self._kept[-1])
            self.dropped += max(0, len(chunk) - max(room, 0))
        return True

    def forget(self) -> None:
        """Keep nothing more of it: what comes from now on is read and dropped."""
        self._bound = 0
        self._kept = []

    def content(self) -> bytes:
        """The bytes that were kept."""
        return b"".join(self._kept)

    def close_write_end(self) -> None:
        """After whoever writes has it."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Close what is open. Harmless when called twice."""
        self.close_write_end()
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1
