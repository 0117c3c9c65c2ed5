"""Hits over many rows: the rows differ, the popular ones are asked for more, and each was asked for before."""

import json
from collections import Counter

import click
import pytest

from gateway.demo.flights import read_flights
from loadtests.crowd import ask_each, by_zipf, join_key_sets
from loadtests.drivers import Target
from tests.loadtests.listening import listening


def test_rows_differ_and_are_made_of_what_the_demo_knows() -> None:
    sets = join_key_sets(500)
    assert len({json.dumps(one, sort_keys=True) for one in sets}) == 500
    assert sets == join_key_sets(500)
    flights = list(read_flights())
    assert {(one["origin"], one["dest"]) for one in sets} <= {(one["origin"], one["dest"]) for one in flights}
    for name in ("carrier", "tailnum"):
        assert {one[name] for one in sets} <= {one[name] for one in flights}


def test_the_first_row_is_asked_for_twice_as_often_as_the_second_and_ten_times_as_often_as_the_tenth() -> None:
    bodies = [b"%d" % number for number in range(100)]
    asked = Counter(by_zipf(bodies, 50_000))
    assert asked.total() == 50_000
    assert set(asked) == set(bodies)
    assert asked[b"0"] / asked[b"1"] == pytest.approx(2, rel=0.1)
    assert asked[b"0"] / asked[b"9"] == pytest.approx(10, rel=0.2)


def test_warming_asks_for_each_row_once() -> None:
    bodies = [b'{"row":%d}' % number for number in range(50)]
    with listening() as (port, seen):
        ask_each(Target(port, "/", {}, bodies[0]), bodies)
    assert sorted(seen) == sorted(bodies)


def test_a_row_that_is_not_answered_ends_the_run() -> None:
    bodies = [b'{"row":%d}' % number for number in range(5)]
    with (
        listening(lambda body: 400 if body == bodies[3] else 200) as (port, _),
        pytest.raises(click.ClickException, match="1 of 5 reads were not answered while warming: 400"),
    ):
        ask_each(Target(port, "/", {}, bodies[0]), bodies)
