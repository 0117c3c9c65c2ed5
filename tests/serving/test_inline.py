"""Misses of an origin that answers at once, one row at a time and untraced: what is told, what is kept, what is left to the other road."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.origins.base import FetchedRow
from tests.doors.flights import BOARD, FLAGS, KEYS, NAMED, OTHER_KEYS, STORED_VIEWS, V1, named, read_named, sources_by_view, tecton
from tests.harness.houses import House, demo_settings, open_house
from tests.harness.origins import ImmediateCountingOrigin
from tests.web.metrics.samples import samples, total

SHOWN = ["status", "source", "effectiveTime", "dataType"]
UNKNOWN = {"origin": "XXX", "dest": "YYY", "carrier": "ZZ", "tailnum": "N-NEVER-FLEW"}
UNKEPT: dict[str, Any] = {"ttl_s": 0, "negative_ttl_s": 0}


@contextmanager
def opened(folder: Path, *, traced: bool = False, **cache: float) -> Iterator[House]:
    """A house that knows its schemas: the first read of a service is never made at once."""
    with open_house(demo_settings(folder, telemetry={"sample_ratio": float(traced)}, cache=cache)) as house:
        for service in (NAMED, BOARD):
            assert house.client.get(f"{service}/schema").status_code == 200
        yield house


@pytest.fixture
def house(demo_dir: Path) -> Iterator[House]:
    with opened(demo_dir) as house:
        yield house


def origin_of(house: House) -> ImmediateCountingOrigin:
    assert isinstance(house.origin, ImmediateCountingOrigin)
    return house.origin


def answers(house: House, keys: Mapping[str, str]) -> list[Any]:
    """All that each door tells of these join keys, on-demand views and their hidden inputs among it."""
    bodies = [
        (f"{V1[0]}/get-features", tecton(joinKeyMap=keys, metadataOptions=dict.fromkeys(FLAGS, True))),
        (f"{NAMED}/features", named(joinKeys=keys, include=SHOWN)),
        (f"{BOARD}/features", {"joinKeys": {"origin": keys["origin"], "dest": keys["dest"]}, "include": SHOWN}),
    ]
    replies = [house.client.post(path, json=body) for path, body in bodies]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    return [reply.json() for reply in replies]


def from_stores(source: str) -> dict[str, set[str]]:
    return {view: {source} for view in STORED_VIEWS} | {"planned_flight": {"computed"}}


def test_a_row_that_is_read_at_once_is_told_as_one_that_is_traced(demo_dir: Path) -> None:
    with opened(demo_dir, **UNKEPT) as untraced, opened(demo_dir, traced=True, **UNKEPT) as traced:
        for keys in (KEYS, OTHER_KEYS, UNKNOWN):
            assert answers(untraced, keys) == answers(traced, keys)
        assert origin_of(untraced).rows == len(untraced.origin.fetches) == len(traced.origin.fetches) == 9
        assert origin_of(traced).rows == 0


def test_what_was_read_at_once_is_a_hit_from_then_on(house: House) -> None:
    assert sources_by_view(read_named(house.client)) == from_stores("origin")
    assert sources_by_view(read_named(house.client)) == from_stores("cache")
    assert (origin_of(house).rows, len(house.origin.fetches)) == (1, 1)
    told = samples(house.client.get("/metrics").text)
    assert [total(told, "read_duration_seconds_count", outcome=outcome) for outcome in ("miss", "hit")] == [1, 1]
    assert [total(told, "views_total", source=source) for source in ("origin", "cache", "computed")] == [4, 4, 2]


def test_what_is_partly_at_hand_is_left_to_the_other_road_which_asks_for_the_rest(house: House) -> None:
    read_named(house.client)
    answer = read_named(house.client, joinKeys=KEYS | {"tailnum": OTHER_KEYS["tailnum"]})
    assert sources_by_view(answer) == from_stores("cache") | {"plane_history": {"origin"}}
    assert origin_of(house).rows == 1
    assert house.origin.views_fetched[1] == frozenset({"plane_history"})


def test_without_a_ttl_every_read_is_of_the_origin(demo_dir: Path) -> None:
    with opened(demo_dir, **UNKEPT) as house:
        for reads in (1, 2):
            assert sources_by_view(read_named(house.client)) == from_stores("origin")
            assert origin_of(house).rows == reads


@pytest.mark.parametrize("more", [{"maxAgeMs": 60_000}, {"deadlineMs": 900}, {"joinKeys": KEYS | {"tailnum": None}}])
def test_a_read_with_terms_of_its_own_or_a_null_key_is_left_to_the_other_road(house: House, more: dict[str, Any]) -> None:
    assert sources_by_view(read_named(house.client, **more)) == from_stores("origin")
    assert (origin_of(house).rows, len(house.origin.fetches)) == (0, 1)


def spoilt(row: FetchedRow, place: int) -> FetchedRow:
    """Its view at this place has the layout of another."""
    views = list(row.views)
    views[place] = msgspec.structs.replace(views[place], layout=views[place - 1].layout)
    return msgspec.structs.replace(row, views=tuple(views))


@pytest.mark.parametrize("place", range(len(STORED_VIEWS)))
def test_a_row_that_does_not_fit_the_schema_is_asked_for_again_and_never_told(house: House, demo: House, place: int) -> None:
    origin_of(house).of_row = lambda row: spoilt(row, place)
    assert read_named(house.client) == read_named(demo.client)
    assert (origin_of(house).rows, len(house.origin.fetches)) == (1, 2)


def test_a_row_that_lacks_a_view_is_asked_for_again_and_never_told(house: House, demo: House) -> None:
    origin_of(house).of_row = lambda row: msgspec.structs.replace(row, views=row.views[:-1])
    assert read_named(house.client) == read_named(demo.client)
    assert (origin_of(house).rows, len(house.origin.fetches)) == (1, 2)
