"""The last quarter of an hour: bounded, on a clock of the test's, and one look for all who ask at once."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.measures.families import Report
from gateway.web.console.watch import EVERY_S, KEPT_S, Watch
from tests.harness.clock import Clock
from tests.web.console.test_totals import read, report

pytestmark = pytest.mark.anyio


class Counting:
    """Workers that count as they are told to."""

    def __init__(self) -> None:
        self.hits = 0
        self.asked = 0

    async def __call__(self) -> Sequence[Report]:
        self.asked += 1
        await asyncio.sleep(0)
        return [report(read_duration_seconds=(read("hit", *[0.001] * self.hits),))]


def watching() -> tuple[Watch, Counting, Clock]:
    clock, counting = Clock(), Counting()
    return Watch(counting, wall_s=lambda: 1e9 + clock(), clock=clock), counting, clock


async def test_each_point_is_of_the_time_since_the_one_before() -> None:
    watch, counting, clock = watching()
    await watch.note()
    assert not watch.points
    for hits in (10, 10, 60):
        counting.hits = hits
        clock.advance(EVERY_S)
        await watch.note()
    assert [point.hits * EVERY_S for point in watch.points] == [10, 0, 50]
    assert [point.at_s for point in watch.points] == [1e9 + clock() - 10, 1e9 + clock() - 5, 1e9 + clock()]


async def test_what_is_kept_is_bounded() -> None:
    watch, _, clock = watching()
    for _ in range(2 * int(KEPT_S / EVERY_S)):
        clock.advance(EVERY_S)
        await watch.note()
    assert len(watch.points) == KEPT_S / EVERY_S


async def test_a_look_is_shared_by_all_who_ask_at_once() -> None:
    watch, counting, clock = watching()
    looks = await asyncio.gather(*[watch.look() for _ in range(20)])
    assert len({id(look) for look in looks}) == 1
    assert counting.asked == 1
    clock.advance(2)
    await watch.look()
    assert counting.asked == 2


async def test_now_is_the_last_few_seconds_and_not_the_time_since_the_last_point() -> None:
    watch, counting, clock = watching()
    await watch.note()
    assert (await watch.now()).reads == 0
    told = []
    for step in range(1, 6):
        counting.hits = 20 * step
        clock.advance(2)
        told.append((await watch.now()).hits)
    assert told[-3:] == [10, 10, 10]


async def test_of_earlier_looks_only_the_totals_are_kept() -> None:
    watch, _, clock = watching()
    first = await watch.look()
    assert first.reports
    clock.advance(2)
    second = await watch.look()
    kept = list(watch._looks)
    assert [bool(one.reports) for one in kept] == [False, True]
    assert kept[0].totals == first.totals
    assert kept[1] is second


@pytest.mark.parametrize(
    ("looks_s", "pauses_s"),
    [([0.2, 0.2, 0.2], [5, 8, 8]), ([3.0, 0.01, 0.01], [5, 5, 5]), ([0.01, 3.0, 0.2], [5, 5, 8])],
    ids=["slow", "slow once, as when it starts", "busy with something else once"],
)
async def test_where_looking_takes_long_again_and_again_it_is_done_less_often(
    monkeypatch: pytest.MonkeyPatch, looks_s: Sequence[float], pauses_s: Sequence[float]
) -> None:
    clock, slept = Clock(), list[float]()

    async def reports() -> Sequence[Report]:
        clock.advance(looks_s[len(slept)])
        return [report(1), report(2)]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)
        if len(slept) == len(looks_s):
            raise TimeoutError

    monkeypatch.setattr("gateway.web.console.watch.asyncio.sleep", sleep)
    with pytest.raises(TimeoutError):
        await Watch(reports, clock=clock).follow()
    assert slept == pytest.approx(pauses_s)
