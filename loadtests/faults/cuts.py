"""Replies that are cut at every byte, and callers who go away in the middle."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from random import Random

from loadtests.faults.outages import failed
from loadtests.faults.stage import READ_PATH, Heard, Pace, Stage, keys_of, read_of, stage
from loadtests.faults.verdicts import Sheet
from tests.harness.cluster import ALICE, Cluster
from tests.harness.scripted.load import FORMS, CutAsAsked
from tests.harness.scripted.scripts import late
from tests.harness.scripted.steps import Exchange, Send
from tests.harness.sockets import Request

_DEADLINE_S = 5.0
_ROUNDS = 5
_RATE_PER_S = 400.0
_READS_PER_CUT = 6
"""A cut read may be tried three times, and not half of all calls may fail, or the breaker spares the origin most cuts."""
_CLIENTS = 30
_LONGEST_S = 0.02
_LOOK_EVERY_S = 0.1


def truncated(pace: Pace) -> Sheet:
    """At every byte of head and body: with a length and in chunks, by FIN and by RST. Most reads beside it go well, so no breaker opens."""
    with stage(pace, deadlines__read_s=_DEADLINE_S) as scene:
        scene.origin.always(CutAsAsked())
        return asyncio.run(_truncated(scene, cut_users(every=11 if pace.quick else 1)))


def cut_users(*, every: int) -> list[str]:
    """One for each cut. `every`: only each so-manieth byte."""
    return [
        f"cut-{form}-{end}-{at}" for form in FORMS for end in ("fin", "rst") for at in range(0, _sent_bytes(f"cut-{form}-{end}-0"), every)
    ]


def _sent_bytes(user: str) -> int:
    """How long this user's reply is, frame and all. Another's may be a few digits shorter: then the cut is after its end."""
    exchange = Exchange(read_request(user), Cluster(), connection=0, turn=0, at_s=0.0)
    return sum(len(step.data) for step in FORMS[user.split("-")[1]](exchange) if isinstance(step, Send))


def read_request(user: str) -> Request:
    """As the gateway asks the origin."""
    params = {"workspaceName": "prod", "featureServiceName": "lite", "joinKeyMap": keys_of(user), "requestContextMap": {}}
    return Request("POST", READ_PATH, {"authorization": f"Tecton-key {ALICE}"}, json.dumps({"params": params}).encode())


async def _truncated(scene: Stage, cut: Sequence[str]) -> Sheet:
    await scene.warm_up()
    missing, rounds = list(cut), [await _cut(scene, cut, 0)]
    while (missing := _not_cut(scene, missing)) and len(rounds) < _ROUNDS:  # they were refused before they reached the origin
        rounds.append(await _cut(scene, missing, len(rounds)))
    scene.origin.always(None)
    again = await scene.read(lambda number: cut[number * 7 % len(cut)], 1, rate_per_s=200)
    reads = [record for heard in rounds for record in heard.between(0, time.monotonic(), "cut")]
    whole = [record for heard in rounds for record in heard.between(0, time.monotonic(), "whole")]
    sheet = Sheet("truncated")
    sheet.note("cuts", len(cut))
    sheet.exactly("cuts that did not happen", len(missing), 0)
    sheet.exactly("wrong values", sum(heard.wrong for heard in (*rounds, again)), 0)
    sheet.exactly("answers but 200, 502, 503, 504", sum(record.status not in {200, 502, 503, 504} for record in reads), 0)
    sheet.note("cut reads answered with all values", len(reads) - len(failed(reads)))
    sheet.at_most("share of errors among whole replies", len(failed(whole)) / len(whole), 0.05)
    sheet.exactly("errors after it", len(again.outcome.bad()), 0)
    return sheet


async def _cut(scene: Stage, cut: Sequence[str], turn: int) -> Heard:
    """Each of these, among others that are whole."""

    def users(number: int) -> str:
        place, rest = divmod(number, _READS_PER_CUT)
        return f"whole-{turn}-{number}" if rest else cut[place]

    return await scene.read(users, len(cut) * _READS_PER_CUT / _RATE_PER_S, rate_per_s=_RATE_PER_S)


def _not_cut(scene: Stage, users: Sequence[str]) -> list[str]:
    reached = {call.user for call in scene.origin.calls()}
    return [user for user in users if user not in reached]


def cancelled(pace: Pace) -> Sheet:
    """Thirty callers, each of whom goes away 0-20 ms after asking, again and again."""
    with stage(pace, deadlines__read_s=_DEADLINE_S) as scene:
        return asyncio.run(_cancelled(scene, pace.of(60, 3)))


async def _cancelled(scene: Stage, seconds: float) -> Sheet:
    await scene.warm_up()
    before = await _settled(scene, 0)
    scene.origin.always(partial(late, seconds=0.01))
    until_s = time.monotonic() + seconds
    gone = sum(await asyncio.gather(*(_come_and_go(scene, number, until_s) for number in range(_CLIENTS))))
    scene.origin.always(None)
    heard = await scene.read(lambda number: f"after-{number}", 1, rate_per_s=100)
    after = await _settled(scene, before)
    sheet = Sheet("cancelled")
    sheet.note("reads given up", gone)
    sheet.exactly("well afterwards, of 100", sum(epoch == 0 for epoch in heard.epochs.values()), 100)
    sheet.at_most("descriptors more than before", after - before, 0)
    sheet.note("connections to the origin", scene.origin.connections().open)
    return sheet


async def _come_and_go(scene: Stage, number: int, until_s: float) -> int:
    random, gone = Random(number), 0
    while time.monotonic() < until_s:
        with suppress(ConnectionError):
            _, writer = await asyncio.open_connection(*scene.address)
            writer.write(read_of(f"gone-{number}-{gone}"))
            await asyncio.sleep(random.uniform(0, _LONGEST_S))
            writer.transport.abort()
        gone += 1
    return gone


async def _settled(scene: Stage, wanted: int) -> int:
    """The gateway's descriptors, once there are as few as wanted, or have been given the time to be."""
    count = scene.descriptors()
    for _ in range(100 if wanted else 10):
        if count <= wanted:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
        count = scene.descriptors()
    return count
