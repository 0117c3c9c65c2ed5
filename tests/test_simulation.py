"""A replay does what a cache of that size and TTL would have done: held against a model in a few lines, and against whole logs."""

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulation import UNKNOWN_BYTES, Cell, Log, LogUnusable, read_log, replay, simulate

PLENTY = 10**9
SIZE = 1_000
Row = tuple[float, Sequence[str]]


def header(sample: float = 1.0) -> bytes:
    return json.dumps({"request_log": 1, "sample": sample}).encode()


def introduction(*views: dict[str, Any]) -> bytes:
    return json.dumps({"service": "prod/trips", "views": views}).encode()


VIEW = {"number": 0, "view": "user", "join_keys": ["user_id"], "bytes": SIZE}


def row(at_s: float, *keys: str, number: int = 0) -> bytes:
    """A row of one view, or of several whose numbers follow."""
    return json.dumps({"at": at_s, "service": "prod/trips", "keys": {str(number + at): key for at, key in enumerate(keys)}}).encode()


def log_of(rows: Iterable[Row], sample: float = 1.0) -> Log:
    return read_log([header(sample), introduction(VIEW, VIEW | {"number": 1}), *[row(at_s, *keys) for at_s, keys in rows]])


def test_a_fragment_is_fresh_until_its_ttl_ends_and_stale_for_a_while_after() -> None:
    log = log_of([(0, "a"), (9.9, "a"), (10, "a"), (24.9, "a"), (25, "a"), (40, "a")])
    plain = replay(log, Cell(10, PLENTY))
    assert (plain.fresh, plain.stale, plain.missed, plain.calls) == (2, 0, 4, 4)
    gentle = replay(log, Cell(10, PLENTY, 5.0))
    assert (gentle.fresh, gentle.stale, gentle.missed, gentle.calls) == (2, 2, 2, 4)
    assert (gentle.hit_ratio, gentle.stale_share, gentle.saved_calls) == pytest.approx((2 / 6, 2 / 6, 2 / 6))


def test_a_row_is_one_call_however_much_it_lacks_and_one_more_for_what_is_stale() -> None:
    log = log_of([(0, ("a", "b")), (1, ("a", "b")), (5, ("a", "c")), (12, ("a", "d"))])
    outcome = replay(log, Cell(10, PLENTY, 5.0))
    assert (outcome.fresh, outcome.stale, outcome.missed) == (3, 1, 4)
    assert outcome.calls == 1 + 0 + 1 + 2


def test_room_is_counted_in_bytes_and_the_gateways_own_store_says_who_goes() -> None:
    log = log_of([(0, "a"), (1, "b"), (2, "a"), (3, "c"), (4, "a"), (5, "b")])
    assert replay(log, Cell(100, 2 * SIZE)).fresh == 2  # `b` or `c` made way: `a` had been asked for
    assert replay(log, Cell(100, 3 * SIZE)).fresh == 3
    assert replay(log, Cell(100, SIZE - 1)).fresh == 0  # nothing fits


def model(rows: Sequence[Row], ttl_s: float, stale_s: float) -> tuple[int, int, int]:
    """Fresh, stale and missed, of a cache with room for all."""
    kept: list[tuple[str, float]] = []
    counts = [0, 0, 0]
    for at_s, keys in rows:
        for key in keys:
            stored = next((stored for one, stored in kept if one == key), None)
            what = 2 if stored is None or at_s >= stored + ttl_s + stale_s else 1 if at_s >= stored + ttl_s else 0
            counts[what] += 1
            kept = [one for one in kept if one[0] != key]
            kept.append((key, at_s if what or stored is None else stored))
    return counts[0], counts[1], counts[2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=2, unique=True)), min_size=1, max_size=60
    ),
    st.integers(1, 30),
    st.integers(0, 10),
)
def test_it_counts_what_a_model_counts(steps: list[tuple[int, list[str]]], ttl_s: int, stale_s: int) -> None:
    at_s, rows = 0.0, list[Row]()
    for step, keys in steps:
        at_s += step
        rows.append((at_s, keys))
    outcome = replay(log_of(rows), Cell(ttl_s, 8 * SIZE, stale_s))
    assert (outcome.fresh, outcome.stale, outcome.missed) == model(rows, ttl_s, stale_s)
    assert outcome.view_reads == sum(len(keys) for _, keys in rows)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("seed", [1, 7, 2013])
def test_a_sample_of_the_keys_tells_of_all_of_them(seed: int) -> None:
    """SHARDS: a quarter of the keys against a quarter of the size comes close to all keys against all of it, whether or not the few keys
    that most reads are of are among them."""
    draw = random.Random(seed)
    names = [f"k{number}" for number in range(4_000)]
    weights = [1 / (rank + 1) for rank in range(len(names))]
    rows = [(float(at), (name,)) for at, name in enumerate(draw.choices(names, weights, k=40_000))]
    whole, chosen = log_of(rows), set(draw.sample(names, len(names) // 4))
    told = [row(at_s, *keys) for at_s, keys in rows if keys[0] in chosen]
    part = read_log([header(0.25), introduction(VIEW), *told, json.dumps({"seen": len(rows)}).encode()])
    assert part.working_set_bytes == pytest.approx(whole.working_set_bytes, rel=0.06)
    for cell in (Cell(3_600, 200 * SIZE), Cell(3_600, 1_000 * SIZE), Cell(100_000, PLENTY)):
        assert replay(part, cell).hit_ratio == pytest.approx(replay(whole, cell).hit_ratio, abs=0.03)


def test_what_was_seen_counts_until_it_was_told_and_not_at_all_where_lines_are_missing() -> None:
    lines = [header(0.5), introduction(VIEW), row(1, "a"), row(2, "a"), b'{"seen":8}', row(3, "a")]
    log = read_log(lines)
    assert (log.seen, log.wanted_of_seen, log.unlucky) == (8, 2, 3.0)  # half of 8 is twice of 2, so 3 are worth 6
    outcome = replay(log, Cell(10, PLENTY))
    assert (outcome.fresh, outcome.missed, outcome.view_reads, outcome.hit_ratio) == (2, 1, 6, 5 / 6)
    assert read_log([*lines, b'{"dropped":1}']).unlucky == 0.0
    lucky = replay(read_log([header(0.1), introduction(VIEW), *[row(at, "a") for at in range(4)], b'{"seen":10}']), Cell(2, PLENTY, 1))
    assert (lucky.unlucky, lucky.hit_ratio, lucky.stale_share) == (-3.0, 0.0, 1.0)


def test_caches_with_room_for_all_are_replayed_once() -> None:
    log = log_of([(0, "a"), (1, "b"), (2, "a")])
    told: list[int] = []
    cells = [Cell(10, 2 * SIZE), Cell(10, PLENTY), Cell(10, SIZE), Cell(1, PLENTY)]
    outcomes = simulate(log, cells, told.append)
    assert [one.cell for one in outcomes] == cells
    assert [one.fresh for one in outcomes] == [1, 1, 0, 0]
    assert told == sorted(told)
    assert told[-1] == len(cells) * log.rows
    assert told.count(2 * log.rows) == 2  # the end of the second, and the beginning of the third: the second replayed nothing


def test_damaged_lines_are_counted_and_left_out() -> None:
    lines = [
        b"\xff\xfe{",
        header(),
        b"",
        introduction(VIEW),
        row(1, "a"),
        b'{"at":2,"ser',
        b"[]",
        b"{}",
        b'{"at":"x","keys":{}}',
        row(2, "a"),
    ]
    log = read_log(lines)
    assert (log.rows, log.damaged, log.strangers) == (2, 5, 0)


def test_rows_of_views_that_nobody_introduced_are_left_out_and_lost_lines_are_summed() -> None:
    log = read_log([header(), introduction(VIEW), row(1, "a"), row(2, "b", number=5), b'{"dropped":3}', b'{"dropped":4}'])
    assert (log.rows, log.strangers, log.dropped) == (1, 1, 7)


def test_a_part_that_begins_numbers_its_views_anew() -> None:
    other = {"number": 0, "view": "route", "join_keys": ["origin"], "bytes": None}
    log = read_log([header(), introduction(VIEW), row(1, "a"), header(), row(2, "x"), introduction(other), row(3, "b"), row(4, "b")])
    assert log.strangers == 1
    assert [(view.name, view.size_bytes, view.reads) for view in log.views] == [("user", SIZE, 1), ("route", UNKNOWN_BYTES, 2)]
    assert list(log.views_of) == [0, 1]
    assert log.working_set_bytes == SIZE + UNKNOWN_BYTES


def test_the_last_word_on_a_size_counts() -> None:
    log = read_log([header(), introduction(VIEW), row(1, "a"), introduction(VIEW | {"bytes": 2_000}), introduction(VIEW | {"bytes": None})])
    assert log.working_set_bytes == 2_000


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "not a request log"),
        ([b'{"some":"json"}'], "not a request log"),
        ([header(), introduction(VIEW)], "no read in this log"),
        ([b'{"request_log":2,"sample":1}'], "format 2"),
        ([header(0)], "its sample is 0"),
        ([header(), header(0.5)], "different samples"),
    ],
)
def test_a_log_that_cannot_be_simulated_says_why(lines: list[bytes], complaint: str) -> None:
    with pytest.raises(LogUnusable, match=complaint):
        read_log(lines)
