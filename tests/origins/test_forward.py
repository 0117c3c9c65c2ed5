"""The exchange itself, over a transport that does as it is told: what it is given, what becomes of its failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx
import pytest

from gateway.errors import OriginError, OriginMalformed, OriginTimeout, OriginUnavailable
from gateway.origins.forward import Call, Forwarder

NO_BODY = Call("GET", b'/api/x%2e?q="a"', [(b"accept", b"a/b")])


class Parts(httpx.AsyncByteStream):
    """A body; `fails`: raised after its parts."""

    def __init__(self, *parts: bytes, fails: Exception | None = None) -> None:
        self._parts = parts
        self._fails = fails
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._fails is not None:
            raise self._fails

    async def aclose(self) -> None:
        self.closed = True


class Transport(httpx.AsyncBaseTransport):
    """Answers as told, and keeps what it was asked."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self._answer = answer
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.bodies.append(b"".join([part async for part in request.stream]))
        return self._answer()

    async def aclose(self) -> None:
        self.closed = True


def fine(body: Parts | None = None) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(200, headers=[(b"ETag", b"1"), (b"Set-Cookie", b"a=b")], stream=body or Parts(b"a", b"b"))


def forwarder(transport: Transport, url: str = "http://cluster:81", places: int = 4) -> Forwarder:
    return Forwarder(transport, url, connect_timeout_s=0.5, max_connections=places)


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.mark.parametrize(
    ("url", "target"),
    [("http://cluster:81", NO_BODY.target), ("http://cluster:81/", NO_BODY.target), ("http://cluster:81/base/", b"/base" + NO_BODY.target)],
)
async def test_a_transport_is_told_the_clusters_address_and_the_target_as_it_came(url: str, target: bytes) -> None:
    transport = Transport(fine())
    async with forwarder(transport, url).exchange(NO_BODY, soon()) as answer:
        assert [part async for part in answer.body] == [b"a", b"b"]
    [request] = transport.requests
    assert (request.url.scheme, request.url.host, request.url.port) == ("http", "cluster", 81)
    assert request.extensions["target"] == target
    assert request.headers.raw == [(b"host", b"cluster:81"), (b"accept", b"a/b")]
    assert (answer.status, answer.headers) == (200, [(b"etag", b"1")])
    assert transport.bodies == [b""]


@pytest.mark.parametrize(("size", "framing"), [(5, (b"content-length", b"5")), (None, (b"transfer-encoding", b"chunked"))])
async def test_a_body_is_framed_as_it_was_announced(size: int | None, framing: tuple[bytes, bytes]) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"he"
        yield b"llo"

    transport = Transport(fine())
    async with forwarder(transport).exchange(Call("PUT", b"/api/x", [], body(), size), soon()):
        pass
    assert transport.bodies == [b"hello"]
    assert transport.requests[0].headers.raw[1:] == [framing]


async def test_a_call_without_a_body_that_could_have_one_says_so() -> None:
    transport = Transport(fine())
    async with forwarder(transport).exchange(Call("POST", b"/api/x", [], None, 0), soon()):
        pass
    assert transport.requests[0].headers.raw[1:] == [(b"content-length", b"0")]


async def test_each_phase_ends_with_the_call_and_connecting_before() -> None:
    transport = Transport(fine())
    async with forwarder(transport).exchange(NO_BODY, soon(3.0)):
        pass
    async with forwarder(transport).exchange(NO_BODY, soon(-1.0)):
        pass
    timeouts, over = (request.extensions["timeout"] for request in transport.requests)
    assert timeouts["connect"] == 0.5
    assert 0 < timeouts["read"] == timeouts["write"] == timeouts["pool"] <= 3.0
    assert 0 < over["connect"] == over["read"] < 0.1


FAILURES: list[tuple[Exception, type[OriginError]]] = [
    (httpx.ConnectError("x"), OriginUnavailable),
    (httpx.ReadError("x"), OriginUnavailable),
    (httpx.WriteError("x"), OriginUnavailable),
    (httpx.CloseError("x"), OriginUnavailable),
    (httpx.LocalProtocolError("x"), OriginUnavailable),
    (httpx.UnsupportedProtocol("x"), OriginUnavailable),
    (httpx.RemoteProtocolError("x"), OriginUnavailable),
    (httpx.StreamClosed(), OriginUnavailable),
    (httpx.ConnectTimeout("x"), OriginTimeout),
    (httpx.ReadTimeout("x"), OriginTimeout),
    (httpx.WriteTimeout("x"), OriginTimeout),
    (httpx.PoolTimeout("x"), OriginTimeout),
]


@pytest.mark.parametrize(("failure", "kind"), FAILURES, ids=[type(one).__name__ for one, _ in FAILURES])
async def test_a_transports_failure_is_one_of_ours_before_the_answer_and_in_the_middle_of_it(
    failure: Exception, kind: type[OriginError]
) -> None:
    def fail() -> httpx.Response:
        raise failure

    async def call(transport: Transport) -> None:
        async with forwarder(transport).exchange(NO_BODY, soon()) as answer:
            async for part in answer.body:
                received.append(part)  # noqa: PERF401 - a comprehension would lose what came before a failure

    body = Parts(b"part", fails=failure)
    received: list[bytes] = []
    with pytest.raises(kind):
        await call(Transport(fail))
    assert received == []
    with pytest.raises(kind):
        await call(Transport(fine(body)))
    assert received == [b"part"]
    assert body.closed


async def test_every_failure_of_httpx_is_one_of_ours() -> None:
    def kinds(base: type[Exception]) -> set[type[Exception]]:
        return {base}.union(*(kinds(below) for below in base.__subclasses__()))

    raised = kinds(httpx.TransportError) | kinds(httpx.StreamError)
    leaves = {
        kind for kind in raised if kind.__module__ == "httpx" and not [one for one in kind.__subclasses__() if one.__module__ == "httpx"]
    }
    named = {type(failure) for failure, _ in FAILURES}
    # a proxy is never used, and the other misuses of a stream differ in name alone
    assert leaves - named == {httpx.ProxyError, httpx.StreamConsumed, httpx.ResponseNotRead, httpx.RequestNotRead}


@pytest.mark.parametrize("status", [101, 199, 600, 999])
async def test_a_status_that_is_none_is_malformed_and_its_answer_closed(status: int) -> None:
    body = Parts()
    with pytest.raises(OriginMalformed):
        async with forwarder(Transport(lambda: httpx.Response(status, stream=body))).exchange(NO_BODY, soon()):
            raise AssertionError("there is no answer")
    assert body.closed


async def test_calls_beyond_the_bound_wait_and_one_that_is_left_gives_its_place_back() -> None:
    from gateway.tasks import Tasks

    tasks, transport = Tasks(), Transport(fine())
    inside, leave = asyncio.Event(), asyncio.Event()
    narrow = forwarder(transport, places=1)

    async def call(*, stay: bool) -> None:
        async with narrow.exchange(NO_BODY, soon()):
            inside.set()
            if stay:
                await leave.wait()

    first = tasks.start(call(stay=True))
    await inside.wait()
    left, waiting = tasks.start(call(stay=False)), tasks.start(call(stay=False))
    await asyncio.sleep(0)
    assert len(transport.requests) == 1
    left.cancel()
    first.cancel()
    for task in (first, left):
        with suppress(asyncio.CancelledError):
            await task
    async with asyncio.timeout(5):
        await waiting
    assert len(transport.requests) == 2


async def test_it_closes_its_transport() -> None:
    transport = Transport(fine())
    await forwarder(transport).aclose()
    assert transport.closed
