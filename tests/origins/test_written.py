"""What a cluster's ingest wrote to: which views and keys the gateway may take for certain, and where it must take all."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, Caller, DataType, Field, ServiceRef, Written
from gateway.origins import written
from gateway.origins.base import IngestReply
from gateway.origins.http.connector import Connector
from gateway.origins.tecton import TectonOrigin
from gateway.origins.written import KeyReader
from gateway.schema import compile_check
from gateway.wire.ingest import Sent
from tests.harness.cluster import ALICE, LITE, Act, Cluster, Service, refuse

KEYS = {"merchant": ("merchant_id",), "user": ("user_id",), "pairs": ("merchant_id", "user_id")}
ALICE_HERE = Caller(b"alice", f"Tecton-key {ALICE}")
FAR = 1e9
PAIRS = Service(LITE.join_keys, {}, (*LITE.features, ("pairs.count", INT64)), {**LITE.views, "pairs": ("merchant_id", "user_id")})


@asynccontextmanager
async def origin_of(cluster: Cluster, *services: str, keys: Mapping[str, tuple[str, ...]] = KEYS) -> AsyncIterator[TectonOrigin]:
    """An origin that has been asked to describe these services, and so knows the types of their keys."""
    cluster.services["prod", "pairs"] = PAIRS
    cluster.rights[ALICE].add("pairs")
    cluster.streams = {"payments": ("user", "merchant", "pairs"), "logins": ("user",)}
    origin = TectonOrigin(Connector().channel(cluster.url), view_join_keys=keys)
    try:
        for service in services:
            await origin.describe(ServiceRef("prod", service), ALICE_HERE, FAR)
        yield origin
    finally:
        await origin.aclose()


async def ingest(origin: TectonOrigin, records: Mapping[str, Any], **more: Any) -> IngestReply:
    sources = {source: [{"record": record} for record in sent] for source, sent in records.items()}
    return await origin.ingest(json.dumps({"workspaceName": "prod", "records": sources, **more}).encode(), ALICE_HERE, FAR)


def told(reply: IngestReply) -> dict[str, set[Any] | None]:
    """By view, the keys; None where it is all of the view."""
    assert reply.written is not None
    assert {one.workspace for one in reply.written} == {"prod"}
    assert len(set(reply.written)) == len(reply.written)
    views: dict[str, set[Any] | None] = {}
    for one in reply.written:
        if one.join_keys is None:
            assert one.view not in views
            views[one.view] = None
        else:
            known = views.setdefault(one.view, set())
            assert known is not None
            known.add(one.join_keys)
    return views


pytestmark = pytest.mark.anyio


async def test_keys_are_those_of_a_read_in_the_views_own_order_once_each(cluster: Cluster) -> None:
    async with origin_of(cluster, "pairs") as origin:
        payments = [
            {"user_id": "ann", "merchant_id": 7, "amount": 1.5, "tags": ["a"]},
            {"user_id": "ann", "merchant_id": "-9007199254740993", "amount": None},
            {"merchant_id": "7", "user_id": "ann"},
        ]
        reply = await ingest(origin, {"payments": payments})
    assert told(reply) == {
        "user": {("ann",)},
        "merchant": {(7,), (-9007199254740993,)},
        "pairs": {(7, "ann"), (-9007199254740993, "ann")},
    }


async def test_a_view_is_taken_to_be_fed_by_the_sources_that_have_its_keys(cluster: Cluster) -> None:
    async with origin_of(cluster, "pairs") as origin:
        reply = await ingest(origin, {"payments": [{"user_id": "ann", "merchant_id": 7}], "logins": [{"user_id": "bob", "device": 1}]})
    assert told(reply) == {"user": {("ann",), ("bob",)}, "merchant": {(7,)}, "pairs": {(7, "ann")}}


@pytest.mark.parametrize(
    "doubtful",
    [
        [{"user_id": "ann", "merchant_id": 7}, {"user_id": "ann"}],
        [{"user_id": "ann", "merchant": 7}],
        [{"user_id": "ann", "merchant_id": None}],
        [{"user_id": "ann", "merchant_id": 7.0}],
        [{"user_id": "ann", "merchant_id": "07"}],
        [{"user_id": "ann", "merchant_id": True}],
        [{"user_id": "ann", "merchant_id": [7]}],
        [{"user_id": "ann", "merchant_id": 2**63}],
        [{"user_id": "ann", "merchant_id": 2**70}],
        [],
    ],
    ids=str,
)
async def test_where_one_record_leaves_a_doubt_it_is_all_of_the_view(cluster: Cluster, doubtful: list[Any]) -> None:
    async with origin_of(cluster, "pairs") as origin:
        reply = await ingest(origin, {"payments": doubtful})
        assert told(reply) == {"user": {("ann",)} if doubtful else None, "merchant": None, "pairs": None}


async def test_a_view_of_which_nothing_is_known_is_named_whole(cluster: Cluster) -> None:
    """Its service has not been described yet, or the settings do not say its keys, or it is of a service in another workspace."""
    record = {"payments": [{"user_id": "ann", "merchant_id": 7}]}
    whole: dict[str, Any] = {"user": None, "merchant": None, "pairs": None}
    async with origin_of(cluster) as origin:
        assert told(await ingest(origin, record)) == whole
    async with origin_of(cluster, "lite") as origin:
        assert told(await ingest(origin, record)) == whole | {"user": {("ann",)}, "merchant": {(7,)}}
    async with origin_of(cluster, "pairs", keys={"user": KEYS["user"]}) as origin:
        assert told(await ingest(origin, record)) == whole | {"user": {("ann",)}}
    cluster.services["dev", "lite"] = LITE
    async with origin_of(cluster) as origin:
        await origin.describe(ServiceRef("dev", "lite"), ALICE_HERE, FAR)
        assert told(await ingest(origin, record)) == whole


@pytest.mark.parametrize(
    "other",
    [
        Service({"user_id": INT64}, {}, (("user.age", INT64),), {"user": ("user_id",)}),
        Service({"customer_id": STRING}, {}, (("user.age", INT64),), {"user": ("customer_id",)}),
    ],
    ids=["of another type", "under another name"],
)
@pytest.mark.parametrize("order", [("lite", "other"), ("other", "lite")])
async def test_a_view_that_services_read_by_different_keys_is_named_whole(cluster: Cluster, other: Service, order: tuple[str, str]) -> None:
    """What one service keeps under a key, another keeps elsewhere."""
    cluster.services["prod", "other"] = other
    cluster.rights[ALICE].add("other")
    async with origin_of(cluster, *order, "lite") as origin:
        reply = await ingest(origin, {"payments": [{"user_id": "12", "merchant_id": 7}]})
    assert told(reply) == {"user": None, "merchant": {(7,)}, "pairs": None}


async def test_records_in_another_form_leave_the_views(cluster: Cluster) -> None:
    async with origin_of(cluster, "pairs") as origin:
        body = {"workspace_name": "prod", "records": {"logins": [{"user_id": "ann"}]}}
        assert told(await origin.ingest(json.dumps(body).encode(), ALICE_HERE, FAR)) == {"user": None}


@pytest.mark.parametrize("dry_run", [{"dryRun": True}, {"dry_run": True}], ids=str)
async def test_a_dry_run_has_written_nothing(cluster: Cluster, dry_run: dict[str, bool]) -> None:
    async with origin_of(cluster, "pairs") as origin:
        assert (await ingest(origin, {"logins": [{"user_id": "ann"}]}, **dry_run)).written == ()


@pytest.mark.parametrize("status", [400, 403, 429])
async def test_what_was_refused_has_written_nothing(cluster: Cluster, status: int) -> None:
    async with origin_of(cluster, "pairs") as origin:
        cluster.act("ingest", refuse(status, "no", 3))
        reply = await ingest(origin, {"logins": [{"user_id": "ann"}]})
    assert (reply.status, reply.written) == (status, ())


@pytest.mark.parametrize(
    "act",
    [
        Act(edit=lambda reply: reply.pop("ingestMetrics")),
        Act(edit=lambda reply: reply["ingestMetrics"].clear()),
        Act(edit=lambda reply: reply["ingestMetrics"]["featureViewIngestMetrics"].clear()),
        Act(edit=lambda reply: reply["ingestMetrics"]["featureViewIngestMetrics"][0].pop("featureViewName")),
        Act(body=b'{"ingestMetrics":{"featureViewIngestMetrics":[' + b"[" * 100_000),
        Act(body=b"{}"),
    ],
    ids=["no metrics", "empty metrics", "no views", "a view without a name", "too deep", "nothing"],
)
async def test_an_accepted_ingest_whose_answer_does_not_tell_may_have_written_anything(cluster: Cluster, act: Act) -> None:
    async with origin_of(cluster, "pairs") as origin:
        cluster.act("ingest", act)
        assert (await ingest(origin, {"logins": [{"user_id": "ann"}]})).written is None


async def test_so_may_one_that_does_not_say_for_which_workspace_it_is(cluster: Cluster) -> None:
    async with origin_of(cluster, "pairs") as origin:
        body = json.dumps({"records": {"logins": [{"record": {"user_id": "ann"}}]}}).encode()
        assert (await origin.ingest(body, ALICE_HERE, FAR)).written is None


SCALARS = {
    INT64: st.integers(-(2**63), 2**63 - 1),
    STRING: st.text(max_size=3),
    BOOLEAN: st.booleans(),
    FLOAT64: st.floats(allow_nan=False, allow_infinity=False),
    TIMESTAMP: st.sampled_from(["2026-11-01T10:00:00Z", "2026-11-01T11:00:00+01:00"]),
}


@st.composite
def typed_records(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[dict[str, Any]]]:
    fields = tuple(Field(f"k{number}", draw(st.sampled_from(list(SCALARS)))) for number in range(draw(st.integers(1, 3))))
    return fields, draw(st.lists(st.fixed_dictionaries({field.name: SCALARS[field.dtype] for field in fields}), min_size=1, max_size=4))


@given(drawn=typed_records(), as_text=st.booleans())
def test_a_key_is_what_a_read_of_it_is_typed_as(drawn: tuple[tuple[Field, ...], list[dict[str, Any]]], *, as_text: bool) -> None:
    """Where every value of the type has one spelling, but for int64; else all of the view is named."""
    fields, records = drawn
    exact: set[DataType] = {INT64, STRING, BOOLEAN}
    reader = KeyReader({"view": tuple(field.name for field in fields)})
    reader.learn("prod", ["view", "other"], {field.name: field for field in fields})

    def sent(record: Mapping[str, Any]) -> dict[str, Any]:
        return {name: str(value) if as_text and type(value) is int else value for name, value in record.items()}

    found = reader.written(Sent("prod", [[sent(record) for record in records]]), ["view"])
    reads = {tuple(compile_check(field.dtype)(record[field.name]) for field in fields) for record in records}
    expected: set[Any] = reads if {field.dtype for field in fields} <= exact else {None}
    assert {repr(one.join_keys) for one in found} == {repr(keys) for keys in expected}
    assert all((one.workspace, one.view) == ("prod", "view") for one in found)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "_MAX_VIEWS", 1)
    reader = KeyReader({"a": ("k",), "b": ("k",)})
    reader.learn("prod", ["a", "b"], {"k": Field("k", INT64)})
    sent = Sent("prod", [[{"k": 1}]])
    assert reader.written(sent, ["a", "b"]) == (Written("prod", "a", (1,)), Written("prod", "b"))
    reader.learn("prod", ["a"], {"k": Field("k", STRING)})  # what is known is still held against what is told
    assert reader.written(sent, ["a"]) == (Written("prod", "a"),)
