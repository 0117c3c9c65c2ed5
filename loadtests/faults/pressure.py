"""Three times as many reads as the origin can answer."""

import asyncio
import time
from functools import partial

from loadtests.faults.outages import DEADLINE_S
from loadtests.faults.stage import Heard, Pace, Stage, stage, took_s
from loadtests.faults.verdicts import Sheet
from loadtests.open_loop import percentile
from tests.harness.scripted.load import Capacity

SERVERS, SERVICE_S = 15, 0.1
CAPACITY_PER_S = SERVERS / SERVICE_S
_REJECTED_MS = 10.0


def overload(pace: Pace) -> Sheet:
    """The origin takes 0.1 s for a call, and fifteen at a time. First as many reads as it can answer, then thrice that, then half."""
    with stage(pace, deadlines__read_s=DEADLINE_S) as scene:
        return asyncio.run(_overload(scene, pace.of(20, 2), pace.of(60, 5)))


async def _overload(scene: Stage, peak_s: float, seconds: float) -> Sheet:
    await scene.warm_up()
    scene.origin.always(Capacity(SERVERS, SERVICE_S))
    peak = await scene.read(partial(_user, "peak"), peak_s, rate_per_s=CAPACITY_PER_S)
    began_s = time.monotonic()
    over = await scene.read(partial(_user, "over"), seconds, rate_per_s=3 * CAPACITY_PER_S)
    recovery_s = scene.pace.of(8, 3.5)
    half = await scene.read(partial(_user, "half"), recovery_s, rate_per_s=CAPACITY_PER_S / 2)
    rejected_ms = [took_s(record) * 1e3 for record in over.outcome.records if record.status == 503]
    sheet = Sheet("overload")
    sheet.note("offered per s", 3 * CAPACITY_PER_S)
    sheet.note("goodput per s where as much was offered as it can", _goodput(peak, peak_s))
    sheet.note("goodput per s", _goodput(over, seconds))
    sheet.at_least("goodput, of what it can", _goodput(over, seconds) / CAPACITY_PER_S, 0.8)
    sheet.note("p99 of the answered ms", over.outcome.latency_ms(99, (200,)))
    sheet.note("rejected", len(rejected_ms))
    sheet.note("of them in over 10 ms", sum(one_ms > _REJECTED_MS for one_ms in rejected_ms))
    sheet.note("p50 of the rejected ms", percentile(rejected_ms, 50))
    sheet.at_most("p99 of the rejected ms", percentile(rejected_ms, 99), _REJECTED_MS)
    sheet.note("replies", over.kinds)
    sheet.note("replies at half", half.kinds)
    sheet.at_most("recovered after s", _recovered_s(half, recovery_s), 5.0)
    sheet.exactly("wrong values", peak.wrong + over.wrong + half.wrong, 0)
    sheet.note("upstream calls per read", sum(call.at_s >= began_s for call in scene.origin.calls()) / len(over.outcome.records))
    sheet.note("driver late by ms", over.outcome.lateness_ms)
    return sheet


def _user(prefix: str, number: int) -> str:
    return f"{prefix}-{number}"


def _goodput(heard: Heard, seconds: float) -> float:
    """Answers a second, of those that came while it was asked."""
    return (
        sum(record.status == 200 and record.done_s is not None and record.done_s <= seconds for record in heard.outcome.records) / seconds
    )


def _recovered_s(heard: Heard, seconds: float) -> float:
    """From when on all is answered, and about as fast as the origin is."""
    ill = [record.scheduled_s for record in heard.outcome.records if record.status != 200 or took_s(record) > 3 * SERVICE_S]
    last_s = max(ill, default=0.0)
    return last_s if last_s < seconds - 1.0 else float("inf")
