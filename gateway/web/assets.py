"""Files that the gateway serves to browsers, each under a route of its own: no path of a request ever becomes one of the file system."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
HTML = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
STYLE = "text/css; charset=utf-8"
PNG = "image/png"


def protection(*, form_action: str, referrer: str) -> dict[str, str]:
    """The headers of whatever a browser shows or runs: nothing is let in but the gateway's own files, and nothing inline. `img-src data:`
    is for icons in style sheets; styles that are set through the DOM need no 'unsafe-inline'."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Referrer-Policy": referrer, "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Asset:
    """One file. Read once, at its first use, off the event loop. (Not on Starlette's threads: their library is imported then.) No name
    carries a version, so every use asks again; the answer is a 304 until the gateway changes."""

    path: Path
    media_type: str
    headers: Mapping[str, str]

    @cached_property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def etag(self) -> str:
        return f'"{sha256(self.body).hexdigest()[:32]}"'

    async def respond(self, request: Request) -> Response:
        await asyncio.to_thread(lambda: self.etag)
        headers = {"Cache-Control": "no-cache", **self.headers, "ETag": self.etag}
        if self._is_known(request.headers):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)

    def _is_known(self, headers: Headers) -> bool:
        """RFC 9110 §13.1.2: weak comparison with each of the tags, or with any."""
        tags = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
        return "*" in tags or self.etag in tags
