"""One read on the lean road, step by step: told, late, and both at once; nothing of it is left when it is over."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.routing import Route

from gateway.app import Gateway, Seams, create_app
from gateway.errors import GatewayError, OriginFailed
from gateway.origins.http.channel import Reply
from gateway.origins.tecton import TectonOrigin
from gateway.serving.lean import Launched, LeanRead
from gateway.serving.reader import Call
from gateway.settings import checked
from gateway.web.endpoints import ReadFeatures
from loadtests import misses
from tests.harness.clock import PATIENCE_S

pytestmark = pytest.mark.anyio
NO_GUARD = {"retries": 0, "breaker_share": 0, "hedging": False, "limit_max": 4}
WELL, DOWN = Reply(200, {}, misses.reply()), Reply(503, {}, b'{"message":"down"}')


class Posted:
    """A call whose reply comes when a test says so; None: it broke off."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self.tell = tell
        self._reply: Reply | None = None
        self._waited = asyncio.Event()

    def come(self, reply: Reply | None, *, tell: bool = True) -> None:
        self._reply = reply
        self._waited.set()
        if tell:
            self.tell()

    def reply(self) -> Reply | None:
        return self._reply

    async def waited(self, deadline_s: float) -> Reply:  # noqa: ARG002 - no time passes here
        await self._waited.wait()
        assert self._reply is not None
        return self._reply


class Prompt:
    """A channel to a cluster that can be asked without waiting."""

    def __init__(self) -> None:
        self.begun: list[Posted] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], deadline_s: float, *, again: bool = True) -> Reply:  # noqa: ARG002
        await asyncio.sleep(0)
        return Reply(200, {}, misses.metadata()) if path.endswith("metadata") else WELL

    def begin(self, path: str, body: bytes, headers: Mapping[str, str], tell: Callable[[], object]) -> Posted:  # noqa: ARG002
        self.begun.append(Posted(tell))
        return self.begun[-1]

    async def aclose(self) -> None:
        """Nothing is open."""


class Waiting:
    """Who a read is for: what came of it."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.launched: list[Launched] = []

    async def over(self) -> None:
        """A flight that goes on as a task needs some turns of the loop."""
        async with asyncio.timeout(PATIENCE_S):
            while not (self.answers or self.launched):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)

    def answer(self, read: LeanRead, reply: bytes) -> None:
        assert isinstance(read, LeanRead)
        self.answers.append(reply)

    def hand_over(self, read: LeanRead, launched: Launched) -> None:
        assert isinstance(read, LeanRead)
        self.launched.append(launched)


class Breakable:
    """A clock that raises while it is broken."""

    broken = False

    def __call__(self) -> float:
        if self.broken:
            raise RuntimeError("a mistake of ours")
        return time.monotonic()


class Door:
    """The read door of a gateway, asked as the edge asks it."""

    def __init__(self, app: Gateway, channel: Prompt) -> None:
        [door] = [route.app for route in app.routes if isinstance(route, Route) and route.path == misses.READ]
        assert isinstance(door, ReadFeatures)
        self.app = app
        self.channel = channel
        self._door = door
        self._number = 0

    def call(self) -> Call:
        self._number += 1
        asked = misses.request().replace(b"@count", b"%06d" % self._number)
        call = Call(self._door.door, self._door.route, asked)
        assert self._door.hit(call) is None
        return call

    def begin(self, call: Call) -> tuple[LeanRead | None, Waiting]:
        waiting = Waiting()
        return self._door.begin(call, waiting), waiting

    async def read(self, call: Call, launched: Launched | None = None) -> bytes:
        return (await self._door.read(call, launched)).body

    async def answered(self, reply: Reply | None) -> tuple[Call, LeanRead, Waiting]:
        """A read whose origin answers so."""
        call = self.call()
        read, waiting = self.begin(call)
        assert read is not None
        self.channel.begun[-1].come(reply)
        await waiting.over()
        return call, read, waiting


@asynccontextmanager
async def opened(clock: Callable[[], float] = time.monotonic, **more: Any) -> AsyncIterator[Door]:
    tree = {"origin": {"kind": "tecton", "url": "http://127.0.0.1:1", "api_key": "k"}, "auth": {"mode": "open"}, "guard": NO_GUARD, **more}
    channel = Prompt()
    app = create_app(checked(tree), Seams(clock, TectonOrigin(channel), environment={}))
    async with app.router.lifespan_context(app):
        door = Door(app, channel)
        await door.read(door.call())  # the schema, and what people wrote about it
        yield door


async def test_a_read_that_goes_well_is_answered_from_a_callback() -> None:
    async with opened() as door:
        _, _, waiting = await door.answered(WELL)
        [answer] = waiting.answers
        assert answer.startswith(b'{"result":{"features":["1234567",3.25,"2026-11-01"')
        assert not waiting.launched
        assert (door.app.counters.lean_reads, door.app.counters.lean_reads_left, door.app.counters.guard_calls) == (1, 0, 3)


async def test_a_read_that_fails_goes_on_as_any_other_and_is_asked_no_second_time() -> None:
    async with opened() as door:
        call, _, waiting = await door.answered(DOWN)
        [launched] = waiting.launched
        assert not waiting.answers
        with pytest.raises(GatewayError, match="down"):
            await door.read(call, launched)
        assert (len(door.channel.begun), door.app.counters.guard_calls) == (1, 3)


async def test_what_is_late_and_told_in_the_same_turn_is_told_once() -> None:
    """The timer comes first, and before anybody has begun to wait the answer is there."""
    async with opened() as door:
        call = door.call()
        read, waiting = door.begin(call)
        assert read is not None
        read.late()
        door.channel.begun[-1].come(WELL)
        assert not waiting.answers
        await waiting.over()
        await asyncio.sleep(0)
        assert [answer[:9] for answer in waiting.answers] == [b'{"result"']
        assert not waiting.launched
        assert door.app.counters.guard_calls == 3


async def test_what_is_due_is_listened_for_once_more_before_anybody_waits() -> None:
    """Its answer may have come while this process was busy, and only not have been read yet."""
    async with opened() as door:
        read, waiting = door.begin(door.call())
        assert read is not None
        read.due()
        door.channel.begun[-1].come(WELL)
        assert [answer[:9] for answer in waiting.answers] == [b'{"result"']
        assert door.app.counters.lean_reads_left == 0


async def test_what_is_due_and_does_not_come_is_waited_for() -> None:
    async with opened() as door:
        read, waiting = door.begin(door.call())
        assert read is not None
        following = door.app.counters.guard_calls
        read.due()
        await asyncio.sleep(0.01)
        door.channel.begun[-1].come(WELL, tell=False)  # whoever waits is told otherwise
        await waiting.over()
        assert [answer[:9] for answer in waiting.answers] == [b'{"result"']
        assert door.app.counters.guard_calls == following


async def test_a_read_whose_time_is_over_leaves_its_flight_in_the_air() -> None:
    async with opened(deadlines={"read_s": 0.05}) as door:
        call = door.call()
        read, waiting = door.begin(call)
        assert read is not None
        await waiting.over()
        [launched] = waiting.launched
        with pytest.raises(GatewayError):
            await door.read(call, launched)
        assert not launched.flight.landing.done()
        door.channel.begun[-1].come(WELL)
        await asyncio.wait([launched.flight.landing])
        assert len(launched.flight.cargo()) == 5
        assert (await door.answered(WELL))[2].answers  # its slot is free again, once


async def test_slots_come_back_whatever_becomes_of_a_read() -> None:
    """There are four."""
    async with opened() as door:
        for reply in (WELL, DOWN, None, Reply(200, {}, b"{}"), WELL) * 3:
            call, _, waiting = await door.answered(reply if reply is not None else DOWN)
            for launched in waiting.launched:
                with pytest.raises(GatewayError):
                    await door.read(call, launched)
        calls = [door.call() for _ in range(5)]
        begun = [door.begin(call) for call in calls]
        assert [read is not None for read, _ in begun] == [True, True, True, True, False]
        for posted in door.channel.begun[-4:]:
            posted.come(WELL)
        assert [len(waiting.answers) for _, waiting in begun] == [1, 1, 1, 1, 0]


async def test_what_happens_unforeseen_crashes_the_flight_and_not_the_connection() -> None:
    clock = Breakable()
    async with opened(clock) as door:
        call = door.call()
        read, waiting = door.begin(call)
        assert read is not None
        clock.broken = True
        door.channel.begun[-1].come(WELL)
        clock.broken = False
        [launched] = waiting.launched
        with pytest.raises(GatewayError) as caught:
            await door.read(call, launched)
        assert not isinstance(caught.value, OriginFailed)
        assert "mistake" not in caught.value.message


async def test_when_the_gateway_closes_what_is_under_way_is_not_tried_again() -> None:
    async with opened() as door:
        read, waiting = door.begin(door.call())
        assert read is not None
    door.channel.begun[-1].come(DOWN)
    [launched] = waiting.launched
    assert isinstance(launched.flight.landing.exception(), GatewayError)


@pytest.mark.parametrize("reply", [WELL, DOWN, Reply(200, {}, b"{}"), Reply(403, {}, b"{}")], ids=["well", "down", "garbage", "refused"])
async def test_nothing_is_left_of_a_read_that_is_over(reply: Reply) -> None:
    async with opened(cache={"ttl_s": 0}) as door:

        async def many(count: int) -> None:
            for _ in range(count):
                call, _, waiting = await door.answered(reply)
                door.channel.begun.clear()
                for launched in waiting.launched:
                    with pytest.raises(GatewayError):
                        await door.read(call, launched)
            await asyncio.sleep(0)

        await many(20)
        gc.collect()
        before = len(gc.get_objects())
        await many(1_000)
        gc.collect()
        assert len(gc.get_objects()) - before < 500
        assert door.app.counters.lean_reads == 1_020
