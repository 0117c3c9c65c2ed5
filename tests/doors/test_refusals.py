"""What no door lets in: unknown paths, wrong methods, bodies too large or malformed, callers without a right."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.doors.flights import CONTEXT, KEYS, NAMED, V1, V2, named, problem, tecton, tecton_batch
from tests.harness.houses import READER, STRANGER, House

TECTON_READS = [f"{prefix}/get-features" for prefix in (*V1, V2)]
READS = [*TECTON_READS, f"{V1[0]}/get-features-batch", f"{V2}/get-features-batch", f"{NAMED}/features", f"{NAMED}/features:batch"]
BODIES_READ = [*READS, f"{V1[0]}/metadata"]
MAX_BODY = 1_048_576


@pytest.fixture
def unasked(busy_demo: House) -> Iterator[House]:
    """The origin is not asked in these tests."""
    before = len(busy_demo.origin.fetches)
    yield busy_demo
    assert len(busy_demo.origin.fetches) == before


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/api/v1/feature-service/get-feature-service-state",
        "/api/v1/feature-service/get-features/",
        "/api/v2/workspaces/prod/feature-services/flight_delay",
        "/v1/workspaces/prod/feature-services/flight_delay/features:forget",
        "/v1/workspaces/prod/feature-services/features:purge",
        "/v1/workspaces//feature-services/flight_delay/features",
        "/v1/workspaces/prod/feature-services/a/b/features",
        "/ingest/",
        "/livez/",
        "/docs/../docs/page.html",
    ],
)
def test_an_unknown_path_is_not_found_with_the_body_that_official_clients_need(unasked: House, path: str) -> None:
    for method in ("POST", "GET"):
        assert problem(unasked.client.request(method, path)) == (
            404,
            5,
            "Not Found: no such path. /openapi.json lists the paths that exist.",
        )


@pytest.mark.parametrize("path", [*TECTON_READS, f"{V1[0]}/metadata"])
def test_a_wrong_method_on_tectons_paths_is_501(unasked: House, path: str) -> None:
    reply = unasked.client.get(path)
    assert problem(reply)[:2] == (501, 12)
    assert reply.headers["allow"] == "POST"


def test_a_wrong_method_on_v2_metadata_is_501_too(unasked: House) -> None:
    reply = unasked.client.post(f"{V2}/metadata", json={})
    assert problem(reply)[:2] == (501, 12)
    assert "GET" in reply.headers["allow"]


@pytest.mark.parametrize("path", ["/ingest", "/v2/ingest"])
def test_a_wrong_method_on_ingest_is_501_in_its_own_shape(unasked: House, path: str) -> None:
    reply = unasked.client.get(path)
    assert reply.status_code == 501
    assert set(reply.json()) == {"requestError"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{NAMED}/features"),
        ("PUT", f"{NAMED}/features:batch"),
        ("POST", f"{NAMED}/schema"),
        ("POST", "/livez"),
        ("GET", f"{NAMED}/features:purge"),
        ("DELETE", "/v1/features:purge"),
        ("POST", "/metrics"),
    ],
)
def test_a_wrong_method_elsewhere_is_405(unasked: House, method: str, path: str) -> None:
    reply = unasked.client.request(method, path)
    assert problem(reply)[:2] == (405, 12)
    assert reply.headers["allow"]


def test_whoever_comes_with_neither_method_of_a_path_is_told_both(unasked: House) -> None:
    assert unasked.client.put(f"{NAMED}/features").headers["allow"] == "POST, DELETE"


@pytest.mark.parametrize("path", BODIES_READ)
def test_a_body_over_the_limit_is_refused_whether_its_size_is_announced_or_not(unasked: House, path: str) -> None:
    large = json.dumps({"padding": "x" * MAX_BODY}).encode()
    announced = unasked.client.post(path, content=large)
    chunked = unasked.client.post(path, content=iter([large[: MAX_BODY // 2], large[MAX_BODY // 2 :]]))
    assert [problem(reply) for reply in (announced, chunked)] == [(413, 8, f"The body is larger than {MAX_BODY} bytes.")] * 2


def test_a_body_at_the_limit_is_read(unasked: House) -> None:
    body = json.dumps({"padding": ""}).encode()
    body = body[:-2] + b"x" * (MAX_BODY - len(body)) + body[-2:]
    assert len(body) == MAX_BODY
    assert problem(unasked.client.post(READS[0], content=body))[:2] == (400, 3)


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(unasked: House) -> None:
    url = httpx.URL(unasked.url)
    with socket.create_connection((url.host, url.port or 80), timeout=2) as connection:
        head = f"POST {READS[0]} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Tecton-key {READER}\r\nContent-Length: {MAX_BODY * 8}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_an_ingest_over_the_limit_is_refused_in_its_own_shape(unasked: House) -> None:
    reply = unasked.client.post("/ingest", content=b" " * (MAX_BODY + 1))
    assert reply.status_code == 413
    assert set(reply.json()) == {"requestError"}


def body_with(context: str) -> bytes:
    """A body with this text as the value of a context key, in the place where each of the doors would look."""
    keys = json.dumps(KEYS)
    row = f'{{"joinKeyMap":{keys},"requestContextMap":{{"planned_air_time":{context}}}}}'
    return f'{{"params":{{"workspaceName":"prod","featureServiceName":"flight_delay","requestData":[{row}],{row[1:-1]}}}}}'.encode()


MALFORMED = {
    "nothing": b"",
    "blank": b"  ",
    "half an object": b'{"params":',
    "no value": b'{"params":}',
    "two documents": b"{}{}",
    "a trailing comma": b'{"params":{},}',
    "a comment": b"{} // canary",
    "single quotes": b"{'params':{}}",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "a string": b'"params"',
    "a byte order mark": b'\xef\xbb\xbf{"params":{}}',
    "bytes that are not UTF-8": b'{"params":"\xff"}',
    "UTF-16": '{"params":{}}'.encode("utf-16"),
    "a control character": b'{"params":"\x00"}',
    "a lone surrogate": body_with('"\\ud800"'),
    "NaN": body_with("NaN"),
    "Infinity": body_with("-Infinity"),
    "more than a float holds": body_with("1e999"),
    "2^63": body_with(str(2**63)),
    "2^64": body_with(str(2**64)),
    "-2^63-1": body_with(str(-(2**63) - 1)),
    "a number of 5,000 digits": body_with("9" * 5_000),
    "a duplicate name": body_with('1},"requestContextMap":{"planned_air_time":2'),
    "a duplicate name, escaped": body_with('1,"planned_\\u0061ir_time":2'),
    "a duplicate name in a map": body_with('{"a":1,"a":1}'),
    "a duplicate params": b'{"params":{},"params":{}}',
    "33 levels": body_with("[" * 30 + "]" * 30),
    "1,000 levels": body_with("[" * 1_000 + "]" * 1_000),
    "100,000 levels": body_with("[" * 100_000 + "]" * 100_000),
    "50,000 levels of objects": body_with('{"a":' * 50_000 + "1" + "}" * 50_000),
}


@pytest.mark.parametrize("path", BODIES_READ)
@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_json_is_a_bad_request_and_the_origin_is_not_asked(unasked: House, path: str, what: str) -> None:
    status, code, text = problem(unasked.client.post(path, content=MALFORMED[what]))
    assert (status, code) == (400, 3)
    assert "canary" not in text


def test_depth_is_counted_to_32_levels(busy_demo: House) -> None:
    """Deep, but not too deep: refused for its type, by the schema."""
    reply = busy_demo.client.post(READS[0], content=tecton_with_depth(29))
    assert problem(reply)[2] == "Unexpected JSON type for planned_air_time in requestContextMap. Expected float64 or null."
    reply = busy_demo.client.post(READS[0], content=tecton_with_depth(30))
    assert problem(reply)[2] == "The body is nested more than 32 levels deep."


def tecton_with_depth(levels: int) -> bytes:
    """`levels` lists inside body, params and requestContextMap."""
    return json.dumps(tecton(requestContextMap={"planned_air_time": 0})).replace(": 0}", ": " + "[" * levels + "]" * levels + "}").encode()


def every_read(house: House, credential: httpx.Headers) -> list[httpx.Response]:
    with httpx.Client(base_url=house.url, headers=credential) as client:
        row = {"joinKeys": KEYS, "requestContext": CONTEXT}
        return [
            *[client.post(path, json=tecton()) for path in TECTON_READS],
            client.post(f"{V1[0]}/get-features-batch", json=tecton_batch(KEYS)),
            client.post(f"{NAMED}/features", json=named()),
            client.post(f"{NAMED}/features:batch", json={"rows": [row]}),
            client.post(f"{V1[0]}/metadata", json={"params": {"featureServiceName": "flight_delay"}}),
        ]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Tecton-key")],
        [("Authorization", "Tecton-key fgk_unknown-canary")],
        [("Authorization", f"Basic {READER}")],
        [("Authorization", f"Bearer {READER}")],
        [("Authorization", READER)],
        [("Authorization", f"Tecton-key {READER} {READER}")],
        [("Authorization", f"Tecton-key {READER}x")],
        [("Authorization", f"Tecton-key {READER[:-1]}")],
        [("Authorization", f"Tecton-key {READER}"), ("Authorization", f"Tecton-key {STRANGER}")],
    ],
    ids=range(11),
)
def test_without_a_known_key_every_door_answers_401_with_the_contracts_text(unasked: House, headers: list[tuple[str, str]]) -> None:
    for reply in every_read(unasked, httpx.Headers(headers)):
        status, code, text = problem(reply)
        assert (status, code) == (401, 16)
        assert text.startswith("invalid 'Tecton-key' authorization header.")
        assert reply.headers["www-authenticate"] == "Tecton-key"
        assert READER not in reply.text


@pytest.mark.parametrize("scheme", ["Tecton-key", "tecton-key", "Tecton-Key", "TECTON-KEY", "Tecton-key  "])
def test_the_scheme_is_matched_in_any_case(busy_demo: House, scheme: str) -> None:
    for reply in every_read(busy_demo, httpx.Headers({"authorization": f"{scheme} {READER}"})):
        assert reply.status_code == 200


def test_a_key_without_the_workspace_is_forbidden_on_every_door(unasked: House) -> None:
    for reply in every_read(unasked, httpx.Headers({"Authorization": f"Tecton-key {STRANGER}"})):
        assert problem(reply) == (403, 7, "Not Authorized. Note that access control changes may take up to 60 seconds to apply.")


def test_whoever_may_not_read_a_workspace_does_not_learn_which_services_it_has(unasked: House) -> None:
    with unasked.as_caller(STRANGER) as stranger:
        known = stranger.post(READS[0], json=tecton())
        unknown = stranger.post(READS[0], json=tecton(featureServiceName="nothing"))
        assert known.content == unknown.content


def test_who_asks_is_judged_before_what_is_asked(unasked: House) -> None:
    with unasked.as_caller(None) as nobody:
        assert problem(nobody.post(READS[0], content=b"{"))[:2] == (401, 16)


@pytest.mark.parametrize("value", [0, 7, True, 1.0, ["JFK"], {"origin": "JFK"}])
def test_only_text_is_a_string_key(unasked: House, value: Any) -> None:
    reply = unasked.client.post(READS[0], json=tecton(joinKeyMap=KEYS | {"origin": value}))
    assert problem(reply)[:2] == (400, 3)
