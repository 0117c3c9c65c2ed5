"""The gateway as a client: what it asks for, and that of a cluster's replies it believes what is whole and nothing else."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.fragments import Fragment
from gateway.features import (
    FLOAT64,
    INT64,
    PLAIN,
    STRING,
    Feature,
    Labels,
    ReadOptions,
    ServiceRef,
    SloInfo,
    Source,
    Status,
    array_of,
    struct_of,
)
from gateway.wire.replies import Vector, VectorText, tecton_batch, tecton_single
from gateway.wire.requests import Show
from gateway.wire.types import encode_type
from gateway.wire.upstream import ReplyReader, get_features_request, metadata_request, plain_request, read_error, read_metadata
from tests.wire.strategies import Typed, positional_model, typed

SERVICE = ServiceRef("live", "fraud:v2")
WANTED = {
    "includeNames": True,
    "includeDataTypes": True,
    "includeEffectiveTimes": True,
    "includeServingStatus": True,
    "includeSloInfo": True,
}
Row = tuple[Mapping[str, Any], Mapping[str, Any]]


def request(*rows: Row, options: ReadOptions = PLAIN, budget_ms: int | None = None, labels: bool = False) -> dict[str, Any]:
    body = get_features_request(SERVICE, rows or [({}, {})], options, latency_budget_ms=budget_ms, want_labels=labels)
    params: dict[str, Any] = json.loads(body)["params"]
    return params


def test_one_row_is_asked_for_by_get_features() -> None:
    assert request(({"user": "u1", "shop": 7, "none": None}, {"amount": 1.5, "flag": True})) == {
        "workspaceName": "live",
        "featureServiceName": "fraud:v2",
        "metadataOptions": WANTED,
        "joinKeyMap": {"user": "u1", "shop": "7", "none": None},
        "requestContextMap": {"amount": 1.5, "flag": True},
    }


def test_several_rows_are_asked_for_by_get_features_batch() -> None:
    assert request(({"shop": 1}, {}), ({"shop": 2}, {"n": 3}), options=ReadOptions(allow_partial_results=True)) == {
        "workspaceName": "live",
        "featureServiceName": "fraud:v2",
        "metadataOptions": WANTED,
        "requestData": [
            {"joinKeyMap": {"shop": "1"}, "requestContextMap": {}},
            {"joinKeyMap": {"shop": "2"}, "requestContextMap": {"n": "3"}},
        ],
    }


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (0, "0"),
        (True, True),
        (False, False),
        (None, None),
        ("7", "7"),
        (7.0, 7.0),
        ([1, [2, None]], ["1", ["2", None]]),
        ({"a": 1, "b": {"c": [2]}}, {"a": "1", "b": {"c": ["2"]}}),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ],
)
def test_every_integer_goes_out_as_a_string(value: Any, told: Any) -> None:
    assert repr(request(({"key": value}, {"key": value}))["requestContextMap"]["key"]) == repr(told)


@pytest.mark.parametrize(("value", "told"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), ([math.nan], ["NaN"])])
def test_a_float_that_is_no_number_goes_out_by_name(value: Any, told: Any) -> None:
    assert request(({}, {"key": value}))["requestContextMap"]["key"] == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (PLAIN, None),
        (ReadOptions(read_from_cache=False), {"readFromCache": False}),
        (ReadOptions(write_to_cache=False), {"writeToCache": False}),
        (ReadOptions(ignore_extra_request_context_fields=True), {"ignoreExtraRequestContextFields": True}),
        (ReadOptions(coerce_null_counts_to_zero=False), {"coerceNullCountsToZero": False}),
        (ReadOptions(coerce_null_counts_to_zero=True), {"coerceNullCountsToZero": True}),
        (
            ReadOptions(aggregation_leading_edge="AGGREGATION_MODE_LATEST_EVENT_TIME"),
            {"aggregationLeadingEdge": "AGGREGATION_MODE_LATEST_EVENT_TIME"},
        ),
        (ReadOptions(high_watermark_override="2024-01-01T00:00:00Z"), {"highWatermarkOverride": "2024-01-01T00:00:00Z"}),
        (ReadOptions(latency_budget_ms=200), None),
    ],
)
def test_only_options_that_say_something_go_out(options: ReadOptions, told: dict[str, Any] | None) -> None:
    assert request(options=options).get("requestOptions") == told


def test_the_budget_that_is_left_goes_out_instead_of_the_callers() -> None:
    assert request(options=ReadOptions(latency_budget_ms=200), budget_ms=150)["requestOptions"] == {"latencyBudgetMs": 150}


def test_partial_results_are_allowed_where_the_caller_allowed_them() -> None:
    assert request(options=ReadOptions(allow_partial_results=True))["allowPartialResults"] is True
    assert "allowPartialResults" not in request()


def test_labels_are_asked_for_where_they_are_wanted() -> None:
    assert request(labels=True)["metadataOptions"] == {**WANTED, "includeFeatureDescriptions": True, "includeFeatureTags": True}


@pytest.mark.parametrize(
    ("service", "told"),
    [
        (SERVICE, {"workspaceName": "live", "featureServiceName": "fraud:v2"}),
        (ServiceRef("live", id="0" * 32), {"workspaceName": "live", "featureServiceId": "0" * 32}),
    ],
)
def test_a_service_is_located_as_the_caller_located_it(service: ServiceRef, told: dict[str, str]) -> None:
    assert json.loads(metadata_request(service)) == {"params": told}


def item(name: str, dtype: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "dataType": dtype if isinstance(dtype, dict) else {"type": dtype}, "status": "PRESENT", **more}


SLO = {
    "sloEligible": False,
    "sloServerTimeSeconds": 0.25,
    "serverTimeSeconds": 0.5,
    "storeMaxLatency": 0.125,
    "storeTimeSeconds": 0.1,
    "storeResponseSizeBytes": 2048,
    "dynamodbResponseSizeBytes": 1024,
    "sloIneligibilityReasons": ["UNKNOWN"],
}
ITEMS = [
    item("risk.score", "float64"),
    item("user.count", "int64", effectiveTime="2024-01-01T00:00:00Z", description="How many", tags={"team": "growth"}),
    item("user.city", "string", effectiveTime="2024-01-01T00:00:00Z", status="MISSING_DATA"),
    item("shop.place", {"type": "struct", "fields": [{"name": "x", "dataType": {"type": "int64"}}]}, status="CACHED_PRESENT"),
]
VALUES = ["NaN", "42", None, ["7"]]
GOOD: dict[str, Any] = {"result": {"features": VALUES}, "metadata": {"features": ITEMS, "sloInfo": SLO}}
BATCH_ITEMS = [{**one, "status": [one["status"], "MISSING_DATA"]} for one in ITEMS]
GOOD_BATCH: dict[str, Any] = {
    "result": [{"features": VALUES}, {"features": [1.5, 3, "x", None]}],
    "metadata": {"features": BATCH_ITEMS, "sloInfo": [SLO, {"sloEligible": True}], "batchSloInfo": SLO},
}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_whole_reply_is_read_view_by_view() -> None:
    (row,), labels = ReplyReader().read(encoded(GOOD), 1, want_labels=True)
    assert labels is not None
    risk, user, shop = row.views
    assert (risk.layout.view, risk.layout.features) == ("risk", (Feature("risk.score", FLOAT64),))
    assert (user.layout.view, user.layout.features) == ("user", (Feature("user.count", INT64), Feature("user.city", STRING)))
    assert (shop.layout.view, shop.layout.features) == ("shop", (Feature("shop.place", struct_of(x=INT64)),))
    assert (risk.positional, risk.named) == (b'"NaN"', b'"risk.score":"NaN"')
    assert (user.positional, user.named) == (b'"42",null', b'"user.count":42,"user.city":null')
    assert (shop.positional, shop.named) == (b'["7"]', b'"shop.place":{"x":7}')
    assert user.statuses == (Status.PRESENT, Status.MISSING_DATA)
    assert shop.statuses == (Status.CACHED_PRESENT,)
    assert user.effective_times == ("2024-01-01T00:00:00Z",) * 2
    assert user.effective_times[0] is user.effective_times[1]  # kept once, and for long
    assert risk.effective_times == (None,)
    assert all(view.complete for view in row.views)
    assert row.slo == SloInfo(
        eligible=False,
        server_time_s=0.5,
        slo_server_time_s=0.25,
        store_max_latency_s=0.125,
        store_response_size_bytes=2048,
        dynamodb_response_size_bytes=1024,
        ineligibility_reasons=("UNKNOWN",),
        store_time_s=0.1,
    )
    assert not row.partial
    assert labels["user.count"] == Labels("How many", (("team", "growth"),))
    assert labels["risk.score"] == Labels()


def test_a_whole_batch_is_read_row_by_row() -> None:
    rows, _ = ReplyReader().read(encoded(GOOD_BATCH), 2)
    assert [[view.positional for view in row.views] for row in rows] == [
        [b'"NaN"', b'"42",null', b'["7"]'],
        [b"1.5", b'"3","x"', b"null"],
    ]
    assert [view.statuses for view in rows[1].views] == [(Status.MISSING_DATA,), (Status.MISSING_DATA,) * 2, (Status.MISSING_DATA,)]
    assert [row.slo.eligible if row.slo else None for row in rows] == [False, True]


def test_a_batch_without_slo_info_has_none() -> None:
    body = {"result": GOOD_BATCH["result"], "metadata": {"features": BATCH_ITEMS}}
    assert [row.slo for row in ReplyReader().read(encoded(body), 2)[0]] == [None, None]


@given(st.lists(typed(), min_size=1, max_size=4), st.integers(1, 3))
def test_a_gateways_own_reply_reads_back_as_the_same_views(values: list[Typed], rows: int) -> None:
    names = [f"view{index % 2}.f{index}" for index in range(len(values))]
    features = [positional_model(one.dtype, one.value) for one in values]
    items = [item(name, encode_type(one.dtype)) for name, one in zip(names, values, strict=True)]
    body = {"result": {"features": features} if rows == 1 else [{"features": features}] * rows, "metadata": {"features": items}}
    read, _ = ReplyReader().read(encoded(body), rows)
    shown = Show.NAMES | Show.DATA_TYPES | Show.STATUSES
    text = VectorText([feature for view in read[0].views for feature in view.layout.features])
    vectors = [Vector.of(text, [Fragment.of(view, 0.0) for view in row.views], [Source.ORIGIN] * len(row.views), 0.0) for row in read]
    again = tecton_single(vectors[0], shown) if rows == 1 else tecton_batch(vectors, shown, [SloInfo()] * rows, SloInfo())
    assert ReplyReader().read(again, rows)[0] == read


@pytest.mark.parametrize(
    ("told", "status", "complete"),
    [
        *((status.value, status, status not in {Status.TIME_OUT, Status.UNKNOWN, Status.CACHED_UNKNOWN}) for status in Status),
        ("UNKNOWN", Status.UNKNOWN, False),
        ("CACHED", Status.CACHED_PRESENT, True),
        ("SOMETHING_NEW", Status.UNKNOWN, False),
        ("", Status.UNKNOWN, False),
        (None, Status.UNKNOWN, False),
    ],
)
def test_a_status_is_read_and_decides_whether_the_view_is_whole(told: str | None, status: Status, *, complete: bool) -> None:
    body = {"result": {"features": [None]}, "metadata": {"features": [item("a.x", "int64", status=told)]}}
    (view,) = ReplyReader().read(encoded(body), 1)[0][0].views
    assert view.statuses == (status,)
    assert view.complete is complete


def test_only_the_view_that_timed_out_is_incomplete() -> None:
    body = {
        "result": {"features": [1, None, 2]},
        "metadata": {"features": [item("a.x", "int64"), item("b.y", "int64", status="TIME_OUT"), item("c.z", "int64")]},
    }
    assert [view.complete for view in ReplyReader().read(encoded(body), 1)[0][0].views] == [True, False, True]


def test_partial_results_make_every_view_incomplete() -> None:
    body = {**GOOD, "metadata": {**GOOD["metadata"], "partialResults": True}}
    (row,), _ = ReplyReader().read(encoded(body), 1)
    assert row.partial
    assert not any(view.complete for view in row.views)


def test_fields_that_nobody_knows_are_passed_over() -> None:
    body = {**GOOD, "new": 1, "metadata": {**GOOD["metadata"], "new": {}, "joinKeys": []}}
    assert ReplyReader().read(encoded(body), 1) == ReplyReader().read(encoded(GOOD), 1)


def test_a_shape_is_remembered_and_a_changed_type_is_a_new_one() -> None:
    reader = ReplyReader()
    for dtype, named in [("int64", b'"a.x":1'), ("string", b'"a.x":"1"'), ("int64", b'"a.x":1')]:
        body = {"result": {"features": ["1"]}, "metadata": {"features": [item("a.x", dtype)]}}
        (view,) = reader.read(encoded(body), 1)[0][0].views
        assert view.named == named


def test_more_shapes_than_are_remembered_are_still_read() -> None:
    reader = ReplyReader()
    for number in [*range(4_100), 0]:
        body = b'{"result":{"features":[1]},"metadata":{"features":[{"name":"a.f%d","dataType":"int64"}]}}' % number
        assert reader.read(body, 1)[0][0].views[0].layout.names == (f"a.f{number}",)


def changed(change: Callable[[dict[str, Any]], object], good: dict[str, Any] = GOOD) -> bytes:
    body = json.loads(json.dumps(good))
    change(body)
    return encoded(body)


def setting(*way: Any) -> Callable[[dict[str, Any]], object]:
    """Sets what stands at the way's end but one to the last."""
    *path, name, value = way

    def change(body: dict[str, Any]) -> None:
        inner: Any = body
        for step in path:
            inner = inner[step]
        inner[name] = value

    return change


ENDLESS = '{"type":"array","elementType":' * 50 + "5" + "}" * 50
GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "a null": b"null",
    "a number": b"5",
    "a list": b"[]",
    "an empty object": b"{}",
    "a page": b"<html>503</html>",
    "truncated": encoded(GOOD)[:-1],
    "half": encoded(GOOD)[: len(encoded(GOOD)) // 2],
    "twice": encoded(GOOD) * 2,
    "a byte order mark": b"\xef\xbb\xbf" + encoded(GOOD),
    "utf-16": json.dumps(GOOD).encode("utf-16"),
    "an error body": b'{"error":"x","message":"x","code":13}',
    "no metadata": encoded({"result": GOOD["result"]}),
    "no result": encoded({"metadata": GOOD["metadata"]}),
    "null result": changed(setting("result", None)),
    "a batch's result": changed(setting("result", [GOOD["result"]])),
    "features an object": changed(setting("result", "features", {})),
    "features missing": changed(setting("result", {})),
    "items missing": changed(setting("metadata", {})),
    "items null": changed(setting("metadata", "features", None)),
    "one value less": changed(lambda body: body["result"]["features"].pop()),
    "one value more": changed(lambda body: body["result"]["features"].append(1)),
    "one item less": changed(lambda body: body["metadata"]["features"].pop()),
    "one item more": changed(lambda body: body["metadata"]["features"].append(item("a.x", "int64"))),
    "a name missing": changed(lambda body: body["metadata"]["features"][0].pop("name")),
    "a name null": changed(setting("metadata", "features", 0, "name", None)),
    "a name a number": changed(setting("metadata", "features", 0, "name", 5)),
    "a name twice": changed(setting("metadata", "features", 1, "name", "risk.score")),
    "a type missing": changed(lambda body: body["metadata"]["features"][0].pop("dataType")),
    "a type null": changed(setting("metadata", "features", 0, "dataType", None)),
    "a type unknown": changed(setting("metadata", "features", 0, "dataType", {"type": "decimal"})),
    "a type without element": changed(setting("metadata", "features", 0, "dataType", {"type": "array"})),
    "a status list in a single reply": changed(setting("metadata", "features", 0, "status", ["PRESENT", "PRESENT"])),
    "a status a number": changed(setting("metadata", "features", 0, "status", 1)),
    "a time a number": changed(setting("metadata", "features", 0, "effectiveTime", 1)),
    "tags a list": changed(setting("metadata", "features", 0, "tags", [])),
    "a description a number": changed(setting("metadata", "features", 0, "description", 1)),
    "slo info a string": changed(setting("metadata", "sloInfo", "fine")),
    "slo info of strings": changed(setting("metadata", "sloInfo", "sloEligible", "yes")),
    "partial a string": changed(setting("metadata", "partialResults", "no")),
    "a float for an int64": changed(setting("result", "features", 1, 4.5)),
    "a text for an int64": changed(setting("result", "features", 1, "many")),
    "an int64 too large": changed(setting("result", "features", 1, "9223372036854775808")),
    "a text for a float": changed(setting("result", "features", 0, "half")),
    "a float too large": encoded(GOOD).replace(b'"NaN"', b"1e999", 1),
    "a bare NaN": encoded(GOOD).replace(b'"NaN"', b"NaN", 1),
    "a number for a string": changed(setting("result", "features", 2, 5)),
    "an object for a string": changed(setting("result", "features", 2, {})),
    "a text for a struct": changed(setting("result", "features", 3, "7")),
    "a struct too long": changed(setting("result", "features", 3, ["7", "8"])),
    "a struct's member wrong": changed(setting("result", "features", 3, ["seven"])),
    "a type nested without end": changed(setting("metadata", "features", 0, "dataType", json.loads(ENDLESS))),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_reply_that_is_not_whole_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        ReplyReader().read(GARBAGE[name], 1)


@pytest.mark.parametrize("moment", ["", "yesterday", "2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z"])
def test_an_effective_time_that_clients_cannot_parse_makes_a_reply_not_whole(moment: str) -> None:
    """Official clients raise on it (contract §4.4), and a batch orders its rows by it."""
    with pytest.raises(ValueError, match=r"\S"):
        ReplyReader().read(changed(setting("metadata", "features", 1, "effectiveTime", moment)), 1)


def test_a_text_that_is_not_unicode_makes_a_reply_not_whole() -> None:
    body = encoded({"result": {"features": ["TEXT"]}, "metadata": {"features": [item("a.x", "string")]}})
    with pytest.raises(ValueError, match=r"\S"):
        ReplyReader().read(body.replace(b"TEXT", b"\xff\xfe"), 1)


def test_a_float_array_with_an_integer_beyond_every_float_makes_a_reply_not_whole() -> None:
    dtype = {"type": "array", "elementType": {"type": "float64"}}
    body = {"result": {"features": [[10**400]]}, "metadata": {"features": [item("a.x", dtype)]}}
    with pytest.raises(ValueError, match=r"\S"):
        ReplyReader().read(encoded(body), 1)


@pytest.mark.parametrize("depth", [100, 900, 10_000, 100_000])
@pytest.mark.parametrize("place", [b'"NaN"', b'"PRESENT"', b'{"type": "float64"}'])
def test_a_reply_nested_without_end_is_a_value_error_or_the_recursion_error_that_the_origin_expects(depth: int, place: bytes) -> None:
    body = encoded(GOOD).replace(place, b"[" * depth + b"]" * depth, 1)
    with pytest.raises((ValueError, RecursionError)):
        ReplyReader().read(body, 1)


@pytest.mark.parametrize(
    "body",
    [
        encoded(GOOD),
        changed(lambda body: body["result"].pop(), GOOD_BATCH),
        changed(lambda body: body["result"].append(body["result"][0]), GOOD_BATCH),
        changed(lambda body: body["result"][1]["features"].pop(), GOOD_BATCH),
        changed(lambda body: body["metadata"]["features"][0]["status"].pop(), GOOD_BATCH),
        changed(lambda body: body["metadata"]["features"][0]["status"].append("PRESENT"), GOOD_BATCH),
        changed(setting("metadata", "features", 2, "status", []), GOOD_BATCH),
        changed(setting("result", 1, None), GOOD_BATCH),
        changed(setting("result", {}), GOOD_BATCH),
        changed(setting("metadata", "sloInfo", [5]), GOOD_BATCH),
    ],
)
def test_a_batch_that_is_not_whole_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        ReplyReader().read(body, 2)


def test_no_refusal_quotes_a_value() -> None:
    body = changed(setting("result", "features", 1, "t0ken-7731"))
    with pytest.raises(ValueError, match="expected int64 or null") as refused:
        ReplyReader().read(body, 1)
    assert "t0ken" not in str(refused.value)


@pytest.mark.parametrize(("good", "rows"), [(GOOD, 1), (GOOD_BATCH, 2)], ids=["single", "batch"])
@given(data=st.data())
def test_a_damaged_reply_is_a_value_error_or_still_whole(good: dict[str, Any], rows: int, data: st.DataObject) -> None:
    body = bytearray(encoded(good))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        damage = data.draw(st.sampled_from(["delete", "replace", "truncate", "double", "swap"]))
        if damage == "delete":
            del body[at : at + data.draw(st.integers(1, 20))]
        elif damage == "replace":
            body[at] = data.draw(st.sampled_from(b'0129-e.,:"[]{}\\ antf\x00\x7f\xc3\xff'))
        elif damage == "truncate":
            del body[at:]
        elif damage == "double":
            body[at:at] = body[at : at + data.draw(st.integers(1, 20))]
        else:
            other = data.draw(st.integers(0, len(body) - 1))
            body[at], body[other] = body[other], body[at]
        if not body:
            break
    try:
        read, _ = ReplyReader().read(bytes(body), rows)
    except ValueError:
        return
    assert len(read) == rows
    for row in read:
        for view in row.views:
            assert len(json.loads(b"[%b]" % view.positional)) == len(view.layout) == len(view.statuses) == len(view.effective_times)
            assert list(json.loads(b"{%b}" % view.named)) == list(view.layout.names)


METADATA = {
    "featureServiceType": "DEFAULT",
    "inputJoinKeys": [{"name": "user", "dataType": {"type": "string"}}, {"name": "shop", "type": "int64"}],
    "inputRequestContextKeys": [{"name": "amount", "dataType": {"type": "float64"}}],
    "featureValues": [{"name": "a.x", "dataType": {"type": "int64"}}, {"name": "a.y", "type": "string_array"}],
}


def test_metadata_is_read_with_new_and_with_legacy_types() -> None:
    kind, join_keys, context_keys, features, output_keys = read_metadata(encoded(METADATA))
    assert kind == "DEFAULT"
    assert [(field.name, field.dtype) for field in join_keys] == [("user", STRING), ("shop", INT64)]
    assert [(field.name, field.dtype) for field in context_keys] == [("amount", FLOAT64)]
    assert features == (Feature("a.x", INT64), Feature("a.y", array_of(STRING)))
    assert output_keys == ()


def test_metadata_may_leave_out_what_is_empty() -> None:
    assert read_metadata(b'{"featureValues":[]}') == ("DEFAULT", (), (), (), ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>",
        b'{"featureValues":null}',
        b'{"featureValues":{}}',
        b'{"featureValues":[5]}',
        b'{"featureValues":[{"name":"a.x"}]}',
        b'{"featureValues":[{"dataType":{"type":"int64"}}]}',
        b'{"featureValues":[{"name":"a.x","dataType":{"type":"decimal"}}]}',
        b'{"featureValues":[{"name":"a.x","type":"int64"},{"name":"a.x","type":"string"}]}',
        b'{"featureValues":[],"inputJoinKeys":null}',
        b'{"featureValues":[],"inputJoinKeys":[{"name":"user","dataType":5}]}',
        b'{"featureValues":[],"featureServiceType":5}',
        encoded(METADATA)[:-1],
        encoded(METADATA) + b"x",
    ],
)
def test_metadata_that_cannot_be_understood_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_metadata(body)


@pytest.mark.parametrize("keys", ["inputJoinKeys", "inputRequestContextKeys", "outputJoinKeys"])
def test_metadata_that_names_a_key_twice_is_a_value_error(keys: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_metadata(encoded({"featureValues": [], keys: [{"name": "user", "type": "string"}] * 2}))


@given(st.integers(0), st.binary(min_size=0, max_size=3))
def test_damaged_metadata_is_a_value_error_or_still_metadata(at: int, splice: bytes) -> None:
    body = encoded(METADATA)
    at %= len(body)
    try:
        _, _, _, features, _ = read_metadata(body[:at] + splice + body[at + 1 :])
    except ValueError:
        return
    assert len(features) == 2


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":"e","message":"m","code":3}', "m"),
        (b'{"error":"e"}', "e"),
        (b'{"message":"m","details":[]}', "m"),
        (b'{"message":"","error":"e"}', "e"),
        (b'{"message":"' + b"x" * 5000 + b'"}', "x" * 1000),
        (b"{}", None),
        (b'{"message":""}', None),
        (b'{"message":5}', None),
        (b"", None),
        (b"<html>503 Service Temporarily Unavailable</html>", None),
        (b"[]", None),
        (b'"message"', None),
        (b'{"message":"\xff"}', None),
        (b'{"message":' + b"[" * 100_000, None),
    ],
)
def test_an_error_text_is_read_where_there_is_one(body: bytes, text: str | None) -> None:
    assert read_error(body) == text


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.text(max_size=5), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())
    ),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.lists(st.integers(0, 9)), st.floats())),
    st.booleans(),
)
def test_a_plain_request_is_the_same_request(join_keys: dict[str, Any], context: dict[str, Any], labels: bool) -> None:  # noqa: FBT001 - drawn
    spelled = get_features_request(SERVICE, [(join_keys, context)], PLAIN, latency_budget_ms=None, want_labels=labels)
    assert plain_request(SERVICE, join_keys, context, labels) == spelled
