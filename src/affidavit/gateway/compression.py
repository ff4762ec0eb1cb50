"""Content codings of requests and answers, undone a bounded piece at a time: a small body may be a huge one compressed.

Sources: RFC 9110, section 8.4.1 (gzip, deflate); RFC 7932 (br).
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli

CODINGS = ("identity", "gzip", "deflate", "br")
"""Those that can be undone."""

_PIECE_BYTES = 256 << 10


class BadCompression(Exception):
    """A body is not in the coding that its header names."""


class Decoder(Protocol):
    """Undoes one coding of one body."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What the next chunk holds, in pieces of some hundred kilobytes. Raises BadCompression while iterating."""

    def end(self) -> None:
        """See that the body was whole. Raises BadCompression."""


def decoder_of(header: str) -> Decoder | None:
    """What undoes a body's coding; None where that can't be undone.

    Args:
        header: the body's `Content-Encoding`; empty where there is none.
    """
    match header.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Inflate(wbits=31)
        case "deflate":
            return _Inflate(wbits=15)
        case "br":
            return _Brotli()
        case _:
            return None


class _Identity:
    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk

    def end(self) -> None:
        """Whole as it is."""


class _Inflate:
    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        rest, full = chunk, True
        while full and not self._inflate.eof:
            try:
                piece = self._inflate.decompress(rest, _PIECE_BYTES)
            except zlib.error as error:
                raise BadCompression(str(error)) from None
            # It may hold more, though all of its input is gone.
            rest, full = self._inflate.unconsumed_tail, len(piece) == _PIECE_BYTES
            yield piece
        if rest or self._inflate.unused_data:
            raise BadCompression("there is more after its end")

    def end(self) -> None:
        if not self._inflate.eof:
            raise BadCompression("it ends before its end")


class _Brotli:
    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        rest = chunk
        # It takes all of its input at once and keeps what does not fit: only an empty piece says that nothing is left.
        while piece := self._next(rest):
            rest = b""
            yield piece

    def _next(self, chunk: bytes) -> bytes:
        if chunk and self._brotli.is_finished():
            raise BadCompression("there is more after its end")
        try:
            return bytes(self._brotli.process(chunk, output_buffer_limit=_PIECE_BYTES))
        except brotli.error as error:
            raise BadCompression(str(error)) from None

    def end(self) -> None:
        if not self._brotli.is_finished():
            raise BadCompression("it ends before its end")
