"""The page on the wire: what is reachable, with which headers, and that nothing of it comes from elsewhere."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from gateway.web.docs import docs_routes

pytestmark = pytest.mark.anyio
ASSETS = {
    "/docs/favicon-32x32.png": "image/png",
    "/docs/page.css": "text/css; charset=utf-8",
    "/docs/page.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
}
PATHS = {"/docs": "text/html; charset=utf-8", **ASSETS}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=docs_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def directives(response: httpx.Response) -> dict[str, str]:
    policy = response.headers["content-security-policy"]
    return {name: sources for name, _, sources in (one.strip().partition(" ") for one in policy.split(";"))}


def test_the_routes_are_the_page_and_its_assets_and_nothing_else() -> None:
    assert {route.path for route in docs_routes()} == set(PATHS)
    assert {frozenset(route.methods or ()) for route in docs_routes()} == {frozenset({"GET", "HEAD"})}


@pytest.mark.parametrize(("path", "media_type"), list(PATHS.items()))
async def test_each_file_comes_with_its_type_and_the_protective_headers(client: httpx.AsyncClient, path: str, media_type: str) -> None:
    response = await client.get(path)

    assert response.status_code == 200
    assert response.content
    assert response.headers["content-type"] == media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"
    assert "content-security-policy" in response.headers


async def test_the_policy_lets_nothing_in_but_the_gateways_own_files(client: httpx.AsyncClient) -> None:
    policy = directives(await client.get("/docs"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in " ".join(policy.values())


async def test_the_page_has_no_inline_script_or_style(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text

    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []


async def test_everything_the_page_loads_is_one_of_the_assets(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    loaded = re.findall(r"<(?:script|link|img)[^>]*\b(?:src|href)=\"([^\"]*)\"", page)

    assert {f"/{url}" for url in loaded} == set(ASSETS)
    assert re.findall(r"https?:|\"//", page) == []


async def test_our_script_asks_only_for_the_gateways_document(client: httpx.AsyncClient) -> None:
    script = (await client.get("/docs/page.js")).text

    assert 'url: "openapi.json"' in script
    assert "validatorUrl: null" in script
    assert re.findall(r"https?:|\"//", script) == []


async def test_the_style_sheets_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in ("/docs/swagger-ui.css", "/docs/page.css"):
        sheet = (await client.get(path)).text
        targets = re.findall(r"url\(\s*[\"']?([^\"')]{0,16})", sheet)

        assert [target for target in targets if not target.startswith("data:")] == []
        assert "@import" not in sheet


@pytest.mark.parametrize("path", list(PATHS))
async def test_a_known_file_is_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    etag = (await client.get(path)).headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = await client.get(path, headers={"If-None-Match": known})
        assert response.status_code == 304
        assert response.content == b""
        assert response.headers["etag"] == etag
        assert "content-security-policy" in response.headers


async def test_another_files_tag_is_not_enough(client: httpx.AsyncClient) -> None:
    other = (await client.get("/docs/page.css")).headers["etag"]

    response = await client.get("/docs", headers={"If-None-Match": other})

    assert response.status_code == 200
    assert response.headers["etag"] != other


async def test_head_answers_the_headers_of_get(client: httpx.AsyncClient) -> None:
    head, get = await client.head("/docs"), await client.get("/docs")

    assert head.status_code == 200
    assert head.headers == get.headers


@pytest.mark.parametrize(
    "path",
    [
        "/docs/LICENSE",
        "/docs/page.html",
        "/docs/swagger-ui/swagger-ui.css",
        "/docs/%2e%2e/docs.py",
        "/docs/..%2f..%2fdocs.py",
        "/docs/%2e%2e%2f%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/docs//etc/passwd",
        "/docs/swagger-ui.css%00.png",
        "/docs/swagger-ui.css/",
    ],
)
async def test_nothing_else_is_reachable(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, follow_redirects=False)

    assert response.status_code in (307, 404)
    if response.status_code == 307:  # Starlette offers the same path without its last slash
        assert response.headers["location"].removeprefix("http://gateway") in PATHS


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE"])
async def test_the_page_is_only_read(client: httpx.AsyncClient, verb: str) -> None:
    assert (await client.request(verb, "/docs")).status_code == 405
