"""The cluster's other endpoints, through a real gateway: what passes, what does not, and with whose credential."""

import json
import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.cluster import ALICE
from tests.harness.houses import READER, House, cluster_settings, open_house
from tests.harness.upstreams import Upstream, raw, reply
from tests.web.forwarded import SECRET, TOKEN, ask, request, talk

ENDPOINTS: list[tuple[str, str, int, Any]] = json.loads((Path(__file__).parent / "cluster_endpoints.json").read_text())
"""Each endpoint of the cluster's API that has no door of the gateway's own: method, target, status of its answer, body if it takes one."""
UPSTREAM_KEY = "upstream-key-of-the-gateway-canary"


@pytest.mark.parametrize(("method", "target", "status", "body"), ENDPOINTS, ids=[f"{one[0]} {one[1]}" for one in ENDPOINTS])
def test_every_endpoint_passes_as_it_is(upstream: Upstream, house: House, method: str, target: str, status: int, body: Any) -> None:
    sent = json.dumps(body).encode() if body is not None else b"grant_type=client_credentials" if target == TOKEN else None
    media = "application/x-www-form-urlencoded" if target == TOKEN else "application/json"
    answered = b"" if status == 204 else b'{"answer": "\xc3\xa9", "of": "the cluster"}\n'
    upstream.script = raw(
        b'HTTP/1.1 %d X\r\ncontent-type: application/json; charset=utf-8\r\netag: "7"\r\n' % status
        + (b"" if status == 204 else b"content-length: %d\r\n" % len(answered))
        + b"\r\n"
        + answered
    )
    told = ask(house, method, target, sent, ("Content-Type", media), credential=target != TOKEN)
    heard = upstream.last
    assert (heard.method, heard.target, bytes(heard.body)) == (method, target, sent or b"")
    assert heard.header("host") == urlsplit(upstream.url).netloc
    assert heard.header("content-type") == media
    assert heard.header("authorization") == (None if target == TOKEN else f"Tecton-key {ALICE}")
    assert (told.status, told.body) == (status, answered)
    assert (told.header("content-type"), told.header("etag")) == ("application/json; charset=utf-8", '"7"')


def test_the_list_of_endpoints_covers_every_group() -> None:
    from gateway.origins.targets import Targets
    from gateway.settings import Forward

    targets = Targets(Forward.model_fields)
    found = {targets.find(target.partition("?")[0].encode())[0].name for _, target, _, _ in ENDPOINTS}
    assert found == Forward().groups


def test_what_is_no_documented_endpoint_passes_where_it_is_wanted(upstream: Upstream, house: House) -> None:
    assert ask(house, "PATCH", "/api/v3/anything;v=1/at:all?x=%zz&y=[1]", b"{}").status == 200
    assert upstream.last.target == "/api/v3/anything;v=1/at:all?x=%zz&y=[1]"


@pytest.mark.parametrize("status", [200, 201, 202, 299, 400, 401, 403, 404, 409, 418, 422, 429, 451, 500, 501, 502, 503, 504, 599])
def test_the_clusters_own_status_and_text_are_passed_back(upstream: Upstream, house: House, status: int) -> None:
    upstream.script = reply(f"{status} Whatever", b"<p>no</p>", "content-type: text/html", "retry-after: 7")
    told = ask(house, "GET", SECRET)
    assert (told.status, told.body, told.header("content-type"), told.header("retry-after")) == (status, b"<p>no</p>", "text/html", "7")


# Headers


DROPPED_OUT = [
    ("Cookie", "session=canary"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=10.0.0.1"),
    ("Via", "1.1 elsewhere"),
    ("X-Real-IP", "10.0.0.1"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/api/v1/secrets-service/scopes"),
    ("X-Rewrite-URL", "/api/v1/secrets-service/scopes"),
    ("Proxy-Authorization", "Basic Zm9vOmJhcg=="),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers"),
    ("Trailer", "Expires"),
    ("Proxy-Connection", "keep-alive"),
    ("Range", "bytes=0-1"),
    ("Origin", "https://evil.example"),
    ("Referer", "https://evil.example/secret"),
    ("baggage", "user=canary"),
    ("X-Api-Key", "canary"),
    ("X-Workspace", "elsewhere"),
    ("Max-Forwards", "0"),
]


@pytest.mark.parametrize(("name", "value"), DROPPED_OUT)
def test_what_is_not_listed_goes_no_further(upstream: Upstream, house: House, name: str, value: str) -> None:
    assert ask(house, "POST", SECRET, b"{}", (name, value)).status == 200
    assert name.lower() not in upstream.last.names
    assert upstream.last.names == {"host", "content-length", "authorization", "x-request-id", "traceparent"}


def test_what_is_listed_goes_out_as_it_came(upstream: Upstream, house: House) -> None:
    sent = {
        "Accept": "application/scim+json, */*;q=0.1",
        "Accept-Encoding": "gzip",
        "Content-Type": "application/scim+json",
        "Content-Encoding": "gzip",
        "If-Match": '"1", W/"2"',
        "If-None-Match": "*",
    }
    assert ask(house, "PUT", "/api/scim/v2/Users/1", b"\x1f\x8b", *sent.items()).status == 200
    assert {name: upstream.last.header(name.lower()) for name in sent} == sent
    assert bytes(upstream.last.body) == b"\x1f\x8b"


def test_what_connection_names_is_hop_by_hop(upstream: Upstream, house: House) -> None:
    assert ask(house, "GET", SECRET, None, ("Connection", "If-Match, keep-alive"), ("If-Match", '"1"'), ("Accept", "a/b")).status == 200
    assert {"if-match", "connection"}.isdisjoint(upstream.last.names)
    assert upstream.last.header("accept") == "a/b"


def test_a_header_that_may_come_once_is_refused_where_it_comes_twice(upstream: Upstream, house: House) -> None:
    told = ask(house, "POST", SECRET, b"{}", ("Content-Type", "a/b"), ("Content-Type", "c/d"))
    assert (told.status, told.message) == (400, "The header content-type comes twice.")
    assert ask(house, "POST", SECRET, b"{}", ("Authorization", "Tecton-key other")).status == 401
    assert upstream.heard == []


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x01b", b"a\x7fb"])
def test_no_control_character_gets_through_in_a_header(upstream: Upstream, house: House, value: bytes) -> None:
    answer = talk(house, request("GET", SECRET).replace(b"Connection:", b"Accept: " + value + b"\r\nConnection:"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert upstream.heard == []


def test_an_expectation_is_met_here_and_goes_no_further(upstream: Upstream, house: House) -> None:
    answer = talk(house, request("PUT", SECRET, "Expect: 100-continue", body=b'{"value":"x"}'))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert "expect" not in upstream.last.names


DROPPED_BACK = [
    "set-cookie: a=b",
    "keep-alive: timeout=9",
    "server: secret/1.0",
    "x-internal: canary",
    "via: 1.1 x",
    "upgrade: h2c",
    "alt-svc: h3=x",
]
DROPPED_BACK += [
    "access-control-allow-origin: *",
    "x-request-id: theirs",
    "strict-transport-security: max-age=1",
    "proxy-authenticate: Basic",
]


@pytest.mark.parametrize("header", DROPPED_BACK)
def test_what_is_not_listed_does_not_come_back(upstream: Upstream, house: House, header: str) -> None:
    upstream.script = reply("200 OK", b"{}", header, "content-type: a/b")
    told = ask(house, "GET", SECRET)
    assert told.status == 200
    name, _, value = header.partition(": ")
    assert told.header(name) != value
    assert {name.lower() for name, _ in told.headers} == {"date", "content-type", "content-length", "x-request-id"}


def test_what_is_listed_comes_back_as_it_was(upstream: Upstream, house: House) -> None:
    sent = {
        "cache-control": "no-store",
        "content-disposition": "attachment",
        "content-encoding": "br",
        "content-language": "en",
        "content-type": "application/openmetrics-text",
        "etag": 'W/"1"',
        "expires": "0",
        "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        "pragma": "no-cache",
        "retry-after": "Thu, 01 Jan 2026 00:00:00 GMT",
        "vary": "Accept",
        "www-authenticate": "Bearer error=invalid_token",
        "allow": "GET",
    }
    upstream.script = reply("200 OK", b"\x0b\x00", *[f"{name}: {value}" for name, value in sent.items()])
    told = ask(house, "GET", "/api/v1/observability/metrics")
    assert {name: told.header(name) for name in sent} == sent
    assert told.body == b"\x0b\x00"


@pytest.mark.parametrize(
    ("location", "back"),
    [
        ("{origin}/api/scim/v2/Users/1%2E2?x=%20", "/api/scim/v2/Users/1%2E2?x=%20"),
        ("/api/scim/v2/Users/1", "/api/scim/v2/Users/1"),
        ("Users/1", "Users/1"),
        ("{origin}", "/"),
        ("http://evil.example/api", None),
        ("//evil.example/api", None),
        ("{origin}//evil.example/", None),
        ("{origin}.evil.example/", None),
        ("http://user@{host}/x", None),
        ("/\\evil.example", None),
        ("javascript:alert(1)", None),
        ("http://[::1", None),
    ],
)
def test_a_redirect_is_passed_back_and_leads_here_or_nowhere(upstream: Upstream, house: House, location: str, back: str | None) -> None:
    spelled = location.format(origin=upstream.url, host=urlsplit(upstream.url).netloc)
    upstream.script = reply("307 Temporary Redirect", b"", f"location: {spelled}")
    told = ask(house, "GET", SECRET)
    assert (told.status, told.header("location")) == (307, back)
    assert len(upstream.heard) == 1


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets-service/../feature-service/x",
        "/api/v1/secrets-service/scopes/..",
        "/api/v1/secrets-service/./scopes",
        "/api/v1/secrets-service/%2e%2e/x",
        "/api/v1/secrets-service/.%2E/x",
        "/api/v1/secrets-service/%252e%252e/x",
        "/api/v1/secrets-service/..;/x",
        "/api/v1/secrets-service/..%3Bx/x",
        "/api/v1/secrets-service//scopes",
        "/api/v1/secrets-service/a%2Fb",
        "/api/v1/secrets-service/a%252fb",
        "/api/v1/secrets-service/a%5cb",
        "/api/v1/secrets-service/a\\b",
        "/api/v1/secrets-service/a%00b",
        "/api/v1/secrets-service/a%0d%0ab",
        "/api/v1/secrets-service/%c0%ae%c0%ae/x",
        "/api/v1/secrets-service/%EF%BC%8E%EF%BC%8E/x",
        "/api/v1/secrets-service/a%EF%BC%8Fb",
        "/api/v1/secrets-service/a%zz",
        "/api/v1/secrets-service/a%2",
        "/api/v1/secrets-service/%2525252525",
        "/api/v1/secrets-service/" + "a" * 8192,
        '/api/v1/secrets-service/"',
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(upstream: Upstream, house: House, path: str) -> None:
    """Here or at the edge before; that this is the last word, `tests/origins/test_targets.py` shows."""
    status = int(talk(house, request("GET", path)).split(b" ")[1])
    assert status in {400, 404, 414}
    assert upstream.heard == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/scim/v2",
        "/api/scim/v2/",
        "/api/SCIM/v2/Users",
        "/api/%73cim/v2/Users",
        "/api/scim;x=y/v2/Users",
        "/%61pi/scim/v2/Users",
        "/api/v1/metadata-service/create-service-account/",
        "/api/V1/Metadata-Service/Create-Service-Account",
        "/api/v1/feature-service/get-feature-service-state/",
        "/api/v1/Feature-Service/get-features",
        "/api/v1/feature-service",
        "/api/v2/workspaces/prod/feature-services/fs/get-features/x",
        "/api/v1/feature-service/unheard-of",
        "/oauth2/default/v1/token/",
        "/oauth2/default/v1/revoke",
        "/api",
        "/apis/x",
    ],
)
def test_a_path_that_is_only_nearly_a_groups_is_nobodys(upstream: Upstream, house: House, path: str) -> None:
    assert ask(house, "POST", path, b"{}").status == 404
    assert upstream.heard == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_other_methods_are_not_forwarded(upstream: Upstream, house: House, method: str) -> None:
    assert ask(house, method, SECRET).status == 501
    assert ask(house, "GET", TOKEN).status == 405
    assert upstream.heard == []


def test_doors_of_the_gateways_own_keep_their_methods(upstream: Upstream, house: House) -> None:
    assert ask(house, "GET", "/api/v1/feature-service/get-features").status == 501
    assert ask(house, "DELETE", "/api/v2/workspaces/prod/feature-services/fs/metadata").status == 501
    assert upstream.heard == []


def test_a_request_cannot_choose_its_host(upstream: Upstream, house: House) -> None:
    answer = talk(house, request("GET", f"http://evil.example{SECRET}").replace(b"Host: gateway", b"Host: evil.example"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (upstream.last.target, upstream.last.header("host")) == (SECRET, urlsplit(upstream.url).netloc)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "..",
                ".",
                "%2e",
                "%2E%2e",
                "%2f",
                "%5C",
                "\\",
                "/",
                "//",
                ";",
                "%25",
                "%252e",
                "%00",
                "%0a",
                "é",
                "%c3%a9",
                "~",
                "x:y",
                "%20",
            ]
        ),
        min_size=1,
        max_size=6,
    ).map("".join)
)
def test_whatever_is_forwarded_stays_in_its_group(upstream: Upstream, house: House, rest: str) -> None:
    upstream.heard.clear()
    path = f"/api/scim/v2/{rest}"
    status = int(talk(house, request("GET", path)).split(b" ")[1])
    assert status in {200, 400, 404}
    assert (status == 200) == bool(upstream.heard)
    if upstream.heard:
        assert upstream.last.target == path
        read = path
        while read != (read := unquote(read)):
            pass
        assert read.count("/") == path.count("/")
        assert posixpath.normpath(read) == read.rstrip("/")
        assert read.startswith("/api/scim/v2/")
        assert read.isprintable()


# Whose credential


MODES: dict[str, dict[str, Any]] = {
    "keys": {"auth": {"mode": "keys", "keys": {"reader": {"digest": "0" * 64, "workspaces": ["*"]}}}},
    "keys by default": {"auth": {"keys": {"reader": {"digest": "0" * 64, "workspaces": ["*"]}}}},
    "open": {"auth": {"mode": "open"}},
}


@pytest.mark.parametrize("mode", MODES)
def test_the_gateways_own_credential_is_never_lent(mode: str) -> None:
    with Upstream() as upstream:
        tree = cluster_settings(upstream.url, **MODES[mode])
        tree["origin"] |= {"api_key": UPSTREAM_KEY}
        with open_house(tree, None) as house:
            for method, target, *_ in ENDPOINTS:
                for credential in (ALICE, READER, UPSTREAM_KEY):
                    told = ask(house, method, target, None, ("Authorization", f"Tecton-key {credential}"), credential=False)
                    assert told.status == 403
                    assert "does not lend its own credential" in told.message
            assert ask(house, "GET", SECRET, credential=False).status == 403
            assert "secrets-service" not in house.client.get("/openapi.json").text
        assert upstream.heard == []


def test_credentials_that_pass_through_are_the_callers_own(upstream: Upstream) -> None:
    tree = cluster_settings(upstream.url, auth={"mode": "passthrough"})
    tree["origin"] |= {"api_key": UPSTREAM_KEY}
    with open_house(tree, None) as house:
        for shown, sent in {"tecton-KEY  k1": "Tecton-key k1", "Bearer t.o.k": "Bearer t.o.k"}.items():
            assert ask(house, "GET", SECRET, None, ("Authorization", shown), credential=False).status == 200
            assert upstream.last.header("authorization") == sent
        assert all(UPSTREAM_KEY not in value for heard in upstream.heard for _, value in heard.headers)


@pytest.mark.parametrize("shown", [None, "", "Basic Zm9vOmJhcg==", "Digest x", "Tecton-key a b"])
def test_what_is_no_credential_of_the_clusters_is_refused_here(upstream: Upstream, house: House, shown: str | None) -> None:
    told = ask(house, "GET", SECRET, None, *([("Authorization", shown)] if shown is not None else []), credential=False)
    assert (told.status, told.header("www-authenticate")) == (401, "Tecton-key")
    assert upstream.heard == []


def test_the_token_endpoint_takes_client_credentials_alone(upstream: Upstream, house: House) -> None:
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert ask(house, "POST", TOKEN, b"client_secret=canary", form, credential=False).status == 200
    assert "authorization" not in upstream.last.names
    assert ask(house, "POST", TOKEN, b"a=b", form, ("Authorization", "Basic Zm9vOmJhcg=="), credential=False).status == 200
    assert upstream.last.header("authorization") == "Basic Zm9vOmJhcg=="
    upstream.heard.clear()
    for other in (f"Tecton-key {ALICE}", "Bearer x", "Basic", "Basic a b"):
        assert ask(house, "POST", TOKEN, b"a=b", form, ("Authorization", other), credential=False).status == 400
    assert upstream.heard == []


def test_groups_are_switched_off_one_by_one(upstream: Upstream) -> None:
    off = {"scim": False, "oauth": False, "secrets": False}
    with open_house(cluster_settings(upstream.url, forward=off), ALICE) as house:
        for target, name in {"/api/scim/v2/Users": "scim", TOKEN: "oauth", SECRET: "secrets", "/api/v3/x": "other"}.items():
            told = ask(house, "POST", target, b"{}")
            assert (told.status, told.message) == (404, f"Not Found: the gateway does not forward this; forward.{name} is off.")
        assert upstream.heard == []
        assert ask(house, "GET", "/api/v1/jobs/list").status == 200
