"""Rows through the ingest API: small requests, sent again until the server has them, and no two that are one event at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from gateway.feature_server.catalog import Catalog
from gateway.loading.client import HttpSink, PushFailed
from tests.feature_server.purchases import NOW, NOW_NS, REPOSITORY
from tests.harness.clock import wait_until
from tests.loading.far import Far, open_far

PURCHASES = Catalog(REPOSITORY).sources["shop", "purchases"]


def row(number: int, at_ns: int = NOW_NS, amount: float | None = None) -> list[Any]:
    return [at_ns, f"o{number}", "ann", 7, amount, 2**62, None, True, NOW_NS]


@pytest.fixture
def far() -> Iterator[Far]:
    with open_far() as far:
        yield far


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def sink(far: Far, slept: list[float]) -> Iterator[HttpSink]:
    sink = HttpSink(far.url, "the-key", PURCHASES, stop=Event(), sleep=slept.append)
    yield sink
    sink.close()


def test_rows_go_in_small_requests_as_the_api_spells_them(far: Far, sink: HttpSink) -> None:
    assert sink.store([row(number) for number in range(25)]) == 25
    assert sorted(len(records) for records in far.taken) == [5, 10, 10]
    assert {record["order"] for records in far.taken for record in records} == {f"o{number}" for number in range(25)}
    assert far.taken[0][0].keys() == {"at", "order", "user", "shop", "items", "gift", "shipped"}
    assert (far.taken[0][0]["at"], far.taken[0][0]["items"]) == (NOW, 2**62)
    assert far.credentials == {"Tecton-key the-key"}


def test_rows_that_are_one_event_keep_their_order(far: Far, sink: HttpSink) -> None:
    assert sink.store([row(1, amount=1.0), row(2, amount=1.0), row(1, amount=2.0), row(1, amount=3.0)]) == 4
    assert [[(record["order"], record["amount"]) for record in records] for records in far.taken] == [
        [("o1", 1.0), ("o2", 1.0)],
        [("o1", 2.0)],
        [("o1", 3.0)],
    ]


def test_what_may_pass_is_waited_for_as_long_as_the_server_says(far: Far, sink: HttpSink, slept: list[float]) -> None:
    far.answers = [Response(status_code=429, headers={"Retry-After": "7"}), Response(status_code=503), Response(status_code=500)]
    assert sink.store([row(1)]) == 1
    assert slept[0] == 7.0
    assert 0.1 <= slept[1] <= 0.4
    assert 0.2 <= slept[2] <= 0.8


def test_patience_has_an_end(far: Far) -> None:
    far.answers = [Response(status_code=503)] * 100
    impatient = HttpSink(far.url, "the-key", PURCHASES, stop=Event(), patience_s=0.5)
    with pytest.raises(PushFailed, match="has not taken records for 0 s; the last answer was: status 503"):
        impatient.store([row(1)])
    impatient.close()


def test_a_server_that_is_not_there_is_told_of() -> None:
    impatient = HttpSink("http://127.0.0.1:1", "the-key", PURCHASES, stop=Event(), patience_s=0.3)
    with pytest.raises(PushFailed, match=r"http://127.0.0.1:1/ingest has not taken records .*: ConnectError"):
        impatient.store([row(1)])
    impatient.close()


def test_who_closes_it_does_not_wait_for_a_server_that_is_down(far: Far) -> None:
    far.answers = [Response(status_code=503, headers={"Retry-After": "60"})] * 100
    patient = HttpSink(far.url, "the-key", PURCHASES, stop=Event())
    with ThreadPoolExecutor(1) as pool:
        stored = pool.submit(patient.store, [row(1)])
        wait_until(lambda: far.asked > 0, "a request")
        patient.close()
        assert isinstance(stored.exception(), PushFailed)


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (403, {"error": "Forbidden", "message": "This key may not ingest."}, "status 403: This key may not ingest."),
        (404, {"requestError": {"errorMessage": "no such source", "errorType": "x"}}, "status 404: no such source"),
        (400, {"recordErrors": [{"errorMessage": "Record 0: wrong"}, {"errorMessage": "Record 1: too"}]}, "Record 0: wrong; Record 1: too"),
        (302, None, "status 302: no reason given"),
    ],
)
def test_a_refusal_is_final_and_told(far: Far, sink: HttpSink, slept: list[float], status: int, body: object, text: str) -> None:
    far.answers = [JSONResponse(body, status) if body is not None else Response(status_code=status)]
    with pytest.raises(PushFailed) as told:
        sink.store([row(1), row(2)])
    assert text in str(told.value)
    assert (far.taken, slept) == ([], [])


def too_old(*views: str) -> JSONResponse:
    message = "Record {}: column `at` lies outside the feature view's serving TTL"
    errors = [{"errorMessage": message.format(place), "featureViewName": view} for place in (0, 2) for view in views]
    return JSONResponse({"recordErrors": errors}, 400)


def test_a_record_that_is_too_old_for_some_views_alone_is_not_dropped_for_the_others(far: Far, sink: HttpSink) -> None:
    far.answers = [too_old("by_shop")]
    with pytest.raises(PushFailed, match="serving TTL"):
        sink.store([row(number) for number in range(4)])
    assert far.taken == []


def test_records_that_are_too_old_are_left_out_and_the_rest_is_sent(far: Far, sink: HttpSink) -> None:
    far.answers = [too_old("by_shop", "by_user")]
    assert sink.store([row(number) for number in range(4)]) == 2
    assert [[record["order"] for record in records] for records in far.taken] == [["o1", "o3"]]
