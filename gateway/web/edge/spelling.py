"""What the edge writes itself: the beginning of a hit's reply, and the last words of a connection."""

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.errors import GatewayError
from gateway.web.problems import JSON, Headers, answer


class Preamble:
    """What every hit's reply begins with. uvicorn makes its headers anew each second, with the date."""

    def __init__(self) -> None:
        self._of: object = None
        self._text = b""

    def before(self, default_headers: Headers) -> bytes:
        if default_headers is not self._of:
            self._of = default_headers
            self._text = STATUS_LINE[200] + _lines((*default_headers, JSON))
        return self._text


def last_words(error: GatewayError, begun: bytes, default_headers: Headers, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """The answer to a request that begins so, whatever follows: in the shape of its door, and without a body to HEAD. `more` headers."""
    method, _, rest = begun.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    status, headers, body = answer(error, path)
    return b"%b%bconnection: close\r\n\r\n%b" % (
        STATUS_LINE[status],
        _lines((*default_headers, *headers, *more)),
        b"" if method == b"HEAD" else body,
    )


def _lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
