"""The demo on a real Valkey instead of SQLite: the same answers on every door, for all gateways that share the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app import create_app
from gateway.demo.definitions import SOURCE, WORKSPACE
from gateway.demo.flights import read_flights
from gateway.serving.readiness import FRESH_S
from gateway.settings import SettingsError, checked
from tests.doors.flights import KEYS, NAMED, OTHER_KEYS, V1, named, problem, tecton
from tests.harness.houses import WRITER, House, demo_settings, open_house
from tests.harness.valkey import Valkey

FLIGHTS, BATCH = 600, 200


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def settings(folder: Path, valkey: Valkey | None = None, **redis: Any) -> dict[str, Any]:
    tree = demo_settings(folder)
    tree["feature_server"]["ingest_records_per_source"] = BATCH
    if valkey is not None:
        tree["feature_server"] |= {"store": "redis", "redis": {"url": valkey.url, "command_timeout_s": 5, **redis}}
    return tree


def take_in(house: House) -> None:
    flights = [{"record": record} for record in read_flights()][-FLIGHTS:]
    with house.as_caller(WRITER) as writer:
        for start in range(0, FLIGHTS, BATCH):
            body = {"workspace_name": WORKSPACE, "records": {SOURCE: flights[start : start + BATCH]}}
            assert writer.post("/ingest", content=msgspec.json.encode(body)).status_code == 200


def answers(house: House) -> list[Any]:
    """What two reads, a batch and the metadata say, but for what differs from run to run."""
    include = ["status", "effectiveTime", "dataType"]
    rows = [{"joinKeys": keys, "requestContext": {"planned_air_time": 330}} for keys in (KEYS, OTHER_KEYS, KEYS)]
    told = [
        house.client.post(f"{NAMED}/features", json=named(include=include)),
        house.client.post(f"{NAMED}/features:batch", json={"rows": rows, "include": include}),
        house.client.post(f"{V1[0]}/get-features", json=tecton(metadataOptions={"includeNames": True, "includeServingStatus": True})),
        house.client.post(f"{V1[0]}/metadata", json=tecton()),
    ]
    assert {reply.status_code for reply in told} == {200}
    return [reply.json() for reply in told]


def test_answers_are_those_of_sqlite_and_gateways_share_the_store(valkey: Valkey, tmp_path: Path) -> None:
    with open_house(settings(tmp_path / "sqlite")) as house:
        take_in(house)
        expected = answers(house)
    assert any(value is not None for name, value in expected[0]["features"].items() if name.startswith("airport_departures"))
    with open_house(settings(tmp_path / "one", valkey)) as one, open_house(settings(tmp_path / "two", valkey)) as two:
        take_in(one)
        assert answers(one) == expected
        assert answers(two) == expected
        assert one.client.get("/readyz").status_code == 200
    with open_house(settings(tmp_path / "elsewhere", valkey, prefix="other")) as other:
        assert other.client.post(f"{NAMED}/features", json=named()).json()["features"]["airport_departures.flight_count_1d_10m"] is None


def test_a_store_that_goes_away_is_a_typed_503_and_comes_back(tmp_path: Path) -> None:
    with Valkey(tmp_path / "valkey") as server, open_house(settings(tmp_path, server, command_timeout_s=0.5)) as house:
        take_in(house)
        body = msgspec.json.encode({"workspace_name": WORKSPACE, "records": {SOURCE: [{"record": next(iter(read_flights()))}]}})
        server.kill()
        with house.as_caller(WRITER) as writer:
            assert problem(house.client.post(f"{NAMED}/features", json=named()))[:2] == (503, 14)
            assert house.client.get("/readyz").json() == {"status": "degraded", "origin": "unavailable"}
            refused = writer.post("/ingest", content=body)
            assert (refused.status_code, "requestError" in refused.json()) == (503, True)
            server.start()
            house.clock.advance(FRESH_S)
            assert house.client.get("/readyz").json() == {"status": "ready"}
            assert house.client.post(f"{NAMED}/features", json=named()).status_code == 200
            assert writer.post("/ingest", content=body).status_code == 200


@pytest.mark.parametrize(
    ("redis", "text"),
    [
        ({}, "feature_server.redis.url: needed for feature_server.store"),
        ({"url": "http://s3cret@127.0.0.1"}, "is not a redis://"),
        ({"url": "redis://:s3cret@127.0.0.1/3", "cluster": True}, "database number"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_without_its_password(tmp_path: Path, redis: dict[str, Any], text: str) -> None:
    tree = demo_settings(tmp_path)
    tree["feature_server"] |= {"store": "redis", "redis": redis}
    with pytest.raises(SettingsError) as refused:
        create_app(checked(tree))
    assert text in str(refused.value)
    assert "s3cret" not in str(refused.value)
