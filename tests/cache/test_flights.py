"""One fetch at a time for a key: who may join, who waits, and what is left when it lands, crashes or is never waited for."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from gateway.cache.flights import Flight, Flights, wait_for
from gateway.cache.keys import Key
from gateway.errors import OriginFailed
from gateway.tasks import Tasks

pytestmark = pytest.mark.anyio

ANNE, BEN = b"anne", b"ben"
KEY, OTHER = (1, "u1"), (1, "u2")
LONG_S = 20.0


class Fetches:
    """Fetches that are counted, and land when a test says so."""

    def __init__(self) -> None:
        self.started = 0
        self._may_land = asyncio.Event()
        self._error: Exception | None = None

    async def fetch(self, *keys: Key) -> Mapping[Key, str]:
        self.started += 1
        number = self.started
        await self._may_land.wait()
        if self._error is not None:
            raise self._error
        return dict.fromkeys(keys, f"fetch {number}")

    def land(self) -> None:
        self._may_land.set()

    def crash(self, error: Exception) -> None:
        self._error = error
        self._may_land.set()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.aclose()


@pytest.fixture
async def fetches() -> Fetches:
    return Fetches()


@pytest.fixture
async def flights(tasks: Tasks) -> Flights[str]:
    return Flights[str](tasks)


async def test_nobody_flies_what_nobody_leads(flights: Flights[str]) -> None:
    assert flights.find(KEY, ANNE, granted=True) is None
    assert len(flights) == 0


async def test_a_flight_is_found_under_every_key_it_was_started_for(flights: Flights[str], fetches: Fetches) -> None:
    flight = flights.lead([KEY, OTHER], ANNE, 0.0, 0, fetches.fetch(KEY, OTHER))
    assert flight.keys == (KEY, OTHER)
    assert flights.find(KEY, ANNE, granted=False) is flight
    assert flights.find(OTHER, ANNE, granted=False) is flight
    assert flights.find((2, "u1"), ANNE, granted=True) is None
    assert len(flights) == 2


@pytest.mark.parametrize(
    ("caller", "granted", "joins"),
    [(ANNE, False, True), (ANNE, True, True), (BEN, True, True), (BEN, False, False), (b"", False, False)],
)
async def test_the_leaders_credential_joins_always_and_others_under_a_grant(
    flights: Flights[str], fetches: Fetches, caller: bytes, *, granted: bool, joins: bool
) -> None:
    flight = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    assert flights.find(KEY, caller, granted=granted) is (flight if joins else None)


async def test_many_who_want_one_key_make_one_fetch(flights: Flights[str], fetches: Fetches) -> None:
    async def want() -> str:
        flight = flights.find(KEY, ANNE, granted=True) or flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
        assert await wait_for([flight], LONG_S)
        return flight.cargo()[KEY]

    wanted = [asyncio.ensure_future(want()) for _ in range(50)]
    fetches.land()
    assert await asyncio.gather(*wanted) == ["fetch 1"] * 50
    assert fetches.started == 1


async def test_landing_clears_the_keys_and_leaves_the_cargo(flights: Flights[str], fetches: Fetches) -> None:
    flight = flights.lead([KEY, OTHER], ANNE, 0.0, 0, fetches.fetch(KEY, OTHER))
    fetches.land()
    assert await wait_for([flight], LONG_S)
    await asyncio.gather(flight.landing)
    assert len(flights) == 0
    assert flights.find(KEY, ANNE, granted=True) is None
    assert flight.cargo() == {KEY: "fetch 1", OTHER: "fetch 1"}


async def test_a_crash_clears_the_keys_and_is_the_cargo(flights: Flights[str], fetches: Fetches) -> None:
    flight = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    fetches.crash(OriginFailed("500"))
    assert await wait_for([flight], LONG_S)
    with pytest.raises(OriginFailed):
        flight.cargo()
    assert len(flights) == 0
    again = flights.lead([KEY], BEN, 0.0, 0, fetches.fetch(KEY))
    assert flights.find(KEY, BEN, granted=False) is again


async def test_a_crash_that_nobody_waits_for_is_not_reported_as_lost(flights: Flights[str], fetches: Fetches) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    flight = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    fetches.crash(OriginFailed("500"))
    await asyncio.wait([flight.landing])
    del flight
    assert len(flights) == 0
    assert complaints == []


async def test_a_flight_that_nobody_waits_for_still_lands(flights: Flights[str], fetches: Fetches) -> None:
    task = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY)).landing
    fetches.land()
    assert await task == {KEY: "fetch 1"}


async def test_a_second_flight_for_a_key_does_not_displace_the_first(flights: Flights[str], fetches: Fetches) -> None:
    first = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    later = Fetches()
    second = flights.lead([KEY, OTHER], BEN, 0.0, 0, later.fetch(KEY, OTHER))
    assert flights.find(KEY, BEN, granted=True) is first
    assert flights.find(OTHER, BEN, granted=False) is second
    later.land()
    assert await wait_for([second], LONG_S)
    assert flights.find(KEY, ANNE, granted=False) is first
    assert flights.find(OTHER, ANNE, granted=True) is None
    fetches.land()
    assert await wait_for([first], LONG_S)
    assert len(flights) == 0


async def test_a_refused_joiner_can_find_the_flight_it_leads_itself(flights: Flights[str], fetches: Fetches) -> None:
    """Else each of its own concurrent requests leads one more fetch of the same key."""
    flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    own = flights.lead([KEY], BEN, 0.0, 0, fetches.fetch(KEY))
    assert flights.find(KEY, BEN, granted=False) is own


async def test_a_leader_who_leads_twice_leaves_the_first_to_be_found(flights: Flights[str], fetches: Fetches) -> None:
    first, later = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY)), Fetches()
    second = flights.lead([KEY], ANNE, 0.0, 0, later.fetch(KEY))
    later.land()
    assert await wait_for([second], LONG_S)
    assert flights.find(KEY, ANNE, granted=False) is first
    assert flights.find(KEY, BEN, granted=True) is first
    fetches.land()
    assert await wait_for([first], LONG_S)
    assert flights.find(KEY, ANNE, granted=False) is None


async def test_a_waiter_who_goes_away_does_not_bring_the_flight_down(flights: Flights[str], fetches: Fetches) -> None:
    flight = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    waiter = asyncio.ensure_future(wait_for([flight], LONG_S))
    await asyncio.wait([waiter], timeout=0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not flight.landing.done()
    fetches.land()
    assert await wait_for([flight], LONG_S)
    assert flight.cargo() == {KEY: "fetch 1"}


@pytest.mark.parametrize("timeout_s", [0.0, -5.0, 0.001])
async def test_a_waiter_whose_time_is_up_gives_up_alone(flights: Flights[str], fetches: Fetches, timeout_s: float) -> None:
    flight = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    assert not await wait_for([flight], timeout_s)
    assert not flight.landing.done()
    fetches.land()
    assert await wait_for([flight], LONG_S)


async def test_waiting_for_several_takes_all_of_them(flights: Flights[str], fetches: Fetches) -> None:
    later = Fetches()
    both = [flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY)), flights.lead([OTHER], ANNE, 0.0, 0, later.fetch(OTHER))]
    fetches.land()
    assert await wait_for(both[:1], LONG_S)
    assert not await wait_for(both, 0.0)
    later.land()
    assert await wait_for(both, LONG_S)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, LONG_S])
async def test_waiting_for_nothing_is_over_at_once(timeout_s: float) -> None:
    none: list[Flight[str]] = []
    assert await wait_for(none, timeout_s)


async def test_closing_brings_all_flights_down(tasks: Tasks, flights: Flights[str], fetches: Fetches) -> None:
    flight = flights.lead([KEY], ANNE, 0.0, 0, fetches.fetch(KEY))
    await tasks.aclose()
    assert flight.landing.cancelled()
    assert await wait_for([flight], 0.0)
    assert len(flights) == 0


async def test_a_launched_flight_is_found_and_joined_like_any_other(flights: Flights[str]) -> None:
    flight = flights.launch((KEY, OTHER), ANNE, 0.0, 0)
    assert not flights.free([(2, "u1"), OTHER])
    assert flights.free([(2, "u1")])
    sought = [flight.sought]
    assert flights.find(KEY, BEN, granted=False) is None
    sought.append(flight.sought)
    assert flights.find(KEY, BEN, granted=True) is flight
    assert [*sought, flight.sought] == [False, False, True]
    waiting = asyncio.ensure_future(wait_for([flight], LONG_S))
    flights.land(flight, {KEY: "brought"})
    assert await waiting
    assert flight.cargo() == {KEY: "brought"}
    assert len(flights) == 0


async def test_a_launched_flight_that_crashes_is_not_reported_as_lost(flights: Flights[str]) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    flight = flights.launch((KEY,), ANNE, 0.0, 0)
    flights.crash(flight, OriginFailed("500"))
    with pytest.raises(OriginFailed):
        flight.cargo()
    del flight
    await asyncio.sleep(0)
    assert (len(flights), complaints) == (0, [])


@pytest.mark.parametrize("error", [None, OriginFailed("500")])
async def test_a_launched_flight_may_go_on_as_a_task(flights: Flights[str], fetches: Fetches, error: Exception | None) -> None:
    flight = flights.launch((KEY,), ANNE, 0.0, 0)
    flights.follow(flight, fetches.fetch(KEY))
    assert not await wait_for([flight], 0.0)
    assert flights.find(KEY, ANNE, granted=False) is flight
    if error is None:
        fetches.land()
    else:
        fetches.crash(error)
    assert await wait_for([flight], LONG_S)
    assert flight.landing.exception() is error
    assert len(flights) == 0


async def test_closing_brings_a_flight_that_has_gone_on_down(tasks: Tasks, flights: Flights[str], fetches: Fetches) -> None:
    flight = flights.launch((KEY,), ANNE, 0.0, 0)
    flights.follow(flight, fetches.fetch(KEY))
    await tasks.aclose()
    await asyncio.sleep(0)
    assert flight.landing.cancelled()
    assert len(flights) == 0
