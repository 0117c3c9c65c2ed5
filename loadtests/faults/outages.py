"""An origin that is dead, slow, failing, throttling, half-open: what readers see of it, and what it sees of them."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

from loadtests.faults.origin_process import Call
from loadtests.faults.stage import Heard, Pace, Stage, at, cold, mostly_warm, stage, took_s
from loadtests.faults.verdicts import Sheet
from loadtests.open_loop import Record
from tests.harness.scripted.load import Sometimes, Throttling
from tests.harness.scripted.scripts import late, refused

DEADLINE_S = 1.0
"""deadlines.read_s, where a fault is about being in time."""
_STEP_S = 0.25
_BEFORE_S = 1.5
_AFTER_S = 2.0


def failed(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status != 200]


def slowest_ms(records: Sequence[Record]) -> float:
    return max(map(took_s, records), default=0.0) * 1e3


def dead(pace: Pace) -> Sheet:
    """Its process is killed, and started again on the same port after a while, with other values."""
    with stage(pace, deadlines__read_s=DEADLINE_S, cache__ttl_s=1, cache__stale_if_error_s=300) as scene:
        return asyncio.run(_dead(scene, pace.of(30, 3)))


async def _dead(scene: Stage, dead_s: float) -> Sheet:
    after_s = scene.pace.of(6, 3.5)
    await scene.warm_up()
    reading = asyncio.create_task(scene.read(mostly_warm, _BEFORE_S + dead_s + after_s))
    await asyncio.sleep(_BEFORE_S)
    killed_s = time.monotonic()
    await asyncio.to_thread(scene.origin.kill)
    await at(killed_s + dead_s)
    await asyncio.to_thread(partial(scene.origin.start, epoch=1))
    back_s = time.monotonic()
    heard = await reading
    sheet = Sheet("dead")
    misses = heard.between(killed_s, back_s - 1.0, "cold")  # what is due in the last second may still be answered
    sheet.exactly("errors of stale keys", len(failed(heard.between(0, back_s + after_s, "warm"))), 0)
    sheet.note("misses that failed", len(failed(misses)))
    sheet.at_most("slowest miss ms", slowest_ms(misses), DEADLINE_S * 1e3 + 50)
    fresh_s = min((heard.done_s(record) for record in heard.outcome.records if heard.epochs.get(record.number) == 1), default=float("nan"))
    sheet.at_most("first fresh reply after s", fresh_s - back_s, 1.0)
    sheet.exactly("misses that failed from 2 s after its return on", len(failed(heard.between(back_s + 2, back_s + after_s, "cold"))), 0)
    return _right(sheet, heard)


def slow(pace: Pace) -> Sheet:
    """One call in twenty takes two seconds more."""
    with stage(pace, deadlines__read_s=4) as scene:
        return asyncio.run(_slow(scene, pace.of(30, 3)))


async def _slow(scene: Stage, seconds: float) -> Sheet:
    await scene.warm_up()
    await scene.read(partial(_named, "before"), _BEFORE_S)
    scene.origin.forget()
    scene.origin.always(Sometimes(partial(late, seconds=2.0), 0.05))
    heard = await scene.read(cold, seconds)
    sheet = Sheet("slow")
    sheet.exactly("errors", len(heard.outcome.bad()), 0)
    sheet.note("p50 ms", heard.outcome.latency_ms(50))
    sheet.at_most("p99 ms", heard.outcome.latency_ms(99), 1_000)
    sheet.at_most("upstream calls per read, hedges included", len(scene.origin.calls()) / len(heard.outcome.records), 1.2)
    return _right(sheet, heard)


def failing(pace: Pace) -> Sheet:
    """Every call is answered 503."""
    with stage(pace, deadlines__read_s=DEADLINE_S) as scene:
        return asyncio.run(_failing(scene, pace.of(30, 3)))


async def _failing(scene: Stage, failing_s: float) -> Sheet:
    after_s = scene.pace.of(7, 3.5)
    await scene.warm_up()
    reading = asyncio.create_task(scene.read(cold, _BEFORE_S + failing_s + after_s))
    await asyncio.sleep(_BEFORE_S)
    await asyncio.to_thread(scene.origin.always, partial(refused, status=503))
    ill_s = time.monotonic()
    await at(ill_s + failing_s)
    await asyncio.to_thread(scene.origin.always, None)
    well_s = time.monotonic()
    heard = await reading
    calls = [call for call in scene.origin.calls() if ill_s <= call.at_s < well_s]
    sheet = Sheet("failing")
    sheet.at_most("upstream calls per read", len(calls) / (scene.pace.rate_per_s * (well_s - ill_s)), 1.2)
    sheet.at_most("breaker open after s", _quiet_from_s(calls, ill_s, well_s, scene.pace.rate_per_s) - ill_s, 2.0)
    sheet.at_most("breaker closed after s", _well_from_s(heard, well_s, well_s + after_s) - well_s, 5.0)
    sheet.at_most("slowest failure ms", slowest_ms(heard.between(ill_s, well_s)), DEADLINE_S * 1e3 + 50)
    return _right(sheet, heard)


def _quiet_from_s(calls: Sequence[Call], since_s: float, until_s: float, rate_per_s: float) -> float:
    """The instant from which on calls are but probes: less than a tenth of what is offered, in each quarter of a second."""
    instants = sorted(call.at_s for call in calls)
    quiet_s = until_s
    while quiet_s - _STEP_S >= since_s:
        count = bisect_left(instants, quiet_s) - bisect_left(instants, quiet_s - _STEP_S)
        if count >= rate_per_s * _STEP_S / 10:
            return quiet_s if quiet_s < until_s else float("inf")
        quiet_s -= _STEP_S
    return since_s


def _well_from_s(heard: Heard, since_s: float, until_s: float) -> float:
    """The instant from which on no read fails."""
    last_s = max((heard.began_s + record.scheduled_s for record in failed(heard.between(since_s, until_s))), default=since_s)
    return last_s if last_s < until_s - 1.0 else float("inf")


def throttling(pace: Pace) -> Sheet:
    """429 with Retry-After: in seconds, then as a date."""
    with stage(pace, deadlines__read_s=DEADLINE_S) as scene:
        return asyncio.run(_throttling(scene, int(pace.of(6, 2))))


async def _throttling(scene: Stage, pause_s: int) -> Sheet:
    sheet, wrong = Sheet("throttling"), 0
    await scene.warm_up()
    for as_date in (False, True):
        scene.origin.forget()
        seconds = pause_s + as_date  # a date has whole seconds, so up to one of them may be over already
        name = "until a date" if as_date else "for seconds"
        reading = asyncio.create_task(scene.read(partial(_named, name[0]), 0.5 + seconds + _AFTER_S))
        await asyncio.sleep(0.5)
        throttled_s = time.monotonic()
        await asyncio.to_thread(scene.origin.always, Throttling(seconds, as_date=as_date))
        heard = await reading
        calls = [call.at_s - throttled_s for call in scene.origin.calls() if call.at_s > throttled_s]
        ends_s = pause_s - 0.1
        sheet.note(f"calls on their way, {name}", sum(one < 0.25 for one in calls))
        sheet.exactly(f"calls meanwhile, {name}", sum(0.25 <= one < ends_s for one in calls), 0)
        refusals = [record for record in heard.outcome.records if record.status == 429]
        sheet.note(f"refused, {name}", len(refusals))
        again_s = throttled_s + seconds + 1.0
        sheet.exactly(f"errors from 1 s after it on, {name}", len(failed(heard.between(again_s, again_s + _AFTER_S))), 0)
        wrong += heard.wrong
    sheet.exactly("wrong values", wrong, 0)
    return sheet


def _named(prefix: str, number: int) -> str:
    return f"{prefix}-{number}"


def half_open(pace: Pace) -> Sheet:
    """The peer of every open connection is gone without a word, and whoever opens a new one is served."""
    with stage(pace, deadlines__read_s=DEADLINE_S, cache__ttl_s=1, cache__stale_if_error_s=300) as scene:
        return asyncio.run(_half_open(scene, pace.of(20, 5)))


async def _half_open(scene: Stage, seconds: float) -> Sheet:
    await scene.warm_up()
    scene.origin.always(partial(late, seconds=0.2))  # so that many are open
    await scene.read(partial(_named, "before"), 1.0)
    scene.origin.always(None)
    reading = asyncio.create_task(scene.read(mostly_warm, _BEFORE_S + seconds))
    await asyncio.sleep(_BEFORE_S)
    frozen_s = time.monotonic()
    frozen = await asyncio.to_thread(scene.origin.freeze)
    heard = await reading
    ends_s = frozen_s + seconds
    misses = failed(heard.between(0, ends_s, "cold"))
    sheet = Sheet("half-open")
    sheet.note("links that died", frozen)
    sheet.exactly("errors of stale keys", len(failed(heard.between(0, ends_s, "warm"))), 0)
    sheet.note("misses that failed", len(misses))
    sheet.at_most("slowest miss ms", slowest_ms(misses), DEADLINE_S * 1e3 + 50)
    sheet.at_most("well again after s", _well_from_s(heard, frozen_s, ends_s) - frozen_s, 3.0)
    return _right(sheet, heard)


def _right(sheet: Sheet, heard: Heard) -> Sheet:
    sheet.exactly("wrong values", heard.wrong, 0)
    sheet.note("replies", heard.kinds)
    sheet.note("driver late by ms", heard.outcome.lateness_ms)
    return sheet
