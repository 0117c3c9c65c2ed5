"""Keys of the gateway's own before a cluster: who may read may so on the lean road and from the cache, and nobody else on either; and what
a role or key that is taken back opened is shut before that is acknowledged."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway.administering import open_file
from tests.doors.rights import PRINCIPALS, RIGHTS
from tests.harness.callers import Callers, calling
from tests.harness.cluster import ALICE, BOB, Cluster
from tests.harness.houses import KEYS, cluster_settings, open_house
from tests.harness.offices import enrol
from tests.serving.payments import LITE, VIEW_KEYS

READ = f"{LITE}/features"
DIRECT = [who for who in PRINCIPALS if who != "group"]


@dataclass(frozen=True, slots=True)
class Desk:
    callers: Callers
    cluster: Cluster

    def read(self, who: str | None, user: str) -> httpx.Response:
        return self.callers.ask(who, "POST", READ, {"joinKeys": {"user_id": user, "merchant_id": 7}, "include": ["source"]})

    def lean(self) -> int:
        return self.callers.house.app.counters.lean_reads

    def admin(self, method: str, path: str, body: Any) -> None:
        answer = self.callers.ask("admin", method, path, body)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("access")
    with closing(open_file(folder)) as database:
        database.migrate()
        keys = {who: enrol(database, who, *PRINCIPALS[who])[1] for who in DIRECT}
    with ExitStack() as open_ones:
        cluster = open_ones.enter_context(Cluster())
        settings = cluster_settings(cluster.url, telemetry={"sample_ratio": 0.0}, views=VIEW_KEYS)
        settings["origin"] |= {"api_key": ALICE}
        settings["auth"] = {"keys": KEYS, "store": "sqlite", "data_dir": folder}
        house = open_ones.enter_context(open_house(settings, None))
        desk = Desk(open_ones.enter_context(calling(house, keys)), cluster)
        assert desk.read("lord", "whose schema and labels these are").status_code == 200
        yield desk


@pytest.mark.parametrize("who", DIRECT)
def test_reads_are_judged_alike_on_every_road(desk: Desk, who: str) -> None:
    may = RIGHTS["read"][who] == "yes"
    assert desk.read("lord", f"{who}, at hand").status_code == 200
    asked, lean = len(desk.cluster.asked()), desk.lean()
    assert desk.read(who, f"{who}, at hand").status_code == (200 if may else 403)
    assert (len(desk.cluster.asked()), desk.lean()) == (asked, lean)
    assert desk.read(who, f"{who}, to be fetched").status_code == (200 if may else 403)
    assert (len(desk.cluster.asked()), desk.lean()) == (asked + may, lean + may)


@pytest.mark.parametrize("credential", [None, ALICE, BOB, "fgk_nobody"])
def test_the_clusters_own_keys_open_nothing(desk: Desk, credential: str | None) -> None:
    assert desk.read("lord", "ann").status_code == 200
    asked = len(desk.cluster.requests)
    assert desk.read(credential, "ann").status_code == desk.read(credential, "bob").status_code == 401
    assert len(desk.cluster.requests) == asked


def test_the_cluster_is_shown_the_gateways_key_and_no_callers(desk: Desk) -> None:
    assert desk.read("cons", "carol").status_code == 200
    assert {request.headers.get("authorization") for request in desk.cluster.requests} == {f"Tecton-key {ALICE}"}


def test_nothing_of_the_clusters_administration_is_reached_with_the_gateways_key(desk: Desk) -> None:
    asked = len(desk.cluster.requests)
    for who in ("bare", "lord", "admin", None):
        for method, path in (
            ("POST", "/api/v1/jobs/list"),
            ("GET", "/api/v1/observability/metrics"),
            ("POST", "/api/v1/metadata-service/x"),
        ):
            assert desk.callers.ask(who, method, path, {}).status_code in {401, 403, 404}
    assert len(desk.cluster.requests) == asked


def test_what_is_taken_back_is_shut_before_that_is_acknowledged(desk: Desk) -> None:
    role = {
        "principal_type": "PRINCIPAL_TYPE_SERVICE_ACCOUNT",
        "principal_id": "sa-bare",
        "resource_type": "RESOURCE_TYPE_WORKSPACE",
        "resource_id": "prod",
        "role": "consumer",
    }
    assert desk.read("lord", "dora").status_code == 200
    for number in range(20):
        desk.admin("POST", "/api/v1/authorization-service/assign-roles", {"assignments": [role]})
        assert [desk.read("bare", user).status_code for user in ("dora", f"new {number}")] == [200, 200]
        desk.admin("POST", "/api/v1/authorization-service/unassign-roles", {"assignments": [role]})
        assert [desk.read("bare", user).status_code for user in ("dora", f"newer {number}")] == [403, 403]


def test_an_account_that_is_deactivated_reads_nothing_more_until_it_is_active_again(desk: Desk) -> None:
    for active, status in ((False, 401), (True, 200)):
        desk.admin("POST", "/api/v1/metadata-service/update-service-account", {"id": "sa-cons", "is_active": active})
        assert [desk.read("cons", user).status_code for user in ("dora", f"eve, {active}")] == [status, status]
