"""Frames on the pipes and sockets between the sandboxes, and a loop that passes them on without ever blocking."""

import os
import selectors
import signal
import socket
import struct
from contextlib import suppress

OPEN, DATA, CLOSE, RESULT = 1, 2, 3, 4
MOST_PAYLOAD = 1 << 20
HEAD = struct.Struct(">IBI")
# Reading from sessions stops while more than this waits to be sent to the host.
_ENOUGH_WAITING = 4 << 20
# A session whose process does not read is ended beyond this.
_MOST_WAITING = 256 << 20


class BadFrame(Exception):
    """What came is no frame."""


class Parser:
    """Bytes into frames."""

    def __init__(self, kinds):
        self.kinds = kinds
        self.data = bytearray()

    def feed(self, data):
        """The frames that are complete now, as (session, kind, payload).

        Raises:
            BadFrame: there is another kind, or too long a payload.
        """
        self.data += data
        found, at = [], 0
        while len(self.data) - at >= HEAD.size:
            session, kind, length = HEAD.unpack_from(self.data, at)
            if kind not in self.kinds or length > MOST_PAYLOAD:
                raise BadFrame(f"kind {kind}, length {length}")
            if len(self.data) - at < HEAD.size + length:
                break
            at += HEAD.size
            found.append((session, kind, bytes(self.data[at : at + length])))
            at += length
        del self.data[:at]
        return found


def frames(session, kind, payload):
    """As many frames as the payload needs."""
    if not payload:
        return HEAD.pack(session, kind, 0)
    parts = (payload[at : at + MOST_PAYLOAD] for at in range(0, len(payload), MOST_PAYLOAD))
    return b"".join(HEAD.pack(session, kind, len(part)) + part for part in parts)


class Stream:
    """A descriptor with what waits to be written to it."""

    def __init__(self, reading, writing, parser):
        self.reading, self.writing, self.parser = reading, writing, parser
        self.waiting = bytearray()
        self.closing = False
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)

    def read(self):
        """What is there; None where nothing is, empty at the end."""
        try:
            return os.read(self.reading, 1 << 18)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def flush(self):
        """Whether the other end still reads."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.writing, self.waiting[: 1 << 18])]
        except BlockingIOError:
            pass
        except OSError:
            self.waiting.clear()
            return False
        return True


class Relay:
    """Passes frames between the host (descriptors 0 and 1) and the sockets of sessions.

    What differs between the two ends is in `opened`, `accept` and `ended`, which they define.
    """

    kinds_from_host = frozenset((OPEN, DATA, CLOSE))
    kinds_from_session = frozenset((DATA,))

    def __init__(self):
        self.host = Stream(0, 1, Parser(self.kinds_from_host))
        self.host_open = True
        self.sessions = {}
        self.others = {}
        self.wake, woken = os.pipe()
        for end in (self.wake, woken):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)

    def add(self, session, connection):
        """A session and its socket."""
        descriptor = connection.detach()
        self.sessions[session] = Stream(descriptor, descriptor, Parser(self.kinds_from_session))

    def drop(self, session):
        """End a session on this side."""
        stream = self.sessions.pop(session, None)
        if stream is not None:
            os.close(stream.reading)

    def to_host(self, session, kind, payload=b""):
        if self.host_open:
            self.host.waiting += frames(session, kind, payload)

    def to_session(self, session, kind, payload):
        stream = self.sessions.get(session)
        if stream is None:
            return
        stream.waiting += frames(session, kind, payload)
        if len(stream.waiting) > _MOST_WAITING:
            self.drop(session)
            self.closed(session)

    def closed(self, session):
        """A session ended on this side: the other is told."""
        self.to_host(session, CLOSE)

    def from_host(self, session, kind, payload):
        raise NotImplementedError

    def from_session(self, session, kind, payload):
        self.to_host(session, kind, payload)

    def host_gone(self):
        """The other end is gone, or talks nonsense."""
        self.host_open = False
        for session in list(self.sessions):
            self.drop(session)

    def step(self, timeout):
        """Pass on what can be passed on, once."""
        with selectors.DefaultSelector() as selector:
            wanted = {self.wake: selectors.EVENT_READ}
            if self.host_open:
                wanted[self.host.reading] = selectors.EVENT_READ
            if self.host.waiting:
                wanted[self.host.writing] = wanted.get(self.host.writing, 0) | selectors.EVENT_WRITE
            if len(self.host.waiting) < _ENOUGH_WAITING:
                reading = (stream.reading for stream in self.sessions.values() if not stream.closing)
                for descriptor in (*self.others, *reading):
                    wanted[descriptor] = selectors.EVENT_READ
            for stream in self.sessions.values():
                if stream.waiting:
                    wanted[stream.writing] = wanted.get(stream.writing, 0) | selectors.EVENT_WRITE
            for descriptor, events in wanted.items():
                # A plain file is always ready, and can't be waited for (tests do that).
                with suppress(PermissionError):
                    selector.register(descriptor, events)
            ready = {key.fd: events for key, events in selector.select(timeout)}
        if self.wake in ready:
            with suppress(BlockingIOError):
                while os.read(self.wake, 4096):
                    pass
        if self.host.writing in ready and not self.host.flush():
            self.host_gone()
        if self.host_open and self.host.reading in ready:
            self._read_host()
        for session, stream in list(self.sessions.items()):
            if self.sessions.get(session) is stream:
                self._serve(session, stream, ready.get(stream.reading, 0))
        for descriptor, read in list(self.others.items()):
            if descriptor in ready:
                read()

    def _read_host(self):
        data = self.host.read()
        if data is None:
            return
        if not data:
            self.host_gone()
            return
        try:
            found = self.host.parser.feed(data)
        except BadFrame:
            self.host_gone()
            return
        for frame in found:
            self.from_host(*frame)

    def _serve(self, session, stream, events):
        listens = stream.flush() if stream.waiting else True
        if stream.closing:
            if not stream.waiting or not listens:
                self.drop(session)
            return
        alive = True
        # Who no longer listens has ended, and what it said last is still to be read.
        while alive and (not listens or events & selectors.EVENT_READ):
            data = stream.read()
            if data:
                try:
                    for _, kind, payload in stream.parser.feed(data):
                        self.from_session(session, kind, payload)
                except BadFrame:
                    alive = False
            elif data is not None or not listens:
                alive = False
            if listens:
                break
        if not alive and session in self.sessions:
            self.drop(session)
            self.closed(session)

    def flush_all(self):
        """Send what waits, at the end."""
        os.set_blocking(self.host.writing, True)
        self.host.flush()


class Connection:
    """One session as its process sees it: a stream of bytes in frames on a socket."""

    def __init__(self, sock):
        self.socket = sock
        self.parser = Parser(frozenset((DATA, CLOSE)))
        self.data = bytearray()
        self.ended = False

    def open(self, payload):
        self.socket.sendall(frames(0, OPEN, payload))

    def send(self, data):
        """Raises: OSError: the other end is gone."""
        self.socket.sendall(frames(0, DATA, data))

    def receive(self):
        """Wait for more; whether there is any."""
        if self.ended:
            return False
        try:
            data = self.socket.recv(1 << 18)
            found = self.parser.feed(data)
        except (OSError, BadFrame):
            data, found = b"", []
        self.ended = not data
        for _, kind, payload in found:
            if kind == CLOSE:
                self.ended = True
                break
            self.data += payload
        return bool(self.data) or not self.ended

    def take(self, count):
        """Exactly so many bytes; None where the stream ends before."""
        while len(self.data) < count:
            if not self.receive():
                return None
            if self.ended and len(self.data) < count:
                return None
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken


def address(name):
    """A Unix socket's address, `@` for the abstract kind."""
    return "\0" + name[1:] if name.startswith("@") else name


def connect(name):
    """Raises: OSError: no broker there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(address(name))
    return Connection(sock)
