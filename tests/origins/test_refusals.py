"""What a cluster's status stands for, and what of its text reaches a caller."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    OriginError,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    PermissionDenied,
    Unauthenticated,
)
from gateway.features import Caller, ServiceRef
from gateway.origins.base import Fetch, FetchRow, ViewFacts
from gateway.origins.http.httpx_channel import HttpxChannel
from gateway.origins.tecton import TectonOrigin, refusal
from gateway.web.problems import status_of

TEXT = "what the cluster says"
SAID = json.dumps({"error": TEXT, "message": TEXT, "code": 3}).encode()
NAMED: Mapping[int, type[GatewayError]] = {
    200: OriginMalformed,
    400: InvalidRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    429: OriginThrottled,
    503: OriginUnavailable,
    504: OriginTimeout,
}
SILENT = [b"", b"<html>nginx</html>", b"{}", b"[]", b'{"message":""}', b'{"message":5}', b"\xff", b"{" * 100_000]
SERVICE = ServiceRef("live", "fraud")


@pytest.mark.parametrize("body", [SAID, b""], ids=["with a text", "without"])
def test_every_status_is_the_error_it_stands_for(body: bytes) -> None:
    told = {status: refusal(status, body, {}) for status in range(100, 600)}
    kinds = {status: OriginFailed if status == 404 and body != SAID else NAMED.get(status, OriginFailed) for status in told}
    assert {status: type(error) for status, error in told.items()} == kinds
    assert not [status for status, error in told.items() if not error.message]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503, 504])
def test_a_status_of_the_contract_keeps_the_clusters_text(status: int) -> None:
    assert refusal(status, SAID, {}).message == TEXT


@pytest.mark.parametrize("status", [200, 204, 302, 405, 408, 409, 418, 500, 501, 502, 505])
def test_a_status_of_no_contract_does_not_show_the_clusters_text(status: int) -> None:
    assert TEXT not in refusal(status, SAID, {}).message


@pytest.mark.parametrize(
    ("status", "served"),
    [(400, 400), (401, 401), (403, 403), (404, 404), (429, 429), (500, 502), (502, 502), (503, 503), (504, 504), (302, 502)],
)
def test_a_caller_is_answered_with_the_status_that_fits(status: int, served: int) -> None:
    assert status_of(refusal(status, SAID, {})) == served


@pytest.mark.parametrize("status", NAMED)
@pytest.mark.parametrize("body", SILENT, ids=lambda body: repr(body[:20]))
def test_a_body_without_a_text_changes_nothing(status: int, body: bytes) -> None:
    assert type(refusal(status, body, {})) is (OriginFailed if status == 404 else NAMED[status])
    assert refusal(status, body, {}).message == refusal(status, b"", {}).message


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", SILENT, ids=lambda body: repr(body[:20]))
def test_a_refusal_without_a_text_has_the_contracts(status: int, body: bytes) -> None:
    texts = {401: "invalid 'Tecton-key' authorization header.", 403: "Not Authorized."}
    assert refusal(status, body, {}).message.startswith(texts[status])


def test_a_wrong_path_is_the_settings_fault_and_not_the_callers() -> None:
    error = refusal(404, b"<html>not here</html>", {})
    assert isinstance(error, OriginError)
    assert "origin.url" in error.message


@pytest.mark.parametrize("retry_after", [None, "5", "Wed, 21 Oct 2026 07:28:00 GMT"])
@pytest.mark.parametrize(("status", "kind"), [(429, OriginThrottled), (503, OriginUnavailable)])
def test_a_cluster_is_quoted_on_when_to_come_again(retry_after: str | None, status: int, kind: type[OriginError]) -> None:
    error = refusal(status, SAID, {} if retry_after is None else {"retry-after": retry_after})
    assert isinstance(error, kind)
    assert error.retry_after == retry_after


def test_a_very_long_text_is_cut() -> None:
    assert len(refusal(400, json.dumps({"message": "x" * 100_000}).encode(), {}).message) == 1000


METADATA = {
    "featureValues": [{"name": "user.count", "dataType": {"type": "int64"}}],
    "inputJoinKeys": [{"name": "user_id", "dataType": {"type": "string"}}, {"name": "shop_id", "dataType": {"type": "int64"}}],
}


def origin_of(answer: bytes, view_join_keys: Mapping[str, Sequence[str]] | None = None) -> TectonOrigin:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=answer))
    return TectonOrigin(HttpxChannel(httpx.AsyncClient(base_url="http://cluster", transport=transport)), view_join_keys=view_join_keys)


async def described(view_join_keys: Mapping[str, Sequence[str]]) -> Any:
    origin = origin_of(json.dumps(METADATA).encode(), view_join_keys)
    description = await origin.describe(SERVICE, Caller(b"anne"), asyncio.get_running_loop().time() + 20)
    await origin.aclose()
    return description.views.get("user", ViewFacts()).join_keys


@pytest.mark.anyio
async def test_a_view_is_keyed_on_the_join_keys_that_the_settings_name() -> None:
    assert await described({"user": ["user_id"]}) == ("user_id",)


@pytest.mark.anyio
@pytest.mark.parametrize("keys", [["user_idd"], ["user_id", "shopid"], ["USER_ID"]])
async def test_a_view_whose_named_join_keys_are_not_all_the_services_is_keyed_on_all_of_them(keys: list[str]) -> None:
    """Else a typing error in the settings serves one user's features to every other."""
    assert await described({"user": keys}) in (None, ("user_id", "shop_id"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "value", [b'"\xff"', b"[" + b"1" * 400 + b"]", b"[" * 100_000, b"5"], ids=["not unicode", "beyond a float", "too deep", "a number"]
)
@pytest.mark.parametrize("dtype", [b'{"type":"string"}', b'{"type":"array","elementType":{"type":"float64"}}'], ids=["string", "floats"])
async def test_a_reply_that_is_not_whole_is_malformed_and_nothing_else(value: bytes, dtype: bytes) -> None:
    item = b'{"name":"a.x","dataType":%b,"status":"PRESENT"}' % dtype
    origin = origin_of(b'{"result":{"features":[%b]},"metadata":{"features":[%b]}}' % (value, item))
    fetch = Fetch(SERVICE, (FetchRow({}, {}, frozenset()),), Caller(b"anne"), asyncio.get_running_loop().time() + 20)
    with pytest.raises(OriginMalformed):
        await origin.fetch(fetch)
    await origin.aclose()
