"""A shared cache that hangs, dies, lies or never was there: reads go on, purges are acknowledged, the gateway is ready."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from gateway.cache.shared.layout import Keys
from tests.doors.replicas import VIEWS, Site, asked_for, counted, keys_of
from tests.harness.clock import wait_until
from tests.harness.cluster import FRAUD as FRAUD_SERVICE
from tests.harness.cluster import Cluster
from tests.harness.exchanges import Exchange, seen_by
from tests.harness.houses import OPERATOR, House, authorization
from tests.harness.valkey import Valkey
from tests.serving.payments import FRAUD, read, scalars, sources, truth

QUICK = {"deadline_ms": 50, "timeout_s": 0.3}
DEADLINE_S, TIMEOUT_S = 0.05, 0.3
SLACK_S = 2.0
"""For a machine that does other things too; far below what a hanging server would cost."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A server of the test's own, to be treated badly."""
    with Valkey(tmp_path / "own") as server:
        yield server


@pytest.fixture
def site(cluster: Cluster, own: Valkey) -> Site:
    cluster.streams = {"payments": ("user",)}
    return Site(cluster, own, "t")


def right(site: Site, house: House, user: str) -> set[str]:
    """Where the values of a read come from; they are the cluster's of now."""
    answer = read(house.client, **asked_for(user))
    assert scalars(answer["features"]) == scalars(truth(site.cluster, FRAUD_SERVICE, keys_of(user)))
    return sources(answer)


def purge(house: House, user: str) -> None:
    """Acknowledged in bounded time."""
    began_s = monotonic()
    assert house.client.post(f"{FRAUD}/features:purge", json={"joinKeys": {"user_id": user}}).status_code == 200
    assert monotonic() - began_s < TIMEOUT_S + SLACK_S


def ingest(house: House, user: str) -> None:
    """The same."""
    began_s = monotonic()
    body = {"workspace_name": "prod", "records": {"payments": [{"record": {"user_id": user}}]}}
    assert house.client.post("/ingest", json=body).status_code == 200
    assert monotonic() - began_s < DEADLINE_S + SLACK_S


def lives(site: Site, house: House) -> None:
    """All goes on without a shared cache: reads, the own memory, purges, ingests, probes."""
    for user in ("eve", "fay"):
        right(site, house, user)
        assert sources(read(house.client, **asked_for(user))) == {"cache"}
    purge(house, "eve")
    ingest(house, "fay")
    site.cluster.epoch += 1
    assert right(site, house, "eve") == right(site, house, "fay") == {"origin"}
    assert house.client.get("/readyz").status_code == house.client.get("/livez").status_code == 200


def shares(site: Site, one: House, other: House) -> None:
    """Wait until what one fetches is found by the other: its connections and pauses have an end."""
    users = iter(range(10_000))

    def found() -> bool:
        user = f"again {next(users)}"
        right(site, one, user)
        return right(site, other, user) == {"cache"}

    wait_until(found, "the two sharing again")


def test_a_hanging_server_costs_a_few_deadlines_and_then_nothing(site: Site, own: Valkey) -> None:
    with site.house(shared=QUICK) as one, site.house() as other:
        for house in (one, other):
            right(site, house, "ann")
        site.settle(len(VIEWS))
        own.pause()
        began_s = monotonic()
        for number in range(20):
            assert right(site, one, f"user {number}") == {"origin"}
        assert 5 * DEADLINE_S * 0.9 < monotonic() - began_s < 5 * DEADLINE_S + SLACK_S
        assert 5 <= counted(one, "shared_failures") <= 5 + (monotonic() - began_s)
        # what is purged meanwhile is not served here, and the other one hears of it later
        purge(one, "ann")
        ingest(one, "ann")
        site.cluster.epoch = 1
        assert right(site, one, "ann") == {"origin"}
        assert sources(read(other.client, **asked_for("ann"))) == {"cache"}
        assert one.client.get("/readyz").status_code == 200
        own.resume()
        wait_until(lambda: counted(other, "purged_fragments") >= 3, "the other one being told")
        answer = read(other.client, **asked_for("ann", features=["user.*", "types.*"]))["features"]
        expected = truth(site.cluster, FRAUD_SERVICE, keys_of("ann"))
        assert scalars(answer) == {name: expected[name] for name in scalars(answer)}
        shares(site, one, other)


def test_a_server_that_dies_and_comes_back_empty(site: Site, own: Valkey) -> None:
    with site.houses(shared=QUICK) as (one, other):
        for house in (one, other):
            assert right(site, house, "ann")
        own.kill()
        assert sources(read(other.client, **asked_for("ann"))) == {"cache"}
        lives(site, one)
        assert counted(one, "shared_failures") > 0
        own.start()
        wait_until(lambda: counted(other, "purged_fragments") >= len(VIEWS), "all being taken for stale")
        assert right(site, other, "ann") != {"stale"}
        shares(site, one, other)


@pytest.mark.parametrize("garbage", [b"", b"9" * 16 + b"\xc1", b"\xff" * 4_000])
def test_garbage_is_a_miss_and_gives_way(site: Site, own: Valkey, garbage: bytes) -> None:
    with site.houses(3) as (one, other, third):
        right(site, one, "ann")
        site.settle(len(VIEWS))
        for key, field, _ in site.entries():
            own.ask("HSET", key, field, garbage)
        assert right(site, other, "ann") == {"origin"}
        wait_until(lambda: garbage not in {value for _, _, value in site.entries()}, "it giving way")
        for key in site.bases():
            own.ask("SET", key, garbage)
        assert right(site, third, "ann") == {"origin"}
        assert counted(third, "shared_failures") == 0


def test_generations_that_are_none_are_a_shared_cache_that_fails(site: Site, own: Valkey) -> None:
    with site.house(shared=QUICK) as house:
        own.ask("SET", Keys("t").generations, "something else")
        lives(site, house)
        assert counted(house, "shared_failures") > 0


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("how", ["nobody there", "wrong password", "hanging", "no Redis"])
def test_a_gateway_starts_and_serves_without_its_shared_cache(site: Site, own: Valkey, how: str, caplog: pytest.LogCaptureFixture) -> None:
    url = own.url
    if how == "nobody there":
        url = f"redis://127.0.0.1:{closed_port()}"
    elif how == "wrong password":
        own.ask("CONFIG", "SET", "requirepass", "right")
        url = f"redis://:canary-password@127.0.0.1:{own.port}"
    elif how == "no Redis":
        url = site.cluster.url.replace("http:", "redis:")
    else:
        own.pause()
    began_s = monotonic()
    with site.house(shared={"url": url, **QUICK}) as house:
        assert monotonic() - began_s < TIMEOUT_S + SLACK_S
        lives(site, house)
        assert counted(house, "shared_failures") > 0
        assert counted(house, "shared_hits") == 0
        began_s = monotonic()
    assert monotonic() - began_s < TIMEOUT_S + SLACK_S
    assert "canary-password" not in caplog.text
    assert {record.levelno for record in caplog.records} <= {logging.INFO, logging.WARNING}


def test_a_shutdown_waits_for_no_shared_cache(site: Site, own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with site.house(shared={"deadline_ms": 200, "timeout_s": 30}) as house:
        right(site, house, "ann")
        site.settle(len(VIEWS))
        own.pause()
        with Exchange(house.url, f"{FRAUD}/features", asked_for("bob"), authorization(OPERATOR)) as reading:
            seen_by(house.url)
            ingest(house, "ann")
            house.stop()
            assert reading.answer()[0] == 200
        began_s = monotonic()
    assert monotonic() - began_s < SLACK_S
    assert [record.getMessage() for record in caplog.records] == []
