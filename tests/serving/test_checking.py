"""When the gateway's own values and the cluster's are one, which rows are compared, and what comes of a difference."""

import asyncio
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given

from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies
from gateway.counters import Counters
from gateway.features import (
    BOOLEAN,
    FLOAT32,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Feature,
    Field,
    ServiceRef,
    Status,
    ViewValues,
    array_of,
    map_of,
    split_views,
    struct_of,
)
from gateway.on_demand import Function, OnDemandView
from gateway.origins.base import Description
from gateway.serving.checking import OnDemandChecks, same
from gateway.serving.plan import Plan
from gateway.serving.workers import Workers
from gateway.wire.values import compile_row_writer
from tests.harness.clock import PATIENCE_S, wait_until
from tests.wire.strategies import Typed, named_model, typed

OVER, AGE = Feature("basket.over", FLOAT64), Feature("user.age", INT64)
CONTEXT = {"amount": 250.0}
NAME = ("prod", "basket")


@given(typed())
def test_a_value_is_the_same_as_itself(one: Typed) -> None:
    spelt = named_model(one.dtype, one.value)
    assert same(one.dtype, spelt, named_model(one.dtype, one.value))


@pytest.mark.parametrize(
    ("dtype", "mine", "theirs"),
    [
        (FLOAT32, 0.1, 0.10000000149011612),
        (FLOAT64, 0.1 + 0.2 - 0.3, 0.0),
        (FLOAT64, 3.0, 3),
        (FLOAT64, "NaN", "NaN"),
        (TIMESTAMP, "2024-05-01T12:00:00Z", "2024-05-01T14:00:00.000+02:00"),
        (array_of(FLOAT64), [0.1, None], [0.10000000149, None]),
        (map_of(FLOAT64), {"a": 1.0}, {"a": 1.0000001}),
        (struct_of(x=FLOAT64, y=STRING), {"y": None, "x": 2.0}, {"x": 2.0000001, "y": None}),
    ],
)
def test_what_is_spelt_otherwise_may_be_the_same(dtype: Any, mine: Any, theirs: Any) -> None:
    assert same(dtype, mine, theirs)
    assert same(dtype, theirs, mine)


@pytest.mark.parametrize(
    ("dtype", "mine", "theirs"),
    [
        (FLOAT64, 1.0, 1.00001),
        (FLOAT64, 0.0, None),
        (FLOAT64, "NaN", 1.0),
        (FLOAT64, 1.0, "Infinity"),
        (INT64, 2**62, 2**62 + 1),
        (BOOLEAN, True, False),
        (STRING, "a", "A"),
        (TIMESTAMP, "2024-05-01T12:00:00Z", "2024-05-01T12:00:00.000000001Z"),
        (TIMESTAMP, "2024-05-01T12:00:00Z", "2024-13-01T12:00:00Z"),
        (array_of(INT64), [1], [1, 2]),
        (array_of(INT64), [1, None], [1, 2]),
        (map_of(INT64), {"a": 1}, {"b": 1}),
        (map_of(INT64), {"a": 1}, {"a": 2}),
        (struct_of(x=INT64), {"x": 1}, {"x": 2}),
    ],
)
def test_and_what_is_not(dtype: Any, mine: Any, theirs: Any) -> None:
    assert not same(dtype, mine, theirs)
    assert not same(dtype, theirs, mine)


def double(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"over": context["amount"] - 2 * inputs["user"]["age"]}


def description(function: Function = double, time_limit_s: float | None = None) -> Description:
    view = OnDemandView("basket", function, ("amount",), (("user", ("age",)),), (("over", FLOAT64),), time_limit_s=time_limit_s)
    keys = (Field("user_id", STRING),)
    return Description(ServiceRef("prod", "checkout"), keys, (Field("amount", FLOAT64),), (OVER, AGE), on_demand={"basket": view})


class Desk:
    """Checks beside a plan, and what becomes of it. `lucky`: of the rows that are left to chance."""

    def __init__(self, function: Function = double, ratio: float = 1.0, lucky: float = 0.0, **more: Any) -> None:
        self.counters, self.workers, self.calls = Counters(), Workers(1), 0
        self.checks = OnDemandChecks(ratio, self.counters, self.workers, lambda: lucky)
        self.checks.on_distrust = self._distrusted
        self.plan = Plan(description(function, **more), Policies(), Namespaces())

    def _distrusted(self) -> None:
        self.calls += 1

    def check(self, over: float | None, age: int | None = 20, *, without: str = "", status: Status = Status.PRESENT) -> bool:
        answered = {}
        told: list[float | None] = [over, age]
        for layout, value in zip(split_views((OVER, AGE)), told, strict=True):
            positional, named = compile_row_writer(layout.features)([value])
            if layout.view != without:
                complete = status is Status.PRESENT
                answered[layout] = ViewValues(layout, positional, named, (status,), (None,), complete=complete)
        return self.checks.check(self.plan, CONTEXT, answered)

    @property
    def told(self) -> tuple[int, int, int]:
        """Comparisons, differences, calls of `on_distrust`."""
        return self.counters.on_demand_checks, self.counters.on_demand_mismatches, self.calls


def failing(*_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise LookupError


def of_wrong_type(*_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"over": "much"}


def test_values_that_agree_are_counted_and_nothing_else() -> None:
    desk = Desk()
    assert not desk.check(210.0)
    assert desk.told == (1, 0, 0)
    assert desk.checks.trusted(desk.plan.description) is desk.plan.description


@pytest.mark.parametrize(("function", "over"), [(double, 211.0), (double, None), (failing, 210.0), (of_wrong_type, 210.0)])
def test_a_difference_is_told_once_and_whoever_reads_by_the_old_plan_begins_again(
    function: Function, over: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(function)
    assert desk.check(over)
    assert desk.check(over)
    assert desk.told == (1, 1, 1)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert desk.checks.distrusted == {NAME}
    assert not desk.checks.trusted(desk.plan.description).on_demand


def test_a_view_of_the_same_name_in_another_workspace_is_another() -> None:
    desk = Desk()
    desk.check(211.0)
    elsewhere = Description(ServiceRef("staging", "checkout"), (), (), (OVER, AGE), on_demand=desk.plan.description.on_demand)
    assert desk.checks.trusted(elsewhere) is elsewhere


@pytest.mark.parametrize("more", [{"without": "basket"}, {"without": "user"}, {"status": Status.TIME_OUT}])
def test_what_is_not_all_there_is_not_compared(more: dict[str, Any]) -> None:
    desk = Desk()
    assert not desk.check(211.0, **more)
    assert desk.told == (0, 0, 0)


def test_the_first_rows_are_all_compared_and_then_a_share() -> None:
    unlucky = Desk(ratio=0.05, lucky=0.06)
    for _ in range(30):
        unlucky.check(210.0)
    assert unlucky.told == (20, 0, 0)
    assert not unlucky.check(211.0)
    lucky = Desk(ratio=0.05, lucky=0.04)
    for _ in range(30):
        lucky.check(210.0)
    assert lucky.told == (30, 0, 0)
    assert lucky.check(211.0)


def test_with_a_ratio_of_nothing_nothing_is_compared() -> None:
    desk = Desk(ratio=0.0)
    assert not desk.check(211.0)
    assert desk.told == (0, 0, 0)


@pytest.mark.anyio
async def test_a_slow_function_is_compared_on_a_thread_each_time_it_is_asked_for() -> None:
    desk = Desk(time_limit_s=20.0)
    assert not desk.check(211.0)
    assert not desk.check(212.0)
    assert desk.told == (0, 0, 0)
    await until(lambda: desk.told == (2, 2, 1))
    desk.workers.close()


@pytest.mark.anyio
async def test_a_slow_function_that_has_no_time_or_no_thread_says_nothing_of_its_values() -> None:
    stuck = threading.Event()

    def waits(*_: Mapping[str, Any]) -> Mapping[str, Any]:
        stuck.wait(PATIENCE_S)
        return {"over": math.pi}

    desk = Desk(waits, time_limit_s=0.02)
    try:
        assert not desk.check(210.0)
        assert not desk.check(210.0)
        await until(lambda: desk.workers.abandoned == 1)
        assert not desk.check(210.0)
    finally:
        stuck.set()
    await until(lambda: desk.workers.abandoned == 0)
    desk.workers.close()
    assert desk.told == (0, 0, 0)


async def until(condition: Callable[[], bool]) -> None:
    """What a thread does reaches the event loop when it does."""
    await asyncio.to_thread(wait_until, condition, "a thread's end")
