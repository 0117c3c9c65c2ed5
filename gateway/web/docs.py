"""The offline documentation page at /docs: a page of ours around a vendored Swagger UI that shows /openapi.json.

Owns which files are reachable: those named here, each under its own route, so no path of a request ever becomes a path of the file
system. URLs in the page are relative, so that it also works behind a path prefix.
"""

import asyncio
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"
_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"

# img-src data: is for the icons in Swagger UI's style sheet. It sets styles through the DOM, which needs no 'unsafe-inline'.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    # No name carries a version, so every use asks again; the answer is a 304 until the gateway changes.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class _Asset:
    """One file. Read once, at its first use, off the event loop. (Not on Starlette's threads: their library is imported then.)"""

    path: Path
    media_type: str

    @cached_property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def etag(self) -> str:
        return f'"{sha256(self.body).hexdigest()[:32]}"'

    async def respond(self, request: Request) -> Response:
        await asyncio.to_thread(lambda: self.etag)
        headers = {**_HEADERS, "ETag": self.etag}
        if self._is_known(request.headers):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)

    def _is_known(self, headers: Headers) -> bool:
        """RFC 9110 §13.1.2: weak comparison with each of the tags, or with any."""
        tags = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
        return "*" in tags or self.etag in tags


def docs_routes() -> list[Route]:
    """/docs and the assets of the page, each as a route of its own. /openapi.json, which the page reads, is the app's."""
    page = _Asset(_STATIC / "docs/page.html", _HTML)
    assets = (
        _Asset(_STATIC / "docs/page.css", _STYLE),
        _Asset(_STATIC / "docs/page.js", _SCRIPT),
        _Asset(_STATIC / "swagger-ui/swagger-ui-bundle.js", _SCRIPT),
        _Asset(_STATIC / "swagger-ui/swagger-ui.css", _STYLE),
        _Asset(_STATIC / "swagger-ui/favicon-32x32.png", "image/png"),
    )
    return [
        Route("/docs", page.respond, name="docs"),
        *(Route(f"/docs/{asset.path.name}", asset.respond, name=f"docs/{asset.path.name}") for asset in assets),
    ]
