"""Scripts: how one reply goes wrong, or is merely unusual. Each takes the exchange and says what is done; `functools.partial` fills in the
rest.

They hold no state, so they can be sent to another process.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain

from tests.harness.clock import Hold
from tests.harness.scripted.steps import Deafen, Exchange, Finish, HalfFinish, Reach, Reply, Reset, Script, Send, Step, Wait

MESSAGE = b'{"error":"so says the cluster","message":"so says the cluster","code":14}'


def right(exchange: Exchange) -> Iterable[Step]:
    """The whole reply, at once."""
    return (Send(exchange.right.wire),)


def constant(_: Exchange, *, wire: bytes) -> Iterable[Step]:
    """The same bytes for everybody: an origin under load, which costs next to nothing."""
    return (Send(wire),)


def late(exchange: Exchange, *, seconds: float, then: Script = right) -> Iterable[Step]:
    return chain((Wait(seconds),), then(exchange))


def held(exchange: Exchange, *, hold: Hold, then: Script = right) -> Iterable[Step]:
    return chain((Reach(hold),), then(exchange))


def dripped(exchange: Exchange, *, size: int, every_s: float) -> Iterator[Step]:
    """So many bytes at a time."""
    wire = exchange.right.wire
    for start in range(0, len(wire), size):
        yield Send(wire[start : start + size])
        yield Wait(every_s)


def endless(_: Exchange, *, first: bytes, again: bytes, every_s: float) -> Iterator[Step]:
    """No pause between two pieces is long, and no piece is the last."""
    yield Send(first)
    while True:
        yield Send(again)
        yield Wait(every_s)


def truncated(exchange: Exchange, *, at: int, reset: bool = False, form: Script = right) -> Iterator[Step]:
    """The first `at` bytes of `form`, then a FIN or a RST. Negative: all but so many."""
    sent = b"".join(step.data for step in form(exchange) if isinstance(step, Send))
    yield Send(sent[:at])
    if reset:
        yield Wait(0.001)  # the bytes are to arrive before the reset does
    yield Reset() if reset else Finish()


def stalled(exchange: Exchange, *, at: int) -> Iterable[Step]:
    """The first `at` bytes, then nothing."""
    return Send(exchange.right.wire[:at]), Deafen()


def mislabelled(exchange: Exchange, *, off: int) -> Iterable[Step]:
    """A Content-Length that is too long by `off` bytes, or too short, and the connection stays."""
    reply = exchange.right
    return (Send(reply.head(f"content-length: {len(reply.body) + off}") + reply.body),)


def with_length(exchange: Exchange, *, lines: tuple[str, ...]) -> Iterable[Step]:
    """These headers where the length belongs."""
    return Send(exchange.right.head(*lines) + exchange.right.body), Finish()


def unlabelled(exchange: Exchange, *, version: str = "1.1", reset: bool = False) -> Iterable[Step]:
    """No length: the end of the connection is the end of the reply."""
    end: tuple[Step, ...] = (Wait(0.02), Reset()) if reset else (Finish(),)
    return Send(exchange.right.head(version=version) + exchange.right.body), *end


def http_1_0(exchange: Exchange) -> Iterable[Step]:
    reply = exchange.right
    return Send(reply.head(f"content-length: {len(reply.body)}", version="1.0") + reply.body), Finish()


def chunked(
    exchange: Exchange, *, size: int = 64, extension: bytes = b"", trailers: bytes = b"", end: bytes = b"0\r\n", stays: bool = True
) -> Iterator[Step]:
    """In chunks of `size` bytes. `end`: the last chunk's line; `stays` False: then a FIN."""
    reply = exchange.right
    pieces = [reply.body[start : start + size] for start in range(0, len(reply.body), size)]
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    yield Send(reply.head("transfer-encoding: chunked") + framed + (end + trailers + b"\r\n" if end else b""))
    if not stays:
        yield Finish()


def misframed(exchange: Exchange, *, line: bytes) -> Iterable[Step]:
    """`line` where the size of the first chunk belongs."""
    reply = exchange.right
    return Send(reply.head("transfer-encoding: chunked") + line + b"\r\n" + reply.body + b"\r\n0\r\n\r\n"), Finish()


def prefixed(exchange: Exchange, *, data: bytes) -> Iterable[Step]:
    """`data` before the right reply."""
    return (Send(data + exchange.right.wire),)


def suffixed(exchange: Exchange, *, data: bytes) -> Iterable[Step]:
    return (Send(exchange.right.wire + data),)


def bytes_only(_: Exchange, *, data: bytes) -> Iterable[Step]:
    """`data` in place of a reply."""
    return Send(data), Finish()


def twice(exchange: Exchange) -> Iterable[Step]:
    """The right reply and, in the same breath, a stranger's, which the next request of the connection would get."""
    return (Send(exchange.right.wire + exchange.of_a_stranger.wire),)


def unsolicited(exchange: Exchange, *, after_s: float) -> Iterable[Step]:
    """The right reply and, once the connection is idle, a stranger's."""
    return Send(exchange.right.wire), Wait(after_s), Send(exchange.of_a_stranger.wire)


def with_headers(exchange: Exchange, *, headers: Mapping[str, str]) -> Iterable[Step]:
    reply = exchange.right
    return (Send(replace(reply, headers={**reply.headers, **headers}).wire),)


def silent(_: Exchange) -> Iterable[Step]:
    """Read, and never answered."""
    return (Wait(3_600),)


def deaf(_: Exchange) -> Iterable[Step]:
    """Half-open: the peer's machine is gone, and nobody has said so."""
    return (Deafen(),)


def closed(_: Exchange) -> Iterable[Step]:
    return (Finish(),)


def reset(_: Exchange) -> Iterable[Step]:
    return (Reset(),)


def answered_and_closed(exchange: Exchange, *, after_s: float = 0.0, half: bool = False) -> Iterator[Step]:
    """The right reply, and a FIN of which no header warned; the next request may be on its way already."""
    yield Send(exchange.right.wire)
    if after_s:
        yield Wait(after_s)
    yield HalfFinish() if half else Finish()


def refused(_: Exchange, *, status: int, retry_after: str | None = None, body: bytes = MESSAGE) -> Iterable[Step]:
    headers = {"content-type": "application/json"} | ({} if retry_after is None else {"retry-after": retry_after})
    return (Send(Reply(status, body, headers).wire),)


def packed(exchange: Exchange, *, cut: int = 0, label: str = "gzip", flipped: bool = False) -> Iterable[Step]:
    """With gzip. `cut`: without its last bytes, under a length that is right; `flipped`: with a wrong checksum."""
    body = gzip.compress(exchange.right.body, mtime=0)
    body = body[: len(body) - cut]
    if flipped:
        body = body[:-8] + bytes([body[-8] ^ 0xFF]) + body[-7:]
    return (Send(replace(exchange.right, body=body, headers={**exchange.right.headers, "content-encoding": label}).wire),)


def on_reuse(exchange: Exchange, *, script: Script, after: int = 1) -> Iterable[Step]:
    """Right for the first requests of each connection; then `script`."""
    return script(exchange) if exchange.turn >= after else right(exchange)


def by_user(exchange: Exchange, *, prefix: str, script: Script) -> Iterable[Step]:
    """`script` for users of that prefix, and right for others."""
    return script(exchange) if exchange.user.startswith(prefix) else right(exchange)


closed_on_reuse = partial(on_reuse, script=closed)
reset_on_reuse = partial(on_reuse, script=reset)
"""The race on a kept connection: it ended while the request was on its way, and no byte of a reply has come."""
