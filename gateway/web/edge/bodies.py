"""The bodies of requests in a connection's bytes: of a length that was told, or in chunks. Pure: bytes in, pieces or an error out.

Bodies are cut, not scanned.
"""

import re
from collections.abc import Sequence

from gateway.errors import HeadTooLarge, MalformedHttp
from gateway.web.edge.framing import FIELDS, NEVER, SPLIT, VALUE, too_large

_NOT_IN_TRAILERS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})


class Announced:
    """A body of a length that was told."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def whole(self) -> bool:
        return not self._left

    def read(self, data: bytes, at: int) -> tuple[Sequence[bytes], int]:
        """What of the body stands in `data` from `at`, and where it ends."""
        piece = data[at : at + self._left]
        self._left -= len(piece)
        return (piece,), at + len(piece)


_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(;" + VALUE + rb"*+)?\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{1,8}(?:;" + VALUE + rb"*+)?\r?")
_MAX_SIZE_LINE_BYTES = 256
_MAX_EXTENSION_BYTES = 4_096
_MAX_TRAILER_BYTES = 8_192
_FREE_CHUNKS, _LEAST_MEAN_CHUNK_BYTES = 4_096, 16
"""Each chunk costs the loop a microsecond, whatever it brings. So many may be of any size; with more, they hold so much on average."""


class Chunked:
    """A body in chunks (RFC 9112 section 7.1). Extensions and trailers are checked and dropped."""

    __slots__ = ("_begun", "_chunks", "_ended", "_extension_bytes", "_left", "_max_bytes", "_size", "_trailers", "whole")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun = b""  # of a line that is not whole
        self._left = 0  # of the chunk at hand
        self._ended = True  # the chunk before, by its CRLF
        self._trailers = False
        self._size = self._chunks = self._extension_bytes = 0
        self.whole = False

    def read(self, data: bytes, at: int) -> tuple[Sequence[bytes], int]:
        """What of the body stands in `data` from `at`, and where that ends. Raises MalformedHttp and BodyTooLarge."""
        pieces: list[bytes] = []
        if not self._begun:
            return pieces, self._read(data, at, pieces)
        begun, self._begun = self._begun, b""
        return pieces, at - len(begun) + self._read(begun + data[at:], 0, pieces)

    def _read(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        while at < len(data) and not self.whole:
            if self._left:
                pieces.append(data[at : at + self._left])
                self._left -= len(pieces[-1])
                at += len(pieces[-1])
            elif not self._ended:
                at = self._end_chunk(data, at)
            elif self._trailers:
                at = self._end_body(data, at)
            else:
                at = self._begin_chunk(data, at)
        return at

    def _end_chunk(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self._ended = True
            return at + 2
        if data[at:] != b"\r":
            raise MalformedHttp("a chunk does not end where its size says")
        return self._keep(data, at)

    def _begin_chunk(self, data: bytes, at: int) -> int:
        found = _SIZE.match(data, at, at + _MAX_SIZE_LINE_BYTES)
        if found is None:
            if len(data) - at >= _MAX_SIZE_LINE_BYTES or not _SIZE_BEGUN.fullmatch(data, at):
                raise MalformedHttp("a chunk's size is malformed")
            return self._keep(data, at)
        self._left = int(found[1], 16)
        self._size += self._left
        self._chunks += 1
        self._extension_bytes += len(found[2] or b"")
        if self._size > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._extension_bytes > _MAX_EXTENSION_BYTES:
            raise MalformedHttp("its chunks have too many extensions")
        if self._chunks > _FREE_CHUNKS and self._size < self._chunks * _LEAST_MEAN_CHUNK_BYTES:
            raise MalformedHttp("it has too many small chunks")
        self._trailers = not self._left
        self._ended = self._trailers
        return found.end()

    def _end_body(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self.whole = True
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        if (len(data) if end < 0 else end) - at > _MAX_TRAILER_BYTES:
            raise HeadTooLarge(f"The trailers are longer than {_MAX_TRAILER_BYTES} bytes.")
        if end < 0:
            if NEVER.search(data, at):
                raise MalformedHttp("its trailers are malformed")
            return self._keep(data, at)
        if not FIELDS.fullmatch(data, at, end + 2):
            raise MalformedHttp("its trailers are malformed")
        if not _NOT_IN_TRAILERS.isdisjoint(name.lower() for name, _ in SPLIT.findall(data, at, end + 2)):
            raise MalformedHttp("a trailer says what only a header may")
        self.whole = True
        return end + 4

    def _keep(self, data: bytes, at: int) -> int:
        self._begun = data[at:]
        return len(data)
