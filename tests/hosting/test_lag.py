"""How late the loop is: counted, kept, and complained of now and then."""

import asyncio
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.hosting.lag
from gateway.hosting.lag import BOUNDS_S, SAID_EVERY_S, WORRYING_S, LoopLag
from tests.harness.clock import PATIENCE_S, Clock


async def test_a_loop_that_is_held_up_is_late_by_as_much() -> None:
    lag, loop = LoopLag(), asyncio.get_running_loop()
    watching = loop.create_task(lag.watch())
    await asyncio.sleep(0.15)  # the first tenth of a second is the start's
    time.sleep(0.4)  # noqa: ASYNC251 - this is what is measured
    for _ in range(int(PATIENCE_S / 0.01)):
        await asyncio.sleep(0.01)
        if lag.longest_s >= 0.2:
            break
    watching.cancel()
    assert lag.longest_s >= 0.2
    assert lag.sum_s >= lag.longest_s
    assert 0 < lag.recent_s < lag.longest_s


@given(st.lists(st.floats(0, 5)))
def test_every_lag_is_in_one_bucket_and_in_the_sum(lags: list[float]) -> None:
    lag = LoopLag(Clock())
    for one in lags:
        lag.note(one)
    bounds = (*BOUNDS_S, float("inf"))
    for number, bound in enumerate(bounds):
        assert sum(lag.counts[: number + 1]) == sum(one <= bound for one in lags)
    assert lag.sum_s == pytest.approx(sum(lags))
    assert lag.longest_s == max(lags, default=0.0)


def test_the_average_forgets() -> None:
    lag = LoopLag(Clock())
    lag.note(1.0)
    for _ in range(100):
        lag.note(0.0)
    assert lag.recent_s < 0.01


def test_it_complains_at_most_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.hosting.lag, "WORRYING_S", WORRYING_S)
    clock = Clock()
    lag = LoopLag(clock)
    with caplog.at_level(logging.WARNING, "gateway.hosting.lag"):
        lag.note(WORRYING_S)
        assert not caplog.records
        for _ in range(3):
            lag.note(1.5)
        clock.advance(SAID_EVERY_S)
        lag.note(2.0)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "The event loop was held up for 1.50 s",
        "The event loop was held up for 2.00 s",
    ]
