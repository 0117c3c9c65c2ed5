"""Batches before a cluster: which rows go out and in which calls, what each row is answered, and how far one row's failure reaches."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.serving.rows import look_up
from gateway.serving.work import RowWork
from gateway.wire.requests import RowInput
from tests.harness.clock import Hold
from tests.harness.cluster import ALICE, LITE, REFUSED, Act, Cluster, html, refuse
from tests.harness.houses import House, cluster_settings, open_house
from tests.serving.payments import LITE as LITE_PATH
from tests.serving.payments import VIEW_KEYS, scalars, sources

BATCH, SINGLE = "get-features-batch", "get-features"
TECTON_BATCH = f"/api/v1/feature-service/{BATCH}"
Row = tuple[str, int]
"""A user and a merchant."""


def keys_of(row: Row) -> dict[str, Any]:
    return {"user_id": row[0], "merchant_id": row[1]}


def post(house: House, rows: list[Row]) -> list[dict[str, Any]]:
    body = {"rows": [{"joinKeys": keys_of(row)} for row in rows], "include": ["source"]}
    reply = house.client.post(f"{LITE_PATH}/features:batch", json=body)
    assert reply.status_code == 200, reply.text
    answered: list[dict[str, Any]] = reply.json()["rows"]
    assert len(answered) == len(rows)
    return answered


def batches(cluster: Cluster) -> list[int]:
    """How many rows each batch asked for."""
    return [len(params["requestData"]) for params in cluster.params(BATCH)]


def asked(cluster: Cluster) -> Counter[Row]:
    """How often each row went out, alone or among others."""
    rows = [row["joinKeyMap"] for params in cluster.params(BATCH) for row in params["requestData"]]
    rows += [params["joinKeyMap"] for params in cluster.params(SINGLE)]
    return Counter((row["user_id"], int(row["merchant_id"])) for row in rows)


def forget(cluster: Cluster) -> None:
    cluster.requests.clear()


def expected(cluster: Cluster, row: Row) -> dict[str, Any]:
    """What the cluster has for a row, by the names of those features that both doors spell alike, but for int64."""
    values: Mapping[str, Any] = {name: cluster.value(name, dtype, keys_of(row), {}, LITE) for name, dtype in LITE.features}
    return scalars({name: int(value) if type(value) is str and value.isdecimal() else value for name, value in values.items()})


def are_right(cluster: Cluster, rows: list[Row], answered: list[dict[str, Any]]) -> bool:
    return [scalars(one["features"]) for one in answered] == [expected(cluster, row) for row in rows]


def error(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["error"]["code"], answer["error"]["message"]


@pytest.mark.parametrize(("misses", "alone"), [(200, 0), (201, 1), (209, 0)])
def test_of_a_thousand_rows_each_set_of_keys_that_is_not_at_hand_goes_out_once_in_tens(
    house: House, cluster: Cluster, misses: int, alone: int
) -> None:
    distinct = [(f"user{number % 7}", number) for number in range(300)]
    at_hand, missing = distinct[misses:], distinct[:misses]
    post(house, at_hand)
    forget(cluster)
    rows = [distinct[number * 7 % 300] for number in range(1_000)]  # every one of them, three or four times, in another order
    answered = post(house, rows)
    assert are_right(cluster, rows, answered)
    assert asked(cluster) == Counter(missing)
    assert sorted(batches(cluster)) == sorted([10] * (misses // 10) + ([misses % 10] if misses % 10 > 1 else []))
    assert len(cluster.asked(SINGLE)) == alone
    assert [sources(one) for one in answered] == [{"origin"} if row in missing else {"cache"} for row in rows]
    assert {sources(one) == {"cache"} for one in post(house, rows)} == {True}


def test_rows_that_share_views_are_asked_only_for_what_none_before_them_brings(cluster: Cluster) -> None:
    """Ten users by a hundred merchants are a thousand rows and 110 fragments; the first row brings two of them."""
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        rows = [(f"user{user}", merchant) for user in range(10) for merchant in range(100)]
        answered = post(house, rows)
        assert are_right(cluster, rows, answered)
        assert asked(cluster) == Counter([*rows[:100], *rows[100::100]])
        assert sorted(batches(cluster)) == [9, *[10] * 10]
        assert {sources(one) == {"cache"} for one in post(house, rows)} == {True}


def test_rows_at_hand_are_looked_for_once_and_told_at_the_age_they_are_answered_with(
    house: House, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("ann", number) for number in range(100)]
    post(house, [row for row in rows if row[1] != 50])
    taken_up: list[RowInput] = []

    def heard(*arguments: Any, **more: Any) -> RowWork:
        taken_up.append(arguments[4])
        return look_up(*arguments, **more)

    monkeypatch.setattr("gateway.serving.reader.look_up", heard)
    hold = Hold()
    cluster.act(SINGLE, Act(hold=hold))
    body = {"rows": [{"joinKeys": keys_of(row)} for row in rows], "include": ["source", "ageSeconds"]}
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(house.client.post, f"{LITE_PATH}/features:batch", json=body)
        hold.wait_reached()
        house.clock.advance(3)
        hold.release()
        answered = reply.result().json()["rows"]
    assert are_right(cluster, rows, answered)
    assert [row.join_keys for row in taken_up] == [keys_of(rows[50])]
    assert [sources(one) for one in answered] == [{"origin"} if row == rows[50] else {"cache"} for row in rows]
    assert {age_s for one in answered for age_s in one["ageSeconds"].values()} == {3.0}


def test_answers_stand_in_the_order_of_the_rows_whichever_call_comes_back_first(house: House, cluster: Cluster) -> None:
    hold = Hold()
    cluster.act(BATCH, Act(hold=hold))  # one of three is answered last
    rows = [("ann", number) for number in range(29, -1, -1)]
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(post, house, rows)
        hold.wait_reached()
        hold.release()
        assert are_right(cluster, rows, reply.result())
    assert batches(cluster) == [10, 10, 10]


def test_rows_alike_are_answered_alike_where_they_fail_too(house: House, cluster: Cluster) -> None:
    cluster.act(BATCH, html(503))
    first, second, again, last = post(house, [("ann", 1), ("ann", 2), ("ann", 1), ("ann", 2)])
    assert first == again
    assert second == last
    assert first["error"]["code"] == 14


def test_a_row_that_the_cluster_refuses_fails_alone(house: House, cluster: Cluster) -> None:
    """One batch has it: its rows are asked again, each once and alone. The others are none the wiser."""
    cluster.refused = frozenset({"mallory"})
    rows = [("mallory" if number == 13 else "ann", number) for number in range(30)]
    answered = post(house, rows)
    assert error(answered[13]) == (3, REFUSED)
    others = [number for number in range(30) if number != 13]
    assert are_right(cluster, [rows[number] for number in others], [answered[number] for number in others])
    assert all(sources(answered[number]) == {"origin"} for number in others)
    assert batches(cluster) == [10, 10, 10]
    assert len(cluster.asked(SINGLE)) == 10
    assert set(asked(cluster).values()) == {1, 2}
    forget(cluster)
    again = post(house, rows)
    assert [sources(again[number]) for number in others] == [{"cache"}] * 29
    assert error(again[13]) == (3, REFUSED)
    assert asked(cluster) == Counter([rows[13]])


def test_rows_that_are_all_refused_have_an_error_each_and_are_asked_no_third_time(house: House, cluster: Cluster) -> None:
    cluster.refused = frozenset({"mallory"})
    answered = post(house, [("mallory", number) for number in range(10)] * 2)
    assert {error(one) for one in answered} == {(3, REFUSED)}
    assert batches(cluster) == [10]
    assert asked(cluster) == Counter({("mallory", number): 2 for number in range(10)})


def test_rows_that_share_a_view_with_a_refused_row_are_answered(cluster: Cluster) -> None:
    """Its merchants are theirs too. What the refused row was to bring for others is brought for their own sake."""
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house:
        cluster.refused = frozenset({"mallory"})
        post(house, [("ann", 99), ("bob", 99)])
        forget(cluster)
        rows = [("mallory", 1), ("ann", 1), ("carl", 1), ("mallory", 2), ("bob", 2)]
        answered = post(house, rows)
        assert [error(answered[number]) for number in (0, 3)] == [(3, REFUSED)] * 2
        served = [1, 2, 4]
        assert are_right(cluster, [rows[number] for number in served], [answered[number] for number in served])
        assert max(asked(cluster).values()) <= 2


def test_on_the_tecton_door_a_refused_row_fails_the_request_in_the_clusters_words(house: House, cluster: Cluster) -> None:
    cluster.refused = frozenset({"mallory"})
    data = [{"joinKeyMap": keys_of(row)} for row in (("ann", 1), ("mallory", 2), ("bob", 3))]
    params = {"workspaceName": "prod", "featureServiceName": "lite", "requestData": data}
    reply = house.client.post(TECTON_BATCH, json={"params": params})
    assert (reply.status_code, reply.json()["message"]) == (400, REFUSED)
    assert cluster.params(BATCH)[0]["requestData"][1]["joinKeyMap"]["user_id"] == "mallory"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 504])
def test_any_other_failure_of_a_call_is_that_of_all_its_rows_and_none_is_asked_again(house: House, cluster: Cluster, status: int) -> None:
    cluster.act(BATCH, refuse(status, "not now", 14))
    answered = post(house, [("ann", number) for number in range(4)])
    assert all("error" in one for one in answered)
    assert not cluster.asked(SINGLE)


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_service_that_takes_no_batches_is_asked_row_by_row_and_the_next_time_at_once(house: House, cluster: Cluster, status: int) -> None:
    cluster.always(BATCH, refuse(status, "GetFeaturesBatch is for feature services on Redis", 12))
    rows = [("ann", number) for number in range(12)]
    assert are_right(cluster, rows, post(house, rows))
    assert sorted(batches(cluster)) == [2, 10]
    assert len(cluster.asked(SINGLE)) == 12
    forget(cluster)
    rows = [("bob", number) for number in range(12)]
    assert are_right(cluster, rows, post(house, rows))
    assert batches(cluster) == []
    assert asked(cluster) == Counter(rows)


def test_what_one_service_refuses_is_not_held_against_another(house: House, cluster: Cluster) -> None:
    cluster.act(BATCH, refuse(501, "not for this one", 12))
    post(house, [("ann", 1), ("ann", 2)])
    forget(cluster)
    fraud = LITE_PATH.replace("lite", "fraud")
    rows = [{"joinKeys": keys_of(("ann", number)), "requestContext": {"amount": 1.5}} for number in range(3)]
    assert house.client.post(f"{fraud}/features:batch", json={"rows": rows}).status_code == 200
    assert batches(cluster) == [3]


def test_a_refused_row_does_not_make_its_service_one_without_batches(house: House, cluster: Cluster) -> None:
    cluster.refused = frozenset({"mallory"})
    post(house, [("mallory", 1), ("ann", 2)])
    forget(cluster)
    post(house, [("bob", 1), ("bob", 2)])
    assert batches(cluster) == [2]


@pytest.mark.parametrize(("origin", "service", "expected"), [(True, False, []), (False, True, [3]), (False, None, []), (True, None, [3])])
def test_the_settings_say_it_of_all_services_and_of_each(
    cluster: Cluster, *, origin: bool, service: bool | None, expected: list[int]
) -> None:
    tree = cluster_settings(cluster.url, services={"prod/lite": {"batch": service}})
    tree["origin"]["batch"] = origin
    with open_house(tree, ALICE) as house:
        rows = [("ann", number) for number in range(3)]
        assert are_right(cluster, rows, post(house, rows))
        assert batches(cluster) == expected
        assert asked(cluster) == Counter(rows)
