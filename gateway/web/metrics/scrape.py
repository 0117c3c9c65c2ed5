"""The doors to the metrics: `/metrics`, and where there is no cluster that has one of its own, Tecton's `/api/v1/observability/metrics`."""

import asyncio
import zlib
from collections.abc import Callable, Sequence

from starlette.types import Receive, Scope, Send

from gateway.web.exchange import STARTED, STATUS, id_headers, read_headers
from gateway.web.metrics.exposition import Format
from gateway.web.metrics.negotiation import choose, takes_gzip
from gateway.web.metrics.teller import Metrics
from gateway.web.problems import Headers

_GZIP = 16 + zlib.MAX_WBITS


class Scrape:
    """For whom `admit` does not refuse; None: for everybody. `usual`: the format for whoever asks for none."""

    def __init__(
        self, metrics: Metrics, max_body_bytes: int, admit: Callable[[bytes | None], None] | None = None, usual: Format = Format.TEXT
    ) -> None:
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._admit = admit
        self._usual = usual

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        if self._admit is not None:
            authorization, _ = read_headers(scope, self._max_body_bytes)
            self._admit(authorization)
        form = choose(_joined(scope, b"accept"), self._usual)
        parts = await self._metrics.text(form)
        headers: Headers = [(b"content-type", form.encode()), (b"vary", b"accept, accept-encoding"), *id_headers(scope, 200)]
        if takes_gzip(_joined(scope, b"accept-encoding")):
            parts = [await asyncio.get_running_loop().run_in_executor(None, _compress, parts)]
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", b"%d" % sum(map(len, parts))))
        scope[STARTED], scope[STATUS] = True, 200
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts if scope["method"] != "HEAD" else ():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _joined(scope: Scope, header: bytes) -> str:
    return ", ".join([value.decode("latin-1") for name, value in scope["headers"] if name == header])


def _compress(parts: Sequence[bytes]) -> bytes:
    """Not for the event loop: it takes as long as all else, but lets others run meanwhile."""
    packer = zlib.compressobj(1, wbits=_GZIP)
    return b"".join([*map(packer.compress, parts), packer.flush()])
