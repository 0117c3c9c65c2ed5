"""The comparison with Feast, but for Feast itself: it skips where there is none, asks our side rightly, and does its sums."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest

from gateway.feature_server.definitions import Repository
from loadtests import peer_definitions
from loadtests.drivers import COUNT, Load, Target, drive
from loadtests.peer_data import AS_OF, COLUMNS, USERS, attributes, users_in_turn
from loadtests.peer_processes import fill, find_feast
from loadtests.peer_sides import Feast, Ours
from loadtests.peers import Comparison, Server, ask, disagreements, in_groups, row, verify
from loadtests.servers import Measured
from tests.harness.houses import KEYS, WRITER, House, open_house
from tests.loadtests.listening import listening

ROOT = Path(__file__).resolve().parent.parent.parent


def compare_with_feast(*options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if name != "FEAST_PYTHON"}
    command = [sys.executable, "-m", "loadtests.peers", "feast", *options]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60, check=False)


def test_without_feast_it_says_so_and_is_content(tmp_path: Path) -> None:
    run = compare_with_feast("--feast-python", str(tmp_path / "python"))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("skipped: ")
    assert len(run.stdout.splitlines()) == 1


def test_an_interpreter_without_feast_is_none(tmp_path: Path) -> None:
    run = compare_with_feast(FEAST_PYTHON=sys.executable)
    assert run.returncode == 0
    assert sys.executable in run.stdout
    assert compare_with_feast(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)).stdout.startswith("skipped: ")


def test_an_interpreter_of_another_version_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'["0.67.0", "3.9.1"]\'\n')
    python.chmod(0o755)
    found = find_feast(python)
    assert found is not None
    assert (found.feast, found.version) == ("0.67.0", "3.9.1")
    run = compare_with_feast("--feast-python", str(python))
    assert run.returncode == 1
    assert "3.9.1" in run.stderr


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Our side as the comparison fills and opens it."""
    data_dir = tmp_path_factory.mktemp("peers")
    fill(data_dir)
    server = {"definitions": f"{peer_definitions.__name__}:REPOSITORY", "data_dir": data_dir, "as_of": AS_OF}
    with open_house({"auth": {"keys": KEYS}, "cache": {"ttl_s": 0}, "feature_server": server}, WRITER) as opened:
        yield opened


@pytest.fixture
def ours(house: House) -> Ours:
    return Ours(httpx.URL(house.url).port or 0, WRITER)


def test_our_definitions_serve_twelve_features() -> None:
    assert isinstance(peer_definitions.REPOSITORY, Repository)
    assert sorted(peer_definitions.FEATURES.values()) == sorted(COLUMNS)
    assert len(COLUMNS) == 12


def test_our_side_answers_singles_and_batches_with_the_data(house: House, ours: Ours) -> None:
    users = users_in_turn()[-25:]
    rows = ours.values(ask(house.client, ours.batch([users])))
    assert not disagreements(rows, [attributes(user) for user in users])
    [alone] = ours.values(ask(house.client, ours.single(users)))
    assert alone == attributes(users[0])
    assert ours.values(ask(house.client, ours.single([USERS + 1]))) == [dict.fromkeys(COLUMNS)]


def test_both_replies_tell_statuses_and_times(house: House, ours: Ours) -> None:
    told = json.loads(ask(house.client, ours.single([3])))
    assert set(told["status"].values()) == {"PRESENT"}
    assert len(told["effectiveTime"]) == 12


def test_verification_writes_and_reads_and_passes(house: House, ours: Ours) -> None:
    servers = [Server("ours", ours, 0)] * 3
    verify(house.client, servers)
    [renewed] = ours.values(ask(house.client, ours.single(users_in_turn())))
    assert renewed == attributes(users_in_turn()[0], version=2)


class _Forgetful(Ours):
    """A side whose answers lack a feature."""

    def values(self, reply: bytes) -> list[dict[str, object]]:
        return [{name: value for name, value in row.items() if name != "plan"} for row in Ours.values(self, reply)]


def test_a_difference_ends_the_run_and_shows_no_value(house: House, ours: Ours) -> None:
    forgetful = Server("forgetful", _Forgetful(ours.port, ours.key), 0)
    with pytest.raises(click.ClickException, match="row 0, plan") as caught:
        verify(house.client, [forgetful] * 3)
    assert not [plan for plan in ("free", "basic", "family", "business") if plan in caught.value.message]
    with pytest.raises(click.ClickException, match="status 4"):
        ask(house.client, Ours(ours.port, "no-such-key").single([1]))


def test_differences_are_found_by_value_type_name_and_number() -> None:
    right = {"a": 1, "b": 2.0}
    assert disagreements([right], [right]) == []
    assert disagreements([{"a": 1.0, "b": 2.0}], [right]) == ["row 0, a"]
    assert disagreements([right, {"a": 1, "b": None}], [right, right]) == ["row 1, b"]
    assert disagreements([{"a": 1, "b": 2.0, "c": 3}], [right]) == ["row 0, c"]
    assert disagreements([], [right]) == ["0 rows instead of 1"]


def test_feast_is_asked_by_names_or_by_service_and_its_columns_become_rows() -> None:
    by_names, by_service = Feast(1, by_service=False), Feast(1, by_service=True)
    assert json.loads(by_names.single([7]).body)["features"] == [f"user_profile:{name}" for name in COLUMNS]
    asked = by_service.batch([[7, 8], [9]])
    assert [json.loads(body) for body in asked.bodies] == [
        {"feature_service": "user_profile_v1", "entities": {"user_id": users}} for users in ([7, 8], [9])
    ]
    names = ["user_id", *reversed(COLUMNS)]
    columns = [{"values": [f"{name} of 7", None], "statuses": ["PRESENT", "NOT_FOUND"]} for name in names]
    reply = json.dumps({"metadata": {"feature_names": names}, "results": columns}).encode()
    assert by_names.values(reply) == [{name: f"{name} of 7" for name in COLUMNS}, dict.fromkeys(COLUMNS)]


def test_both_sides_are_given_the_same_events() -> None:
    groups = in_groups([5, 6, 7], 2)
    assert groups == [[5, 6], [7]]
    ours, feast = Ours(1, "").ingest(groups, second=8), Feast(1, by_service=False).ingest(groups, second=8)
    for our, their in zip(ours.bodies, feast.bodies, strict=True):
        records = [one["record"] for one in json.loads(our)["records"]["profiles"]]
        columns = json.loads(their)["df"]
        assert records == [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        assert {record["event_timestamp"] for record in records} == {f"2025-12-15T00:00:08.{COUNT}Z"}


def measured(requests_per_s: float, cpu_us: float, p50_ms: float, p99_ms: float, errors: int = 0) -> Measured:
    return Measured(Load(requests_per_s, p50_ms, p99_ms, errors, int(requests_per_s)), cpu_us)


def test_the_table_does_its_sums() -> None:
    ours = [measured(2000, 50, 0.5, 1.0), measured(9000, 40, 0.4, 0.9), measured(3000, 60, 0.6, 2.0, errors=2)]
    feast = [measured(100, 1000, 10.0, 40.0), measured(300, 800, 9.0, 50.0, errors=1), measured(200, 900, 8.0, 60.0)]
    compared = Comparison(ours, feast)
    assert compared.rates == [20, 30, 15]
    assert compared.by_cpu_time == [20, 20, 15]
    assert compared.tail_to_median == [0.1, 0.1, 0.25]
    assert row(16, 10, compared) == [
        *("16", "30,000", "0.50", "1.00", "2,000", "9.00", "50.00"),
        *("20.00 [15.00-30.00]", "20.00 [15.00-20.00]", "0.10 [0.10-0.25]", "2, 1"),
    ]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is what is scripted: apt-get install wrk")
def test_bodies_without_a_number_are_sent_as_they_are() -> None:
    bodies = [f'{{"row":"{letter}"}}'.encode() for letter in "abc"]
    with listening() as (port, seen):
        load = drive(Target(port, "/", {}, bodies[0], bodies[1:]), connections=1, seconds=1)
    assert load.errors == 0
    first = bodies.index(seen[0])
    assert seen[:30] == [bodies[(first + number) % 3] for number in range(30)]


@pytest.mark.parametrize("driver", ["wrk", "built-in"])
def test_several_bodies_are_sent_in_turn_and_numbered(driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if driver == "built-in":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    bodies = [f'{{"{letter}":"{COUNT}"}}'.encode() for letter in "abc"]
    with listening() as (port, seen):
        load = drive(Target(port, "/", {"Content-Type": "application/json"}, *(bodies[0], bodies[1:])), connections=1, seconds=1)
    assert load.errors == 0
    assert len(seen) > 3
    letters = [next(iter(json.loads(body))) for body in seen]
    numbers = [int(next(iter(json.loads(body).values()))) for body in seen]
    assert numbers[:50] == list(range(numbers[0], numbers[0] + len(numbers)))[:50]
    assert "".join(letters[:6]) in "abcabcabcabc"
