"""Which host a TLS client asks for."""

import ssl

MOST_BYTES = 1 << 17
"""More than any client's first message (RFC 8446, 4: 64 KiB in practice, and the records around it)."""


class HelloError(Exception):
    """What a client began with is no TLS; the text is a sentence on it."""


class ClientHello:
    """Reads the first message of a TLS client, piece by piece, by OpenSSL's own parser: what another parser would make
    of it is of no interest to the server that it is meant for."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Nothing is ever agreed on; whatever the client offers is only read.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.sni_callback = self._take
        self._incoming = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, ssl.MemoryBIO(), server_side=True)
        self._read = 0
        self._there = False
        self.name: str | None = None
        """The host asked for; None where the client names none."""

    def _take(self, _socket: object, name: str | None, _context: object) -> int:
        self.name, self._there = name, True
        return ssl.ALERT_DESCRIPTION_ACCESS_DENIED

    def feed(self, data: bytes) -> bool:
        """Take in more; whether the message is whole.

        Raises:
            HelloError: it is no such message.
        """
        self._read += len(data)
        if self._read > MOST_BYTES:
            raise HelloError("its first message is too long")
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            if self._there:
                return True
            raise HelloError("it does not begin with a TLS client's message") from error
        raise HelloError("it began with something else than a TLS client's message")
