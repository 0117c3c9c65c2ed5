"""The ingest contract: what is accepted, what each mistake is answered with, and that a mistake stores nothing."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feature_server.catalog import Catalog
from gateway.feature_server.definitions import object_id
from gateway.feature_server.engine import Engine
from gateway.feature_server.ingest import IngestRefused, accepted, parse_request
from gateway.features import ServiceRef
from gateway.origins.base import IngestReply
from tests.feature_server.purchases import NOW_NS, REPOSITORY, at_once, ingest, ingest_body, read

RECORD = {"at": "2024-05-01T11:59:00Z", "order": "o1", "user": "ann", "shop": 7, "amount": 2.5, "items": 3, "coupon": "SPRING"}


def answer(engine: Engine, body: bytes | str) -> tuple[int, Any]:
    reply = engine.ingest(body if isinstance(body, bytes) else body.encode())
    return reply.status, json.loads(reply.body)


def record_errors(engine: Engine, *records: dict[str, Any]) -> list[dict[str, str]]:
    status, body = answer(engine, ingest_body("purchases", records))
    assert (status, body["workspaceName"]) == (400, "shop")
    errors: list[dict[str, str]] = body["recordErrors"]
    return errors


def nothing_is_stored(engine: Engine) -> bool:
    return not at_once(engine._store.newest())


@pytest.mark.parametrize("body", ['{"workspaceName":"shop","dryRun":false,"records":%s}', '{"workspace_name":"shop","records":%s}'])
def test_both_spellings_are_accepted_and_every_subscribed_view_is_counted(engine: Engine, body: str) -> None:
    status, reply = answer(engine, body % json.dumps({"purchases": [{"record": RECORD}, {"record": RECORD | {"order": "o2"}}]}))
    assert status == 200
    assert reply == {
        "workspaceName": "shop",
        "ingestMetrics": {
            "featureViewIngestMetrics": [
                {
                    "featureViewName": name,
                    "onlineRecordIngestCount": "2",
                    "offlineRecordIngestCount": "0",
                    "featureViewId": object_id("view", "shop", name),
                }
                for name in ("by_user", "by_shop")
            ]
        },
    }
    assert read(engine, {"user": "ann"}, "by_user")["items_count_1m_1m"] == 2


def test_several_sources_in_one_request(engine: Engine) -> None:
    visit = {"at": "2024-05-01T11:59:30Z", "user": "ann", "shop": 7, "seconds": 12}
    body = {"workspace_name": "shop", "records": {"purchases": [{"record": RECORD}], "visits": [{"record": visit}]}}
    status, reply = answer(engine, json.dumps(body))
    assert status == 200
    names = [one["featureViewName"] for one in reply["ingestMetrics"]["featureViewIngestMetrics"]]
    assert names == ["by_user", "by_shop", "user_visits", "shop_visits"]
    assert read(engine, {"user": "ann"}, "user_visits", ServiceRef("shop", "visits:v1"))["seconds_sum_10m_1m"] == 12


def test_a_dry_run_checks_everything_and_stores_nothing(engine: Engine) -> None:
    status, reply = answer(engine, ingest_body("purchases", [RECORD], dry_run=True))
    assert status == 200
    assert [one["onlineRecordIngestCount"] for one in reply["ingestMetrics"]["featureViewIngestMetrics"]] == ["0", "0"]
    assert nothing_is_stored(engine)
    assert answer(engine, ingest_body("purchases", [RECORD | {"amount": "much"}], dryRun=True))[0] == 400


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ("", 400, "RequestValidationError", "The body is not valid JSON."),
        ("{", 400, "RequestValidationError", "The body is not valid JSON."),
        ('{"a":NaN}', 400, "RequestValidationError", "The body is not valid JSON."),
        ("[]", 400, "RequestValidationError", "The request is not a JSON object"),
        ("{}", 400, "RequestValidationError", "Required field `workspace_name` is missing in the request"),
        ('{"workspace_name":"","records":{}}', 400, "RequestValidationError", "Required field `workspace_name` is missing in the request"),
        ('{"workspaceName":"shop"}', 400, "RequestValidationError", "Required field `records` is missing in the request"),
        ('{"workspaceName":"shop","records":null}', 400, "RequestValidationError", "Required field `records` is missing in the request"),
        ('{"workspaceName":"shop","records":{}}', 400, "RequestValidationError", "Required field `records` is missing in the request"),
        ('{"workspace_name":7,"records":{"a":[]}}', 400, "RequestValidationError", "Field `workspace_name` is not a string in the request"),
        (
            '{"workspace_name":"shop","workspaceName":"shop","records":{"a":[]}}',
            400,
            "RequestValidationError",
            "Field `workspace_name` is given twice in the request",
        ),
        (
            '{"workspace_name":"shop","dryRun":"true","records":{"a":[]}}',
            400,
            "RequestValidationError",
            "Field `dry_run` is not a boolean in the request",
        ),
        (
            '{"workspace_name":"shop","records":[]}',
            400,
            "RequestValidationError",
            "Field `records` is not an object of lists by stream source in the request",
        ),
        (
            '{"workspace_name":"shop","records":{"purchases":[]}}',
            400,
            "RequestValidationError",
            "Field `records` has no list of records for stream source `purchases`",
        ),
        (
            '{"workspace_name":"shop","records":{"purchases":[{"user":"ann"}]}}',
            400,
            "RequestValidationError",
            "Record 0 of stream source `purchases` is not an object with a `record` object",
        ),
        (
            '{"workspace_name":"elsewhere","records":{"purchases":[{"record":{}}]}}',
            404,
            "TectonObjectValidationError",
            "Workspace `elsewhere` does not exist or is not a live workspace",
        ),
        (
            '{"workspace_name":"shop","records":{"clicks":[{"record":{}}]}}',
            404,
            "TectonObjectValidationError",
            "Stream source `clicks` does not exist in workspace `shop`",
        ),
        (
            '{"workspace_name":"shop","records":{"idle":[{"record":{"at":"2024-05-01T11:00","user":"ann"}}]}}',
            404,
            "TectonObjectValidationError",
            "Stream source `idle` has no feature view that serves it online in workspace `shop`",
        ),
    ],
)
def test_mistakes_of_the_request(engine: Engine, body: str, status: int, kind: str, message: str) -> None:
    assert answer(engine, body) == (status, {"requestError": {"errorMessage": message, "errorType": kind}})
    assert nothing_is_stored(engine)


@pytest.mark.parametrize(
    "body",
    [
        '{"workspace_name":"shop","workspace_name":"shop","records":{}}',
        '{"workspace_name":"shop","records":{"purchases":[{"record":{"shop":1,"shop":2}}]}}',
        '{"workspace_name":"shop","records":{"purchases":[{"record":{"shop":9223372036854775808}}]}}',
        '{"workspace_name":"shop","records":{"purchases":[{"record":{"amount":1e999}}]}}',
        '{"workspace_name":"shop","records":' + "[" * 40 + "]" * 40 + "}",
    ],
)
def test_json_that_two_parsers_could_read_differently_is_refused(engine: Engine, body: str) -> None:
    status, reply = answer(engine, body)
    assert status == 400
    assert reply["requestError"]["errorType"] == "RequestValidationError"


def test_ten_records_per_source_are_the_most(engine: Engine) -> None:
    records = [RECORD | {"order": f"o{index}"} for index in range(11)]
    assert answer(engine, ingest_body("purchases", records[:10]))[0] == 200
    status, reply = answer(engine, ingest_body("purchases", records))
    assert status == 400
    assert reply["requestError"]["errorMessage"] == "Field `records` has 11 records for stream source `purchases`; the maximum is 10"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": None}, "required column `user` is missing or null"),
        ({"at": None}, "required column `at` is missing or null"),
        ({"order": None}, "required column `order` is missing or null"),
        ({"at": "yesterday"}, "column `at` has the wrong type, expected timestamp"),
        ({"at": 1714564800}, "column `at` has the wrong type, expected timestamp"),
        ({"user": 5}, "column `user` has the wrong type, expected string"),
        ({"shop": 7.0}, "column `shop` has the wrong type, expected int64"),
        ({"shop": "7.0"}, "column `shop` has the wrong type, expected int64"),
        ({"shop": "07"}, "column `shop` has the wrong type, expected int64"),
        ({"shop": True}, "column `shop` has the wrong type, expected int64"),
        ({"items": "9223372036854775808"}, "column `items` has the wrong type, expected int64 or null"),
        ({"amount": "2.5"}, "column `amount` has the wrong type, expected float64 or null"),
        ({"amount": "NaN"}, "column `amount` has the wrong type, expected float64 or null"),
        ({"amount": False}, "column `amount` has the wrong type, expected float64 or null"),
        ({"coupon": ["a"]}, "column `coupon` has the wrong type, expected string or null"),
        ({"gift": "true"}, "column `gift` has the wrong type, expected boolean or null"),
        ({"gift": 1}, "column `gift` has the wrong type, expected boolean or null"),
        ({"shipped": "2024-02-30T00:00Z"}, "column `shipped` has the wrong type, expected timestamp or null"),
        ({"colour": "red"}, "column `colour` is not in the stream source's schema"),
    ],
)
def test_mistakes_of_a_record_name_its_place_and_the_field(engine: Engine, change: dict[str, Any], message: str) -> None:
    errors = record_errors(engine, RECORD, RECORD | change)
    assert errors == [{"pushSourceName": "purchases", "errorType": "RequestValidationError", "errorMessage": f"Record 1: {message}"}]
    assert nothing_is_stored(engine)


def test_every_mistake_is_listed(engine: Engine) -> None:
    errors = record_errors(engine, {"user": 1, "colour": "red"}, RECORD, RECORD | {"gift": 0})
    assert [error["errorMessage"].partition(":")[0] for error in errors] == ["Record 0"] * 5 + ["Record 2"]


def test_a_timestamp_outside_a_views_ttl_is_that_views_error(engine: Engine) -> None:
    assert record_errors(engine, RECORD | {"at": "2024-04-30T11:59:59Z"}) == [
        {
            "featureViewName": "by_shop",
            "pushSourceName": "purchases",
            "errorType": "RequestValidationError",
            "errorMessage": "Record 0: column `at` lies outside the feature view's serving TTL",
        }
    ]
    assert answer(engine, ingest_body("purchases", [RECORD | {"at": "2024-04-30T12:00:00Z"}]))[0] == 200


def test_missing_columns_are_null_and_int64_may_be_decimal_text(engine: Engine) -> None:
    ingest(engine, "purchases", {"at": "2024-05-01T11:59", "order": "o1", "user": "ann", "shop": "7", "items": "-4"})
    found = read(engine, {"user": "ann"}, "by_user")
    assert (found["items_sum_10m_1m"], found["amount_sum_1m_1m"], found["shop_count_distinct_3m_1m"]) == (-4, None, 1)
    assert read(engine, {"shop": 7, "user": "ann"}, "by_shop")["items_count_1h_1h"] == 1


NAMES = st.sampled_from(
    ["workspace_name", "workspaceName", "dry_run", "dryRun", "records", "purchases", "record", "shop", "at", "user", "order"]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["shop", "2024-05-01T11:00"]) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
REQUESTS = st.fixed_dictionaries(
    {"workspace_name": st.just("shop") | DOCUMENTS, "records": DOCUMENTS | st.dictionaries(st.just("purchases"), st.lists(DOCUMENTS))}
)
CATALOG = Catalog(REPOSITORY)


def reply_to(body: bytes) -> IngestReply:
    try:
        return accepted(parse_request(body, CATALOG, NOW_NS, max_records=10))
    except IngestRefused as refused:
        return refused.reply


@given(st.binary(max_size=40) | (DOCUMENTS | REQUESTS).map(lambda document: json.dumps(document).encode()))
def test_whatever_is_sent_is_accepted_or_refused_in_the_contracts_shape(body: bytes) -> None:
    reply = reply_to(body)
    answered = json.loads(reply.body)
    shape = "ingestMetrics" if reply.status == 200 else "requestError" if "requestError" in answered else "recordErrors"
    assert (reply.status, shape) in {(200, "ingestMetrics"), (400, "requestError"), (400, "recordErrors"), (404, "requestError")}
    assert answered[shape]


def test_neither_replies_nor_logs_hold_values(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "4242-secret"
    body = ingest_body("purchases", [dict.fromkeys(RECORD, secret) | {"shop": [secret], "gift": secret}])
    assert secret.encode() not in engine.ingest(body).body
    assert secret not in caplog.text
