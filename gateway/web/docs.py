"""The offline documentation page at /docs: a page of ours around a vendored Swagger UI that shows /openapi.json.

Owns which files are reachable. URLs in the page are relative, so that it also works behind a path prefix.
"""

from starlette.routing import Route

from gateway.web.assets import HTML, PNG, SCRIPT, STATIC, STYLE, Asset, protection

_HEADERS = protection(form_action="'none'", referrer="no-referrer")
FAVICON = STATIC / "swagger-ui/favicon-32x32.png"


def docs_routes() -> list[Route]:
    """/docs and the assets of the page, each as a route of its own. /openapi.json, which the page reads, is the app's."""
    page = Asset(STATIC / "docs/page.html", HTML, _HEADERS)
    assets = (
        Asset(STATIC / "docs/page.css", STYLE, _HEADERS),
        Asset(STATIC / "docs/page.js", SCRIPT, _HEADERS),
        Asset(STATIC / "swagger-ui/swagger-ui-bundle.js", SCRIPT, _HEADERS),
        Asset(STATIC / "swagger-ui/swagger-ui.css", STYLE, _HEADERS),
        Asset(FAVICON, PNG, _HEADERS),
    )
    return [
        Route("/docs", page.respond, name="docs"),
        *(Route(f"/docs/{asset.path.name}", asset.respond, name=f"docs/{asset.path.name}") for asset in assets),
    ]
