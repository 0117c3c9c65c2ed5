"""One request, however it is spelt; a refusal names the field, never what the caller put there."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tecton_client import MetadataOptions, TectonClient

from gateway.errors import GatewayError, InvalidRequest, MalformedBody
from gateway.features import PLAIN, ReadOptions, ServiceRef
from gateway.wire.requests import ReadRequest, RowInput, Show, TectonReads, named_batch, named_single

TOKEN = "t0ken-7731"
PATH = ServiceRef("live", "fraud:v2")
READS = TectonReads()
MAPS = {"join_key_map", "request_context_map", "join_keys", "request_context"}
"""Fields whose own members are the caller's names and are never respelt."""

OPTIONS: dict[str, Any] = {
    "read_from_cache": False,
    "write_to_cache": False,
    "ignore_extra_request_context_fields": True,
    "latency_budget_ms": 200,
    "coerce_null_counts_to_zero": False,
    "aggregation_leading_edge": "AGGREGATION_MODE_LATEST_EVENT_TIME",
    "high_watermark_override": "2024-01-01T00:00:00Z",
}
FLAGS = {
    "include_names": Show.NAMES,
    "include_data_types": Show.DATA_TYPES,
    "include_effective_times": Show.EFFECTIVE_TIMES,
    "include_serving_status": Show.STATUSES,
    "include_slo_info": Show.SLO_INFO,
    "include_feature_descriptions": Show.DESCRIPTIONS,
    "include_feature_tags": Show.TAGS,
    "include_types": Show.DATA_TYPES,
}
KEYS = {"user_id": "u1", "shopId": 7, "none_key": None}
CONTEXT = {"amount_usd": 1.5, "deepStruct": {"inner_field": [1]}}
LOCATED: dict[str, Any] = {"workspace_name": "live", "feature_service_name": "fraud"}
SINGLE: dict[str, Any] = {
    "params": {
        **LOCATED,
        "join_key_map": KEYS,
        "request_context_map": CONTEXT,
        "metadata_options": dict.fromkeys(FLAGS, True),
        "allow_partial_results": True,
        "request_options": OPTIONS,
    }
}
ROW = {"join_key_map": KEYS, "request_context_map": CONTEXT}
BATCH: dict[str, Any] = {
    "params": {**LOCATED, "request_data": [ROW, ROW], "metadata_options": {"include_names": True}, "request_options": OPTIONS}
}
NAMED: dict[str, Any] = {
    "join_keys": KEYS,
    "request_context": CONTEXT,
    "features": ["a.*", "b_view.some_feature"],
    "include": ["status"],
    "max_age_ms": 1500,
    "deadline_ms": 250,
}
NAMED_ROW = {"join_keys": KEYS, "request_context": CONTEXT}
NAMED_BATCH: dict[str, Any] = {"rows": [NAMED_ROW, NAMED_ROW], "include": ["ageSeconds"], "deadline_ms": 250}

Decode = Callable[[bytes], object]
DOORS: dict[str, tuple[Decode, dict[str, Any]]] = {
    "single": (READS.single, SINGLE),
    "batch": (READS.batch, BATCH),
    "locator": (READS.locator, {"params": LOCATED}),
    "named": (lambda body: named_single(body, PATH), NAMED),
    "named batch": (lambda body: named_batch(body, PATH), NAMED_BATCH),
}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def camel(name: str) -> str:
    return "".join(word.capitalize() if index else word for index, word in enumerate(name.split("_")))


def recased(value: Any, choose: Callable[[], bool]) -> Any:
    if isinstance(value, list):
        return [recased(inner, choose) for inner in value]
    if not isinstance(value, dict):
        return value
    return {(camel(name) if choose() else name): (inner if name in MAPS else recased(inner, choose)) for name, inner in value.items()}


def single(params: Mapping[str, Any], **settings: Any) -> ReadRequest:
    return TectonReads(**settings).single(encoded({"params": {**LOCATED, **params}}))


def options(**given: Any) -> ReadOptions:
    return single({"requestOptions": given}).options


def refusal(decode: Decode, body: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode(body if isinstance(body, bytes) else encoded(body))
    return refused.value.message


def test_a_whole_request_is_read() -> None:
    assert READS.single(encoded(SINGLE)) == ReadRequest(
        ServiceRef("live", "fraud"),
        (RowInput(KEYS, CONTEXT),),
        Show.ITEMS | Show.SLO_INFO,
        ReadOptions(
            read_from_cache=False,
            write_to_cache=False,
            ignore_extra_request_context_fields=True,
            latency_budget_ms=200,
            coerce_null_counts_to_zero=False,
            aggregation_leading_edge="AGGREGATION_MODE_LATEST_EVENT_TIME",
            high_watermark_override="2024-01-01T00:00:00Z",
            allow_partial_results=True,
        ),
    )


def test_a_whole_batch_is_read() -> None:
    request = READS.batch(encoded(BATCH))
    assert request.rows == (RowInput(KEYS, CONTEXT), RowInput(KEYS, CONTEXT))
    assert request.show == Show.NAMES
    assert request.options.latency_budget_ms == 200


def test_a_whole_named_request_is_read() -> None:
    assert named_single(encoded(NAMED), PATH) == ReadRequest(
        PATH,
        (RowInput(KEYS, CONTEXT),),
        Show.STATUSES,
        selectors=("a.*", "b_view.some_feature"),
        max_age_s=1.5,
        deadline_ms=250,
    )


def test_a_whole_named_batch_is_read() -> None:
    request = named_batch(encoded(NAMED_BATCH), PATH)
    assert request == ReadRequest(PATH, (RowInput(KEYS, CONTEXT),) * 2, Show.AGES, deadline_ms=250)


@pytest.mark.parametrize("door", DOORS)
@given(data=st.data())
def test_every_mix_of_spellings_is_the_same_request(door: str, data: st.DataObject) -> None:
    decode, body = DOORS[door]
    mixed = recased(body, lambda: data.draw(st.booleans()))
    assert decode(encoded(mixed)) == decode(encoded(body))


@pytest.mark.parametrize("door", DOORS)
def test_all_camel_case_is_the_same_request(door: str) -> None:
    decode, body = DOORS[door]
    assert decode(encoded(recased(body, lambda: True))) == decode(encoded(body))


@pytest.mark.parametrize(("name", "flag"), FLAGS.items())
@pytest.mark.parametrize("spell", [str, camel])
def test_each_metadata_flag_shows_its_own_thing(name: str, flag: Show, spell: Callable[[str], str]) -> None:
    assert single({"metadataOptions": {spell(name): True}}).show == flag
    assert single({"metadataOptions": {spell(name): False}}).show == 0


@pytest.mark.parametrize(("name", "value"), OPTIONS.items())
@pytest.mark.parametrize("spell", [str, camel])
def test_each_request_option_sets_its_own_field(name: str, value: Any, spell: Callable[[str], str]) -> None:
    assert options(**{spell(name): value}) == ReadOptions(**{name: value})


@pytest.mark.parametrize(
    "metadata", [{}, {"metadataOptions": {}}, {"metadataOptions": None}, {"metadataOptions": {"includeNames": False}}], ids=str
)
def test_a_request_without_flags_is_shown_the_default(metadata: dict[str, Any]) -> None:
    assert single(metadata).show == 0
    assert single(metadata, show_by_default=Show.NAMES | Show.DATA_TYPES).show == Show.NAMES | Show.DATA_TYPES


def test_a_request_with_flags_is_shown_just_those() -> None:
    assert single({"metadataOptions": {"includeSloInfo": True}}, show_by_default=Show.NAMES).show == Show.SLO_INFO


@pytest.mark.parametrize(
    "given_options", [{}, {"requestOptions": None}, {"requestOptions": {}}, {"requestOptions": {"cacheTtl": "Infinity"}}], ids=str
)
def test_no_options_are_the_plain_options(given_options: dict[str, Any]) -> None:
    assert single(given_options).options is PLAIN or single(given_options).options == PLAIN


@pytest.mark.parametrize("name", OPTIONS)
def test_a_null_option_is_unset(name: str) -> None:
    assert options(**{name: None}) == PLAIN


@pytest.mark.parametrize("name", ["join_key_map", "request_context_map", "metadata_options", "request_options", "allow_partial_results"])
@pytest.mark.parametrize("spell", [str, camel])
def test_a_null_field_is_unset(name: str, spell: Callable[[str], str]) -> None:
    assert single({spell(name): None}) == single({})


@pytest.mark.parametrize("name", [name for name in NAMED if name != "include"])
def test_a_null_field_of_the_named_door_is_unset(name: str) -> None:
    rest = {other: value for other, value in NAMED.items() if other != name}
    assert named_single(encoded({**NAMED, name: None}), PATH) == named_single(encoded(rest), PATH)


def test_a_null_beside_the_other_spelling_is_unset() -> None:
    assert single({"joinKeyMap": None, "join_key_map": KEYS}) == single({"joinKeyMap": KEYS})


def test_a_null_after_the_other_spelling_is_unset() -> None:
    assert single({"join_key_map": KEYS, "joinKeyMap": None}) == single({"joinKeyMap": KEYS})


def test_both_spellings_of_one_field_are_refused() -> None:
    assert "join_key_map twice" in refusal(READS.single, {"params": {**LOCATED, "joinKeyMap": {}, "join_key_map": {}}})


@pytest.mark.parametrize(
    "params",
    [
        {"requestOptions": {"latencyBudgetMs": 100, "latency_budget_ms": 200}},
        {"metadataOptions": {"includeNames": False, "include_names": True}},
    ],
    ids=str,
)
def test_both_spellings_of_one_option_are_refused(params: dict[str, Any]) -> None:
    assert "twice" in refusal(READS.single, {"params": {**LOCATED, **params}})


@pytest.mark.parametrize(
    ("given_ms", "read"), [(200, 200), ("200", 200), (200.0, 200), ("0200", 200), (1, 1), (2**31 - 1, 2**31 - 1), ("2147483647", 2**31 - 1)]
)
def test_a_number_may_come_as_a_string(given_ms: Any, read: int) -> None:
    assert options(latencyBudgetMs=given_ms).latency_budget_ms == read


@pytest.mark.parametrize(
    "given_ms", [0, -1, 2**31, 1.5, 1e300, True, "", " 1", "1 ", "+1", "-1", "1.5", "1e3", "\u0661", "²", "9" * 40, [], {}]
)
def test_a_budget_that_is_no_whole_number_is_refused(given_ms: Any) -> None:
    assert "latencyBudgetMs must be" in refusal(READS.single, {"params": {**LOCATED, "requestOptions": {"latencyBudgetMs": given_ms}}})


@pytest.mark.parametrize("spelling", [0, "0", 0.0])
def test_a_maximum_age_may_be_zero_and_a_deadline_not(spelling: Any) -> None:
    assert named_single(encoded({"maxAgeMs": spelling}), PATH).max_age_s == 0
    assert "deadlineMs must be" in refusal(lambda body: named_single(body, PATH), {"deadlineMs": spelling})


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (READS.single, {**SINGLE, "extra": TOKEN}),
        (READS.single, {"params": {**SINGLE["params"], "extra": TOKEN}}),
        (READS.single, {"params": {**SINGLE["params"], "isCallerBatch": True, "request_options": {**OPTIONS, "writeFromCache": TOKEN}}}),
        (READS.single, {"params": {**SINGLE["params"], "metadata_options": {**dict.fromkeys(FLAGS, True), "includeMore": TOKEN}}}),
    ],
)
def test_fields_that_nobody_knows_change_nothing_on_the_tecton_doors(decode: Decode, body: Any) -> None:
    assert decode(encoded(body)) == READS.single(encoded(SINGLE))


def test_unknown_fields_of_a_batch_item_are_ignored() -> None:
    body = {"params": {**BATCH["params"], "request_data": [{**ROW, "extra": TOKEN}, ROW]}}
    assert READS.batch(encoded(body)) == READS.batch(encoded(BATCH))


@pytest.mark.parametrize(
    ("decode", "body", "where"),
    [
        (DOORS["named"][0], {**NAMED, TOKEN: 1}, "The body has an unknown field. Expected one of: [joinKeys requestContext features"),
        (DOORS["named"][0], {"params": {}}, "The body has an unknown field"),
        (DOORS["named batch"][0], {**NAMED_BATCH, TOKEN: 1}, "The body has an unknown field"),
        (
            DOORS["named batch"][0],
            {"rows": [NAMED_ROW, {TOKEN: 1}]},
            "rows[1] has an unknown field. Expected one of: [joinKeys requestContext]",
        ),
        (DOORS["named batch"][0], {"rows": [{"features": []}]}, "rows[0] has an unknown field"),
    ],
)
def test_unknown_fields_are_refused_on_the_named_door(decode: Decode, body: Any, where: str) -> None:
    message = refusal(decode, body)
    assert message.startswith(where)
    assert TOKEN not in message


@pytest.mark.parametrize(
    ("locator", "service"),
    [
        ({"featureServiceName": "fs"}, ServiceRef("prod", "fs")),
        ({"featureServiceName": "fs", "workspaceName": "dev"}, ServiceRef("dev", "fs")),
        ({"featureServiceName": "fs", "workspaceName": ""}, ServiceRef("prod", "fs")),
        ({"featureServiceName": "fs", "workspaceName": None}, ServiceRef("prod", "fs")),
        ({"featureServiceId": "0" * 32, "workspaceName": "dev"}, ServiceRef("dev", id="0" * 32)),
        ({"featureServiceId": "0" * 32, "featureServiceName": None}, ServiceRef("prod", id="0" * 32)),
        ({"featureServiceId": "0" * 32, "featureServiceName": ""}, ServiceRef("prod", id="0" * 32)),
    ],
)
def test_a_service_is_located_by_name_or_by_id(locator: dict[str, Any], service: ServiceRef) -> None:
    body = encoded({"params": locator})
    assert READS.locator(body) == service
    assert READS.single(body).service == service


@pytest.mark.parametrize("door", ["single", "locator"])
@pytest.mark.parametrize(
    ("locator", "text"),
    [
        ({}, "Exactly one of featureServiceName and featureServiceId must be set."),
        ({"featureServiceName": ""}, "Exactly one of featureServiceName and featureServiceId must be set."),
        (
            {"featureServiceName": "a", "feature_service_id": "b"},
            "Exactly one of featureServiceName and featureServiceId must be set.",
        ),
        *(
            ({name: "v"}, "Feature views and feature packages cannot be read by themselves here: name a feature service.")
            for name in ("featureViewName", "feature_view_id", "featurePackageName", "feature_package_id")
        ),
        ({"featureServiceName": 5}, "featureServiceName must be a string."),
        ({"featureServiceId": ["x"]}, "featureServiceId must be a string."),
        ({"featureServiceName": "a", "workspaceName": {}}, "workspaceName must be a string."),
    ],
)
def test_a_service_that_is_not_located_is_refused(door: str, locator: dict[str, Any], text: str) -> None:
    assert refusal(DOORS[door][0], {"params": locator}) == text


@pytest.mark.parametrize(
    "repeated",
    [{}, LOCATED, {"featureServiceId": "x"}, {"featureServiceName": "other", "featureServiceId": "x"}, {"workspaceName": 5}],
    ids=str,
)
def test_the_path_of_v2_wins_over_the_body(repeated: dict[str, Any]) -> None:
    params = {"joinKeyMap": KEYS, **repeated}
    assert READS.single(encoded({"params": params}), PATH).service == PATH
    assert READS.batch(encoded({"params": {**repeated, "requestData": [{}]}}), PATH).service == PATH


def test_a_batch_takes_ten_rows_and_tells_of_eleven_in_the_contracts_words() -> None:
    assert len(READS.batch(encoded({"params": {**LOCATED, "requestData": [{}] * 10}})).rows) == 10
    assert refusal(READS.batch, {"params": {**LOCATED, "requestData": [{}] * 11}}) == "Batch size 11 exceeds maximum of 10."


def test_a_named_batch_takes_a_thousand_rows() -> None:
    assert len(named_batch(encoded({"rows": [{}] * 1000}), PATH).rows) == 1000
    assert refusal(DOORS["named batch"][0], {"rows": [{}] * 1001}) == "Batch size 1001 exceeds maximum of 1000."


@pytest.mark.parametrize(
    ("door", "body", "text"),
    [
        ("batch", {"params": LOCATED}, "requestData must have at least one item."),
        ("batch", {"params": {**LOCATED, "requestData": []}}, "requestData must have at least one item."),
        ("batch", {"params": {**LOCATED, "requestData": {}}}, "requestData must be a list."),
        ("batch", {"params": {**LOCATED, "requestData": [{}, 5]}}, "requestData[1] must be a JSON object."),
        ("batch", {"params": {**LOCATED, "requestData": [{"joinKeyMap": []}]}}, "requestData[0].joinKeyMap must be a JSON object."),
        ("single", {}, "The body must have the field params."),
        ("single", {"params": None}, "The body must have the field params."),
        ("single", [], "The body must be a JSON object."),
        ("single", {"params": []}, "params must be a JSON object."),
        ("named", {"rows": []}, "rows is for the batch path: post it to …/features:batch."),
        ("named", [], "The body must be a JSON object."),
        ("named", {"features": "a.*"}, "features must be a list of strings."),
        ("named", {"features": ["a", 1]}, "features must be a list of strings."),
        ("named", {"include": {}}, "include must be a list of strings."),
        (
            "named",
            {"include": ["status", "everything"]},
            "include has an unknown entry. Expected some of: [status effectiveTime ageSeconds source dataType]",
        ),
        ("named batch", {}, "rows must be a list with at least one item."),
        ("named batch", {"rows": []}, "rows must be a list with at least one item."),
        ("named batch", {"rows": {}}, "rows must be a list with at least one item."),
        ("named batch", {"rows": [{}], "joinKeys": {}}, "joinKeys and requestContext belong inside each item of rows."),
        ("named batch", {"rows": [{}], "request_context": {}}, "joinKeys and requestContext belong inside each item of rows."),
        ("named batch", {"rows": [{}, []]}, "rows[1] must be a JSON object."),
        ("named batch", {"rows": [{"joinKeys": 5}]}, "rows[0].joinKeys must be a JSON object."),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_by_name(door: str, body: Any, text: str) -> None:
    assert refusal(DOORS[door][0], body) == text


@pytest.mark.parametrize("field", ["metadataOptions", "requestOptions", "joinKeyMap", "requestContextMap"])
@pytest.mark.parametrize("value", [[], "", 0, False, "x", 5, True, [1]], ids=repr)
def test_what_must_be_an_object_is_one(field: str, value: Any) -> None:
    assert refusal(READS.single, {"params": {**LOCATED, field: value}}) == f"{field} must be a JSON object."


@pytest.mark.parametrize("value", ["", "true", 0, 1, [], {}], ids=repr)
def test_a_flag_is_true_or_false(value: Any) -> None:
    for name in ("readFromCache", "coerce_null_counts_to_zero"):
        assert refusal(READS.single, {"params": {**LOCATED, "requestOptions": {name: value}}}) == f"{name} must be true or false."
    assert refusal(READS.single, {"params": {**LOCATED, "allowPartialResults": value}}) == "allowPartialResults must be true or false."
    assert (
        refusal(READS.single, {"params": {**LOCATED, "metadataOptions": {"includeNames": value}}}) == "includeNames must be true or false."
    )


@pytest.mark.parametrize("value", ["AGGREGATION_MODE_UNKNOWN", "", 5, ["AGGREGATION_MODE_WALL_CLOCK_TIME"], {}], ids=repr)
def test_a_leading_edge_is_one_of_two(value: Any) -> None:
    message = refusal(READS.single, {"params": {**LOCATED, "requestOptions": {"aggregationLeadingEdge": value}}})
    assert message == "aggregationLeadingEdge must be one of: [AGGREGATION_MODE_WALL_CLOCK_TIME AGGREGATION_MODE_LATEST_EVENT_TIME]"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("body", [b"", b"{", b"[1,]", b'{"a":1,"a":2}', b"NaN", b"\xff"])
def test_a_body_that_is_not_strict_json_is_malformed(door: str, body: bytes) -> None:
    with pytest.raises(MalformedBody):
        DOORS[door][0](body)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document: the way to it, member by member."""
    inside: list[tuple[Any, Any]] = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [way, *(deeper for step, inner in inside for deeper in places(inner, (*way, step)))]


def planted(value: Any, way: tuple[Any, ...], seed: Any) -> Any:
    if not way:
        return seed
    inner = planted(value[way[0]], way[1:], seed)
    if isinstance(value, dict):
        return {**value, way[0]: inner}
    return [*value[: way[0]], inner, *value[way[0] + 1 :]]


@pytest.mark.parametrize(("door", "way"), [(door, way) for door, (_, body) in DOORS.items() for way in places(body)], ids=str)
@pytest.mark.parametrize("seed", [TOKEN, [TOKEN], {TOKEN: TOKEN}, [{TOKEN: [TOKEN]}]], ids=["text", "list", "object", "nested"])
def test_no_refusal_quotes_the_caller(door: str, way: tuple[Any, ...], seed: Any) -> None:
    decode, body = DOORS[door]
    try:
        decode(encoded(planted(body, way, seed)))
    except GatewayError as refused:
        assert TOKEN not in refused.message  # noqa: PT017 - most places take the token, and that is as good
        assert TOKEN not in repr(refused)  # noqa: PT017 - same


@pytest.mark.parametrize("door", DOORS)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8
    )
)
def test_any_json_is_read_or_refused_and_nothing_else(door: str, body: Any) -> None:
    decode, _ = DOORS[door]
    for document in (body, {"params": body}, {"rows": body}, {"params": {**LOCATED, "requestData": body}}):
        try:
            decode(encoded(document))
        except InvalidRequest as refused:
            assert refused.message  # noqa: PT017 - reading is as good


def test_a_row_prints_its_size_and_not_its_values() -> None:
    row = RowInput({"user_id": TOKEN}, {"a": TOKEN, "b": TOKEN})
    assert repr(row) == "RowInput(1 join keys, 2 context keys)"


def test_a_request_prints_no_values() -> None:
    assert TOKEN not in repr(single({"joinKeyMap": {"user_id": TOKEN}}))


NUMBERS = st.sampled_from(["1", "-0", "1.0", "1e2", "1.5", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1" * 400])
SCALAR_TEXTS = NUMBERS | st.sampled_from(
    ["null", "true", '"u1"', '":"', r'"\u003a"', r'"\\"', "1e999", "[1]", "{}", '{"a":1}', '"\\ud800"']
)
KEY_TEXTS = st.sampled_from(['"user_id"', r'"user\u005fid"', '"n"', '"a:b"', '""'])
OBJECT_TEXTS = st.lists(st.tuples(KEY_TEXTS, SCALAR_TEXTS).map(":".join), max_size=3).map(lambda pairs: "{" + ",".join(pairs) + "}")
FLAG_TEXTS = st.lists(
    st.tuples(
        st.sampled_from(['"includeNames"', '"include_names"', '"includeSloInfo"', '"x"']), st.sampled_from(["true", "false", "null", "1"])
    ).map(":".join),
    max_size=3,
).map(lambda pairs: "{" + ",".join(pairs) + "}")
PARAM_TEXTS = st.one_of(
    st.sampled_from(['"workspaceName":"w"', '"workspaceName":""', '"featureServiceName":"g"', '"featureServiceId":"i"', '"extra":1']),
    OBJECT_TEXTS.map('"joinKeyMap":%s'.__mod__),
    OBJECT_TEXTS.map('"requestContextMap":%s'.__mod__),
    FLAG_TEXTS.map('"metadataOptions":%s'.__mod__),
    st.sampled_from([f'"requestOptions":{text}' for text in ("{}", "null", "[]", '{"readFromCache":false}', '{"readFromCache":null}')]),
    st.sampled_from([f'"allowPartialResults":{text}' for text in ("true", "false", "null", "0")]),
)


def outcome(decode: Callable[[bytes], ReadRequest], body: str) -> str:
    try:
        read = msgspec.structs.replace(decode(body.encode()), plain=False)  # the general way says nothing of that
        return repr([*[part for row in read.rows for part in (*row.join_keys.items(), *row.context.items())], read])
    except GatewayError as error:
        return repr(error)


@settings(max_examples=400)
@given(
    st.lists(PARAM_TEXTS, max_size=3, unique_by=lambda text: text.partition(":")[0]),
    OBJECT_TEXTS,
    st.sampled_from([",", " , "]),
    st.booleans(),
)
def test_the_quick_way_says_what_the_general_way_says(parts: list[str], keys: str, comma: str, unique: bool) -> None:  # noqa: FBT001 - drawn
    rest = [part for part in parts if not unique or not part.startswith(('"joinKeyMap"', '"workspaceName"', '"featureServiceName"'))]
    params = comma.join(['"workspaceName":"live"', '"featureServiceName":"fs"', f'"joinKeyMap":{keys}', *rest])
    quick, general = f'{{"params":{{{params}}}}}', f'{{"params":{{{params}}},"unknown":0}}'
    assert outcome(READS.single, quick) == outcome(READS.single, general)


LIST_TEXTS = st.lists(st.sampled_from(['"status"', '"a.*"', '"source"', '"a:b"', "1", "null"]), max_size=3).map(
    lambda one: f"[{','.join(one)}]"
)
NAMED_TEXTS = st.one_of(
    OBJECT_TEXTS.map('"requestContext":%s'.__mod__),
    OBJECT_TEXTS.map('"joinKeys":%s'.__mod__),
    LIST_TEXTS.map('"features":%s'.__mod__),
    LIST_TEXTS.map('"include":%s'.__mod__),
    st.sampled_from(['"features":null', '"include":null', '"requestContext":null', '"deadlineMs":5', '"extra":1', '"rows":[]']),
)


@settings(max_examples=400)
@given(st.lists(NAMED_TEXTS, max_size=3, unique_by=lambda text: text.partition(":")[0]), OBJECT_TEXTS, st.sampled_from([",", " , "]))
def test_the_named_doors_quick_way_says_what_the_general_way_says(parts: list[str], keys: str, comma: str) -> None:
    members = comma.join([f'"joinKeys":{keys}', *parts])
    quick, general = f"{{{members}}}", f'{{{members},"maxAgeMs":null}}'
    decode = partial(named_single, service=PATH)
    assert outcome(decode, quick) == outcome(decode, general)


ROW_TEXTS = st.lists(
    st.one_of(OBJECT_TEXTS.map('"requestContext":%s'.__mod__), OBJECT_TEXTS.map('"joinKeys":%s'.__mod__), st.just('"extra":1')),
    max_size=2,
    unique_by=lambda text: text.partition(":")[0],
).map(lambda members: f"{{{','.join(members)}}}")


@settings(max_examples=400)
@given(st.lists(NAMED_TEXTS, max_size=2, unique_by=lambda text: text.partition(":")[0]), st.lists(ROW_TEXTS, max_size=3))
def test_the_quick_way_of_batches_says_what_the_general_way_says(parts: list[str], rows: list[str]) -> None:
    members = ",".join([f'"rows":[{",".join(rows)}]', *parts])
    quick, general = f"{{{members}}}", f'{{{members},"maxAgeMs":null}}'
    decode = partial(named_batch, service=PATH)
    assert outcome(decode, quick) == outcome(decode, general)


def test_what_is_read_the_quick_way_says_that_it_is_plain() -> None:
    rows = '{"joinKeys":{"a":"1"}},{"joinKeys":{"a":"2"},"requestContext":{"x":1}}'
    assert named_batch(f'{{"rows":[{rows}]}}'.encode(), PATH).plain
    assert not named_batch(f'{{"rows":[{rows}],"maxAgeMs":5}}'.encode(), PATH).plain
    assert named_single(b'{"joinKeys":{"a":"1"}}', PATH).plain
    assert not named_single(b'{"joinKeys":{"a":["1"]}}', PATH).plain


def test_the_official_clients_requests_are_read_the_quick_way() -> None:
    sent = list[bytes]()

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200, json={"result": {"features": []}, "metadata": {"features": []}})

    http = httpx.Client(transport=httpx.MockTransport(take))
    client = TectonClient(url="http://gateway.test", api_key="key", default_workspace_name="prod", client=http)
    client.get_features(feature_service_name="fs", join_key_map={"a": "b"}, metadata_options=MetadataOptions(include_names=True))
    client.get_features(feature_service_name="fs", join_key_map={"a": "b"}, request_context_map={"x": 1.5})
    assert [TectonReads().single(body).plain for body in sent] == [True, True]


@pytest.mark.parametrize("field", ["joinKeys", "requestContext"])
@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" * 400, "1" * 5000], ids=len)
def test_an_integer_beyond_64_bits_is_malformed_in_the_plainest_named_request(field: str, number: str) -> None:
    rest = "" if field == "joinKeys" else '"joinKeys":{},'
    with pytest.raises(MalformedBody):
        named_single(f'{{{rest}"{field}":{{"n":{number}}}}}'.encode(), PATH)


def test_a_metadata_option_is_shown_the_same_however_often_it_is_sent() -> None:
    reads = TectonReads()
    for number in range(1_100):
        options_text = f'"metadataOptions":{{"x{number}":true,"includeNames":true}}'
        body = f'{{"params":{{"workspaceName":"w","featureServiceName":"f","joinKeyMap":{{}},{options_text}}}}}'
        assert [reads.single(body.encode()).show for _ in range(2)] == [Show.NAMES] * 2


@pytest.mark.parametrize("field", ["joinKeyMap", "requestContextMap"])
@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" * 400, "1" * 5000], ids=len)
def test_an_integer_beyond_64_bits_is_malformed_in_the_plainest_request(field: str, number: str) -> None:
    rest = "" if field == "joinKeyMap" else '"joinKeyMap":{},'
    body = f'{{"params":{{"workspaceName":"live","featureServiceName":"fs",{rest}"{field}":{{"n":{number}}}}}}}'
    with pytest.raises(MalformedBody):
        READS.single(body.encode())


@pytest.mark.parametrize("number", ["1.0", "1e2", "-0.0", "1.5"])
def test_a_float_stays_a_float_in_the_plainest_request(number: str) -> None:
    maps = f'"joinKeyMap":{{"n":{number}}},"requestContextMap":{{"n":{number}}}'
    row = READS.single(f'{{"params":{{"workspaceName":"live","featureServiceName":"fs",{maps}}}}}'.encode()).rows[0]
    assert repr(row.join_keys["n"]) == repr(float(number))
    assert repr(row.context["n"]) == repr(float(number))


@pytest.mark.parametrize("partial_text", ["false", "null"])
@pytest.mark.parametrize("options_text", ["{}", "null"])
def test_the_plainest_request_may_say_that_it_wants_nothing_special(partial_text: str, options_text: str) -> None:
    body = (
        '{"params":{"workspaceName":"live","featureServiceName":"fs","joinKeyMap":{"a":"b:c"},"requestContextMap":{"x":1.5},'
        f'"metadataOptions":{{}},"allowPartialResults":{partial_text},"requestOptions":{options_text}}}}}'
    )
    for key in ("b:c", "bc"):
        read = msgspec.structs.replace(READS.single(body.replace("b:c", key).encode()), plain=False)  # whichever way it was read
        assert read == ReadRequest(ServiceRef("live", "fs"), (RowInput({"a": key}, {"x": 1.5}),))


def test_the_path_of_v2_wins_over_the_plainest_body() -> None:
    body = b'{"params":{"workspaceName":"other","featureServiceName":"other","joinKeyMap":{"a":"b"}}}'
    assert READS.single(body, PATH).service == PATH
