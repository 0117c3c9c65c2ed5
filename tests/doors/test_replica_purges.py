"""Purges and ingests through one of the gateways that share a cache: what was before is gone from it when it has answered, and from the
others as soon as they are told."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest

from gateway.app import Seams, create_app
from gateway.applying import apply
from gateway.settings import checked
from tests.doors.replicas import VIEWS, Site, Wire, asked_for, counted, keys_of, rows_of, shared_settings
from tests.harness.clock import Clock, Hold, wait_until
from tests.harness.cluster import FRAUD as FRAUD_SERVICE
from tests.harness.cluster import Act, Cluster
from tests.harness.exchanges import Exchange
from tests.harness.houses import KEYS, OPERATOR, House, authorization
from tests.harness.repositories import AS_OF, write_repository
from tests.harness.serving import serve
from tests.harness.valkey import Valkey
from tests.serving.payments import FRAUD, read, scalars, sources, truth

PURGE, WORKSPACE, ALL = f"{FRAUD}/features:purge", "/v1/workspaces/prod/features:purge", "/v1/features:purge"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def site(cluster: Cluster, valkey: Valkey) -> Site:
    cluster.streams = {"payments": ("user",)}
    return Site(cluster, valkey, token_hex(4))


def warm(site: Site, one: House, *others: House) -> None:
    """Let all of them have the fragments of two users, each for itself and in the shared cache."""
    rows_of(one, "ann", "bob")
    site.settle(2 * len(VIEWS))
    for other in others:
        assert [sources(row) for row in rows_of(other, "ann", "bob")] == [{"cache"}] * 2


def told(house: House, purged: int) -> None:
    """Wait until others' purges have taken so many fragments here."""
    wait_until(lambda: counted(house, "purged_fragments") >= purged, f"{purged} fragments being purged")
    assert counted(house, "purged_fragments") == purged


def post(house: House, path: str, **body: Any) -> httpx.Response:
    reply = house.client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return reply


def ingest(house: House, *users: str) -> None:
    post(house, "/ingest", workspace_name="prod", records={"payments": [{"record": {"user_id": user}} for user in users]})


def new(site: Site, house: House, user: str = "ann", views: Collection[str] = VIEWS) -> set[str]:
    """Where the values of a user's views come from, once they are seen to be the cluster's of now."""
    answer = read(house.client, **asked_for(user, features=[f"{view}.*" for view in views]))
    expected = scalars(truth(site.cluster, FRAUD_SERVICE, keys_of(user)))
    assert scalars(answer["features"]) == {name: value for name, value in expected.items() if name.partition(".")[0] in views}
    return sources(answer)


@pytest.mark.parametrize(
    ("path", "body", "views", "bob_too"),
    [
        (PURGE, {}, VIEWS, True),
        (PURGE, {"views": ["user"], "soft": True}, ("user",), True),
        (PURGE, {"joinKeys": {"user_id": "ann"}}, ("basket", "types", "user"), False),
        (WORKSPACE, {"views": ["user"], "joinKeys": {"user_id": "ann"}, "soft": True}, ("user",), False),
        (WORKSPACE, {"everything": True}, VIEWS, True),
        (ALL, {"everything": True, "soft": True}, VIEWS, True),
    ],
)
def test_what_is_purged_through_one_is_served_by_none(
    site: Site, path: str, body: dict[str, Any], views: Collection[str], *, bob_too: bool
) -> None:
    purged = len(views) * (2 if bob_too else 1)
    with site.houses() as (one, other):
        warm(site, one, other)
        assert post(one, path, **body).json() == {"purged": purged}
        site.cluster.epoch = 1
        assert new(site, one) == {"origin"}
        told(other, purged)
        new(site, other, views=views)  # from the cluster, or from what the first one has fetched by now
        assert (sources(read(other.client, **asked_for("bob"))) == {"cache"}) != bob_too
        with site.house() as third:
            new(site, third, views=views)
            # a purge by some join keys ends the whole view there: the shared cache has no other way to find what it means
            new(site, third, "bob", views)
        assert counted(other, "purges") == 0


def test_what_is_written_through_one_is_read_by_all_and_nothing_else_goes(site: Site) -> None:
    with site.houses() as (one, other):
        warm(site, one, other)
        ingest(one, "ann")
        site.cluster.epoch = 1
        assert new(site, one) == {"origin"}
        told(other, 1)
        new(site, other, views=["user"])
        fetches = site.fetches()
        assert sources(read(other.client, **asked_for("bob"))) == {"cache"}
        with site.house() as third:
            new(site, third)
            assert sources(read(third.client, **asked_for("bob"))) == {"cache"}
        assert site.fetches() == fetches


def test_an_ingest_of_many_records_is_one_purge_to_the_others(site: Site) -> None:
    with site.houses() as (one, other):
        warm(site, one, other)
        ingest(one, *[f"user {number}" for number in range(2_000)], "ann", "bob")
        told(other, 2)


@pytest.mark.parametrize("how", ["purge", "ingest"])
def test_a_fetch_that_began_elsewhere_before_a_purge_is_kept_nowhere(site: Site, how: str) -> None:
    with site.houses() as (one, other):
        warm(site, one, other)
        hold = Hold()
        site.cluster.act("get-features", Act(hold=hold))
        with Exchange(other.url, f"{FRAUD}/features", asked_for("cat"), authorization(OPERATOR)) as before:
            hold.wait_reached()
            if how == "purge":
                post(one, PURGE, views=["user"])
                told(other, 2)
            else:
                ingest(one, "ann", "cat")
                told(other, 1)
            hold.release()
            assert before.answer()[0] == 200
        site.cluster.epoch = 1
        for house in (other, one):
            new(site, house, "cat", ["user"])
        with site.house() as third:
            new(site, third, "cat", ["user"])


def test_who_was_cut_off_takes_all_for_stale_and_finds_again_what_was_not_purged(site: Site, tmp_path: Path) -> None:
    with Valkey(tmp_path) as server, Wire(server.port) as wire:
        own = Site(site.cluster, server, "t")
        with own.house() as one, own.house(shared={"url": wire.url}) as other:
            warm(own, one, other)
            wire.cut()
            ingest(one, "ann")
            own.cluster.epoch = 1
            assert new(own, one) == {"origin"}
            assert sources(read(other.client, **asked_for("ann"))) == {"cache"}, "it cannot know, and is bounded by the TTL"
            own.settle(2 * len(VIEWS))
            wire.mend()
            told(other, 2 * len(VIEWS))
            fetches = own.fetches()
            assert new(own, other) == {"cache"}
            assert sources(read(other.client, **asked_for("bob"))) == {"cache"}
            assert own.fetches() == fetches
            found = counted(other, "shared_hits")
            assert [sources(row) for row in rows_of(other, "ann", "bob")] == [{"cache"}] * 2
            assert counted(other, "shared_hits") == found, "it has them for itself again"


@contextmanager
def shop(folder: Path, shared: dict[str, Any]) -> Iterator[Any]:
    """A gateway with an embedded feature server, and what changes its definitions."""
    settings = checked(
        {"auth": {"keys": KEYS}, "feature_server": {"data_dir": folder / "data", "as_of": AS_OF}, "cache": {"shared": shared}}
    )
    apply(settings, write_repository(folder / "definitions"), (), lambda _view, _done: None)
    with serve(create_app(settings, Seams(Clock(), environment={}))):
        yield lambda: apply(settings, write_repository(folder / "definitions", tag="second"), (), lambda _view, _done: None)


def test_new_definitions_end_all_that_is_shared(site: Site, tmp_path: Path) -> None:
    with shop(tmp_path, shared_settings(site.valkey.url, site.prefix)) as change, site.houses() as (one, other):
        warm(site, one, other)
        change()
        for house in (one, other):
            told(house, 2 * len(VIEWS))
        site.cluster.epoch = 1
        with site.house() as third:
            assert new(site, third) == {"origin"}
