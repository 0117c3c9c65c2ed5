"""On-demand views that are declared slow, and what a failing function comes to: over sockets, on every door."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tecton_client import TectonClient
from tecton_client.exceptions import BadRequestError, GatewayTimeoutError, ServiceUnavailableError

from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies
from gateway.feature_server.engine import Engine
from gateway.feature_server.online.sqlite import SqliteStore
from gateway.serving.doors import Answers
from gateway.serving.plan import Plan
from tests.doors.flights import problem, sources_by_view
from tests.feature_server.purchases import NOW_NS, SERVICE
from tests.harness.clock import Hold, wait_until
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import READER, House, authorization
from tests.serving.slow import (
    BATCH,
    KEYS,
    LONG_S,
    OVER,
    READ,
    SHOP,
    USUAL,
    VIEW,
    VISITS,
    Inputs,
    Overspend,
    asked,
    repository,
    row,
    shop,
    tecton,
)

V1 = "/api/v1/feature-service"
STUCK, BROKEN = Overspend.STUCK, Overspend.BROKEN
LIMIT_S = 0.2
TOO_LONG = "On-demand view overspend took longer than its time limit of 0.2 s."
TOO_LATE = "Timed out: on-demand view overspend was not computed by the read's deadline."
HELD = "On-demand view overspend cannot be computed now: functions that went over their time hold all threads."
RAISED = "On-demand view overspend failed: its function raised LookupError."
EVERYTHING_CACHED = {VIEW: {"computed"}, "by_user": {"cache"}, "by_shop": {"cache"}}


@pytest.fixture
def overspend() -> Iterator[Overspend]:
    function = Overspend()
    yield function
    function.held.release()


@pytest.fixture
def patient(tmp_path: Path, overspend: Overspend) -> Iterator[House]:
    """A shop whose slow view may take as long as a read may."""
    with shop(tmp_path, overspend) as house:
        yield house


@pytest.fixture
def strict(tmp_path: Path, overspend: Overspend) -> Iterator[House]:
    """A shop whose slow view has a fifth of a second, and one thread for it."""
    with shop(tmp_path, overspend, LIMIT_S, on_demand={"threads": 1}) as house:
        yield house


def read(client: httpx.Client, amount: float = 10.0, **more: Any) -> dict[str, Any]:
    reply = client.post(READ, json=asked(amount, **more))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def told(house: House) -> Mapping[str, Any]:
    """What the last read's span says."""
    attributes = house.spans("POST")[-1].attributes
    assert attributes
    return attributes


def test_with_everything_at_hand_a_slow_view_is_computed_on_a_thread_and_the_origin_is_not_asked(
    patient: House, overspend: Overspend
) -> None:
    first, again = read(patient.client), read(patient.client, 12.0)
    assert (first["features"][OVER], again["features"][OVER]) == (10.0 - USUAL, 12.0 - USUAL)
    assert sources_by_view(again) == EVERYTHING_CACHED
    assert again["status"][OVER] == "PRESENT"
    assert len(patient.origin.fetches) == 1
    assert {thread.name.rpartition("-")[0] for thread in overspend.threads} == {"on-demand"}


def test_what_the_span_says_of_a_computed_view_holds_for_a_slow_one(patient: House) -> None:
    read(patient.client)
    patient.clock.advance(7.0)
    read(patient.client)
    assert told(patient)["feature_gateway.cache.outcome"] == "hit"
    assert told(patient)["feature_gateway.cache.views_hit"] == 2
    assert told(patient)["feature_gateway.cache.views_missed"] == 0
    assert told(patient)["feature_gateway.cache.views_computed"] == 1
    assert told(patient)["feature_gateway.cache.oldest_age"] == 7.0
    assert told(patient)["feature_gateway.slo.slo_server_time"] < told(patient)["feature_gateway.slo.server_time"]


def test_the_wait_for_a_function_is_left_out_of_slo_server_time() -> None:
    slo = Answers([], 0.5, waited_s=0.375).slo(0)
    assert (slo.server_time_s, slo.slo_server_time_s) == (0.5, 0.125)


def test_a_read_that_does_not_want_the_slow_view_does_not_run_it(patient: House, overspend: Overspend) -> None:
    answer = read(patient.client, STUCK, features=["by_user.*"])
    assert set(sources_by_view(answer)) == {"by_user"}
    assert not overspend.threads


def test_a_part_of_a_slow_view_is_a_slow_view(patient: House, overspend: Overspend) -> None:
    for _ in range(2):
        assert read(patient.client, features=[OVER])["features"] == {OVER: 10.0 - USUAL}
    assert len(patient.origin.fetches) == 1
    assert {thread.name.rpartition("-")[0] for thread in overspend.threads} == {"on-demand"}


def test_nobody_else_waits_for_a_slow_view(patient: House, overspend: Overspend) -> None:
    with Exchange(patient.url, READ, asked(STUCK, deadlineMs=20_000), authorization(READER)) as slow:
        overspend.held.wait_reached()
        assert patient.client.post(VISITS, json={"joinKeys": KEYS}).status_code == 200
        assert read(patient.client)["features"][OVER] == 10.0 - USUAL
        overspend.held.release()
        status, answer = slow.answer()
        assert (status, answer["features"][OVER]) == (200, STUCK - USUAL)


def test_rows_of_a_batch_run_at_the_same_time_and_keep_their_order(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def meet(context: Mapping[str, Any], _inputs: Inputs) -> Mapping[str, Any]:
        together.wait(LONG_S)
        return {"over": context["amount"]}

    with shop(tmp_path, meet, on_demand={"threads": 4}) as house:
        rows = house.client.post(BATCH, json={"rows": [row(float(amount)) for amount in range(4)]}).json()["rows"]
        assert [one["features"][OVER] for one in rows] == [0.0, 1.0, 2.0, 3.0]
        answer = house.client.post(f"{V1}/get-features-batch", json=tecton(7.0, 6.0, 5.0, 4.0)).json()
        assert [one["features"][0] for one in answer["result"]] == [7.0, 6.0, 5.0, 4.0]


def test_more_rows_than_threads_wait_their_turn(tmp_path: Path) -> None:
    with shop(tmp_path, Overspend(), on_demand={"threads": 2}) as house:
        rows = house.client.post(BATCH, json={"rows": [row(amount + 0.5) for amount in range(40)]}).json()["rows"]
        assert [one["features"][OVER] for one in rows] == [amount + 0.5 - USUAL for amount in range(40)]


def test_over_its_time_limit_a_view_fails_by_name_with_504(strict: House, overspend: Overspend) -> None:
    assert problem(strict.client.post(READ, json=asked(STUCK))) == (504, 4, TOO_LONG)
    assert told(strict)["error.type"] == "OnDemandTimeout"
    assert told(strict)["feature_gateway.fault"] == "definition"
    overspend.held.release()


def test_while_runaways_hold_all_threads_others_fail_at_once_and_later_do_not(strict: House, overspend: Overspend) -> None:
    assert strict.client.post(READ, json=asked(STUCK)).status_code == 504
    assert problem(strict.client.post(READ, json=asked(deadlineMs=20_000))) == (503, 14, HELD)
    assert problem(strict.client.post(f"{V1}/get-features", json=tecton(10.0))) == (503, 14, HELD)
    assert told(strict)["error.type"] == "OnDemandBusy"
    assert strict.client.post(VISITS, json={"joinKeys": KEYS}).status_code == 200
    assert read(strict.client, features=["by_user.*"])["features"]
    overspend.held.release()
    wait_until(lambda: strict.client.post(READ, json=asked()).status_code == 200, "a free thread")
    assert sources_by_view(read(strict.client)) == EVERYTHING_CACHED
    assert len(overspend.threads) == 3


def test_a_named_batch_keeps_each_rows_failure_in_its_row(strict: House) -> None:
    rows = strict.client.post(
        BATCH, json={"rows": [row(1.0), row(BROKEN), row(STUCK), row(2.0), {"joinKeys": KEYS | {"shop": "x"}}]}
    ).json()["rows"]
    assert rows[0]["features"][OVER] == 1.0 - USUAL
    assert rows[1] == {"error": {"message": RAISED, "code": 9}}
    assert rows[2] == {"error": {"message": TOO_LONG, "code": 4}}
    assert rows[3] == {"error": {"message": HELD, "code": 14}}
    assert rows[4]["error"]["code"] == 3


@pytest.mark.parametrize("limit_s", [None, LONG_S])
def test_a_function_that_raises_is_a_400_that_names_the_view_and_the_type_alone(
    tmp_path: Path, overspend: Overspend, caplog: pytest.LogCaptureFixture, limit_s: float | None
) -> None:
    with shop(tmp_path, overspend, limit_s) as house:
        for _ in range(2):  # fetched, and with everything at hand
            assert problem(house.client.post(READ, json=asked(BROKEN))) == (400, 9, RAISED)
            assert problem(house.client.post(f"{V1}/get-features", json=tecton(BROKEN))) == (400, 9, RAISED)
            assert problem(house.client.post(f"{V1}/get-features-batch", json=tecton(1.0, BROKEN))) == (400, 9, RAISED)
        rows = house.client.post(BATCH, json={"rows": [row(1.0), row(BROKEN)]}).json()["rows"]
        assert rows[0]["features"][OVER] == 1.0 - USUAL
        assert rows[1] == {"error": {"message": RAISED, "code": 9}}
        spans = house.settle_spans(7, "POST")
        assert {(span.attributes or {}).get("error.type") for span in spans} == {"OnDemandFailed", None}
        assert "77777" not in caplog.text + "".join(span.to_json() for span in spans)


class Odd(int):
    """A number that is none when it is looked at."""

    def __float__(self) -> float:
        raise LookupError("c4n4ry")


class Trap(dict[str, Any]):
    """A mapping that has nothing in it, in its own way."""

    def __getitem__(self, name: str) -> Any:
        raise IndexError(f"c4n4ry {name}")


@pytest.mark.parametrize("limit_s", [None, LONG_S])
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"over": "c4n4ry"}, "returned a value of the wrong type: expected float64 or null."),
        ({"over": Odd()}, "returned a value of the wrong type: expected float64 or null."),
        (Trap(), "did not return all of its declared outputs."),
        ([], "did not return all of its declared outputs."),
    ],
)
def test_an_answer_that_is_not_as_declared_is_a_400_too(tmp_path: Path, answer: Any, text: str, limit_s: float | None) -> None:
    with shop(tmp_path, lambda _context, _inputs: answer, limit_s) as house:
        assert problem(house.client.post(READ, json=asked())) == (400, 9, f"On-demand view overspend {text}")


def test_which_reads_are_slow_is_known_with_their_plan(tmp_path: Path) -> None:
    engine = Engine.open(repository(Overspend(), LONG_S), SqliteStore(tmp_path / "shop.db"), lambda: NOW_NS)
    plan = Plan(engine.describe(SERVICE), Policies(), Namespaces())
    engine.close()
    assert [view.view.name for view in plan.everything.slow] == [VIEW]
    assert [view.view.name for view in plan.projection((OVER,)).slow] == [VIEW]
    assert plan.projection(("by_user.*",)).slow == ()


def test_the_official_client_shows_each_failures_text(strict: House) -> None:
    with httpx.Client() as connections:
        client = TectonClient(url=strict.url, api_key=READER, default_workspace_name="shop", client=connections)

        def ask(amount: float) -> object:
            return client.get_features(feature_service_name="checkout", join_key_map=KEYS, request_context_map={"amount": amount})

        for amount, error, text in (
            (BROKEN, BadRequestError, RAISED),
            (STUCK, GatewayTimeoutError, TOO_LONG),
            (1.0, ServiceUnavailableError, HELD),
        ):
            with pytest.raises(error, match=text):
                ask(amount)


def test_past_the_gateways_own_deadline_a_read_fails_and_names_the_view(tmp_path: Path, overspend: Overspend) -> None:
    with shop(tmp_path, overspend, deadlines={"read_s": 0.3}) as house:
        assert problem(house.client.post(READ, json=asked(STUCK))) == (504, 4, TOO_LATE)
        assert told(house)["error.type"] == "DeadlineExceeded"


def test_past_a_callers_deadline_the_whole_view_is_timed_out_and_the_rest_is_served(patient: House) -> None:
    read(patient.client)
    answer = read(patient.client, STUCK, deadlineMs=100)
    assert sources_by_view(answer) == EVERYTHING_CACHED | {VIEW: {"timeout"}}
    assert (answer["features"][OVER], answer["status"][OVER]) == (None, "TIME_OUT")
    assert answer["features"]["by_user.amount_mean_10m_1m"] == USUAL
    assert told(patient)["feature_gateway.cache.views_computed"] == 0
    body = tecton(STUCK, requestOptions={"latencyBudgetMs": 100}, metadataOptions={"includeNames": True, "includeServingStatus": True})
    document = patient.client.post(f"{V1}/get-features", json=body).json()
    items = document["metadata"]["features"]
    assert [
        (item["name"], value) for item, value in zip(items, document["result"]["features"], strict=True) if item["status"] == "TIME_OUT"
    ] == [(OVER, None)]


def test_a_partial_read_fails_where_the_views_own_limit_passes_first(strict: House) -> None:
    assert problem(strict.client.post(READ, json=asked(STUCK, deadlineMs=20_000))) == (504, 4, TOO_LONG)


def test_a_slow_view_whose_input_is_late_is_late_itself_and_takes_no_thread(patient: House, overspend: Overspend) -> None:
    patient.origin.hold = Hold()
    answer = read(patient.client, deadlineMs=50)
    patient.origin.hold.release()
    assert set().union(*sources_by_view(answer).values()) == {"timeout"}
    assert not overspend.threads


def test_a_slow_view_is_served_from_cache_under_a_grant_alone(tmp_path: Path, overspend: Overspend) -> None:
    # a cluster that judges, though it is the embedded server that answers
    tree: dict[str, Any] = {"origin": {"kind": "tecton", "url": "http://127.0.0.1:1"}, "auth": {}}
    with shop(tmp_path, overspend, **tree) as house, house.as_caller("somebody-else-0123456789") as other:
        read(house.client)
        assert sources_by_view(read(house.client)) == EVERYTHING_CACHED
        assert len(house.origin.fetches) == 1
        assert sources_by_view(read(other))["by_user"] == {"origin"}
        assert len(house.origin.fetches) == 2
        assert sources_by_view(read(other)) == EVERYTHING_CACHED
        house.clock.advance(31.0)
        assert sources_by_view(read(house.client))["by_user"] == {"origin"}


def test_a_client_that_hangs_up_leaves_nothing_behind_that_others_would_wait_for(tmp_path: Path, overspend: Overspend) -> None:
    with shop(tmp_path, overspend, on_demand={"threads": 2}) as house:
        with Exchange(house.url, READ, asked(STUCK), authorization(READER)):
            overspend.held.wait_reached()
        seen_by(house.url)
        assert read(house.client)["features"][OVER] == 10.0 - USUAL
        overspend.held.release()


def test_the_gateway_stops_without_waiting_for_a_runaway(tmp_path: Path, overspend: Overspend) -> None:
    with shop(tmp_path, overspend, LIMIT_S) as house:
        assert house.client.post(READ, json=asked(STUCK)).status_code == 504
    [thread] = overspend.threads
    assert thread.is_alive()
    overspend.held.release()
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_a_service_of_nothing_but_a_slow_view_is_read_too(patient: House) -> None:
    reply = patient.client.post(f"{SHOP}/overspend_only/features", json=asked(features=[f"{VIEW}.*"]))
    assert (reply.status_code, reply.json()["features"]) == (200, {OVER: 10.0 - USUAL})
