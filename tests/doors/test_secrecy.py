"""No join key, context value, feature value or credential is ever told by an error, a log line or a span."""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from gateway.errors import OriginFailed
from tests.doors.flights import KEYS, NAMED, V1, V2, named, tecton, tecton_batch
from tests.harness.cluster import ALICE, BOB, Act, Cluster, html, refuse
from tests.harness.houses import READER, WRITER, House, cluster_settings, demo_settings, open_house

CANARY = "c4n4ry"
"""Part of every value that is planted below."""
KEY_CANARY, CONTEXT_CANARY = f"key-{CANARY}", f"context-{CANARY}"
STRANGE_KEY = f"fgk_credential-{CANARY}"


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def told_by(spans: Sequence[ReadableSpan]) -> str:
    return "\n".join(span.to_json() for span in spans)


def held_to_silence(replies: Sequence[httpx.Response], house: House, caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    for secret in (CANARY, READER, *secrets):
        for reply in replies:
            assert secret not in reply.text, reply.text
            assert secret not in str(reply.headers)
        assert secret not in caplog.text
        assert secret not in told_by(house.spans())


def test_refused_reads_do_not_repeat_what_was_sent(demo: House, caplog: pytest.LogCaptureFixture) -> None:
    keys = dict.fromkeys(KEYS, KEY_CANARY)
    context = {"planned_air_time": CONTEXT_CANARY}
    bodies: list[Any] = [
        tecton(joinKeyMap=keys, requestContextMap=context),
        tecton(joinKeyMap=keys, requestContextMap={}),
        tecton(joinKeyMap=keys | {"origin": [KEY_CANARY]}),
        tecton(joinKeyMap=keys | {"gate": KEY_CANARY}),
        tecton(joinKeyMap={"origin": KEY_CANARY}),
        tecton(metadataOptions={"includeNames": CONTEXT_CANARY}),
        tecton(requestOptions={"latencyBudgetMs": CONTEXT_CANARY}),
        tecton(requestOptions={"aggregationLeadingEdge": CONTEXT_CANARY}),
        tecton(joinKeyMap=keys, requestOptions={"highWatermarkOverride": CONTEXT_CANARY}),
        tecton(joinKeyMap=KEY_CANARY),
        tecton_batch({"origin": KEY_CANARY}),
        named(joinKeys=keys, requestContext=context),
        named(features=[KEY_CANARY]),
        named(include=[KEY_CANARY]),
        named(maxAgeMs=CONTEXT_CANARY),
        named(**{KEY_CANARY: 1}),
        [KEY_CANARY],
        KEY_CANARY,
    ]
    paths = (f"{V1[0]}/get-features", f"{V1[0]}/get-features-batch", f"{V2}/get-features", f"{NAMED}/features", f"{NAMED}/features:batch")
    replies = [demo.client.post(path, json=body) for path in paths for body in bodies]
    replies += [demo.client.post(path, content=f'{{"params":{{"{KEY_CANARY}"'.encode()) for path in paths]
    assert {reply.status_code for reply in replies} == {400}
    held_to_silence(replies, demo, caplog)
    assert len(demo.spans("POST")) == len(replies)


def test_refused_callers_do_not_see_their_credential_again(demo: House, caplog: pytest.LogCaptureFixture) -> None:
    headers = [f"Tecton-key {STRANGE_KEY}", f"Bearer {STRANGE_KEY}", STRANGE_KEY, f"Basic {STRANGE_KEY}"]
    paths = (f"{V1[0]}/get-features", f"{V1[0]}/metadata", f"{NAMED}/features", "/ingest")
    replies = [demo.client.post(path, json=tecton(), headers={"Authorization": header}) for path in paths for header in headers]
    assert {reply.status_code for reply in replies} == {401}
    held_to_silence(replies, demo, caplog)


def test_a_refused_ingest_does_not_repeat_its_records(demo_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    records: list[Any] = [
        {"record": {"flight": KEY_CANARY, "cancelled": KEY_CANARY, "scheduled_departure": KEY_CANARY}},
        KEY_CANARY,
        {"record": KEY_CANARY},
    ]
    with open_house(demo_settings(demo_copy), WRITER) as house:
        replies = [house.client.post("/ingest", json={"workspace_name": "prod", "records": {"flights": [record]}}) for record in records]
        replies.append(house.client.post("/ingest", json={"workspace_name": "prod", "records": KEY_CANARY}))
        replies.append(house.client.post("/ingest", json={"workspace_name": "prod", "dry_run": KEY_CANARY, "records": {"flights": []}}))
        assert {reply.status_code for reply in replies} == {400}
        held_to_silence(replies, house, caplog, WRITER)


class Unforeseen(Exception):
    """A bug of ours, whose text quotes a value."""


@pytest.mark.parametrize("error", [Unforeseen(f"cannot add {KEY_CANARY}"), OriginFailed("The online store failed (SQLITE_CORRUPT).")])
def test_a_failure_inside_is_told_without_values(demo: House, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    keys = dict.fromkeys(KEYS, KEY_CANARY)
    demo.origin.fails = [error] * 4
    replies = [
        demo.client.post(f"{V1[0]}/get-features", json=tecton(joinKeyMap=keys)),
        demo.client.post(f"{V1[0]}/get-features-batch", json=tecton_batch(keys)),
        demo.client.post(f"{NAMED}/features", json=named(joinKeys=keys)),
    ]
    assert {reply.status_code for reply in replies} == {502 if isinstance(error, OriginFailed) else 500}
    held_to_silence(replies, demo, caplog)


def logged_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_unforeseen_failure_can_be_found_in_the_log_by_the_incident_it_names(demo: House, caplog: pytest.LogCaptureFixture) -> None:
    demo.origin.metadata_fails = [Unforeseen(KEY_CANARY)]
    reply = demo.client.post(f"{V1[0]}/get-features", json=tecton())
    assert reply.status_code == 500
    incident = reply.json()["message"].removesuffix(".").rpartition(" ")[2]
    [logged] = logged_errors(caplog)
    assert logged.startswith(f"incident {incident}: Unforeseen at ")
    held_to_silence([reply], demo, caplog)


def test_an_unforeseen_failure_of_a_fetch_is_logged_by_its_place(demo: House, caplog: pytest.LogCaptureFixture) -> None:
    demo.origin.fails = [Unforeseen(KEY_CANARY)]
    reply = demo.client.post(f"{V1[0]}/get-features", json=tecton())
    assert reply.status_code == 500
    [logged] = logged_errors(caplog)
    assert re.search(r"Unforeseen at \S+origins\.py:\d+ \(request [0-9a-f-]+\)$", logged)
    held_to_silence([reply], demo, caplog)


@pytest.fixture
def house(cluster: Cluster) -> Iterator[House]:
    with open_house(cluster_settings(cluster.url), ALICE) as house:
        yield house


def fraud(**more: Any) -> dict[str, Any]:
    return {"joinKeys": {"user_id": KEY_CANARY, "merchant_id": 77_777_777}, "requestContext": {"amount": 4242.4242}, **more}


def test_a_cluster_that_answers_garbage_is_not_quoted(cluster: Cluster, house: House, caplog: pytest.LogCaptureFixture) -> None:
    garbage = [
        Act(body=f"{CANARY} is no JSON".encode()),
        Act(body=f'{{"result":{{"features":["{CANARY}"]}},"metadata":{{"features":[]}}}}'.encode()),
        Act(body=f'{{"result":"{CANARY}"}}'.encode()),
        Act(edit=lambda document: document["result"]["features"].__setitem__(3, {CANARY: CANARY})),
        Act(edit=lambda document: document["metadata"]["features"][3].__setitem__("status", [CANARY, CANARY])),
        Act(edit=lambda document: document["metadata"]["features"][3].__setitem__("dataType", {"type": CANARY})),
        Act(raw=f"HTTP/1.1 200 {CANARY}\r\ncontent-length: x\r\n\r\n{CANARY}".encode()),
        Act(status=500, body=CANARY.encode(), headers={CANARY: CANARY}),
        Act(status=302, headers={"location": f"http://127.0.0.1:1/{CANARY}"}),
        Act(headers={"content-encoding": "gzip"}, body=CANARY.encode()),
        html(503),
        html(504),
        html(429),
        html(404),
    ]
    cluster.act("get-features", *garbage)
    replies = [house.client.post("/v1/workspaces/prod/feature-services/fraud/features", json=fraud()) for _ in garbage]
    assert [reply.status_code for reply in replies] == [502] * 6 + [503] + [502] * 3 + [503, 504, 429, 502]
    # httpcore's own DEBUG lines show what the cluster's header lines were; the gateway's and everybody's at INFO do not
    shown = [record.getMessage() for record in caplog.records if not record.name.startswith("httpcore.") or record.levelno > logging.DEBUG]
    assert not [line for line in shown if CANARY in line or ALICE in line or "77777777" in line or "4242.4242" in line]
    for reply in replies:
        assert not [secret for secret in (CANARY, ALICE, "77777777", "4242.4242") if secret in reply.text + str(reply.headers)]
    assert not [secret for secret in (CANARY, ALICE, "77777777", "4242.4242", KEY_CANARY) if secret in told_by(house.spans())]


def test_an_answered_read_leaves_no_value_behind(cluster: Cluster, house: House, caplog: pytest.LogCaptureFixture) -> None:
    cluster.act("get-features", Act(edit=lambda document: document["result"]["features"].__setitem__(-1, f"value-{CANARY}")))
    answers = [house.client.post("/v1/workspaces/prod/feature-services/fraud/features", json=fraud(include=["source"])) for _ in range(2)]
    assert all(f"value-{CANARY}" in answer.text for answer in answers)
    for secret in (CANARY, ALICE, "77777777", "4242.4242"):
        assert secret not in caplog.text
        assert secret not in told_by(house.settle_spans(3))


def test_a_credential_that_the_cluster_refuses_is_not_repeated(cluster: Cluster, house: House, caplog: pytest.LogCaptureFixture) -> None:
    cluster.act("metadata", refuse(403, "Not Authorized", 7))
    with house.as_caller(BOB) as bob, house.as_caller(STRANGE_KEY) as stranger:
        replies = [caller.post("/v1/workspaces/prod/feature-services/fraud/features", json=fraud()) for caller in (bob, stranger)]
    assert [reply.status_code for reply in replies] == [403, 401]
    held_to_silence(replies, house, caplog, BOB, ALICE)
