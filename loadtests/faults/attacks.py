"""Clients that mean harm, beside some that mean well: they drip, they do not read, they send without end, they send noise."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random

from loadtests.faults.stage import READ_PATH, Pace, Stage, keys_of, stage, warm
from loadtests.faults.verdicts import Sheet
from loadtests.hostile import Ending, flood, never_read, noise, slow_body, slow_header

_PATH = READ_PATH.encode()
_GIB, _MIB = 2**30, 2**20
_GOOD_PER_S = 100.0
_HEAD = b"POST " + _PATH + b" HTTP/1.1\r\nHost: gateway\r\n"
_STRINGS = 10_000
_AT_ONCE = 20


def slow_clients(pace: Pace) -> Sheet:
    """500 that drip headers, 200 that drip bodies, 100 that never read, for as long as they are let."""
    limit_s = pace.of(3, 1.5)
    limits = {f"server__{name}_timeout_s": limit_s for name in ("header", "body", "write")}
    with stage(pace, cache__ttl_s=3_600, **limits) as scene:
        return asyncio.run(_slow_clients(scene, pace.of(1, 0.2), limit_s))


async def _slow_clients(scene: Stage, share: float, limit_s: float) -> Sheet:
    await scene.warm_up()
    until_s = limit_s * 2 + scene.pace.of(6, 3)
    attackers = [slow_header(scene.address, _PATH, every_s=0.5, until_s=until_s) for _ in range(round(500 * share))]
    attackers += [slow_body(scene.address, _PATH, every_s=0.5, until_s=until_s) for _ in range(round(200 * share))]
    attackers += [never_read(scene.address, large_read(), until_s=until_s, at_most_bytes=4 * _MIB) for _ in range(round(100 * share))]
    before = scene.descriptors()
    good = asyncio.create_task(scene.read(warm, until_s, rate_per_s=_GOOD_PER_S, connections=32))
    endings: Sequence[Ending] = await asyncio.gather(*attackers)
    heard = await good
    sheet = Sheet("slow clients")
    sheet.exactly("errors of the good load", len(heard.outcome.bad()), 0)
    sheet.exactly("wrong values", heard.wrong, 0)
    sheet.note("p99 of the good load ms", heard.outcome.latency_ms(99))
    sheet.note("driver late by ms", heard.outcome.lateness_ms)
    sheet.note("attackers", len(endings))
    sheet.exactly("attackers that were not cut", sum(not ending.cut for ending in endings), 0)
    sheet.note("the last was cut after s", max(ending.after_s for ending in endings))
    await asyncio.sleep(0.5)
    sheet.at_most("descriptors more than before", scene.descriptors() - before, 32)
    return sheet


def large_read() -> bytes:
    """A read whose reply is several times as large as it, so that few of them fill all buffers on the way."""
    flags = ("Names", "DataTypes", "EffectiveTimes", "ServingStatus", "FeatureDescriptions", "FeatureTags", "SloInfo")
    params = {
        "workspaceName": "prod",
        "featureServiceName": "fraud",
        "joinKeyMap": keys_of("hungry"),
        "requestContextMap": {"amount": 1.5},
        "metadataOptions": {f"include{flag}": True for flag in flags},
    }
    body = json.dumps({"params": params}).encode()
    return _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def huge_requests(pace: Pace) -> Sheet:
    """Bodies up to 1 GiB, with a length and without; 1,000 headers; JSON 100,000 deep."""
    with stage(pace) as scene:
        return asyncio.run(_huge_requests(scene, round(pace.of(_GIB, _GIB / 16))))


async def _huge_requests(scene: Stage, size_bytes: int) -> Sheet:
    await scene.warm_up()
    sheet, before_bytes = Sheet("huge requests"), scene.rss_bytes()
    deep = b"[" * 100_000
    heads: dict[str, tuple[bytes, bytes, int]] = {
        "a length of 1 GiB": (_HEAD + b"Content-Length: %d\r\n\r\n" % size_bytes, b"x" * 65_536, size_bytes),
        "chunks up to 1 GiB": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n", size_bytes),
        "1,000 headers": (_HEAD + b"".join(b"x-%d: y\r\n" % number for number in range(1_000)) + b"\r\n", b"", 0),
        "JSON 100,000 deep": (_HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(deep), deep, 1),
    }
    refused = 0
    for name, (head, piece, size) in heads.items():
        ending, sent_bytes = await flood(scene.address, head, piece, size_bytes=size, until_s=20.0)
        sheet.note(name, ending.status)
        refused += ending.status in range(400, 500)
        if size > len(piece):
            sheet.note(f"MiB that left the client of {name}", sent_bytes / _MIB)  # what sockets hold on both sides is in it
    sheet.exactly("refused with 4xx", refused, len(heads))
    sheet.at_most("RSS rose by MiB", (scene.rss_bytes() - before_bytes) / _MIB, 32)
    return await _well(scene, sheet)


def noisy(pace: Pace) -> Sheet:
    """10,000 strings of random bytes, some of which begin like a request."""
    with stage(pace) as scene:
        return asyncio.run(_noisy(scene, round(pace.of(_STRINGS, _STRINGS / 10))))


async def _noisy(scene: Stage, count: int) -> Sheet:
    await scene.warm_up()
    random, before = Random(9), scene.descriptors()
    strings = [random.choice((b"", b"GET / HTTP/1.1\r\n", _HEAD)) + random.randbytes(random.randint(1, 400)) for _ in range(count)]
    began_s = time.monotonic()
    told = await asyncio.gather(*(noise(scene.address, strings[first::_AT_ONCE], patience_s=15.0) for first in range(_AT_ONCE)))
    statuses: Counter[int] = sum(told, Counter())
    sheet = Sheet("noise")
    sheet.note("strings", count)
    sheet.note("took s", time.monotonic() - began_s)
    sheet.note("answers", ", ".join(f"{status or 'none'}: {number}" for status, number in sorted(statuses.items())))
    sheet.exactly("answers of 2xx or 5xx", sum(number for status, number in statuses.items() if status // 100 in {2, 5}), 0)
    sheet.exactly("lines of tracebacks", scene.command.stderr.count("Traceback"), 0)
    await asyncio.sleep(0.5)
    sheet.at_most("descriptors more than before", scene.descriptors() - before, 0)
    return await _well(scene, sheet)


async def _well(scene: Stage, sheet: Sheet) -> Sheet:
    heard = await scene.read(partial(_after, sheet.fault), 1, rate_per_s=50)
    sheet.exactly("good reads afterwards, of 50", sum(epoch == 0 for epoch in heard.epochs.values()), 50)
    return sheet


def _after(fault: str, number: int) -> str:
    return f"after {fault}-{number}"
