"""One caller fills the cache, another may not read it: whatever the moment, it gets no value."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from gateway.access.keyholders import Grant
from gateway.access.keys import key_id
from gateway.access.shell import Shell
from gateway.administering import open_file
from gateway.errors import OriginUnavailable
from tests.doors.flights import KEYS, NAMED, V1, named, read_named, sources_by_view, tecton, tecton_batch
from tests.harness.clock import Hold, wait_until
from tests.harness.cluster import ALICE, BOB, Act, Cluster
from tests.harness.houses import House, cluster_settings, demo_settings, open_house
from tests.harness.offices import enrol, open_offices, role
from tests.serving.payments import FRAUD, VIEW_KEYS, payment

Ask = Callable[[httpx.Client], httpx.Response]
DOORS: dict[str, Ask] = {
    "named": lambda client: client.post(f"{NAMED}/features", json=named()),
    "named batch": lambda client: client.post(f"{NAMED}/features:batch", json={"rows": [named()]}),
    "tecton": lambda client: client.post(f"{V1[0]}/get-features", json=tecton()),
    "tecton batch": lambda client: client.post(f"{V1[0]}/get-features-batch", json=tecton_batch(KEYS)),
    "schema": lambda client: client.get(f"{NAMED}/schema"),
}
CACHE = {"ttl_s": 60, "stale_while_revalidate_s": 30, "stale_if_error_s": 300}
DENIED = {"elsewhere": 403, "viewer": 403, "nothing": 403, "deactivated": 401, "unknown": 401, "nobody": 401}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access")


@pytest.fixture(scope="module")
def keyed(demo_dir: Path, folder: Path) -> Iterator[tuple[House, dict[str, str | None]]]:
    """A gateway with keys of its own in a store, and the keys by name."""
    store = open_file(folder)
    store.migrate()
    _, deactivated = enrol(store, "deactivated", "owner")
    Shell(store).switch(deactivated, active=False)
    store.close()
    others: dict[str, str | None] = {"deactivated": deactivated, "unknown": "fgk_unknown", "nobody": None}
    principals = (("reader", "prod=consumer"), ("elsewhere", "dev=owner"), ("viewer", "prod=viewer"), ("nothing",))
    with open_offices(demo_dir, folder, *principals, cache=CACHE, auth={"refresh_s": 0.05}) as (house, keys):
        yield house, {**keys, **others}


def refuses_everywhere(house: House, keys: dict[str, str | None]) -> None:
    asked = len(house.origin.fetches)
    for who, status in DENIED.items():
        with house.as_caller(keys[who]) as caller:
            for door, ask in DOORS.items():
                reply = ask(caller)
                assert (reply.status_code, set(reply.json())) == (status, {"error", "message", "code"}), (who, door)
    assert len(house.origin.fetches) == asked


def test_with_keys_nobody_else_is_shown_what_one_may_read(keyed: tuple[House, dict[str, str | None]]) -> None:
    house, keys = keyed
    with house.as_caller(keys["reader"]) as reader:
        hold = house.origin.hold = Hold()
        with ThreadPoolExecutor(1) as pool:
            flying = pool.submit(read_named, reader)
            hold.wait_reached()
            refuses_everywhere(house, keys)
            house.origin.hold = None
            hold.release()
            flying.result()

        refuses_everywhere(house, keys)
        assert "cache" in sources_by_view(read_named(reader))["plane_history"]

        house.clock.advance(61)  # stale, and fetched again behind whoever may read it
        refuses_everywhere(house, keys)
        house.clock.advance(60)
        house.origin.fails = [OriginUnavailable("gone")] * 100
        refuses_everywhere(house, keys)
        assert sources_by_view(read_named(reader))["plane_history"] == {"stale"}
        house.origin.fails = []


def test_a_key_that_is_deactivated_reads_nothing_more_also_while_the_origin_is_down(
    keyed: tuple[House, dict[str, str | None]], folder: Path
) -> None:
    house, _ = keyed
    store = open_file(folder)
    operator = Shell(store)
    made = operator.create("leaked", [])
    operator.grant("leaked", roles("prod=consumer"))
    with house.as_caller(made.key) as leaked:
        wait_until(lambda: DOORS["named"](leaked).status_code == 200, "the new key")
        house.clock.advance(61)
        house.origin.fails = [OriginUnavailable("gone")] * 1_000
        assert DOORS["named"](leaked).status_code == 200  # stale
        operator.revoke("leaked", roles("prod=consumer"))
        wait_until(lambda: DOORS["named"](leaked).status_code == 403, "the end of its role")
        operator.switch(str(key_id(made.key)), active=False)
        wait_until(lambda: DOORS["named"](leaked).status_code == 401, "its end")
        assert {ask(leaked).status_code for ask in DOORS.values()} == {401}
    house.origin.fails = []
    store.close()


def roles(*said: str) -> list[Grant]:
    return [Grant(*role(one)) for one in said]


def test_two_gateways_on_one_store_know_of_a_change_alike(demo_dir: Path, folder: Path, keyed: tuple[House, dict[str, str | None]]) -> None:
    one, _ = keyed
    store = open_file(folder)
    operator = Shell(store)
    with open_house(demo_settings(demo_dir, auth={"store": "sqlite", "data_dir": folder, "refresh_s": 0.05}), None) as other:
        made = operator.create("of both", roles("prod=consumer"))
        with one.as_caller(made.key) as here, other.as_caller(made.key) as there:

            def both(status: int) -> bool:
                return {DOORS["named"](client).status_code for client in (here, there)} == {status}

            wait_until(lambda: both(200), "a new key")
            operator.revoke("of both", roles("prod=consumer"))
            wait_until(lambda: both(403), "the end of its role")
            operator.switch("of both", active=False)
            wait_until(lambda: both(401), "its own end")
    store.close()


@pytest.fixture
def passed_through(cluster: Cluster) -> Iterator[House]:
    cluster.rights[BOB] = set()
    cache = CACHE | {"stale_while_revalidate_s": 0}  # no fetch in the background takes what a test has in store for another
    settings = cluster_settings(cluster.url, views=VIEW_KEYS, cache=cache, auth={"grant_life_s": 3_600})
    with open_house(settings, ALICE) as house:
        yield house


def test_passed_through_nobody_else_is_shown_what_one_may_read(passed_through: House, cluster: Cluster) -> None:
    house = passed_through

    def ask(credential: str | None) -> httpx.Response:
        with house.as_caller(credential) as caller:
            return caller.post(f"{FRAUD}/features", json=payment())

    def refuses(**statuses: int) -> None:
        for who, credential in (("bob", BOB), ("unknown", "unknown-key"), ("nobody", None)):
            reply = ask(credential)
            assert (reply.status_code, set(reply.json())) == (statuses[who], {"error", "message", "code"}), who

    told = {"bob": 403, "unknown": 401, "nobody": 401}
    assert ask(ALICE).status_code == 200
    refuses(**told)
    house.clock.advance(61)
    refuses(**told)
    assert ask(ALICE).status_code == 200

    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    house.clock.advance(1_000)
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(ask, ALICE)
        hold.wait_reached()
        refuses(**told)
        hold.release()
        assert flying.result().status_code == 200

    house.clock.advance(100)
    for endpoint in ("get-features", "metadata"):
        cluster.always(endpoint, Act(close=True))
    assert ask(ALICE).status_code == 200  # stale
    refuses(bob=503, unknown=503, nobody=401)  # the cluster cannot say who they are, and nobody else may
