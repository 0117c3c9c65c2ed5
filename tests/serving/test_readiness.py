"""Readiness: what makes a process red, what it only tells of, and how often it asks."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from gateway.errors import AccessUnavailable, Draining, OriginFailed, OriginTimeout, OriginUnavailable
from gateway.lifecycle import Lifecycle
from gateway.origins.base import Origin
from gateway.serving import readiness
from gateway.serving.readiness import FRESH_S, Readiness
from gateway.tasks import Tasks
from tests.harness.clock import Clock


@dataclass(slots=True)
class Copy:
    up: bool = True
    lapsed: bool = False
    age_s: float = 0.0


class Probed:
    """An origin of which only readiness is asked. `fails`: with what; `waits`: for whom."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails: Exception | None = None
        self.waits: Callable[[], Awaitable[object]] | None = None

    async def ready(self) -> None:
        self.asked += 1
        if self.waits is not None:
            await self.waits()
        if self.fails is not None:
            raise self.fails


class Bench:
    def __init__(self, *, elsewhere: bool = True, forgiving: bool = True, copied: Copy | None = None) -> None:
        self.origin, self.clock, self.lifecycle, self.copied = Probed(), Clock(), Lifecycle(), copied
        self.proven = False
        origin: Origin = self.origin  # type: ignore[assignment]  # nothing else of it is asked
        self.readiness = Readiness(
            origin,
            copied,
            self.lifecycle,
            Tasks(),
            elsewhere=elsewhere,
            forgiving=forgiving,
            proven=lambda: self.proven,
            clock=self.clock,
        )

    async def lost(self) -> list[str]:
        self.clock.advance(FRESH_S)
        return await self.readiness.lost()


async def test_what_is_elsewhere_must_have_been_there_once() -> None:
    bench = Bench()
    bench.origin.fails = OriginUnavailable("away")
    with pytest.raises(OriginUnavailable, match="away"):
        await bench.lost()
    bench.origin.fails = None
    assert await bench.lost() == []
    bench.origin.fails = OriginUnavailable("away")
    assert await bench.lost() == ["origin"]
    bench.origin.fails = None
    assert await bench.lost() == []


async def test_a_schema_proves_that_it_was_there_and_once_is_enough() -> None:
    bench = Bench()
    bench.origin.fails = OriginUnavailable("away")
    bench.proven = True
    assert await bench.lost() == ["origin"]


@pytest.mark.parametrize("bench", [Bench(elsewhere=False), Bench(forgiving=False)], ids=["its own", "strict"])
async def test_what_is_its_own_or_must_not_be_lost_makes_it_red_whenever_it_is_lost(bench: Bench) -> None:
    bench.proven = True
    assert await bench.lost() == []
    bench.origin.fails = OriginUnavailable("away")
    with pytest.raises(OriginUnavailable):
        await bench.lost()


@pytest.mark.parametrize("error", [OriginTimeout("late"), OriginFailed("failed")])
async def test_it_is_red_with_503_whatever_the_origin_says(error: Exception) -> None:
    bench = Bench()
    bench.origin.fails = error
    with pytest.raises(OriginUnavailable):
        await bench.lost()


async def test_what_is_not_foreseen_is_not_taken_for_readiness() -> None:
    bench = Bench()
    assert await bench.lost() == []
    bench.origin.fails = ZeroDivisionError()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await bench.lost()


async def test_an_origin_that_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LOOK_S", 0.01)
    bench = Bench()
    assert await bench.lost() == []
    bench.origin.waits = asyncio.Event().wait
    assert await bench.lost() == ["origin"]


async def test_many_probes_are_one_look_a_second_and_one_that_leaves_takes_it_from_nobody() -> None:
    bench, hold = Bench(), asyncio.Event()
    bench.origin.waits = hold.wait
    probes = [asyncio.ensure_future(bench.readiness.lost()) for _ in range(5)]
    await asyncio.sleep(0)
    probes[0].cancel()
    hold.set()
    assert await asyncio.gather(*probes[1:]) == [[]] * 4
    assert bench.origin.asked == 1
    bench.clock.advance(FRESH_S * 0.9)
    await bench.readiness.lost()
    assert bench.origin.asked == 1
    bench.clock.advance(FRESH_S * 0.2)
    await bench.readiness.lost()
    assert bench.origin.asked == 2


async def test_draining_is_red_at_once_and_asks_nobody() -> None:
    bench = Bench()
    bench.lifecycle.draining = True
    with pytest.raises(Draining):
        await bench.lost()
    assert bench.origin.asked == 0


async def test_a_lost_store_of_access_control_is_told_while_its_copy_counts() -> None:
    copy = Copy()
    bench = Bench(copied=copy)
    assert await bench.lost() == []
    copy.up = False
    assert await bench.lost() == ["access"]
    bench.origin.fails = OriginUnavailable("away")
    assert await bench.lost() == ["origin", "access"]
    copy.lapsed = True
    with pytest.raises(AccessUnavailable):
        await bench.lost()
    copy.up, copy.lapsed = True, False
    assert await bench.lost() == ["origin"]


async def test_a_lost_store_of_access_control_is_red_where_nothing_may_be_lost() -> None:
    bench = Bench(copied=Copy(up=False), forgiving=False)
    with pytest.raises(AccessUnavailable):
        await bench.lost()
