"""An origin's faults, byte by byte, and what a read gets on such a day: 200 and the right values, or an error of that status, and never
anything else. `test_bad_days` holds the gateway to it.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tests.harness.scripted import scripts
from tests.harness.scripted.scripts import bytes_only, chunked, misframed, prefixed, refused, truncated, with_headers, with_length
from tests.harness.scripted.steps import Reply, Script

MAX_REPLY_BYTES = 200_000
"""origin.max_reply_bytes."""
BIG = 1_000_000


@dataclass(frozen=True)
class Fault:
    """`cold`: what two reads get, one after the other, that nothing is cached for: one status for both, or by transport one of each.
    `hangs`: only the deadline ends it."""

    name: str
    script: Script
    cold: int | Mapping[str, tuple[int, int]]
    hangs: bool = False

    def statuses(self, transport: str) -> tuple[int, int]:
        return (self.cold, self.cold) if isinstance(self.cold, int) else self.cold[transport]


def headers(count: int, size: int) -> dict[str, str]:
    return {f"x-padding-{number}": "x" * size for number in range(count)}


BOMB = Reply(200, gzip.compress(b" " * 20 * MAX_REPLY_BYTES), {"content-encoding": "gzip"}).wire
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
HARMLESS = [
    Fault("late", partial(scripts.late, seconds=0.05), 200),
    Fault("a byte at a time", partial(scripts.dripped, size=1, every_s=0), 200),
    Fault("in pieces", partial(scripts.dripped, size=100, every_s=0.002), 200),
    Fault("no length", scripts.unlabelled, 200),
    Fault("HTTP/1.0", scripts.http_1_0, 200),
    Fault("HTTP/1.0, no length", partial(scripts.unlabelled, version="1.0"), 200),
    Fault("chunked", chunked, 200),
    Fault("chunked by the byte", partial(chunked, size=1), 200),
    Fault("chunked with an extension", partial(chunked, extension=b";name=value"), 200),
    Fault("chunked with trailers", partial(chunked, trailers=b"x-checksum: 5\r\nx-two: 2\r\n"), 200),
    Fault("100 before it", partial(prefixed, data=b"HTTP/1.1 100 Continue\r\n\r\n"), 200),
    Fault("103 before it, three times", partial(prefixed, data=EARLY * 3), 200),
    Fault("gzip", scripts.packed, 200),
    Fault("closed after the reply", scripts.answered_and_closed, 200),
    Fault("half closed after the reply", partial(scripts.answered_and_closed, half=True), 200),
    # all of the values are there, and nothing but their checksum is not
    Fault("gzip without its end", partial(scripts.packed, cut=8), {"fast": (502, 502), "httpx": (200, 200)}),
    Fault("forty headers", partial(with_headers, headers=headers(40, 100)), 200),
]
BROKEN = [
    Fault("closed without a byte", scripts.closed, 503),
    Fault("reset without a byte", scripts.reset, 503),
    Fault("cut in the status line", partial(truncated, at=7), 503),
    Fault("cut in the head", partial(truncated, at=40), 503),
    Fault("cut in the body", partial(truncated, at=-9), 503),
    Fault("reset in the body", partial(truncated, at=-9, reset=True), 503),
    Fault("too long a length", partial(scripts.truncated, at=10**6, form=partial(scripts.mislabelled, off=5)), 503),
    Fault("a length of nothing", partial(scripts.mislabelled, off=-100_000), 503),
    Fault("a length with a sign", partial(with_length, lines=("content-length: +5",)), 503),
    Fault("a length in hexadecimal", partial(with_length, lines=("content-length: 0x400",)), 503),
    Fault("two lengths", partial(with_length, lines=("content-length: 5", "content-length: 6")), 503),
    Fault("an unknown coding", partial(with_length, lines=("transfer-encoding: rot13",)), 503),
    Fault("no length, and cut", partial(truncated, at=-9, form=scripts.unlabelled), 502),
    Fault("no length, and reset", partial(scripts.unlabelled, reset=True), 503),
    Fault("a chunk size that is none", partial(misframed, line=b"zz"), 503),
    Fault("a chunk size with a sign", partial(misframed, line=b"-5"), 503),
    Fault("a chunk size beyond all", partial(misframed, line=b"f" * 17), 503),
    Fault("no chunk size", partial(misframed, line=b""), 503),
    Fault("no last chunk", partial(chunked, end=b"", stays=False), 503),
    Fault("a huge chunk extension", partial(chunked, size=10_000, extension=b";" + b"x" * BIG), {"fast": (200, 200), "httpx": (503, 503)}),
    Fault("garbage", partial(bytes_only, data=b"\x16\x03\x01 what is this\r\n\r\n"), 503),
    Fault("another protocol", partial(bytes_only, data=b"SSH-2.0-OpenSSH_9.6\r\n"), 503),
    Fault(
        "another version",
        partial(bytes_only, data=b"HTTP/3.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
        {"fast": (503, 503), "httpx": (502, 502)},
    ),
    Fault("a status that is none", partial(bytes_only, data=b"HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\n{}"), 503),
    Fault("a status line without an end", partial(bytes_only, data=b"HTTP/1.1 200 " + b"x" * BIG), 503),
    Fault("garbage before the reply", partial(prefixed, data=b"garbage\r\n"), 503),
    Fault("a header without a name", partial(with_length, lines=(": 5",)), 503),
    Fault("a huge header", partial(with_headers, headers={"x-padding": "x" * BIG}), 503),
    Fault("endless headers", partial(with_headers, headers=headers(1000, 1000)), 503),
    Fault(
        "101",
        partial(bytes_only, data=b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        {"fast": (503, 503), "httpx": (503, 503)},
    ),
    Fault("204", partial(bytes_only, data=b"HTTP/1.1 204 No Content\r\n\r\n"), 502),
    Fault("304", partial(bytes_only, data=b"HTTP/1.1 304 Not Modified\r\n\r\n"), 502),
    Fault("gzip, cut", partial(scripts.packed, cut=60), 502),
    Fault("gzip with a wrong sum", partial(scripts.packed, flipped=True), 502),
    Fault("gzip that is none", partial(with_headers, headers={"content-encoding": "gzip"}), 502),
    Fault("an unknown encoding", partial(scripts.packed, label="unheard-of"), 502),
    Fault("a gzip bomb", partial(scripts.constant, wire=BOMB), 502),
    Fault("too large a body", partial(prefixed, data=b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + b" " * 300_000), 502),
    Fault("503", partial(refused, status=503), 503),
    Fault("503 with Retry-After", partial(refused, status=503, retry_after="1"), 503),
    Fault("500", partial(refused, status=500), 502),
    Fault("504", partial(refused, status=504), 504),
    Fault("429", partial(refused, status=429), 429),
    Fault("429 with Retry-After", partial(refused, status=429, retry_after="1"), 429),
    Fault("429 until a date", partial(refused, status=429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"), 429),
    Fault("429 until nonsense", partial(refused, status=429, retry_after="soon"), 429),
]
HANGING = [
    Fault("never answers", scripts.silent, 504, hangs=True),
    Fault("half-open", scripts.deaf, 504, hangs=True),
    Fault("stalls in the head", partial(scripts.stalled, at=20), 504, hangs=True),
    Fault("stalls in the body", partial(scripts.stalled, at=-9), 504, hangs=True),
    Fault("too long a length, and waits", partial(scripts.mislabelled, off=5), 504, hangs=True),
    Fault("too late", partial(scripts.late, seconds=3), 504, hangs=True),
    Fault("drips a body for ever", partial(scripts.endless, first=CHUNKED, again=b"1\r\n \r\n", every_s=0.02), 504, hangs=True),
    Fault(
        "drips a head for ever", partial(scripts.endless, first=b"HTTP/1.1 200 OK\r\n", again=b"x: y\r\n", every_s=0.02), 504, hangs=True
    ),
    # ours takes sixteen of them; the stock client waits for the reply as long as it may
    Fault(
        "1xx for ever",
        partial(scripts.endless, first=b"", again=EARLY, every_s=0.002),
        {"fast": (503, 503), "httpx": (504, 504)},
        hangs=True,
    ),
]
