"""Wildcard reads on the wire: what callers send and get, and what is believed of a cluster's reply."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.fragments import Fragment
from gateway.errors import InvalidRequest, SchemaDisagreement
from gateway.features import FLOAT64, INT64, PLAIN, STRING, Feature, Field, ServiceRef, SloInfo, Source, Status, ViewLayout, ViewValues
from gateway.wire.replies import KeysText, Match, Matches, Vector, VectorText, named_query, tecton_query
from gateway.wire.requests import RowInput, Show
from gateway.wire.requests import named_query as decode_named
from gateway.wire.types import encode_type
from gateway.wire.upstream import QueryReply, ReplyReader
from gateway.wire.values import compile_writer
from tests.wire.strategies import Typed, named_model, positional_model, typed

KEYS = (Field("merchant_id", INT64), Field("day", STRING))
SEEN = ViewLayout("seen", (Feature("seen.count", INT64), Feature("seen.mean", FLOAT64)))
EARLY, LATE = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"
SLO = SloInfo(eligible=True, server_time_s=0.5)
FLAGS = [flag for flag in Show if flag <= Show.TAGS]
P, M, U, T = Status.PRESENT, Status.MISSING_DATA, Status.UNKNOWN, Status.TIME_OUT


def vector(values: Sequence[Any], statuses: Sequence[Status] = (P, P), moment: str | None = EARLY) -> Vector:
    pairs = [compile_writer(feature.dtype)(value) for feature, value in zip(SEEN.features, values, strict=True)]
    named = [b'"%b":%b' % (name.encode(), pair[1]) for name, pair in zip(SEEN.names, pairs, strict=True)]
    told = ViewValues(SEEN, b",".join(pair[0] for pair in pairs), b",".join(named), tuple(statuses), (moment,) * 2)
    return Vector.of(VectorText(SEEN.features), [Fragment.of(told, 0.0)], [Source.ORIGIN], 0.0)


def matches(*rows: tuple[Sequence[Any], Vector], partial: bool = False) -> Matches:
    keys = KeysText(KEYS)
    return Matches(keys, VectorText(SEEN.features), [Match(keys.encode(told), found) for told, found in rows], SLO, partial)


TWO = matches(((7, "mon"), vector([1, 0.5])), ((-(2**63), None), vector([None, float("nan")], [M, P], LATE)))


@pytest.mark.parametrize("show", range(128))
def test_the_metadata_is_what_was_asked_for_said_once_for_all_results(show: int) -> None:
    flags = [flag for flag in FLAGS if show & flag]
    about = [("seen.count", INT64, "MISSING_DATA"), ("seen.mean", FLOAT64, "PRESENT")]
    features = [
        {
            Show.NAMES: ("name", name),
            Show.DATA_TYPES: ("dataType", encode_type(dtype)),
            Show.STATUSES: ("status", status),
            Show.EFFECTIVE_TIMES: ("effectiveTime", LATE),
            Show.TAGS: ("tags", {}),
        }
        for name, dtype, status in about
    ]
    keys = [{Show.NAMES: ("name", key.name), Show.DATA_TYPES: ("dataType", encode_type(key.dtype))} for key in KEYS]
    metadata: dict[str, Any] = {}
    if show & Show.ITEMS:
        metadata["features"] = [dict(item[flag] for flag in flags if flag in item) for item in features]
        metadata["joinKeys"] = [dict(item[flag] for flag in flags if flag in item) for item in keys]
    if show & Show.SLO_INFO:
        metadata["sloInfo"] = {"sloEligible": True, "serverTimeSeconds": 0.5}
    results = [{"features": ["1", 0.5], "joinKeys": ["7", "mon"]}, {"features": [None, "NaN"], "joinKeys": [str(-(2**63)), None]}]
    assert json.loads(tecton_query(TWO, show)) == {"results": results, **({"metadata": metadata} if metadata else {})}


@pytest.mark.parametrize(
    ("told", "worst"), [([P, P], P), ([P, M], M), ([M, P], M), ([M, U], U), ([T, U, M, P], T), ([Status.CACHED_PRESENT, P], P), ([P], P)]
)
def test_the_one_status_is_the_worst_of_all_results(told: list[Status], worst: Status) -> None:
    found = matches(*[((number, "mon"), vector([1, 1.0], [status, P])) for number, status in enumerate(told)])
    assert [item["status"] for item in json.loads(tecton_query(found, Show.STATUSES))["metadata"]["features"]] == [worst, P]
    by_name = json.loads(named_query(found, Show.STATUSES))["results"]
    assert [row["status"]["seen.count"] for row in by_name] == [status.removeprefix("CACHED_") for status in told]


@pytest.mark.parametrize("show", [0, sum(flag.value for flag in FLAGS)])
def test_nothing_found_is_an_answer_too(show: int) -> None:
    told = json.loads(tecton_query(matches(), show))
    assert told["results"] == []
    if show:
        assert [item["name"] for item in told["metadata"]["features"]] == list(SEEN.names)
        assert not [item for item in told["metadata"]["features"] if {"status", "effectiveTime"} & set(item)]
        assert [item["name"] for item in told["metadata"]["joinKeys"]] == ["merchant_id", "day"]
    assert json.loads(named_query(matches(), show)) == {"results": []}


def test_partial_results_are_told_on_both_doors() -> None:
    found = matches(((7, "mon"), vector([1, 0.5])), partial=True)
    assert json.loads(tecton_query(found, 0))["metadata"] == {"partialResults": True}
    assert json.loads(named_query(found, 0))["partialResults"] is True
    assert "partialResults" not in json.loads(named_query(TWO, 0))


def test_a_named_result_is_a_named_read_behind_its_join_keys() -> None:
    first, second = json.loads(named_query(TWO, Show.STATUSES | Show.SOURCES))["results"]
    assert first == {
        "joinKeys": {"merchant_id": 7, "day": "mon"},
        "features": {"seen.count": 1, "seen.mean": 0.5},
        "status": {"seen.count": "PRESENT", "seen.mean": "PRESENT"},
        "source": {"seen.count": "origin", "seen.mean": "origin"},
    }
    assert second["joinKeys"] == {"merchant_id": -(2**63), "day": None}


@given(st.lists(typed(), max_size=4))
def test_keys_of_any_type_are_spelled_as_values_are(values: list[Typed]) -> None:
    keys = KeysText([Field(f'k"{index}', one.dtype) for index, one in enumerate(values)])
    positional, named = keys.encode([one.value for one in values])
    assert json.loads(b"[%b]" % positional) == [positional_model(one.dtype, one.value) for one in values]
    assert json.loads(b"{%b}" % named) == {f'k"{index}': named_model(one.dtype, one.value) for index, one in enumerate(values)}


# what a cluster answers


def item(name: str, dtype: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dataType": {"type": dtype}, **more}


GOOD: dict[str, Any] = {
    "results": [{"features": ["1", None], "joinKeys": ["7", "mon"]}, {"features": [2, "NaN"], "joinKeys": [-8, None]}],
    "metadata": {
        "features": [
            item("seen.count", "int64", status="PRESENT", effectiveTime=EARLY),
            item("seen.mean", "float64", status="MISSING_DATA"),
        ],
        "joinKeys": [item("merchant_id", "int64"), item("day", "string")],
        "sloInfo": {"sloEligible": True, "serverTimeSeconds": 0.5},
    },
}


def read(document: Any) -> tuple[QueryReply, list[tuple[tuple[Any, ...], tuple[ViewValues, ...]]]]:
    reply = ReplyReader().query(document if isinstance(document, bytes) else json.dumps(document).encode())
    return reply, [reply.row(index) for index in range(len(reply))]


def changed(*path: Any, to: Any = None) -> dict[str, Any]:
    """GOOD with one part of it in another's place, or left out."""
    document = deepcopy(GOOD)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return document


def test_a_whole_reply_is_read_result_by_result() -> None:
    reply, ((first, (seen,)), (second, (other,))) = read(GOOD)
    assert reply.join_keys == KEYS
    assert (reply.slo, reply.partial) == (SLO, False)
    assert (first, second) == ((7, "mon"), (-8, None))
    assert seen.layout == other.layout == SEEN
    assert (seen.positional, other.named) == (b'"1",null', b'"seen.count":2,"seen.mean":"NaN"')
    assert seen.effective_times == (EARLY, None)


def test_of_one_status_for_all_results_a_value_that_is_there_is_present() -> None:
    _, ((_, (seen,)), (_, (other,))) = read(GOOD)
    assert seen.statuses == (P, M)
    assert other.statuses == (P, P)


def test_a_status_for_each_result_is_taken_as_it_is() -> None:
    _, ((_, (seen,)), (_, (other,))) = read(changed("metadata", "features", 1, "status", to=["PRESENT", "TIME_OUT"]))
    assert (seen.statuses[1], other.statuses[1]) == (P, T)
    assert (seen.complete, other.complete) == (True, False)


@pytest.mark.parametrize("metadata", [{}, {"sloInfo": {"sloEligible": True}}, GOOD["metadata"]])
@pytest.mark.parametrize("results", [{}, {"results": []}])
def test_nothing_found_may_be_told_with_or_without_names(metadata: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    reply, rows = read({**results, "metadata": metadata})
    assert rows == []
    assert not reply.partial


def test_partial_results_are_never_complete() -> None:
    reply, rows = read(changed("metadata", "partialResults", to=True))
    assert reply.partial
    assert not [view for _, views in rows for view in views if view.complete]


GARBAGE = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"<html>",
    json.dumps({"result": GOOD["results"][0], "metadata": GOOD["metadata"]}).encode()[:-1],
    changed("metadata"),
    changed("metadata", to=[]),
    changed("results", to={"features": []}),
    changed("results", 0, "features"),
    changed("results", 0, "features", to=["1"]),
    changed("results", 1, "features", to=["1", 2.0, 3.0]),
    changed("results", 1, "features", to=["one", 2.0]),
    changed("results", 0, "joinKeys"),
    changed("results", 1, "joinKeys", to=["7"]),
    changed("results", 1, "joinKeys", to=["7", "mon", "tue"]),
    changed("results", 1, "joinKeys", to=[7.5, "mon"]),
    changed("results", 1, "joinKeys", to=["7", 8]),
    changed("metadata", "features"),
    changed("metadata", "features", 1),
    changed("metadata", "features", 1, "name"),
    changed("metadata", "features", 1, "name", to="seen.count"),
    changed("metadata", "features", 1, "dataType", to={"type": "decimal"}),
    changed("metadata", "features", 1, "status", to=["PRESENT"]),
    changed("metadata", "features", 0, "effectiveTime", to="yesterday"),
    changed("metadata", "joinKeys"),
    changed("metadata", "joinKeys", 1),
    changed("metadata", "joinKeys", 1, "dataType"),
    changed("metadata", "joinKeys", 1, "name", to="merchant_id"),
    changed("metadata", "sloInfo", to=5),
]


@pytest.mark.parametrize("document", GARBAGE)
def test_a_reply_that_is_not_whole_is_a_value_error(document: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read(document)


def test_no_refusal_quotes_a_key() -> None:
    with pytest.raises(ValueError, match="expected int64 or null") as refused:
        read(changed("results", 0, "joinKeys", to=["t0ken-7731", "mon"]))
    assert "t0ken" not in str(refused.value)


@given(st.integers(0), st.binary(max_size=3), st.integers(0, 30))
def test_a_damaged_reply_is_a_value_error_or_still_whole(at: int, splice: bytes, cut: int) -> None:
    body = json.dumps(GOOD).encode()
    at %= len(body)
    try:
        reply, rows = read(body[:at] + splice + body[at + cut :])
    except ValueError:
        return
    for keys, views in rows:
        assert len(keys) == len(reply.join_keys)
        for view in views:
            assert len(json.loads(b"[%b]" % view.positional)) == len(view.layout) == len(view.statuses)


def scalar(one: Typed) -> bool:
    return one.dtype.element is None and one.dtype.value is None and not one.dtype.fields


@given(st.lists(typed().filter(scalar), min_size=1, max_size=3), st.lists(typed(), min_size=1, max_size=3), st.integers(1, 3))
def test_a_gateways_own_reply_reads_back_as_the_same_results(keys: list[Typed], values: list[Typed], rows: int) -> None:
    fields = tuple(Field(f"k{index}", one.dtype) for index, one in enumerate(keys))
    features = tuple(Feature(f"v.f{index}", one.dtype) for index, one in enumerate(values))
    pairs = [compile_writer(one.dtype)(one.value) for one in values]
    named = b",".join(b'"%b":%b' % (feature.name.encode(), pair[1]) for feature, pair in zip(features, pairs, strict=True))
    told = ViewValues(ViewLayout("v", features), b",".join(pair[0] for pair in pairs), named, (P,) * len(values), (None,) * len(values))
    text, spelled = VectorText(features), KeysText(fields)
    match = Match(spelled.encode([one.value for one in keys]), Vector.of(text, [Fragment.of(told, 0.0)], [Source.ORIGIN], 0.0))
    sent = tecton_query(Matches(spelled, text, [match] * rows, SLO), Show.NAMES | Show.DATA_TYPES | Show.STATUSES | Show.SLO_INFO)
    reply, found = read(sent)
    assert (reply.join_keys, reply.slo) == (fields, SLO)
    assert [views for _, views in found] == [(told,)] * rows
    for read_keys, _ in found:  # NaN is not itself
        assert spelled.encode(read_keys) == match.keys


@pytest.mark.parametrize("rows", [1, 2])
def test_join_keys_in_the_reply_to_a_read_disagree_with_a_service_that_has_no_output_keys(rows: int) -> None:
    result = {"features": ["1"], "joinKeys": ["7"]}
    document = {"result": result if rows == 1 else [result] * rows, "metadata": {"features": [item("seen.count", "int64")]}}
    with pytest.raises(SchemaDisagreement):
        ReplyReader().read(json.dumps(document).encode(), rows)


# what callers send by name

SERVICE = ServiceRef("prod", "visits")


def test_a_named_query_takes_both_spellings() -> None:
    body = {
        "joinKeys": {"user_id": "u"},
        "request_context": {"amount": 1.5},
        "features": ["seen.*"],
        "include": ["status"],
        "deadline_ms": 5,
    }
    request = decode_named(json.dumps(body).encode(), SERVICE)
    assert (request.service, request.rows) == (SERVICE, (RowInput({"user_id": "u"}, {"amount": 1.5}),))
    assert (request.selectors, request.show, request.deadline_ms) == (("seen.*",), Show.STATUSES, 5)
    assert request.options is PLAIN


@pytest.mark.parametrize("name", ["allowPartialResults", "allow_partial_results"])
def test_a_named_query_may_allow_partial_results(name: str) -> None:
    assert decode_named(json.dumps({name: True}).encode(), SERVICE).options.allow_partial_results
    assert not decode_named(json.dumps({name: False}).encode(), SERVICE).options.allow_partial_results


@pytest.mark.parametrize(
    "body",
    [{"maxAgeMs": 0}, {"rows": []}, {"allowPartialResults": "yes"}, {"joinKeys": []}, {"include": ["everything"]}, {"deadlineMs": 0}, []],
)
def test_a_named_query_refuses_what_it_does_not_know(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        decode_named(json.dumps(body).encode(), SERVICE)
