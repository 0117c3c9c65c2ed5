"""The second level behind an origin that answers each view by itself, and flights that find some of what they fly for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import OriginUnavailable, Unauthenticated
from tests.doors.replicas import counted, flown, shared_settings, views_of
from tests.harness.clock import Hold, wait_until
from tests.harness.houses import House
from tests.harness.valkey import Valkey
from tests.serving.slow import BATCH, READ, Overspend, asked, row, shop

FRAGMENTS = "*:{??}:*"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def houses(valkey: Valkey, tmp_path: Path) -> Iterator[list[House]]:
    """Two gateways, each with a feature server that has the same data, and is read by flights."""
    cache = {"shared": shared_settings(valkey.url, "t"), "early_refresh": 0, "jitter": 0, "ttl_s": 60, "stale_if_error_s": 0}
    with ExitStack() as open_:
        opened = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            house = open_.enter_context(shop(tmp_path / name, Overspend(), cache=cache | {"stale_while_revalidate_s": 300}))
            house.origin.hold = Hold()
            house.origin.hold.release()
            opened.append(house)
        yield opened
        for house in opened:
            house.client.close()
            house.stop()


@pytest.fixture
def settle(valkey: Valkey) -> Callable[[int], None]:
    """Wait until so many fragments are shared."""

    def wait(fragments: int) -> None:
        wait_until(lambda: len(valkey.ask("KEYS", FRAGMENTS)) == fragments, "fragments being shared")

    return wait


def ask(house: House, path: str = READ, **more: Any) -> dict[str, Any]:
    reply = house.client.post(path, json=asked(**more))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def test_only_what_nobody_has_fetched_is_fetched(houses: list[House], settle: Callable[[int], None]) -> None:
    one, other = houses
    ask(one, features=["by_user.*"])
    settle(1)
    answer = ask(other)
    assert (views_of(answer, "cache"), views_of(answer, "origin")) == ({"by_user"}, {"by_shop"})
    assert [one.origin.views_fetched, other.origin.views_fetched] == [[{"by_user"}], [{"by_shop"}]]
    settle(2)
    answer = ask(one)
    assert (views_of(answer, "cache"), views_of(answer, "origin")) == ({"by_user", "by_shop"}, set())
    assert ask(other)["features"] == answer["features"]
    assert len(one.origin.fetches) == len(other.origin.fetches) == 1


def test_what_was_found_survives_what_fails(houses: list[House], settle: Callable[[int], None]) -> None:
    one, other = houses
    ask(one)
    settle(2)
    rows = [row(10.0), row(10.0, user="bob")]
    other.origin.fails = [OriginUnavailable("gone")]
    found, failed = other.client.post(BATCH, json={"rows": rows, "include": ["source"]}).json()["rows"]
    assert views_of(found, "cache") == {"by_user", "by_shop"}
    assert failed["error"]["code"] == 14
    assert len(other.origin.fetches) == 1


def test_a_refusal_of_the_caller_is_one_of_all_that_it_asked_for(houses: list[House], settle: Callable[[int], None]) -> None:
    one, other = houses
    ask(one)
    settle(2)
    other.origin.fails = [Unauthenticated()]
    answered = other.client.post(BATCH, json={"rows": [row(10.0), row(10.0, user="bob")]}).json()["rows"]
    assert [one["error"]["code"] for one in answered] == [16, 16]


def test_a_refresh_of_which_a_part_fails_is_one_that_failed(houses: list[House], valkey: Valkey, settle: Callable[[int], None]) -> None:
    one, other = houses
    ask(other)
    settle(2)
    valkey.ask("DEL", *valkey.ask("KEYS", FRAGMENTS))
    ask(one, features=["by_user.*"])
    settle(1)
    other.clock.advance(61)  # and that of the shared cache stands still: what is there is as new as can be
    other.origin.fails = [OriginUnavailable("gone")]
    assert views_of(ask(other), "stale") == {"by_user", "by_shop"}
    wait_until(lambda: (counted(other, "refreshes"), counted(other, "refreshes_failed")) == (1, 1), "the refresh")
    answer = ask(other)
    assert (views_of(answer, "cache"), views_of(answer, "stale")) == ({"by_user"}, {"by_shop"})
    assert counted(other, "refreshes") == 1, "so soon it is not tried again"
    other.clock.advance(1)
    ask(other)
    wait_until(lambda: flown(other) and views_of(ask(other), "cache") == {"by_user", "by_shop"}, "the next refresh")
    assert counted(other, "refreshes_failed") == 1
