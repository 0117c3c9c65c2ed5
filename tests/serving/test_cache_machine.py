"""The cache against a model of it: whatever reads, ingests, purges, failures, schema changes, slow fetches and time come in between one
another, every reply must be one that the README allows (`cache_judge`).

Chance alone seldom brings together what belongs together, so most rules are about a read of before (`recent`), and end with looking again.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, register_random, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gateway.features import ServiceRef
from gateway.luck import luck
from tests.serving.cache_house import CacheHouse
from tests.serving.cache_origin import FAILURES, FLAVOURS, SPOILT, Flavour, Held
from tests.serving.cache_requests import How, Who, request
from tests.serving.cache_rights import PurgeLog
from tests.serving.cache_world import Row, Service, View

register_random(luck)

ANN, BOB, EVE = "ann-0123456789", "bob-0123456789", "eve-0123456789"
PLAIN = How()
NOW = How(max_age_ms=0)
OPTIONS: Sequence[dict[str, Any]] = (
    {},
    {"readFromCache": False},
    {"writeToCache": False},
    {"coerceNullCountsToZero": True},
    {"ignoreExtraRequestContextFields": True},
    {"aggregationLeadingEdge": "AGGREGATION_MODE_LATEST_EVENT_TIME"},
    {"highWatermarkOverride": "2024-01-01T00:00:00Z"},
    {"latencyBudgetMs": 500},
    {"latencyBudgetMs": 500, "coerceNullCountsToZero": True},
)
told = st.sampled_from(["all", "all", "all", "some", "none", "labels", "slo"])
hows = st.one_of(
    st.just(PLAIN),
    st.builds(
        How,
        st.sampled_from(["tecton_single", "tecton_batch"]),
        told,
        st.sampled_from(OPTIONS),
        partial=st.sampled_from([False, False, True]),
        as_text=st.booleans(),
    ),
    st.builds(
        How,
        st.sampled_from(["named_single", "named_batch"]),
        told,
        max_age_ms=st.sampled_from([None, None, 0, 2_000, 5_000]),
        deadline_ms=st.sampled_from([None, None, 500]),
        selectors=st.sampled_from([None, None, None, ["user.*"], ["score.s"], ["both.a", "shop.n"]]),
        as_text=st.booleans(),
    ),
)
rows = st.tuples(st.sampled_from(["1", "2"]), st.sampled_from([1, 2]), st.sampled_from([1.0, 2.5]))
numbers = st.integers(0, 2)
seconds = st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 6.0])
SEEN: Counter[str] = Counter()


class CacheMachine(RuleBasedStateMachine):
    """`recent`: what was read, the latest last."""

    house: CacheHouse

    def __init__(self) -> None:
        super().__init__()
        self.recent: list[Who] = []

    @initialize(
        flavour=st.sampled_from(FLAVOURS),
        jitter=st.sampled_from([0.0, 0.0, 0.75]),
        early=st.sampled_from([0.0, 1.0, 20.0]),
        revalidate_s=st.sampled_from([0, 4]),
        max_age_s=st.sampled_from([None, 15]),
        max_bytes=st.sampled_from([10_000_000, 10_000_000, 10_000_000, 4_000]),
        asked=st.lists(rows, min_size=1, max_size=2),
    )
    def open(
        self, flavour: Flavour, jitter: float, early: float, revalidate_s: float, max_age_s: float | None, max_bytes: int, asked: list[Row]
    ) -> None:
        cache = {
            "ttl_s": 10,
            "negative_ttl_s": 3,
            "stale_while_revalidate_s": revalidate_s,
            "stale_if_error_s": 9,
            "max_age_s": max_age_s,
            "jitter": jitter,
            "early_refresh": early,
            "max_bytes": max_bytes,
        }
        self.house = CacheHouse(
            flavour,
            {
                "cache": cache,
                "deadlines": {"read_s": 6},
                "metadata": {"ttl_s": 25},
                "on_demand": {"check_ratio": 1},
                "views": {
                    "live": {"ttl_s": 0},
                    "shop": {"ttl_s": 6, "max_age_s": 7, "stale_if_error_s": 5},
                    "both": {"defaults": {"a": "a default"}},
                },
                "services": {"prod/beta": {"ttl_s": 4, "stale_while_revalidate_s": 2}, "prod/gamma": {"ttl_s": 3}},
            },
        )
        if flavour.judges:
            everything = set(self.house.world.services)
            self.house.origin.rights = {ANN: set(everything), BOB: set(everything), EVE: set()}
        self.read(0, ANN, asked, PLAIN)

    # Reads

    @rule(
        number=st.integers(0, 4), caller=st.sampled_from([ANN, ANN, BOB, BOB, EVE]), asked=st.lists(rows, min_size=1, max_size=3), how=hows
    )
    def read(self, number: int, caller: str, asked: list[Row], how: How) -> None:
        self.recent.append(self._who(list(self.house.world.services.values())[number], caller, asked))
        self._read(self.recent[-1], how)

    @rule(number=numbers, how=hows)
    def read_again(self, number: int, how: How) -> None:
        self._read(self._of(number), how)

    @rule(number=numbers, caller=st.sampled_from([ANN, BOB, EVE]), how=hows)
    def read_as_well(self, number: int, caller: str, how: How) -> None:
        who = self._of(number)
        self._read(Who(who.service, caller, who.rows), how)

    @rule(number=numbers, name=st.sampled_from(["alpha", "beta", "gamma"]), how=hows)
    def read_elsewhere(self, number: int, name: str, how: How) -> None:
        """The same rows of another service, which shares views with the first and keeps them for another time."""
        who = self._of(number)
        if who.service.ref.workspace == "prod" and "shop" in who.service.join_keys:
            self.recent.append(self._who(self.house.world.services[ServiceRef("prod", name)], who.caller, who.rows))
            self._read(self.recent[-1], how)

    @rule(number=numbers, early=st.booleans(), how=hows)
    def read_slowly(self, number: int, early: bool, how: How) -> None:  # noqa: FBT001
        self.house.origin.holds.append(Held("fetch", early))
        self._read(self._of(number), how)

    def _who(self, service: Service, caller: str, asked: Sequence[Row]) -> Who:
        return Who(service, caller, asked if "shop" in service.join_keys else [(user, None, amount) for user, _, amount in asked])

    def _of(self, number: int) -> Who:
        return self.recent[-1 - number % len(self.recent)]

    def _read(self, who: Who, how: How) -> None:
        if how.selectors is not None and not who.service.scored:
            how = PLAIN
        self.house.read(*request(who, how))
        self.house.settle()

    def _look(self, times: int) -> None:
        for number in range(times):
            self._read(self._of(number), PLAIN)

    # Time

    @rule(number=numbers, seconds=seconds, how=hows)
    def wait_and_read_again(self, number: int, seconds: float, how: How) -> None:
        self.house.advance(seconds)
        self._read(self._of(number), how)

    @rule(
        number=numbers,
        end=st.integers(0, 11),
        after=st.sampled_from([-0.25, 0.0, 0.25, 1.0]),
        fault=st.sampled_from([None, *FAILURES, "late"]),
        slow_s=st.sampled_from([0.0, 0.0, 0.5]),
        how=hows,
    )
    def read_at_an_end(self, number: int, end: int, after: float, fault: str | None, slow_s: float, how: How) -> None:
        """When something that was answered may be served no longer, or no longer so; perhaps the origin fails then, or takes its time."""
        origin, who = self.house.origin, self._of(number)
        ends = sorted({moment + after for moment in self.house.judge.ends(who.service, who.rows)})
        ends = [moment for moment in ends if moment > self.house.world.now_s]
        if ends:
            self.house.advance(ends[end % len(ends)] - self.house.world.now_s)
            before, origin.outage = origin.outage, fault
            if slow_s:
                origin.holds.append(Held("fetch", early=True))
            self._read(who, how)
            if slow_s:
                self.house.advance(slow_s)
                self.release_all()
            origin.outage = before
            self._look(1)

    # What makes values wrong

    @rule(
        number=numbers, view=st.integers(0, 4), lag=st.sampled_from([0.0, 1.0, 5.0, 20.0]), missing=st.sampled_from(["none", "last", "all"])
    )
    def change_value(self, number: int, view: int, lag: float, missing: str) -> None:
        who = self._of(number)
        changed, _ = who.service.views[view % len(who.service.views)]
        self.house.world.change_value(changed.place(who.rows[0]), lag, missing)

    @rule(
        number=numbers,
        views=st.sets(st.integers(0, 4), min_size=1, max_size=2),
        missing=st.sampled_from(["none", "none", "all"]),
        tell=st.sampled_from(["keys", "keys", "view", "nothing"]),
        fate=st.sampled_from(["stored", "stored", "stored", "lost", "refused"]),
        then=numbers,
    )
    def ingest(self, number: int, views: set[int], missing: str, tell: str, fate: str, then: int) -> None:
        self._ingest(self._of(number), views, missing, tell, fate)
        self._look(then)

    def _ingest(self, who: Who, views: set[int], missing: str = "none", tell: str = "keys", fate: str = "stored") -> None:
        chosen = {view.origin_name: view for view, _ in (who.service.views[number % len(who.service.views)] for number in sorted(views))}
        places = [[name, list(view.place(who.rows[0])[2])] for name, view in chosen.items()]
        told = {"workspaceName": who.service.ref.workspace, "places": places, "lag": 0.0, "missing": missing, "tell": tell, "fate": fate}
        self.house.ingest(ANN, told)
        self.house.settle()

    @rule(
        number=numbers,
        scope=st.sampled_from(["service", "service", "workspace", "whole"]),
        names=st.sampled_from([None, ["user"], ["both"], ["user", "shop"], ["score"]]),
        keys=st.sets(st.sampled_from(["user", "shop"])),
        soft=st.booleans(),
        then=numbers,
    )
    def purge(self, number: int, scope: str, names: list[str] | None, keys: set[str], soft: bool, then: int) -> None:  # noqa: FBT001
        self._purge(self._of(number), scope, names, keys, soft=soft)
        self._look(then)

    def _purge(
        self, who: Who, scope: str = "service", names: list[str] | None = None, keys: Collection[str] = (), *, soft: bool = False
    ) -> None:
        ref, row = who.service.ref, dict(zip(("user", "shop"), who.rows[0], strict=False))
        given = {name: row[name] for name in sorted(keys) if name in who.service.join_keys}
        log = PurgeLog(None if scope == "whole" else ref.workspace, None, {} if scope == "whole" else given, soft)
        body: dict[str, Any] = {"soft": soft}
        if scope == "whole" or (scope == "workspace" and names is None and not given):
            log.join_keys = {}
            body["everything"] = True
        else:
            meant = [view.name for view, _ in who.service.views] if scope == "service" and names is None else names
            if meant is not None:
                log.views = frozenset(["user" if name == "score" and scope == "service" else name for name in meant])
            body |= ({"views": names} if names is not None else {}) | ({"joinKeys": given} if given else {})
        self.house.purge(log, ref if scope == "service" else None, ANN, body)
        self.house.settle()

    @rule(number=numbers, view=st.integers(0, 4), kind=st.sampled_from(["insert", "retype", "remove"]), then=numbers)
    def change_schema(self, number: int, view: int, kind: str, then: int) -> None:
        views = self._of(number).service.views
        self._change_schema(views[view % len(views)][0], kind)
        self._look(then)

    def _change_schema(self, view: View, kind: str = "insert") -> None:
        self.house.world.change_schema(view, kind)
        if self.house.world.single_views:
            self.house.forget()
        self.house.settle()

    @rule(
        number=numbers,
        early=st.sampled_from([True, True, False]),
        what=st.sampled_from(["purge", "soft purge", "ingest", "schema", "wait", "metadata"]),
        view=st.integers(0, 4),
        how=st.sampled_from([PLAIN, NOW, NOW, How("tecton_batch", options={"writeToCache": False})]),
        joined=st.sampled_from([None, PLAIN, How("tecton_single")]),
        by=st.sampled_from([ANN, BOB, EVE]),
        fault=st.sampled_from([None, None, None, "late", "partial", "unavailable", "denied"]),
        looks=numbers,
        last=st.sampled_from([PLAIN, How(max_age_ms=500)]),
    )
    def change_while_fetching(
        self,
        number: int,
        early: bool,  # noqa: FBT001
        what: str,
        view: int,
        how: How,
        joined: How | None,
        by: str,
        fault: str | None,
        looks: int,
        last: How,
    ) -> None:
        """A slow fetch that is overtaken."""
        who = self._of(number)
        self.house.origin.holds.append(Held("fetch", early))
        self.house.origin.faults += [] if fault is None else [fault]
        self._read(who, how)
        if joined is not None:
            self._read(Who(who.service, by, who.rows), joined)
        if what in ("purge", "soft purge"):
            self._purge(who, soft=what == "soft purge")
        elif what == "ingest":
            self._ingest(who, {view})
        elif what == "schema":
            self._change_schema(who.service.views[view % len(who.service.views)][0])
        elif what == "metadata":
            self.house.origin.holds.append(Held("metadata", early))
        else:
            self.house.advance(2.0)
        self._look(looks)
        self._read(who, last)
        self.release_all()
        self._look(1)

    # What the origin does

    @rule(
        faults=st.lists(st.sampled_from([*FAILURES, *SPOILT * 3]), min_size=1, max_size=2),
        number=numbers,
        how=st.sampled_from(
            [
                PLAIN,
                NOW,
                How("tecton_batch", options={"readFromCache": False}),
                How("tecton_single", options={"latencyBudgetMs": 500, "coerceNullCountsToZero": True}, partial=True),
            ]
        ),
    )
    def fail_next(self, faults: list[str], number: int, how: How) -> None:
        self.house.origin.faults += faults
        self._read(self._of(number), how)

    @rule(fault=st.sampled_from([None, None, None, "unavailable", "throttled"]))
    def fail_from_now_on(self, fault: str | None) -> None:
        self.house.origin.outage = fault
        self.house.origin.faults.clear()

    @rule(fault=st.sampled_from(["unavailable", "denied", "timeout"]))
    def fail_metadata(self, fault: str) -> None:
        self.house.origin.metadata_faults.append(fault)

    @rule(number=st.integers(0, 3))
    def release(self, number: int) -> None:
        held = self.house.origin.held
        if held:
            held[number % len(held)].go.set()
            self.house.settle()

    @rule()
    def release_all(self) -> None:
        self.house.origin.holds.clear()
        for held in self.house.origin.held:
            held.go.set()
        self.house.settle()

    @rule(number=st.integers(0, 3))
    def go_away(self, number: int) -> None:
        self.house.leave(number)
        self.house.settle()

    @rule(caller=st.sampled_from([ANN, BOB, EVE]), number=numbers, may=st.sampled_from([True, True, False]))
    def change_rights(self, caller: str, number: int, may: bool) -> None:  # noqa: FBT001
        rights = self.house.origin.rights
        if rights is not None:
            (rights[caller].add if may else rights[caller].discard)(self._of(number).service.ref)

    def teardown(self) -> None:
        if self.recent:
            self.house.close()
            SEEN.update(self.house.judge.seen)


QUIET = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
EVERYTHING = {"origin", "cache", "stale", "computed", "default", "timeout", "incomplete", "negative hit"}
"""What a run must have come upon: one that met nothing stale has shown nothing of it."""


@pytest.mark.usefixtures("unmeasured")
def test_no_interleaving_breaks_a_promise() -> None:
    SEEN.clear()
    chosen = settings(max_examples=60, stateful_step_count=50, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
    run_state_machine_as_test(CacheMachine, settings=chosen)
    assert not EVERYTHING - SEEN.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_no_interleaving_breaks_a_promise_for_long() -> None:
    chosen = settings(max_examples=600, stateful_step_count=60, deadline=None, suppress_health_check=QUIET)
    run_state_machine_as_test(CacheMachine, settings=chosen)
