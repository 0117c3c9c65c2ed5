"""The limit finds what a store bears, keeps its queue short under any load, and grows again afterwards. On a model of one, in no time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.origins.guard.limit import GradientLimit
from tests.harness.clock import Clock
from tests.origins.guard.stores import Load, Store

pytestmark = pytest.mark.usefixtures("unmeasured")
STORES = [(4, 0.005), (10, 0.02), (32, 0.05), (64, 0.1)]


@pytest.mark.parametrize(("workers", "service_s"), STORES)
def test_at_three_times_what_a_store_bears_it_does_its_work_and_nobody_waits_long(workers: int, service_s: float) -> None:
    load = Load(Store(workers, service_s))
    capacity = workers / service_s
    seconds = load.offer(3 * capacity, 16)[5:-1]  # of those that came in the last one, some have not been answered
    for second in seconds:
        assert second.answered >= 0.8 * capacity
        assert second.late == 0
        assert second.longest_s < 1.0
    answered = sum(second.answered for second in seconds)
    assert answered >= 0.95 * capacity * len(seconds)
    refused = sum(second.refused for second in seconds)
    assert sum(second.refused_at_once for second in seconds) >= 0.95 * refused
    assert load.deepest <= 0.5 * capacity + 10
    assert load.limit.current / capacity <= 4 * service_s + 0.05  # what a call waits in the store


@pytest.mark.parametrize(("workers", "service_s"), STORES)
def test_when_the_load_is_gone_so_are_refusals(workers: int, service_s: float) -> None:
    load = Load(Store(workers, service_s))
    capacity = workers / service_s
    load.offer(3 * capacity, 10)
    after = load.offer(0.6 * capacity, 10)[5:]
    assert sum(second.refused for second in after) == 0
    assert all(second.answered == second.offered for second in after[:-1])


def test_below_what_a_store_bears_nobody_is_refused() -> None:
    load = Load(Store(20, 0.02))
    seconds = load.offer(600, 60)  # 60%
    assert sum(second.refused + second.late for second in seconds) == 0


def test_a_limit_that_is_needed_grows() -> None:
    load = Load(Store(200, 0.05))  # 4,000 a second; at first there are 50 slots
    assert load.limit.current == 50
    seconds = load.offer(3_000, 10)
    assert load.limit.current >= 150
    assert sum(second.refused for second in seconds[3:]) == 0


def test_a_limit_that_nobody_needs_does_not() -> None:
    load = Load(Store(200, 0.05))
    load.offer(100, 30)
    assert load.limit.current == 50


def test_a_store_that_gets_slow_for_a_while_is_not_overrun_and_is_found_well_again() -> None:
    store = Store(20, 0.02)
    load = Load(store)
    load.offer(600, 10)
    store.service_s = 0.2  # 100 a second
    slow = load.offer(600, 20)[5:]
    assert sum(second.answered for second in slow) >= 80 * len(slow)
    assert sum(second.late for second in slow) == 0
    store.service_s = 0.02
    well = load.offer(600, 10)[5:]
    assert sum(second.refused for second in well) == 0


def test_a_store_that_stays_slower_is_believed() -> None:
    """Its latency is not its load: at half the limit it is the same."""
    store = Store(500, 0.01)
    load = Load(store)
    load.offer(1_000, 10)
    store.service_s = 0.1
    load.offer(1_000, 10)
    after = load.offer(1_000, 10)
    assert sum(second.refused for second in after) <= 0.02 * sum(second.offered for second in after)


def test_lasting_overload_does_not_pass_for_normal() -> None:
    load = Load(Store(10, 0.1), most=256)
    load.offer(300, 240)
    assert load.limit.current <= 60


def answers(limit: GradientLimit, clock: Clock, took_s: float, *, number: int = 20, under_way: int | None = None, shape: int = 1) -> None:
    """A window of them."""
    for _ in range(number):
        clock.advance(0.2 / number)
        limit.answered(shape, took_s, limit.current if under_way is None else under_way)


def test_a_few_answers_or_a_short_time_decide_nothing() -> None:
    clock = Clock()
    limit = GradientLimit(clock, least=4, most=100)
    for _ in range(9):
        clock.advance(1.0)
        limit.answered(1, 5.0, 50)
    assert limit.current == 50
    limit = GradientLimit(clock, least=4, most=100)
    for _ in range(500):
        limit.answered(1, 5.0, 50)  # all at one instant
    assert limit.current == 50


def test_each_shape_has_a_latency_of_its_own() -> None:
    clock = Clock()
    limit = GradientLimit(clock, least=4, most=60)
    for _ in range(50):
        answers(limit, clock, 0.005, shape=1)
        answers(limit, clock, 0.2, shape=4)  # ten rows
    assert limit.current >= 30  # 60, or half of it while it is measured


def test_throttling_takes_a_fifth_off_once_in_a_windows_time() -> None:
    clock = Clock()
    limit = GradientLimit(clock, least=4, most=100)
    for _ in range(10):
        limit.throttled()
    assert limit.current == 40
    for _ in range(100):
        clock.advance(0.2)
        limit.throttled()
    assert limit.current == 4


@given(
    least=st.integers(1, 300),
    most=st.integers(1, 300),
    took=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 40), st.integers(0, 3), st.booleans()), max_size=60),
)
def test_whatever_happens_the_limit_is_within_its_bounds(least: int, most: int, took: list[tuple[float, int, int, bool]]) -> None:
    clock = Clock()
    limit = GradientLimit(clock, least=least, most=most, random=Random(0))
    for took_s, number, shape, throttled in took:
        answers(limit, clock, took_s, number=number, shape=shape)
        if throttled:
            limit.throttled()
        assert min(least, most) <= limit.current <= most
        assert limit.current >= 1


def test_a_baseline_that_was_not_measured_for_minutes_gives_way() -> None:
    """Of a shape that is never there when it is measured."""
    clock = Clock()
    limit = GradientLimit(clock, least=4, most=100)
    answers(limit, clock, 0.001, under_way=1)
    clock.advance(200)
    answers(limit, clock, 1.0, under_way=50)
    assert limit.current >= 28  # not a thousandfold, but what is normal now
