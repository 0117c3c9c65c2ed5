"""Gateways that are stopped and started again, one after the other, behind a proxy that goes on sending."""

import asyncio
import shutil

from loadtests.faults.stage import Pace
from loadtests.faults.verdicts import Sheet
from loadtests.rolling import HAPROXY, flights, roll


def rolling(pace: Pace) -> Sheet:
    """SIGTERM to each of two gateways behind haproxy in turn, under load."""
    sheet, rounds = Sheet("rolling"), round(pace.of(20, 3))
    if shutil.which("haproxy") is None:
        sheet.fail("not run", HAPROXY)
        return sheet
    with flights() as data_dir:
        rolled = asyncio.run(roll(data_dir, rounds=rounds, rate_per_s=pace.rate_per_s))
    sheet.exactly("restarts", len(rolled.statuses), rounds)
    sheet.note("requests", len(rolled.outcome.records))
    sheet.exactly("errors", len(rolled.outcome.bad()), 0)
    sheet.exactly("exit statuses but 0", sum(map(bool, rolled.statuses)), 0)
    sheet.note("p99 ms", rolled.outcome.latency_ms(99))
    sheet.note("longest end s", max(rolled.ended_s))
    return sheet
