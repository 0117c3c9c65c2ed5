"""Calls that go to the cluster as they came: streamed both ways, once, each part when there is room for it.

Never tried again: most are not idempotent, and part of a body cannot be had twice. Who may call what, and with which headers, is decided
before (`targets`, `hygiene`, the door); here is only the exchange, and each of its failures as one of `errors`. Transport and pool are not
those of the reads, so a slow upload never takes a read's connection.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx

from gateway.errors import OriginMalformed, OriginTimeout, OriginUnavailable
from gateway.origins.hygiene import Header, passed_back


@dataclass(frozen=True, slots=True)
class Call:
    """What goes out. `headers` are clean; `body` None: there is none. `size_bytes` of a body None: it is not known before its end."""

    method: str
    target: bytes = field(repr=False)
    headers: Sequence[Header] = field(repr=False)
    body: AsyncIterator[bytes] | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: `headers` are clean, `body` is to be read once."""

    status: int
    headers: Sequence[Header] = field(repr=False)
    body: AsyncIterator[bytes]


class _Body(httpx.AsyncByteStream):
    """A body on its way, as a transport wants it."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts


class Forwarder:
    """One cluster, whose address no call can change. Calls are counted here, so that nothing ever waits in the transport's own pool."""

    def __init__(self, transport: httpx.AsyncBaseTransport, url: str, *, connect_timeout_s: float, max_connections: int) -> None:
        self._transport = transport
        self._base = httpx.URL(url.rstrip("/"))
        self._origin = url.rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        self._slots = asyncio.Semaphore(max_connections)

    @asynccontextmanager
    async def exchange(self, call: Call, deadline: float) -> AsyncIterator[Answer]:
        """One call. `deadline` is on the event loop's clock; the caller of this ends it then. What breaks while the answer is read is
        raised as what breaks before."""
        async with self._slots:
            with _told():
                response = await self._transport.handle_async_request(self._request(call, deadline))
                try:
                    if not 200 <= response.status_code <= 599:
                        raise OriginMalformed("The feature store answered with a status that is none.")
                    headers = passed_back(response.status_code, response.headers.raw, self._origin)
                    yield Answer(response.status_code, headers, response.aiter_raw())
                finally:
                    await response.aclose()

    def _request(self, call: Call, deadline: float) -> httpx.Request:
        left_s = max(0.001, deadline - asyncio.get_running_loop().time())
        headers = [(b"host", self._base.netloc), *call.headers]
        if call.size_bytes is not None:
            headers.append((b"content-length", b"%d" % call.size_bytes))
        elif call.body is not None:
            headers.append((b"transfer-encoding", b"chunked"))
        target = self._base.raw_path.rstrip(b"/") + call.target
        timeouts = {"connect": min(left_s, self._connect_timeout_s), "read": left_s, "write": left_s, "pool": left_s}
        # `target` is what goes on the wire: a URL object would encode some of its characters anew
        return httpx.Request(
            call.method,
            self._base.copy_with(raw_path=target),
            headers=headers,
            stream=httpx.ByteStream(b"") if call.body is None else _Body(call.body),
            extensions={"timeout": timeouts, "target": target},
        )

    async def aclose(self) -> None:
        await self._transport.aclose()


@contextmanager
def _told() -> Iterator[None]:
    """A transport's failures as ours."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise OriginTimeout("The feature store did not answer in time.") from error
    except httpx.RemoteProtocolError as error:
        raise OriginUnavailable("The feature store broke off its answer.") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise OriginUnavailable("The feature store cannot be reached.") from error
