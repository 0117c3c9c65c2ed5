"""Values that are forgotten when somebody says so, or when something newer was written (design §3.2)."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import OriginTimeout
from gateway.features import Written
from gateway.origins.base import IngestReply
from tests.doors.flights import BOARD, COMPUTED_VIEW, CONTEXT, KEYS, NAMED, OTHER_KEYS, STORED_VIEWS, problem, read_named, sources_by_view
from tests.doors.test_ingest import COUNT, RECORD
from tests.harness.clock import Hold
from tests.harness.cluster import ALICE, BOB, Cluster
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import OPERATOR, READER, STRANGER, WRITER, House, authorization, cluster_settings, demo_settings, open_house
from tests.serving.payments import FRAUD, LITE, VIEW_KEYS, read, sources

PURGE, WORKSPACE, ALL = f"{NAMED}/features:purge", "/v1/workspaces/prod/features:purge", "/v1/features:purge"
PLANE = {"tailnum": KEYS["tailnum"]}
BOARD_READ = {"joinKeys": {"origin": "JFK", "dest": "LAX"}, "include": ["source"]}


@pytest.fixture(scope="module")
def open_demo(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        yield house


@pytest.fixture
def house(open_demo: House) -> House:
    """The demo with two rows' fragments at hand, and no others; its client may do everything."""
    purged(open_demo, ALL, everything=True)
    for keys in (KEYS, OTHER_KEYS):
        read_named(open_demo.client, joinKeys=keys)
    return open_demo


@pytest.fixture
def written(demo_copy: Path) -> Iterator[House]:
    """The same on a store of its own, to be written to."""
    with open_house(demo_settings(demo_copy), OPERATOR) as house:
        yield house


def purged(house: House, path: str = PURGE, **body: Any) -> int:
    reply = house.client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert set(reply.json()) == {"purged"}
    count: int = reply.json()["purged"]
    return count


def stale(house: House, keys: dict[str, str]) -> set[str]:
    """The stored views of a row that are not served as fresh out of the cache. Looked at without storing what is fetched for that."""
    reply = house.client.post(
        "/api/v1/feature-service/get-features",
        json={
            "params": {
                "workspaceName": "prod",
                "featureServiceName": "flight_delay",
                "joinKeyMap": keys,
                "requestContextMap": CONTEXT,
                "metadataOptions": {"includeNames": True, "includeServingStatus": True},
                "requestOptions": {"writeToCache": False},
            }
        },
    )
    told = reply.json()["metadata"]["features"]
    return {one["name"].partition(".")[0] for one in told if not one["status"].startswith("CACHED")} - {COMPUTED_VIEW}


@pytest.mark.parametrize(
    ("path", "body", "mine", "others"),
    [
        (PURGE, {}, STORED_VIEWS, STORED_VIEWS),
        (PURGE, {"views": ["plane_history"]}, {"plane_history"}, {"plane_history"}),
        (PURGE, {"joinKeys": PLANE}, {"plane_history"}, set()),
        (PURGE, {"join_keys": PLANE}, {"plane_history"}, set()),
        (PURGE, {"views": ["carrier_performance"], "joinKeys": PLANE}, set(), set()),
        (PURGE, {"views": ["plane_history", "route_history"], "joinKeys": PLANE}, {"plane_history"}, set()),
        (PURGE, {"joinKeys": {"dest": "LAX"}}, {"route_history"}, set()),
        (PURGE, {"joinKeys": {"origin": "JFK", "dest": "SFO"}}, {"airport_departures"}, set()),
        (PURGE, {"joinKeys": {"tailnum": None}}, set(), set()),
        (PURGE, {"views": [COMPUTED_VIEW]}, {"route_history"}, {"route_history"}),
        (WORKSPACE, {"views": ["plane_history", "nothing"]}, {"plane_history"}, {"plane_history"}),
        (WORKSPACE, {"joinKeys": {"origin": "EWR"}}, set(), {"airport_departures", "route_history"}),
        (WORKSPACE, {"joinKeys": {"origin": 7}}, set(), set()),
        (WORKSPACE, {"joinKeys": {"nothing": "JFK"}}, set(), set()),
        (WORKSPACE, {"everything": True}, STORED_VIEWS, STORED_VIEWS),
        ("/v1/workspaces/elsewhere/features:purge", {"everything": True}, set(), set()),
        (ALL, {"everything": True}, STORED_VIEWS, STORED_VIEWS),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_what_is_purged_is_no_longer_served_as_fresh_and_all_else_is(
    house: House, path: str, body: dict[str, Any], mine: set[str], others: set[str], *, soft: bool
) -> None:
    assert stale(house, KEYS) == stale(house, OTHER_KEYS) == set()
    assert purged(house, path, **body, **({"soft": True} if soft else {})) == len(mine) + len(others)
    assert stale(house, KEYS) == mine
    assert stale(house, OTHER_KEYS) == others


@pytest.mark.parametrize("soft", [False, True])
def test_what_was_purged_is_fetched_once_and_then_at_hand_again(house: House, *, soft: bool) -> None:
    before = read_named(house.client)["features"]
    purged(house, views=["plane_history"], soft=soft)
    again = read_named(house.client)
    assert again["features"] == before
    assert sources_by_view(again)["plane_history"].isdisjoint({"cache"})
    assert sources_by_view(read_named(house.client))["plane_history"] == {"cache"}


def test_an_empty_body_and_delete_mean_all_of_the_service(house: House) -> None:
    assert house.client.post(PURGE).json() == {"purged": 8}
    assert stale(house, KEYS) == STORED_VIEWS
    read_named(house.client)
    assert house.client.delete(f"{NAMED}/features").json() == {"purged": 4}
    assert stale(house, KEYS) == STORED_VIEWS
    assert house.client.delete(f"{NAMED}/features").json() == {"purged": 0}
    assert problem(house.client.request("DELETE", f"{NAMED}/features", json={"soft": True})) == (
        400,
        3,
        "DELETE takes no body: post it to …/features:purge.",
    )


def test_a_view_that_two_services_share_is_purged_for_both(house: House) -> None:
    assert purged(house, f"{BOARD}/features:purge", joinKeys={"dest": "LAX"}) == 1
    assert stale(house, KEYS) == {"route_history"}
    read_named(house.client)
    purged(house, views=["airport_departures"])
    answer = house.client.post(f"{BOARD}/features", json=BOARD_READ).json()
    assert sources_by_view(answer) == {"airport_departures": {"origin"}, "route_history": {"cache"}}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (PURGE, {"joinKeys": {"gate": "canary"}}, "Unknown join key: gate, expected one of: [origin dest carrier tailnum]"),
        (PURGE, {"joinKeys": {"origin": 7}}, "Unexpected JSON type for origin in joinKeys. Expected string or null."),
        (PURGE, {"views": ["canary"]}, "views names one that this feature service does not have."),
        (PURGE, {"views": "canary"}, "views must be a list of strings."),
        (PURGE, {"hard": "canary"}, "The body has an unknown field. Expected one of: [views joinKeys soft]"),
        (WORKSPACE, {}, 'The body must have views, joinKeys or "everything": true.'),
        (WORKSPACE, {"joinKeys": {"origin": ["canary"]}}, "Unexpected JSON type for origin in joinKeys. Expected a scalar or null."),
        (ALL, {"views": ["canary"]}, "The body has an unknown field. Expected one of: [everything soft]"),
        (ALL, {}, 'The body must have "everything": true.'),
    ],
)
def test_a_purge_that_makes_no_sense_is_refused_and_nothing_is_purged(
    house: House, path: str, body: dict[str, Any], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reply = house.client.post(path, json=body)
    assert problem(reply)[:2] == (400, 3)
    assert problem(reply)[2].startswith(text)
    assert "canary" not in reply.text + caplog.text
    assert stale(house, KEYS) == set()


def test_an_unknown_service_is_not_found(house: House) -> None:
    assert problem(house.client.delete("/v1/workspaces/prod/feature-services/nothing/features"))[:2] == (404, 5)


DOORS: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "service": lambda client: client.post(PURGE, json={}),
    "drop": lambda client: client.delete(f"{NAMED}/features"),
    "workspace": lambda client: client.post(WORKSPACE, json={"everything": True}),
    "all": lambda client: client.post(ALL, json={"everything": True}),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("credential", "statuses"),
    [
        (None, [401, 401, 401, 401]),
        ("fgk_unknown", [401, 401, 401, 401]),
        (READER, [403, 403, 403, 403]),
        (STRANGER, [403, 403, 403, 403]),
        (WRITER, [200, 200, 200, 403]),
        (OPERATOR, [200, 200, 200, 200]),
    ],
    ids=["nobody", "unknown", "reader", "stranger", "writer", "operator"],
)
def test_who_may_purge_what_among_keys(house: House, door: str, credential: str | None, statuses: list[int]) -> None:
    expected = dict(zip(DOORS, statuses, strict=True))[door]
    with house.as_caller(credential) as caller:
        assert DOORS[door](caller).status_code == expected
    assert (stale(house, KEYS) == STORED_VIEWS) == (expected == 200)


def test_who_asks_is_judged_before_what_is_asked(house: House) -> None:
    with house.as_caller(READER) as reader:
        assert {reader.post(path, content=b"{").status_code for path in (PURGE, WORKSPACE, ALL)} == {403}


def test_with_credentials_passed_through_a_service_is_purged_by_whom_the_cluster_shows_it(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS), ALICE) as house, house.as_caller(BOB) as bob:
        read(house.client)
        asked = len(cluster.asked("metadata"))
        assert problem(bob.post(f"{FRAUD}/features:purge", json={"joinKeys": {"nothing": 1}}))[:2] == (403, 7)
        assert problem(bob.delete(f"{FRAUD}/features"))[:2] == (403, 7)
        assert len(cluster.asked("metadata")) == asked + 2  # it was the cluster that said so
        assert sources(read(house.client)) == {"cache"}
        # int64 as text or as a number, through either service that shares the view
        assert house.client.post(f"{FRAUD}/features:purge", json={"joinKeys": {"merchant_id": "7"}}).json() == {"purged": 3}
        assert sources(read(house.client)) == {"origin"}
        assert house.client.post(f"{LITE}/features:purge", json={"joinKeys": {"merchant_id": 7}}).json() == {"purged": 1}
        for path in (WORKSPACE, ALL):
            refused = problem(house.client.post(path, json={"everything": True}))
            assert refused[:2] == (403, 7)
            assert "features:purge" in refused[2]


def test_with_everybody_let_in_everybody_may_purge(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, auth={"mode": "open"}), None) as house:
        assert [ask(house.client).status_code for ask in DOORS.values()] == [200] * 4


def test_a_fill_that_began_before_a_purge_is_served_to_its_reader_and_not_stored(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        hold = house.origin.hold = Hold()
        body = {"joinKeys": KEYS, "requestContext": CONTEXT, "include": ["source"]}
        with Exchange(house.url, f"{NAMED}/features", body, authorization(OPERATOR)) as before:
            hold.wait_reached()
            assert purged(house, views=["plane_history"]) == 0
            # a later reader does not join what began before, where it concerns the purge
            with Exchange(house.url, f"{NAMED}/features", body, authorization(OPERATOR)) as after:
                hold.wait_reached()
                seen_by(house.url)
                assert house.origin.views_fetched[1:] == [frozenset({"plane_history"})]
                hold.release()
                assert [one.answer()[0] for one in (before, after)] == [200, 200]
        house.origin.hold = None
        # the second flight's is there; the first one's would have been older
        assert stale(house, KEYS) == set()
        assert len(house.origin.fetches) == 2


def test_what_a_fill_from_before_a_purge_brings_is_not_found_by_those_who_read_after(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir), OPERATOR) as house:
        hold = house.origin.hold = Hold()
        with Exchange(house.url, f"{NAMED}/features", {"joinKeys": KEYS, "requestContext": CONTEXT}, authorization(OPERATOR)) as before:
            hold.wait_reached()
            purged(house, WORKSPACE, joinKeys=PLANE)
            hold.release()
            assert before.answer()[0] == 200
        house.origin.hold = None
        assert stale(house, KEYS) == {"plane_history"}


TOUCHED = (
    Written("prod", "airport_departures", ("JFK",)),
    Written("prod", "carrier_performance", ("ZZ",)),
    Written("prod", "plane_history", ("N-INGESTED",)),
    Written("prod", "route_history", ("JFK", "LAX")),
)


def tells(house: House, *written: Written, unknown: bool = False, status: int = 200, hold: Hold | None = None) -> None:
    """Let the origin say what an ingest wrote to, by the names that the demo's plans know its views by."""
    names = {view: facts.identity or view for view, facts in asyncio.run(_facts(house)).items()}

    async def after(reply: IngestReply) -> IngestReply:
        if hold is not None:
            await hold.reach()
        named = tuple(Written(one.workspace, names[one.view], one.join_keys) for one in written)
        return replace(reply, status=status, written=None if unknown else named)

    house.origin.after_ingest = after


async def _facts(house: House) -> Any:
    from gateway.features import Caller, ServiceRef

    return (await house.origin.describe(ServiceRef("prod", "flight_delay"), Caller(b""), 0.0)).views


def ingest(house: House, workspace: str | None = "prod", **more: Any) -> httpx.Response:
    named = {} if workspace is None else {"workspace_name": workspace}
    return house.client.post("/ingest", json={**named, "records": {"flights": [{"record": RECORD}]}, **more})


def test_what_was_written_is_read_at_once_and_all_else_stays_at_hand(written: House) -> None:
    before = read_named(written.client)["features"][COUNT]
    read_named(written.client, joinKeys=OTHER_KEYS)
    tells(written, *TOUCHED)
    assert ingest(written).status_code == 200
    after = read_named(written.client)
    assert after["features"][COUNT] == before + 1
    assert {view for view, one in sources_by_view(after).items() if one == {"origin"}} == {"airport_departures", "route_history"}
    assert stale(written, OTHER_KEYS) == set()


def test_an_origin_that_cannot_tell_what_it_wrote_to_costs_the_workspace_its_cache(written: House) -> None:
    read_named(written.client)
    tells(written, unknown=True)
    assert ingest(written).status_code == 200
    assert stale(written, KEYS) == STORED_VIEWS


@pytest.mark.parametrize("status", [400, 429])
def test_an_ingest_that_the_origin_refuses_purges_nothing(written: House, status: int) -> None:
    read_named(written.client)
    tells(written, *TOUCHED, status=status)
    assert ingest(written).status_code == status
    assert stale(written, KEYS) == set()


def test_a_dry_run_purges_nothing(written: House) -> None:
    read_named(written.client)
    tells(written)
    assert ingest(written, dryRun=True).status_code == 200
    assert stale(written, KEYS) == set()


def test_an_ingest_of_unknown_outcome_promises_nothing(written: House) -> None:
    read_named(written.client)

    async def late(_reply: IngestReply) -> IngestReply:
        raise OriginTimeout("The feature store did not answer in time.")

    written.origin.after_ingest = late
    assert ingest(written).status_code == 504
    assert stale(written, KEYS) == set()


def test_a_writer_that_hangs_up_leaves_no_stale_values(written: House) -> None:
    read_named(written.client)
    hold = Hold()
    tells(written, *TOUCHED, hold=hold)
    body = {"workspace_name": "prod", "records": {"flights": [{"record": RECORD}]}}
    with Exchange(written.url, "/ingest", body, authorization(OPERATOR)):
        hold.wait_reached()
    seen_by(written.url)
    hold.release()
    seen_by(written.url)
    assert stale(written, KEYS) == {"airport_departures", "route_history"}
