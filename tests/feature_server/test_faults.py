"""The fault lab: what is hit is what the settings say, to the call, and what comes through is labelled right or refused."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    Code,
    GatewayError,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
)
from gateway.feature_server.engine import Engine
from gateway.feature_server.fates import ResponseTooLarge, added_latency_s, error_of
from gateway.feature_server.faults import FaultLab
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.features import Caller, ReadOptions, ServiceRef, Status, ViewLayout, ViewValues, split_views
from gateway.origins.base import Fetch, FetchedRow, FetchRow
from gateway.settings.faults import FaultErrors, FaultLatency, Faults, error_shares
from tests.feature_server.purchases import SERVICE, ingest, ingest_body
from tests.feature_server.test_origin import RECORD, decoded
from tests.harness.clock import Clock
from tests.harness.origins import CountingOrigin

ANYBODY = Caller(b"anybody")
NEVER = 1e9
VISITS = ServiceRef("shop", "visits:v1")
VIEWS = frozenset({"by_user", "by_shop"})
pytestmark = pytest.mark.anyio


class Bench:
    """A fault lab around a counting origin around the engine. Its sleeps are written down and take no time; its wall clock is turned."""

    def __init__(self, engine: Engine, **faults: Any) -> None:
        self.inside = CountingOrigin(EmbeddedOrigin(engine))
        self.clock = Clock()
        self.sleeps: list[float] = []
        self.lab = FaultLab(self.inside, Faults.model_validate(faults), now_s=self.clock, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    async def read(
        self, *views: str, service: ServiceRef = SERVICE, deadline: float = NEVER, rows: int = 1, **options: Any
    ) -> Sequence[FetchedRow]:
        wanted = frozenset(views or VIEWS)
        row = FetchRow({"user": "ann", "shop": 7}, {}, wanted)
        return (await self.lab.fetch(Fetch(service, (row,) * rows, ANYBODY, deadline, ReadOptions(**options)))).rows

    async def describe(self, service: ServiceRef = SERVICE) -> None:
        await self.lab.describe(service, ANYBODY, NEVER)


async def outcome(call: Awaitable[Any]) -> type[GatewayError] | None:
    try:
        await call
    except GatewayError as error:
        return type(error)
    return None


ERRORS = {"failed_share": 0.1, "unavailable_share": 0.05, "timeout_share": 0.02, "throttled_share": 0.2, "malformed_share": 0.01}


async def test_a_seed_hits_the_same_calls_and_the_shares_are_kept(engine: Engine) -> None:
    counts, orders = [], []
    for seed in (1, 1, 2):
        bench = Bench(engine, seed=seed, errors=ERRORS)
        outcomes = [await outcome(bench.describe()) for _ in range(2_000)]
        assert len(bench.inside.descriptions) == outcomes.count(None)
        counts.append(Counter(outcomes))
        orders.append(outcomes)
    assert orders[0] == orders[1] != orders[2]
    assert counts[0] == {
        None: 1269,
        OriginFailed: 188,
        OriginUnavailable: 101,
        OriginTimeout: 27,
        OriginThrottled: 394,
        OriginMalformed: 21,
    }


async def test_other_shares_do_not_move_which_calls_fail(engine: Engine) -> None:
    alone = Bench(engine, errors={"unavailable_share": 0.3})
    together = Bench(
        engine,
        errors={"unavailable_share": 0.3},
        latency={"p50_ms": 5, "p99_ms": 50, "spike_share": 0.1, "spike_ms": 100},
        answers={"missing_share": 0.5},
    )
    first = [await outcome(alone.read()) for _ in range(100)]
    assert first == [await outcome(together.read()) for _ in range(100)]
    assert set(first) == {None, OriginUnavailable}


@given(
    shares=st.lists(st.floats(0, 0.2), min_size=5, max_size=5), lot=st.floats(0, 1, exclude_max=True), retry_after_s=st.integers(0, 86_400)
)
def test_the_shares_divide_the_lots_in_order(shares: list[float], lot: float, retry_after_s: int) -> None:
    errors = FaultErrors(**dict(zip(ERRORS, shares, strict=True)), retry_after_s=retry_after_s)
    kinds = (OriginFailed, OriginUnavailable, OriginTimeout, OriginThrottled, OriginMalformed)
    ends = [sum(list(error_shares(errors).values())[: index + 1]) for index in range(5)]
    expected = next((kind for kind, end in zip(kinds, ends, strict=True) if lot < end), None)
    error = error_of(errors, lot)
    assert (None if error is None else type(error)) is expected
    if isinstance(error, OriginThrottled):
        assert error.retry_after == str(retry_after_s)


@given(
    shape=st.sampled_from(["lognormal", "normal", "uniform"]),
    p50_ms=st.floats(0.001, 1_000),
    longer=st.floats(1, 100),
    lots=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
def test_latencies_go_through_their_percentiles_and_never_below_zero(
    shape: Any, p50_ms: float, longer: float, lots: tuple[float, float]
) -> None:
    latency = FaultLatency(shape=shape, p50_ms=p50_ms, p99_ms=p50_ms * longer)
    assert math.isclose(added_latency_s(latency, 0.5), p50_ms / 1000, rel_tol=1e-9)
    assert math.isclose(added_latency_s(latency, 0.99), p50_ms * longer / 1000, rel_tol=1e-9)
    low, high = (added_latency_s(latency, lot) for lot in sorted(lots))
    assert 0 <= low <= high * (1 + 1e-12)
    assert math.isfinite(high)


async def test_a_fixed_latency_and_its_spikes_are_slept_after_the_answer_is_there(engine: Engine) -> None:
    bench = Bench(engine, seed=3, latency={"p50_ms": 20, "spike_share": 0.1, "spike_ms": 500})
    [row] = await bench.read()
    for _ in range(999):
        await bench.read()
    assert Counter(bench.sleeps) == {0.02: 896, 0.52: 104}
    assert row.slo is not None
    assert row.slo.server_time_s is not None
    assert row.slo.server_time_s > 0.02


async def test_seeded_latencies_have_their_percentiles(engine: Engine) -> None:
    bench = Bench(engine, latency={"p50_ms": 10, "p99_ms": 100}, calls=["describe"])
    for _ in range(4_000):
        await bench.describe()
    slept = sorted(bench.sleeps)
    assert 0.0095 < slept[2_000] < 0.0105
    assert 0.08 < slept[3_960] < 0.12


async def test_what_is_later_than_the_deadline_waits_until_it_and_times_out(engine: Engine) -> None:
    bench = Bench(engine, latency={"p50_ms": 5_000})
    deadline = anyio.current_time() + 2
    assert await outcome(bench.read(deadline=deadline)) is OriginTimeout
    assert await outcome(bench.lab.ingest(ingest_body("purchases", [RECORD]), ANYBODY, deadline)) is OriginTimeout
    assert all(0 < slept <= 2 for slept in bench.sleeps)
    assert len(bench.sleeps) == len(bench.inside.fetches) + len(bench.inside.ingests) == 2
    [row] = await Bench(engine).read("by_user")
    assert decoded(row.views[0])["by_user.items_sum_10m_1m"] == 3  # stored, although its sender was not told


async def test_an_error_is_late_too_and_what_fails_is_not_carried_out(engine: Engine) -> None:
    bench = Bench(engine, latency={"p50_ms": 7}, errors={"unavailable_share": 1})
    assert await outcome(bench.lab.ingest(ingest_body("purchases", [RECORD]), ANYBODY, NEVER)) is OriginUnavailable
    assert bench.inside.ingests == []
    assert bench.sleeps == [0.007]


async def test_a_call_under_delay_can_be_cancelled(engine: Engine) -> None:
    lab = FaultLab(EmbeddedOrigin(engine), Faults.model_validate({"latency": {"p50_ms": 600_000}}))
    with anyio.move_on_after(0.01) as scope:
        await lab.describe(SERVICE, ANYBODY, NEVER)
    assert scope.cancelled_caught


def nulls(values: ViewValues) -> bool:
    return all(value is None for value in decoded(values).values()) and values.positional == b",".join([b"null"] * len(values.layout))


async def test_a_partial_row_lacks_views_from_somewhere_on_and_none_of_it_is_complete(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    bench = Bench(engine, answers={"partial_share": 0.5})
    rows = await bench.read(rows=200, allow_partial_results=True)
    partial = [row for row in rows if row.partial]
    assert len(partial) == 105
    assert {sum(map(nulls, row.views)) for row in partial} == {1, 2}
    for row in partial:
        assert not any(view.complete for view in row.views)
        assert {status for view in row.views if nulls(view) for status in view.statuses} == {Status.UNKNOWN}
        assert row.slo is not None
        assert not row.slo.eligible
        assert row.slo.ineligibility_reasons == ("DYNAMODB_RESPONSE_SIZE_LIMIT_EXCEEDED",)
    assert all(view.complete and Status.PRESENT in view.statuses for row in rows if not row.partial for view in row.views)


async def test_who_does_not_take_partial_results_is_refused(engine: Engine) -> None:
    bench = Bench(engine, answers={"partial_share": 1})
    with pytest.raises(ResponseTooLarge) as refused:
        await bench.read()
    assert refused.value.code is Code.FAILED_PRECONDITION
    assert bench.inside.fetches == []


async def test_within_a_budget_views_time_out_at_its_end(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    bench = Bench(engine, answers={"timed_out_share": 0.25})
    rows = await bench.read(rows=400, latency_budget_ms=100)
    late = [view for row in rows for view in row.views if Status.TIME_OUT in view.statuses]
    assert len(late) == 208
    assert all(nulls(view) and not view.complete and set(view.effective_times) == {None} for view in late)
    assert all(view.complete for row in rows for view in row.views if view not in late)
    assert bench.sleeps == [pytest.approx(0.09)]
    assert not any(row.partial for row in rows)


async def test_without_a_budget_a_view_that_is_late_makes_the_call_late(engine: Engine) -> None:
    bench = Bench(engine, answers={"timed_out_share": 1})
    assert await outcome(bench.read(deadline=anyio.current_time() + 2)) is OriginTimeout
    assert bench.sleeps == [pytest.approx(2, abs=0.5)]


async def test_missing_views_are_an_answer_like_others(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    bench = Bench(engine, answers={"missing_share": 0.5})
    views = [view for row in await bench.read(rows=100) for view in row.views]
    missing = [view for view in views if nulls(view)]
    assert len(missing) == 94
    assert all(set(view.statuses) == {Status.MISSING_DATA} and view.complete for view in missing)
    assert {time for view in missing for time in view.effective_times} == {"2024-05-01T11:59:00.500Z"}
    assert bench.sleeps == []


OUT_OF_REACH: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"describe", "read", "read other", "ingest"}),
    ({"calls": ["ingest"]}, {"ingest"}),
    ({"calls": ["describe", "fetch"]}, {"describe", "read", "read other"}),
    ({"workspaces": ["elsewhere"]}, set()),
    ({"workspaces": ["shop"]}, {"describe", "read", "read other", "ingest"}),
    ({"services": ["shop/checkout"]}, {"describe", "read"}),
    ({"views": ["user_visits"]}, {"read other"}),
    ({"services": ["shop/checkout"], "views": ["user_visits"]}, set()),
]


@pytest.mark.parametrize(("lists", "hit"), OUT_OF_REACH)
async def test_only_what_is_on_the_lists_is_hit(engine: Engine, lists: dict[str, Any], hit: set[str]) -> None:
    bench = Bench(engine, errors={"failed_share": 1}, **lists)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "describe": bench.describe,
        "read": bench.read,
        "read other": lambda: bench.read("user_visits", "shop_visits", service=VISITS),
        "ingest": lambda: bench.lab.ingest(ingest_body("purchases", [RECORD]), ANYBODY, NEVER),
    }
    assert {name for name, call in calls.items() if await outcome(call()) is OriginFailed} == hit


async def test_only_listed_views_of_an_answer_are_hit(engine: Engine) -> None:
    ingest(engine, "purchases", RECORD)
    [row] = await Bench(engine, answers={"missing_share": 1}, views=["by_shop"]).read()
    assert [nulls(view) for view in row.views] == [True, False]
    [row] = await Bench(engine, answers={"partial_share": 1}, views=["by_shop"]).read(allow_partial_results=True)
    assert [(nulls(view), view.complete) for view in row.views] == [(True, False), (False, False)]


async def test_readiness_is_the_inner_origins_unless_the_lab_is_told_otherwise(engine: Engine) -> None:
    bench = Bench(engine, errors={"failed_share": 1})
    await bench.lab.ready()
    bench.inside.unready = OriginFailed("broken")
    with pytest.raises(OriginFailed):
        await bench.lab.ready()
    with pytest.raises(OriginUnavailable):
        await Bench(engine, not_ready=True).lab.ready()
    await bench.lab.aclose()
    with pytest.raises(OriginFailed):
        await engine.ready()


CHANGES = [
    {"kind": "gain", "view": "by_user", "feature": "aaa", "data_type": "timestamp"},
    {"kind": "lose", "view": "by_user", "feature": "items_sum_10m_1m"},
    {"kind": "retype", "view": "by_user", "feature": "items_sum_10m_1m", "data_type": "string"},
    {"kind": "retype", "view": "by_user", "feature": "coupon_last_10m_1m", "data_type": "int64"},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("service", [SERVICE, ServiceRef("shop", "overspend_only"), VISITS])
async def test_from_the_instant_on_descriptions_and_values_change_together(
    engine: Engine, change: dict[str, Any], service: ServiceRef
) -> None:
    ingest(engine, "purchases", RECORD)
    bench = Bench(engine, schema_change={**change, "after_s": 60})
    told = []
    for _ in range(2):
        described = await bench.lab.describe(service, ANYBODY, NEVER)
        [row] = await bench.read(*described.views, service=service)
        stored = [layout for layout in split_views(described.features) if layout.view not in described.on_demand]
        hidden = [ViewLayout(view, facts.features) for view, facts in described.views.items() if not facts.emitted]
        assert [view.layout for view in row.views] == stored + hidden
        told.append({name: value for view in row.views for name, value in decoded(view).items()})
        assert all(len(view.statuses) == len(view.effective_times) == len(view.layout) for view in row.views)
        bench.clock.advance(59)
        assert (await bench.lab.describe(service, ANYBODY, NEVER)) == described
        bench.clock.advance(1)
    before, after = told
    name = f"by_user.{change['feature']}"
    if service == VISITS:
        assert before == after
        return
    assert before.keys() ^ after.keys() == ({name} if change["kind"] != "retype" else set())
    assert all(after[other] == value for other, value in before.items() if other != name)
    sample = {"timestamp": "2007-07-07T07:07:07Z", "string": "seven", "int64": 7}
    assert change["kind"] == "lose" or after[name] == sample[change["data_type"]]
    assert before != after


async def test_a_gained_feature_stands_first_in_its_view_in_both_spellings(engine: Engine) -> None:
    bench = Bench(engine, schema_change={"kind": "gain", "view": "by_user", "feature": "zzz", "data_type": "int64", "after_s": 0})
    [row] = await bench.read("by_user")
    assert row.views[0].layout.names[0] == "by_user.zzz"
    assert row.views[0].positional.startswith(b'"7",null,')
    assert row.views[0].named.startswith(b'"by_user.zzz":7,')
    assert row.views[0].statuses[:2] == (Status.PRESENT, Status.MISSING_DATA)


async def test_a_retyped_value_that_is_null_stays_null(engine: Engine) -> None:
    bench = Bench(engine, schema_change={**CHANGES[2], "after_s": 0})
    [row] = await bench.read("by_user")
    assert nulls(row.views[0])
    assert set(row.views[0].statuses) == {Status.MISSING_DATA}


async def test_the_instant_may_be_one_of_the_wall_clock(engine: Engine) -> None:
    bench = Bench(engine, schema_change={**CHANGES[0], "at": "1970-01-01T00:20:00Z"})
    before = await bench.lab.describe(SERVICE, ANYBODY, NEVER)
    bench.clock.advance(200)
    after = await bench.lab.describe(SERVICE, ANYBODY, NEVER)
    assert len(after.features) == len(before.features) + 1


async def test_services_out_of_reach_keep_their_schema(engine: Engine) -> None:
    bench = Bench(engine, services=["shop/overspend_only"], schema_change={**CHANGES[0], "after_s": 0})
    [row] = await bench.read("by_user")
    assert "by_user.aaa" not in row.views[0].layout.names
    [row] = await bench.read("by_user", service=ServiceRef("shop", "overspend_only"))
    assert "by_user.aaa" in row.views[0].layout.names
