"""Join keys for load: real flights, each once a round over all processes, and Zipf's law, seeded."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo.flights import ROWS, read_flights
from loadtests.swarm.keys import FLIGHT_KEYS, FlightKeys, KeySource, SchemaDocument, ZipfKeys

FLIGHTS = SchemaDocument(dict.fromkeys(FLIGHT_KEYS, "string"), {})
USERS = SchemaDocument({"user_id": "string", "shop": "int64"}, {"amount": "float64", "night": "boolean", "n": "int64", "name": "string"})


def drawn(source: KeySource, number: int) -> list[dict[str, Any]]:
    return [source.draw().join_keys for _ in range(number)]


@given(st.integers(1, 7))
@settings(max_examples=5, deadline=None)
def test_the_processes_together_read_every_flight_once_a_round(shares: int) -> None:
    read: list[tuple[Any, ...]] = []
    for share in range(shares):
        read += [tuple(keys.values()) for keys in drawn(FlightKeys(FLIGHTS, share, shares), len(range(share, ROWS, shares)))]
    assert Counter(read) == Counter(tuple(flight[name] for name in FLIGHT_KEYS) for flight in read_flights())


def test_flights_come_in_time_order_and_begin_again() -> None:
    source = FlightKeys(FLIGHTS)
    first = [{name: flight[name] for name in FLIGHT_KEYS} for flight in islice(read_flights(), 3)]
    assert drawn(source, ROWS + 3)[ROWS:] == first


def test_flights_cannot_stand_for_other_join_keys() -> None:
    with pytest.raises(ValueError, match="flights have no shop, user_id: draw join keys with --keys zipf"):
        FlightKeys(USERS)


@given(st.integers(1, 500), st.floats(0.0, 3.0), st.integers())
@settings(max_examples=50, deadline=None)
def test_every_rank_is_one_of_the_population_and_the_same_seed_draws_the_same(population: int, exponent: float, seed: int) -> None:
    one, other = (ZipfKeys(USERS, population, exponent, seed) for _ in range(2))
    assert all(1 <= one.rank() <= population for _ in range(50))
    assert [other.rank() for _ in range(50)]
    assert [one.draw() for _ in range(5)] == [other.draw() for _ in range(5)]


def test_ranks_are_drawn_by_the_law() -> None:
    source = ZipfKeys(USERS, population=1_000, exponent=1.0)
    counts = Counter(source.rank() for _ in range(50_000))
    assert counts[1] / counts[10] == pytest.approx(10, rel=0.15)
    assert counts[1] / counts[2] == pytest.approx(2, rel=0.15)


def test_keys_and_context_are_of_their_types_and_spelled_as_asked() -> None:
    asked = ZipfKeys(USERS, population=1, templates={"user_id": "user/{}"}).draw()
    assert asked.join_keys == {"user_id": "user/1", "shop": 1}
    assert [type(value) for value in asked.context.values()] == [float, bool, int, str]
    assert ZipfKeys(USERS, population=1).draw().join_keys["user_id"] == "user_id-1"


@pytest.mark.parametrize("schema", [SchemaDocument({"when": "timestamp"}, {}), SchemaDocument({"a": "string"}, {"x": "array"})], ids=str)
def test_what_cannot_be_made_up_is_said(schema: SchemaDocument) -> None:
    with pytest.raises(ValueError, match=r"of the type (timestamp|array): only .* can be made up"):
        ZipfKeys(schema, population=1).draw()


def test_a_schema_is_read_as_the_gateway_tells_it() -> None:
    field = {"name": "user", "dataType": {"type": "string"}}
    assert SchemaDocument.of({"joinKeys": [field], "requestContext": []}) == SchemaDocument({"user": "string"}, {})
