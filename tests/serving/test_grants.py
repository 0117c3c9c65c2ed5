"""A hit must be authorised for the caller who gets it (design §4.2): with credentials passed through, only the cluster knows."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from gateway.settings import checked
from tests.doors.flights import problem
from tests.harness.clock import Hold
from tests.harness.cluster import ALICE, BOB, Act, Cluster, html, refuse
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import KEYS as OWN_KEYS
from tests.harness.houses import READER, House, authorization, cluster_settings, open_house
from tests.serving.payments import CONTEXT, FRAUD, KEYS, LITE, VIEW_KEYS, payment, read, sources, status

V1 = "/api/v1/feature-service"
TECTON = {"workspaceName": "prod", "featureServiceName": "fraud", "joinKeyMap": KEYS, "requestContextMap": CONTEXT}
EVERY_READ: list[Callable[[httpx.Client], httpx.Response]] = [
    lambda client: client.post(f"{FRAUD}/features", json=payment()),
    lambda client: client.post(f"{FRAUD}/features:batch", json={"rows": [{"joinKeys": KEYS, "requestContext": CONTEXT}]}),
    lambda client: client.post(f"{V1}/get-features", json={"params": TECTON}),
    lambda client: client.post(
        f"{V1}/get-features-batch", json={"params": TECTON | {"requestData": [{"joinKeyMap": KEYS, "requestContextMap": CONTEXT}]}}
    ),
    lambda client: client.post("/api/v2/workspaces/prod/feature-services/fraud/get-features", json={"params": TECTON}),
]


@pytest.fixture(params=[1.0, 0.0], ids=["traced", "lean"])
def house(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[House]:
    """Both roads: what is traced does not take the lean one."""
    with open_house(cluster_settings(cluster.url, telemetry={"sample_ratio": request.param}), ALICE) as house:
        yield house


def refused(reply: httpx.Response) -> bool:
    """Not a value in it, and the cluster's own refusal. A batch tells it per row."""
    if reply.status_code == 200:
        [row] = reply.json()["rows"]
        return set(row) == {"error"} and row["error"]["code"] == 7
    return problem(reply)[:2] == (403, 7)


@pytest.mark.parametrize("ask", EVERY_READ)
def test_a_cached_value_is_not_shown_to_whom_the_cluster_refuses(
    house: House, bob: httpx.Client, cluster: Cluster, ask: Callable[[httpx.Client], httpx.Response]
) -> None:
    read(house.client)
    for _ in range(2):
        assert refused(ask(bob))
    assert sources(read(house.client)) == {"cache"}
    # the cluster itself was asked, as BOB
    asked = cluster.asked("get-features") + cluster.asked("get-features-batch")
    assert [request.headers["authorization"] for request in asked] == [f"Tecton-key {key}" for key in (ALICE, BOB, BOB)]


def test_a_flight_under_way_is_not_joined_by_whom_the_cluster_has_not_answered(house: House, bob: httpx.Client, cluster: Cluster) -> None:
    read(house.client, joinKeys=KEYS | {"user_id": "somebody else"})
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with Exchange(house.url, f"{FRAUD}/features", payment(), authorization(ALICE)) as alice:
        hold.wait_reached()
        assert refused(bob.post(f"{FRAUD}/features", json=payment()))
        assert len(cluster.asked()) == 3
        hold.release()
        assert alice.answer()[0] == 200
    assert refused(bob.post(f"{FRAUD}/features", json=payment()))


def test_a_flight_under_way_is_joined_under_a_grant_by_another_credential(house: House, cluster: Cluster) -> None:
    cluster.rights["carol-0123456789"] = {"fraud"}
    with house.as_caller("carol-0123456789") as carol:
        read(carol, joinKeys=KEYS | {"user_id": "somebody else"})
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with Exchange(house.url, f"{FRAUD}/features", payment(), authorization(ALICE)) as alice:
        hold.wait_reached()
        with Exchange(house.url, f"{FRAUD}/features", payment(), authorization("carol-0123456789")) as carol_again:
            seen_by(house.url)
            hold.release()
            assert carol_again.answer() == alice.answer()
    assert len(cluster.asked()) == 2


def test_a_grant_ends_with_its_life_and_hits_do_not_extend_it(house: House, cluster: Cluster) -> None:
    read(house.client)
    cluster.rights[ALICE] = set()
    for _ in range(3):
        house.clock.advance(9.99)
        assert sources(read(house.client)) == {"cache"}
    house.clock.advance(0.03)
    assert status(house.client) == 403
    assert status(house.client) == 403
    assert len(cluster.asked()) == 3


def test_a_grant_counts_from_when_the_cluster_was_asked(house: House, cluster: Cluster) -> None:
    cluster.act("get-features", Act(first=lambda: house.clock.advance(29)))
    read(house.client)
    assert sources(read(house.client)) == {"cache"}
    house.clock.advance(1)
    cluster.rights[ALICE] = set()
    assert status(house.client) == 403


def test_a_grant_is_renewed_when_the_cluster_answers_anything_of_the_service(house: House, cluster: Cluster) -> None:
    read(house.client)
    house.clock.advance(29)
    read(house.client, joinKeys=KEYS | {"user_id": "somebody else"})
    house.clock.advance(29)
    assert sources(read(house.client)) == {"cache"}
    assert len(cluster.asked()) == 2


def test_a_refusal_ends_a_grant_at_once(house: House, cluster: Cluster) -> None:
    read(house.client)
    cluster.rights[ALICE] = set()
    assert status(house.client, joinKeys=KEYS | {"user_id": "somebody else"}) == 403
    assert status(house.client) == 403


def test_a_grant_may_be_given_a_shorter_life(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, auth={"grant_life_s": 5}), ALICE) as house:
        read(house.client)
        cluster.rights[ALICE] = set()
        house.clock.advance(5)
        assert status(house.client) == 403


def test_while_the_cluster_is_down_a_grant_that_ran_out_is_not_renewed(house: House, bob: httpx.Client, cluster: Cluster) -> None:
    read(house.client)
    cluster.stop()
    assert sources(read(house.client)) == {"cache"}
    assert status(bob) == 503
    house.clock.advance(31)
    reply = house.client.post(f"{FRAUD}/features", json=payment())
    assert problem(reply) == (503, 14, "The feature store cannot be reached.")
    cluster.start()
    assert sources(read(house.client)) == {"origin"}
    assert sources(read(house.client)) == {"cache"}


@pytest.mark.parametrize("act", [html(503), html(504), refuse(429, "later", 8), Act(body=b"{}"), Act(close=True)])
def test_an_answer_that_is_no_answer_grants_nothing(house: House, cluster: Cluster, act: Act) -> None:
    cluster.rights[BOB] = {"fraud"}
    read(house.client)
    with house.as_caller(BOB) as bob:
        cluster.act("get-features", *[act] * (2 if act.close else 1))  # a connection that closes unheard is tried once more
        assert status(bob) >= 429
        cluster.rights[BOB] = set()
        assert status(bob) == 403


def test_a_grant_for_one_service_is_none_for_another_though_they_share_a_view(cluster: Cluster) -> None:
    cluster.rights["carol-0123456789"] = {"lite"}
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house, house.as_caller("carol-0123456789") as carol:
        read(house.client)
        assert sources(read(carol, LITE)) == {"origin"}
        assert sources(read(carol, LITE)) == {"cache"}
        assert status(carol) == 403
        # ALICE has read this one alone; what CAROL brought is hers once the cluster has answered her too
        assert sources(read(house.client, LITE)) == {"origin"}


def test_seeing_the_schema_is_no_leave_to_read(house: House, cluster: Cluster) -> None:
    cluster.rights[BOB] = {"fraud"}
    read(house.client)
    with house.as_caller(BOB) as bob:
        assert bob.get(f"{FRAUD}/schema").status_code == 200
        cluster.act("get-features", refuse(403, "may see, may not read", 7))
        assert status(bob) == 403
        cluster.rights[BOB] = set()
        # and to be refused a read is to be refused the schema
        assert bob.get(f"{FRAUD}/schema").status_code == 403


def test_whom_the_cluster_refuses_learns_nothing_of_the_schema(house: House, bob: httpx.Client) -> None:
    read(house.client)
    for reply in (
        bob.get(f"{FRAUD}/schema"),
        bob.get("/api/v2/workspaces/prod/feature-services/fraud/metadata"),
        bob.post(f"{V1}/metadata", json={"params": {"featureServiceName": "fraud", "workspaceName": "prod"}}),
        bob.post(f"{FRAUD}/features", json=payment(joinKeys={})),
        bob.post(f"{FRAUD}/features", json=payment(features=["user.*", "nothing.*"])),
        bob.post(f"{FRAUD}/features:batch", json={"rows": [{"joinKeys": {}}]}),
        bob.post(f"{V1}/get-features", json={"params": TECTON | {"requestContextMap": {}}}),
    ):
        assert problem(reply)[:2] == (403, 7)
        assert "user_id" not in reply.text


@pytest.mark.parametrize("path", ["features", "features:batch"])
def test_whom_the_cluster_refuses_cannot_read_nothing_either(house: House, bob: httpx.Client, path: str) -> None:
    """Not even an empty answer, which would tell that the feature service exists."""
    read(house.client)
    row = {"joinKeys": KEYS, "requestContext": CONTEXT}
    body = {"features": [], **({"rows": [row]} if path == "features:batch" else row)}
    assert problem(bob.post(f"{FRAUD}/{path}", json=body))[:2] == (403, 7)
    assert house.client.post(f"{FRAUD}/{path}", json=body).status_code == 200


def test_the_cached_schema_is_shown_under_a_grant_without_asking_again(house: House, cluster: Cluster) -> None:
    for _ in range(3):
        assert house.client.get(f"{FRAUD}/schema").status_code == 200
    assert len(cluster.asked("metadata")) == 1
    house.clock.advance(31)
    assert house.client.get(f"{FRAUD}/schema").status_code == 200
    assert len(cluster.asked("metadata")) == 2


def test_the_same_secret_under_another_scheme_is_another_caller(house: House) -> None:
    read(house.client)
    reply = httpx.post(f"{house.url}{FRAUD}/features", json=payment(), headers={"Authorization": f"Bearer {ALICE}"})
    assert problem(reply)[:2] == (401, 16)


def test_the_scheme_reaches_the_cluster_as_it_knows_it(house: House, cluster: Cluster) -> None:
    reply = httpx.post(f"{house.url}{FRAUD}/features", json=payment(), headers={"authorization": f"tecton-KEY   {ALICE}"})
    assert reply.status_code == 200
    assert cluster.asked()[0].headers["authorization"] == f"Tecton-key {ALICE}"
    assert sources(read(house.client)) == {"cache"}


def test_without_a_credential_nobody_is_asked(house: House, cluster: Cluster) -> None:
    read(house.client)
    for headers in ({}, {"Authorization": "Tecton-key"}, {"Authorization": "Basic YTpi"}, {"Authorization": f"Tecton-key {ALICE} {BOB}"}):
        reply = httpx.post(f"{house.url}{FRAUD}/features", json=payment(), headers=headers)
        assert problem(reply)[:2] == (401, 16)
    assert len(cluster.requests) == 2


def test_with_one_key_for_the_cluster_callers_need_keys_of_the_gateways_own(cluster: Cluster) -> None:
    tree = cluster_settings(cluster.url, auth={"keys": OWN_KEYS})
    tree["origin"]["api_key"] = ALICE
    assert checked(tree).auth_mode == "keys"
    with open_house(tree, READER) as house:
        assert sources(read(house.client)) == {"origin"}
        with house.as_caller(ALICE) as alice:
            assert status(alice) == 401  # the cluster's own key opens nothing here
        assert {request.headers["authorization"] for request in cluster.requests} == {f"Tecton-key {ALICE}"}
        house.clock.advance(45)
        cluster.rights[ALICE] = set()
        assert sources(read(house.client)) == {"cache"}  # the gateway judges its own callers
