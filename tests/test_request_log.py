"""The request log has every read of a sample of the keys and none of the others, and no join key can be read from it."""

import json
import re
import sys
import timeit
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import request_log
from gateway.cache.keys import Key, Namespace, Namespaces
from gateway.features import INT64, STRING, Feature, Field, ViewLayout
from gateway.request_log import RequestLog
from tests.harness.clock import Clock

USER, ROUTE = 0, 1
SIZES = {USER: 900, ROUTE: 1_100}


def namespaces() -> Namespaces:
    """Two views: `user` by an int64, `route` by two strings."""
    known = Namespaces()
    layouts = [ViewLayout(view, (Feature(f"{view}.x", INT64),)) for view in ("user", "route")]
    assert known.number(Namespace("prod", layouts[0], (Field("user_id", INT64),))) == USER
    assert known.number(Namespace("prod", layouts[1], (Field("origin", STRING), Field("dest", STRING)))) == ROUTE
    return known


def size_of(key: Key) -> int | None:
    return SIZES.get(int(str(key[0])))


def open_log(path: Path, *, sample: float = 1.0, max_bytes: int = 10_000_000, buffered_lines: int = 1_000_000) -> RequestLog:
    clock = Clock(50.0)
    return RequestLog(
        path,
        sample=sample,
        max_bytes=max_bytes,
        namespaces=namespaces(),
        size_of=size_of,
        clock=clock,
        wall=lambda: 1_050.0,
        buffered_lines=buffered_lines,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def reads(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in told if "at" in line]


def test_a_log_says_its_settings_who_the_views_are_and_what_was_read_when(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.note("prod/trips", [(USER, 7), (ROUTE, ("JFK", "LAX"))], 60.5)
    log.note("prod/routes", [(ROUTE, ("JFK", "LAX"))], 61.25)
    log.close()
    header, trips, first, routes, second, seen = lines(tmp_path / "log")
    assert header == {"request_log": 1, "sample": 1.0}
    user = {"number": USER, "view": "user", "join_keys": ["user_id"], "bytes": 900}
    route = {"number": ROUTE, "view": "route", "join_keys": ["origin", "dest"], "bytes": 1_100}
    assert trips == {"service": "prod/trips", "views": [user, route]}
    assert routes == {"service": "prod/routes", "views": [route]}
    assert (first["at"], first["service"], set(first["keys"])) == (1_060.5, "prod/trips", {"0", "1"})
    assert (second["at"], second["service"]) == (1_061.25, "prod/routes")
    assert seen == {"seen": 3}
    assert second["keys"]["1"] == first["keys"]["1"]  # one fragment, read through two services
    assert first["keys"]["0"] != first["keys"]["1"]


def test_join_keys_do_not_stand_in_it_and_hashes_are_other_ones_in_every_log(tmp_path: Path) -> None:
    hashes = []
    for name in ("a", "b"):
        log = open_log(tmp_path / name)
        log.note("prod/trips", [(USER, 123_456_789), (ROUTE, ("secret-origin", "dest"))], 60.0)
        log.close()
        text = (tmp_path / name).read_text()
        assert "123456789" not in text
        assert "secret" not in text
        [read] = reads(lines(tmp_path / name))
        hashes += read["keys"].values()
        assert all(re.fullmatch("[0-9a-f]{16}", one) for one in read["keys"].values())
    assert len(set(hashes)) == 4


VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(st.characters(), max_size=5))
KEYS = st.tuples(st.integers(0, 1), st.one_of(VALUES, st.tuples(VALUES, VALUES)))


@settings(max_examples=50, deadline=None)
@given(st.lists(KEYS, min_size=2, max_size=30))
def test_hashes_are_equal_just_where_keys_are(keys: list[Key]) -> None:
    """`1`, `True` and "1" never meet: within one namespace a position has one type, and `repr` tells them apart."""
    spell = request_log._hasher(b"secret")
    for one in keys:
        for other in keys:
            assert (spell(one) == spell(other)) == (repr(one) == repr(other))


@pytest.mark.parametrize("sample", [0.5, 0.1])
def test_a_sample_has_all_reads_of_its_keys_and_of_no_others(tmp_path: Path, sample: float) -> None:
    log = open_log(tmp_path / "log", sample=sample)
    users = 4_000
    for turn in range(3):
        for user in range(users):
            log.note("prod/trips", [(USER, user)], turn)
    log.close()
    told = reads(lines(tmp_path / "log"))
    by_key = Counter(line["keys"]["0"] for line in told)
    assert set(by_key.values()) == {3}
    deviation = (users * sample * (1 - sample)) ** 0.5
    assert abs(len(by_key) - users * sample) < 6 * deviation
    assert len(log._services) == 1


def test_how_many_views_were_seen_is_told_in_every_part(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", sample=0.3, max_bytes=150_000)
    for number in range(10_000):
        log.note("prod/trips", [(USER, number), (ROUTE, ("JFK", str(number)))], float(number))
    log.close()
    parts = [lines(tmp_path / name) for name in ("log.1", "log")]
    seen = [[line["seen"] for line in part if "seen" in line] for part in parts]
    assert all(len(one) > 1 for one in seen)
    for part, one in zip(parts, seen, strict=True):
        assert "seen" in part[-1]
        logged = sum(len(line["keys"]) for line in reads(part))
        assert abs(logged - 0.3 * sum(one)) < 6 * (0.3 * 0.7 * sum(one)) ** 0.5


def test_of_a_read_only_the_sampled_views_are_told(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", sample=0.5)
    for user in range(200):
        log.note("prod/trips", [(USER, user), (ROUTE, (str(user), "LAX"))], 1.0)
    log.close()
    told = reads(lines(tmp_path / "log"))
    assert {frozenset(line["keys"]) for line in told} == {frozenset("0"), frozenset("1"), frozenset("01")}
    assert len(told) < 200


def test_sizes_get_better_as_more_is_seen_and_views_that_are_met_later_are_told(tmp_path: Path) -> None:
    log, sizes = open_log(tmp_path / "log"), iter(range(1_000, 2_000))
    log._size_of = lambda key: next(sizes) if key[0] == USER else None
    for user in range(100):
        log.note("prod/trips", [(USER, user)], 1.0)
    log.note("prod/trips", [(ROUTE, ("JFK", "LAX"))], 1.0)
    log.close()
    introductions = [line["views"] for line in lines(tmp_path / "log") if "views" in line]
    assert [views[0]["bytes"] for views in introductions] == [1_000, round(1_003.5), round(1_031.5), round(1_031.5)]
    assert [len(views) for views in introductions] == [1, 1, 1, 2]
    assert introductions[-1][1] == {"number": ROUTE, "view": "route", "join_keys": ["origin", "dest"], "bytes": None}


def test_views_of_replaced_definitions_have_no_name_any_more(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.note("prod/trips", [(9, 7)], 1.0)
    log.close()
    assert lines(tmp_path / "log")[1]["views"] == [{"number": 9, "view": "", "join_keys": [], "bytes": None}]


def test_a_full_file_becomes_the_one_before_and_each_stands_alone(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", max_bytes=2_000)
    for number in range(60):
        log.note("prod/trips", [(USER, 7)], float(number))
    log.close()
    old, new = lines(tmp_path / "log.1"), lines(tmp_path / "log")
    for part in (old, new):
        assert "request_log" in part[0]
        assert "views" in part[1]
        assert len({line["keys"]["0"] for line in reads(part)}) == 1
    assert reads(old)[0]["keys"] != reads(new)[0]["keys"]
    assert (tmp_path / "log.1").stat().st_size < 2_200
    times = [line["at"] for line in reads([*old, *new])]
    assert times == [times[0] + number for number in range(len(times))]
    assert times[-1] == 1_059.0


def test_what_is_sampled_of_the_old_file_may_not_be_of_the_new_one(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", max_bytes=1_000, sample=0.5)
    for number in range(1_000):
        log.note("prod/trips", [(USER, number)], float(number))
    log.close()
    for part in (tmp_path / "log", tmp_path / "log.1"):
        assert all(line["keys"] for line in reads(lines(part)))


def test_another_process_goes_on_in_the_same_file_with_hashes_of_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        log = open_log(tmp_path / "log")
        log.note("prod/trips", [(USER, 7)], 1.0)
        log.close()
    told = lines(tmp_path / "log")
    assert ["request_log" in line for line in told] == [True, False, False, False, True, False, False, False]
    first, second = reads(told)
    assert first["keys"] != second["keys"]


def test_lines_that_find_no_room_are_counted_and_told(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", buffered_lines=10)
    with log._file._writing:  # the thread cannot write meanwhile
        for number in range(30):
            log.note("prod/trips", [(USER, number)], 1.0)
    assert log.dropped == 30 - 8  # before eight rows: the header, and two introductions
    log.flush()
    log.note("prod/trips", [(USER, 1)], 2.0)
    log.close()
    told = lines(tmp_path / "log")
    assert [line["dropped"] for line in told if "dropped" in line] == [22]
    assert len(reads(told)) == 9


def test_lines_that_were_dropped_last_are_told_at_the_end(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", buffered_lines=10)
    with log._file._writing:
        for number in range(30):
            log.note("prod/trips", [(USER, number)], 1.0)
    log.close()
    assert lines(tmp_path / "log")[-1] == {"dropped": 22}


def test_an_unwritable_file_never_fails_a_read_and_the_log_begins_anew_after_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "missing" / "log"
    log = open_log(path)
    for number in range(5):
        log.note("prod/trips", [(USER, number)], 1.0)
        log.flush()
    assert len(caplog.records) == 1
    path.parent.mkdir()
    log.note("prod/trips", [(USER, 7)], 2.0)
    log.close()
    told = lines(path)
    assert [next(iter(line)) for line in told] == ["request_log", "service", "dropped", "at", "seen"]
    assert log.dropped > 5


@contextmanager
def untraced() -> Iterator[None]:
    """Coverage's tracing multiplies what is timed."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def test_a_read_that_is_not_sampled_costs_little_more_than_hashing_its_keys(tmp_path: Path) -> None:
    """0.4 µs for four views, measured; here as a ratio, of the best of many rounds, so that the machine does not matter."""
    log = open_log(tmp_path / "log", sample=1e-9)
    keys: list[Key] = [(USER, 7), (2, "AA"), (3, "N338AA"), (ROUTE, ("JFK", "LAX"))]

    def hash_them() -> None:
        for key in keys:
            hash((key, 7))

    with untraced():
        best = [min(timeit.repeat(one, number=1_000, repeat=50)) for one in (lambda: log.note("prod/trips", keys, 1.0), hash_them)]
    log.close()
    assert best[0] < 3 * best[1]
    assert not (tmp_path / "log").exists()
