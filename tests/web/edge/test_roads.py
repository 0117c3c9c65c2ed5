"""A cluster's gateway at the edge and without it: the same connections get the same bytes, and count the same, hits and misses alike."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.cluster import ALICE, BOB, Cluster
from tests.harness.houses import House, authorization, cluster_settings, open_house
from tests.hosting.lines import post
from tests.serving.payments import FRAUD, LITE, VIEW_KEYS, payment, read
from tests.serving.test_lean import CHANGING
from tests.web.edge.test_connection import talk

HEADERS = authorization(ALICE)
COUNTED = tuple(
    f"feature_gateway_{name}"
    for name in (
        "authorizations_total",
        "cache_fragments",
        "flights",
        "guard_calls_total",
        "origin_duration_seconds_count",
        "read_duration_seconds_count",
        "rows_total",
        "slo_events_total",
        "views_total",
    )
)
USERS = count()


@pytest.fixture(scope="module")
def houses() -> Iterator[tuple[House, House]]:
    with Cluster() as cluster:
        tree = cluster_settings(cluster.url, telemetry={"sample_ratio": 0.0}, views=VIEW_KEYS)
        with open_house(tree, ALICE) as edge, open_house(tree, ALICE, at_the_edge=False) as stock:
            for house in (edge, stock):
                for path in (LITE, FRAUD):
                    read(house.client, path)
            yield edge, stock


def request(kind: str, fresh: str) -> bytes:
    """`fresh`: a user whom nobody has asked for."""
    body = payment(joinKeys={"user_id": fresh if "miss" in kind else "ann", "merchant_id": 7})
    path = LITE if "lite" in kind else FRAUD
    if "batch" in kind:
        return post(f"{path}/features:batch", {"rows": [{name: body[name] for name in ("joinKeys", "requestContext")}] * 2}, HEADERS)
    if "wrong" in kind:
        body = {"joinKeys": {"user_id": 5}}
    return post(f"{path}/features", body, authorization(BOB) if "barred" in kind else HEADERS)


KINDS = ("hit", "hit lite", "miss", "miss lite", "hit batch", "miss batch", "hit barred", "miss barred", "wrong")


def counted(house: House) -> dict[str, float]:
    """What is counted of reads: neither times nor the scraping itself."""
    told = {}
    for line in house.client.get("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(COUNTED):
            told[name] = float(value)
    return told


def differences(house: House, before: dict[str, float]) -> dict[str, float]:
    after = counted(house)
    return {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name, 0.0)}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6), st.booleans(), st.randoms(use_true_random=False), st.integers(0, 5))
def test_a_connection_is_answered_and_counted_alike_however_it_is_cut(
    houses: tuple[House, House],
    kinds: list[str],
    closes: bool,  # noqa: FBT001 - drawn
    random: Any,
    cuts: int,
) -> None:
    """Pipelined and split anywhere; the last one may ask for the end of the connection."""
    fresh = f"fresh{next(USERS):06d}"  # as long each time: what is drawn depends on it
    wires = [request(kind, f"{fresh}-{number}") for number, kind in enumerate(kinds)]
    if closes:
        wires[-1] = wires[-1].replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    stream = b"".join(wires)
    places = sorted(random.randrange(len(stream) + 1) for _ in range(cuts))
    chunks = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True) if start < end]
    answers, counts = [], []
    for house in houses:
        before = counted(house)
        answers.append(CHANGING.sub(b"", talk(house, chunks, len(wires) + closes)))  # one more than there are: until it is closed
        counts.append(differences(house, before))
    assert answers[0] == answers[1]
    assert answers[0].count(b"connection: close\r\n") == closes
    assert counts[0] == counts[1]
    assert counts[0]


def test_misses_take_the_lean_road_at_the_edge_and_not_without_it(houses: tuple[House, House]) -> None:
    taken = []
    for house in houses:
        before = house.app.counters.lean_reads
        talk(house, [request("miss", "somebody new")], 1)
        taken.append(house.app.counters.lean_reads - before)
    assert taken == [1, 0]
