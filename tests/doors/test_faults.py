"""The fault lab as clients meet it: over sockets, through the whole gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from gateway.app import Seams, create_app, open_origin
from gateway.embedded import open_engine
from gateway.feature_server.faults import FaultLab
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.settings import SettingsError, checked
from tests.doors.flights import COMPUTED_VIEW, KEYS, NAMED, OTHER_KEYS, V1, named, problem, read_named, tecton, tecton_batch
from tests.harness.clock import Clock
from tests.harness.houses import READER, authorization, demo_settings, open_house
from tests.harness.processes import Command, plain_environment, run_command
from tests.harness.serving import serve

READ = f"{V1[0]}/get-features"
SHOW = {"includeNames": True, "includeDataTypes": True, "includeServingStatus": True}


def lab_settings(data_dir: Path, **faults: Any) -> dict[str, Any]:
    tree = demo_settings(data_dir)
    return tree | {"feature_server": tree["feature_server"] | {"faults": faults}}


def statuses(client: httpx.Client, **params: Any) -> dict[str, set[str]]:
    """The statuses of a read on Tecton's door, by view."""
    reply = client.post(READ, json=tecton(metadataOptions=SHOW, **params))
    assert reply.status_code == 200, reply.text
    found: dict[str, set[str]] = {}
    for item in reply.json()["metadata"]["features"]:
        found.setdefault(item["name"].partition(".")[0], set()).add(item["status"])
    return found


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("faults", "kind"), [({}, EmbeddedOrigin), ({"seed": 1, "views": ["nothing"]}, EmbeddedOrigin), ({"not_ready": True}, FaultLab)]
)
async def test_without_a_fault_there_is_no_lab(demo_dir: Path, faults: dict[str, Any], kind: type) -> None:
    origin = open_origin(checked(lab_settings(demo_dir, **faults)))
    assert type(origin) is kind
    await origin.aclose()


def test_names_that_do_not_exist_are_told_before_a_store_is_opened(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"feature_server\.faults\.views: the feature repository has no nothing"):
        open_origin(checked(lab_settings(tmp_path / "data", not_ready=True, views=["nothing"])))
    assert not (tmp_path / "data").exists()


ANSWERS = [("failed", 502, 13), ("unavailable", 503, 14), ("timeout", 504, 4), ("throttled", 429, 8), ("malformed", 502, 13)]


@pytest.mark.parametrize(("kind", "status", "code"), ANSWERS)
def test_errors_reach_the_client_as_they_would_in_earnest(demo_dir: Path, kind: str, status: int, code: int) -> None:
    faults = {"calls": ["fetch", "ingest"], "errors": {f"{kind}_share": 1, "retry_after_s": 7}}
    with open_house(lab_settings(demo_dir, **faults)) as house:
        for path, body in ((READ, tecton()), (f"{NAMED}/features", named())):
            reply = house.client.post(path, json=body)
            assert problem(reply)[:2] == (status, code)
            assert reply.headers.get("retry-after") == ("7" if status == 429 else None)
        rows = house.client.post(f"{NAMED}/features:batch", json={"rows": [named()]}).json()["rows"]
        assert rows[0]["error"]["code"] == code
        assert house.client.get("/readyz").status_code == 200
        assert house.client.get(f"{NAMED}/schema").status_code == 200


def test_a_share_of_reads_fails_and_the_rest_is_right(demo_dir: Path) -> None:
    faults = {"seed": 4, "calls": ["fetch"], "errors": {"unavailable_share": 0.3}}
    with open_house(demo_settings(demo_dir)) as sound, open_house(lab_settings(demo_dir, **faults)) as house:
        right = read_named(sound.client)["features"]
        replies = [house.client.post(f"{NAMED}/features", json=named(maxAgeMs=0)) for _ in range(50)]
    assert [reply.status_code for reply in replies].count(503) == 13
    assert all(reply.json()["features"] == right for reply in replies if reply.status_code == 200)


def test_partial_results_are_told_and_not_kept(demo_dir: Path) -> None:
    with open_house(lab_settings(demo_dir, answers={"partial_share": 1})) as house:
        for _ in range(2):
            reply = house.client.post(READ, json=tecton(allowPartialResults=True, metadataOptions=SHOW)).json()
            assert reply["metadata"]["partialResults"] is True
            assert {item["status"] for item in reply["metadata"]["features"]} >= {"UNKNOWN_STATUS"}
            assert None in reply["result"]["features"]
        assert len(house.origin.fetches) == 2
        for path, body in (
            (READ, tecton()),
            (f"{NAMED}/features", named()),
            (f"{V1[0]}/get-features-batch", tecton_batch(KEYS, OTHER_KEYS)),
        ):
            assert problem(house.client.post(path, json=body))[:2] == (400, 9)


@contextmanager
def laboratory(data_dir: Path, **faults: Any) -> Iterator[tuple[httpx.Client, Clock, Clock]]:
    """A gateway before a fault lab whose delays take no time: its client, the cache's clock and the lab's wall clock."""
    settings = checked(lab_settings(data_dir, **faults))
    clock, wall = Clock(), Clock()
    embedded = EmbeddedOrigin(open_engine(settings))
    lab = FaultLab(embedded, settings.feature_server.faults, now_s=wall, sleep=lambda _: anyio.lowlevel.checkpoint())
    app = create_app(settings, Seams(clock, lab, None, {}))
    with serve(app) as running, httpx.Client(base_url=running.url, headers=authorization(READER), timeout=30.0) as client:
        yield client, clock, wall


def test_views_time_out_within_a_budget_and_are_asked_for_again(demo_dir: Path) -> None:
    with laboratory(demo_dir, answers={"timed_out_share": 1}, views=["plane_history", "route_history"]) as (client, _, _):
        budget = {"requestOptions": {"latencyBudgetMs": 1_000}}
        late = {"plane_history": {"TIME_OUT"}, "route_history": {"TIME_OUT"}, COMPUTED_VIEW: {"TIME_OUT"}}
        assert statuses(client, **budget) == late | {"airport_departures": {"PRESENT"}, "carrier_performance": {"PRESENT"}}
        again = statuses(client, **budget)
        assert again == late | {"airport_departures": {"CACHED_PRESENT"}, "carrier_performance": {"CACHED_PRESENT"}}
        slo = client.post(READ, json=tecton(metadataOptions={"includeSloInfo": True}, **budget)).json()["metadata"]["sloInfo"]
        assert slo["sloEligible"] is False
        assert slo["sloIneligibilityReasons"] == ["REDIS_LATENCY_LIMIT_EXCEEDED"]
        assert problem(client.post(READ, json=tecton())) == (504, 4, "The feature store did not answer in time (fault lab).")


def test_missing_views_are_kept_like_other_answers(demo_dir: Path) -> None:
    with laboratory(demo_dir, answers={"missing_share": 1}, views=["plane_history"]) as (client, _, _):
        assert statuses(client)["plane_history"] == {"MISSING_DATA"}
        assert statuses(client)["plane_history"] == {"CACHED_MISSING_DATA"}
        assert statuses(client)["airport_departures"] == {"CACHED_PRESENT"}


def test_a_late_reply_runs_into_the_gateways_deadline(demo_dir: Path) -> None:
    with open_house(lab_settings(demo_dir, calls=["fetch"], latency={"p50_ms": 60_000})) as house:
        assert house.client.get(f"{NAMED}/schema").status_code == 200
        answer = read_named(house.client, deadlineMs=30)
        assert set(answer["source"].values()) == {"timeout"}
        assert set(answer["features"].values()) == {None}


def by_name(client: httpx.Client, keys: dict[str, str]) -> dict[str, Any]:
    """One read on both doors, which must agree: (value, data type) by name."""
    reply = client.post(READ, json=tecton(joinKeyMap=keys, metadataOptions=SHOW))
    assert reply.status_code == 200, reply.text
    document = reply.json()
    items = document["metadata"]["features"]
    told = {item["name"]: (value, item["dataType"]["type"]) for item, value in zip(items, document["result"]["features"], strict=True)}
    simple = read_named(client, joinKeys=keys, include=["dataType"])
    assert list(simple["features"]) == list(told)
    for name, (value, data_type) in told.items():
        assert simple["dataType"][name]["type"] == data_type
        assert simple["features"][name] == (int(value) if data_type == "int64" and value is not None else value)
    return told


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kind": "gain", "feature": "aaa", "data_type": "int64"}, ("7", "int64")),
        ({"kind": "lose", "feature": "distance_sum_7d_1h"}, None),
        ({"kind": "retype", "feature": "distance_sum_7d_1h", "data_type": "string"}, ("seven", "string")),
    ],
)
def test_after_a_schema_change_every_value_has_its_own_name_and_type(
    demo_dir: Path, change: dict[str, str], expected: tuple[str, str] | None
) -> None:
    name = f"carrier_performance.{change['feature']}"
    with laboratory(demo_dir, schema_change={**change, "view": "carrier_performance", "after_s": 60}) as (client, clock, wall):
        before = [by_name(client, keys) for keys in (KEYS, OTHER_KEYS)]
        clock.advance(61)  # beyond the fragments' TTL, within that of the metadata
        wall.advance(61)
        after = [by_name(client, keys) for keys in (KEYS, OTHER_KEYS)]
        for old, new in zip(before, after, strict=True):
            assert new.get(name) == expected
            assert {key: value for key, value in new.items() if key != name} == {key: value for key, value in old.items() if key != name}
        metadata = client.post(f"{V1[0]}/metadata", json=tecton()).json()
        assert {one["name"]: one["dataType"]["type"] for one in metadata["featureValues"]} == {key: one[1] for key, one in after[0].items()}


def test_fragments_of_before_the_change_keep_their_names_until_they_are_too_old(demo_dir: Path) -> None:
    change = {"kind": "gain", "view": "carrier_performance", "feature": "aaa", "data_type": "int64", "after_s": 60}
    with laboratory(demo_dir, schema_change=change) as (client, _, wall):
        before = by_name(client, KEYS)
        wall.advance(61)
        assert by_name(client, KEYS) == before
        assert "carrier_performance.aaa" in by_name(client, KEYS | {"carrier": "UA"})
        again = by_name(client, KEYS)
        assert again.pop("carrier_performance.aaa") == ("7", "int64")
        assert again == before


def test_readiness_fails_where_it_is_told_to(demo_dir: Path) -> None:
    with open_house(lab_settings(demo_dir, not_ready=True)) as house:
        assert problem(house.client.get("/readyz"))[:2] == (503, 14)
        assert house.client.get("/livez").status_code == 200
        assert None not in read_named(house.client)["features"].values()


def test_the_command_warns_of_a_lab(demo_copy: Path, tmp_path: Path) -> None:
    variables = {
        "AUTH__MODE": "open",
        "FEATURE_SERVER__DEFINITIONS": "gateway.demo.definitions:REPOSITORY",
        "FEATURE_SERVER__FAULTS__LATENCY__P50_MS": "1",
        "FEATURE_SERVER__FAULTS__ERRORS__THROTTLED_SHARE": "0.5",
    }
    environment = plain_environment(**{f"FEATURE_GATEWAY_{name}": value for name, value in variables.items()})
    with Command(tmp_path / "lab", "serve", "--port", "0", "--data-dir", str(demo_copy), environment=environment) as served:
        served.told("Serving on")
        assert "The fault lab is on (latency, errors): the feature server misbehaves on purpose." in served.stderr
    environment["FEATURE_GATEWAY_FEATURE_SERVER__FAULTS__SERVICES"] = '["prod/nothing"]'
    ended = run_command("serve", "--port", "0", "--data-dir", str(demo_copy), environment=environment)
    assert ended.returncode == 2
    assert "feature_server.faults.services: the feature repository has no prod/nothing" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_change_of_a_view_that_only_an_on_demand_view_reads_is_noticed_too(tmp_path: Path) -> None:
    """Nothing of it shows in the schema; the replies that are fetched for it have changed all the same."""
    shop = {"definitions": "tests.feature_server.purchases:REPOSITORY", "data_dir": tmp_path}
    change = {"kind": "gain", "view": "by_user", "feature": "aaa", "data_type": "int64", "after_s": 60}
    settings = checked({**demo_settings(tmp_path), "feature_server": {**shop, "faults": {"schema_change": change}}})
    clock, wall = Clock(), Clock()
    lab = FaultLab(EmbeddedOrigin(open_engine(settings)), settings.feature_server.faults, now_s=wall)
    service = "/v1/workspaces/shop/feature-services/overspend_only/features"
    asked = {"joinKeys": {"user": "ann", "shop": 1}, "requestContext": {"amount": 1.0}}
    app = create_app(settings, Seams(clock, lab, None, {}))
    with serve(app) as server, httpx.Client(base_url=server.url, headers=authorization(READER)) as client:
        for _ in range(2):
            assert client.post(service, json=asked).status_code == 200
            clock.advance(61)
            wall.advance(61)
