"""Reply heads that have been read before, by their bytes: an origin's replies of one second begin with the same few, and a head that is
known need not be parsed again.

Only of plain replies: 200, whole with the piece that began them, framed by one Content-Length, after which the connection lives on. What
such a head says depends on nothing but its bytes, so it says the same on any connection to the same address.
"""

from typing import NamedTuple

from gateway.origins.http.receivers import Headers

_MOST = 256
_MOST_BYTES = 2_048
_LENGTH_DIGITS = 9


class Sight(NamedTuple):
    """A reply of one piece, known by its head. `end`: where its body begins."""

    headers: Headers
    end: int
    size_bytes: int


class Heads:
    """Of one address. Starts anew when it is full: what changes in heads is mostly the time of day."""

    def __init__(self) -> None:
        self._seen: dict[bytes, Sight] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def find(self, piece: bytes) -> Sight | None:
        """Of a piece that begins a reply: its head, if it is known and the piece is the whole reply and nothing more."""
        sight = self._seen.get(piece[: piece.find(b"\r\n\r\n") + 4])
        return sight if sight is not None and len(piece) == sight.size_bytes else None

    def remember(self, piece: bytes, headers: Headers) -> None:
        """A reply of status 200 that came in this piece, was read, and left its connection fit for another; unless it is not plain."""
        end = piece.find(b"\r\n\r\n") + 4
        if not 4 <= end <= _MOST_BYTES or len(piece) == end:
            return
        lengths = []
        for name, value in headers:
            lower = name.lower()
            if lower in {b"transfer-encoding", b"upgrade"}:
                return
            if lower == b"content-length":
                lengths.append(value)
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > _LENGTH_DIGITS:
            return
        if int(lengths[0]) != len(piece) - end:  # more came, that says nothing
            return
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[piece[:end]] = Sight(headers, end, len(piece))
