"""A channel over the hot transport: the request put together as bytes, the reply as it came."""

import zlib
from collections.abc import Callable, Iterator, Mapping

import httpx

from gateway.origins.http.channel import USER_AGENT, Reply
from gateway.origins.http.receivers import Headers, TooLarge, Whole
from gateway.origins.http.transport import Exchange, FastTransport

_GZIP = 31
"""zlib's window bits for gzip."""


class FastChannel:
    """Over the hot transport. Asks for no compression: on the way to an origin nearby it costs more time than it saves."""

    def __init__(self, url: str, transport: FastTransport, *, max_reply_bytes: int) -> None:
        base = httpx.URL(url.rstrip("/"))
        self._transport = transport
        self._pool = transport.pool(base.scheme, base.host, base.port)
        self._prefix = f"POST {base.raw_path.decode('ascii').rstrip('/')}"
        self._host = f" HTTP/1.1\r\nhost: {base.netloc.decode('ascii')}\r\nuser-agent: {USER_AGENT}\r\n"
        self._max_reply_bytes = max_reply_bytes

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], deadline_s: float, *, again: bool = True) -> Reply:
        request = self._request(path, body, headers)
        return self.read(await self._transport.exchange(self._pool, request, deadline_s, self._max_reply_bytes, again=again))

    def begin(self, path: str, body: bytes, headers: Mapping[str, str], tell: Callable[[], object]) -> "_Posted | None":
        request = self._request(path, body, headers)
        exchange = self._transport.begin(self._pool, request, self._max_reply_bytes, tell)
        return None if exchange is None else _Posted(self, request, exchange)

    async def go_on(self, request: bytes, begun: Exchange, deadline_s: float) -> Reply:
        """Wait for a call that was begun."""
        return self.read(await self._transport.exchange(self._pool, request, deadline_s, self._max_reply_bytes, again=True, begun=begun))

    def _request(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        told = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if told.count("\n") != len(headers) or told.count("\r") != len(headers):
            raise httpx.LocalProtocolError("a header holds a line break")
        return f"{self._prefix}{path}{self._host}{told}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body

    def read(self, got: Whole) -> Reply:
        """A reply that has come."""
        encoded = [value for name, value in got.headers if len(name) == 16 and name.lower() == b"content-encoding"]
        return Reply(got.status, _Named(got.headers), self._decoded(got.body, encoded) if encoded else got.body)

    def _decoded(self, body: bytes, encoded: list[bytes]) -> bytes:
        """Of a reply that is compressed all the same. Not larger than any other may be."""
        if encoded == [b"identity"]:
            return body
        if encoded != [b"gzip"]:
            raise httpx.DecodingError("the reply has an encoding that was not asked for")
        unpacking = zlib.decompressobj(_GZIP)
        try:
            whole = unpacking.decompress(body, self._max_reply_bytes + 1)
        except zlib.error as error:
            raise httpx.DecodingError("the reply is not gzip") from error
        if len(whole) > self._max_reply_bytes:
            raise TooLarge
        if not unpacking.eof or unpacking.unused_data:
            raise httpx.DecodingError("the reply is not whole")
        return whole

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Posted:
    """A `channel.Posted`."""

    __slots__ = ("_channel", "_exchange", "_request")

    def __init__(self, channel: FastChannel, request: bytes, exchange: Exchange) -> None:
        self._channel = channel
        self._request = request
        self._exchange = exchange

    def reply(self) -> Reply | None:
        whole = self._exchange.whole
        if whole.error is not None:
            return None
        try:
            return self._channel.read(whole)
        except (httpx.DecodingError, TooLarge):
            return None

    async def waited(self, deadline_s: float) -> Reply:
        return await self._channel.go_on(self._request, self._exchange, deadline_s)


class _Named(Mapping[str, str]):
    """Header fields by name, looked for when somebody asks: of most replies nobody does. Of a name that comes twice the first counts."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        wanted = name.encode("latin-1")
        for given, value in self._headers:
            if given.lower() == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(given.lower().decode("latin-1") for given, _ in self._headers))

    def __len__(self) -> int:
        return len({given.lower() for given, _ in self._headers})
