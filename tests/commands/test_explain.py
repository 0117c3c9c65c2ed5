"""`feature-gateway explain`: what a running gateway tells, for people and for programs; and a clear word where it tells nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.cli import main
from gateway.commands import asking
from gateway.commands.explanation_text import show, span
from gateway.errors import OriginUnavailable
from gateway.wire.explanations import ExplainedCall, ExplainedFlight, ExplainedSlo, read_explanation
from tests.commands.terminals import said_on_a_terminal
from tests.doors.flights import KEYS, NAMED, named
from tests.harness.houses import READER, STRANGER, House, demo_settings, open_house
from tests.harness.serving import serve

GIVEN = [f"{name}={value}" for name, value in KEYS.items()] + ["planned_air_time=330"]
ROUTE = ("--feature", "route_history.*")


@pytest.fixture(scope="module")
def house(demo_dir: Path) -> Iterator[House]:
    with open_house(demo_settings(demo_dir)) as house:
        yield house


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "reader.key"
    file.write_text(f"{READER}\n")
    return file


def run(url: str, key: Path | None, *arguments: str, status: int = 0) -> Result:
    shown = [] if key is None else ["--key-file", str(key)]
    ended = CliRunner().invoke(main, ["explain", "--url", url, *shown, *arguments])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    assert ended.exit_code == status, ended.output
    return ended


def test_it_tells_values_sources_ends_settings_and_times(house: House, key: Path) -> None:
    house.client.post(f"{NAMED}/features", json=named())
    said = run(house.url, key, "flight_delay", *GIVEN).stdout
    assert said.startswith("prod/flight_delay: hit, in ")
    assert "\nroute_history.air_time_mean_7d_1h\t345.2307692307692\tPRESENT\tcache\t0.0 s\t2013-01-14T22:58:00Z\n" in said
    assert "\nplanned_flight.minutes_over_usual\t-15.230769230769226\tPRESENT\tcomputed\t-\t-\n" in said
    assert "\nroute_history\tcache\t0.0 s\tin 60.0 s, by ttl\tThe cache had it, fresh: served from there.\n" in said
    assert "\nplanned_flight\tcomputed\troute_history.air_time_mean_7d_1h, planned_air_time (context)\t" in said
    assert "\nroute_history\t60.0 s (cache)\t10.0 s (cache)\tnone (cache)\t0.0 s (cache)\t5.0 min (cache)\n" in said
    assert "\nCaller: reader (settings key), by keys; could have cached values; may read here.\n" in said
    assert "\nTime: authorise " in said
    assert READER not in said


def test_options_of_the_read_are_sent_with_it(house: House, key: Path) -> None:
    more = ("--max-age-ms", "0", "--deadline-ms", "900", *ROUTE, "--context", "planned_air_time=null")
    said = run(house.url, key, "flight_delay", *GIVEN, *more).stdout
    assert "the request's own deadline, 900 ms" in said
    assert "route_history\torigin\t" in said
    assert "Waited for fetch 1 of route_history: begun for this read, landed." in said
    assert "Asked for route_history: 0.00 ms, 1 attempt." in said
    assert "plane_history" not in said


def test_json_is_what_the_gateway_answered(house: House, key: Path) -> None:
    told = json.loads(run(house.url, key, "airport_board", "origin=JFK", "dest=LAX", "--json").stdout)
    assert told["featureService"] == "airport_board"
    assert {"views", "features", "grant", "timings"} <= set(told)


def test_a_read_that_failed_is_told_too(house: House, key: Path) -> None:
    house.origin.fails = [OriginUnavailable("gone")]
    given = [one.replace("AA", "ZZ") for one in GIVEN]
    said = run(house.url, key, "flight_delay", *given, "--feature", "carrier_performance.*").stdout
    assert said.startswith("prod/flight_delay: error, in ")
    assert "It failed: 503 OriginUnavailable (fault: origin): gone" in said
    assert "\ncarrier_performance\t-\t-\t-\tThe cache did not have it, and it did not come. 503 " in said


def test_on_a_terminal_it_is_tables(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    body = house.client.post(f"{NAMED}/features:explain", json=named(features=["route_history.air_time_mean_7d_1h"])).content
    said = said_on_a_terminal("stdout", monkeypatch, lambda: show(read_explanation(body)))
    assert "┃" in said
    assert "345.23" in said


def test_what_seldom_happens_is_said_in_words(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    told = read_explanation(house.client.post(f"{NAMED}/features:explain", json=named(maxAgeMs=0)).content)
    told.flights = [ExplainedFlight(1, led=False, views=["user"], state="under_way", began_before_seconds=0.25)]
    told.origin.breaker = "open"
    told.origin.calls = [ExplainedCall(["user"], took_ms=7.5, attempts=3, retries=1, hedged=True, error=None)]
    told.origin.slo_info = ExplainedSlo(False, None, None, None, ["REDIS_RESPONSE_SIZE_LIMIT_EXCEEDED"])  # noqa: FBT003 - of its fields
    told.schema_corrected = told.partial_results = True
    told.features["route_history.air_time_mean_7d_1h"].value = msgspec.Raw(b'"' + b"x" * 100 + b'"')
    show(told)
    said = capsys.readouterr().out
    assert "Waited for fetch 1 of user: begun for another 0.2 s before, under way." in said
    assert "its breaker open." in said
    assert "Asked for user: 7.50 ms, 3 attempts, one of them a hedge." in said
    assert "It says of its service: not eligible (REDIS_RESPONSE_SIZE_LIMIT_EXCEEDED)." in said
    assert "which was fetched again." in said
    assert "its own size limit was met." in said
    assert f'\t"{"x" * 58}…\t' in said


def test_what_a_terminal_would_obey_is_spelled_out(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    told = read_explanation(house.client.post(f"{NAMED}/features:explain", json=named()).content)
    told.workspace = "a\x1b[2Jb\x9bc\u202e"
    told.views[0].name = "é\n"
    show(told)
    said = capsys.readouterr().out
    assert said.startswith("a\\x1b[2Jb\\x9bc\\u202e/flight_delay: ")
    assert "é\\n\t" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["origin=JFK"], "dest, carrier, tailnum, planned_air_time: missing. Its join keys: origin (string), dest (string)"),
        ([*GIVEN, "gate=B7-canary"], "gate: the feature service takes no such value."),
        ([*GIVEN, "planned_air_time=long-canary"], "planned_air_time: its value is not of the type float64."),
        ([*GIVEN, "canary"], "A value is given as NAME=VALUE"),
        ([*GIVEN, "=canary"], "A value is given as NAME=VALUE"),
    ],
)
def test_what_is_given_wrongly_is_told_by_name_and_never_by_value(house: House, key: Path, values: list[str], said: str) -> None:
    stderr = run(house.url, key, "flight_delay", *values, status=2).stderr
    assert said in stderr
    assert "-canary" not in stderr


def test_whoever_may_not_is_told_what_to_do(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "demo_key_file", lambda: tmp_path / "none")
    assert "Give a key with --key-file. Make one with: feature-gateway keys create" in run(house.url, None, "flight_delay", status=1).stderr
    wrong = tmp_path / "wrong.key"
    wrong.write_text("of-nobody")
    said = run(house.url, wrong, "flight_delay", status=1).stderr
    assert "answered 401" in said
    assert "Give another key with --key-file." in said
    wrong.write_text(STRANGER)
    assert "Give the key of somebody who may read there" in run(house.url, wrong, "flight_delay", status=1).stderr
    assert "cannot be read" in run(house.url, tmp_path / "nothing.key", "flight_delay", status=2).stderr


def test_the_demos_key_is_shown_to_a_gateway_on_this_machine_alone(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "demo-key"
    kept.write_text(READER)
    monkeypatch.setattr(asking, "demo_key_file", lambda: kept)
    assert run(house.url, None, "flight_delay", *GIVEN, *ROUTE).stdout.startswith("prod/flight_delay: ")
    elsewhere = house.url.replace("127.0.0.1", "127.1")  # which is the same, and not called so
    assert "Give a key with --key-file." in run(elsewhere, None, "flight_delay", status=1).stderr


def test_what_is_not_there_is_told_with_what_to_do(house: House, key: Path) -> None:
    assert "Is it the right --workspace?" in run(house.url, key, "nothing", status=1).stderr
    assert "Is it a feature-gateway, and of this release?" in run(f"{house.url}/below", key, "flight_delay", status=1).stderr
    assert "must start with http" in run("127.0.0.1:8080", key, "flight_delay", status=2).stderr
    silent = run("http://127.0.0.1:9", key, "flight_delay", status=1).stderr
    assert "does not answer (ConnectError). Is it running? Start one with: feature-gateway demo" in silent
    assert "features[0] is no feature" in run(house.url, key, "flight_delay", *GIVEN, "--feature", "nothing.*", status=1).stderr


def test_what_is_no_gateway_is_told(key: Path) -> None:
    schema = {"joinKeys": [{"name": "user", "dataType": {"type": "int64"}}], "requestContext": []}
    answers: list[Response] = []

    async def answer(_: Request) -> Response:
        return answers.pop(0)

    with serve(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])) as running:
        answers += [PlainTextResponse("<html>"), JSONResponse({"joinKeys": 1}), JSONResponse(schema), JSONResponse({})]
        for _ in range(2):
            assert "What answers there is no feature-gateway of this release." in run(running.url, key, "any", status=1).stderr
        assert "is no explanation that this release can read" in run(running.url, key, "any", "user=1", status=1).stderr
        answers += [PlainTextResponse("Bad Gateway", 502), JSONResponse(["no"], 503)]
        assert "answered 502: no reason given." in run(running.url, key, "any", status=1).stderr
        assert "answered 503: no reason given. Try again in a moment." in run(running.url, key, "any", status=1).stderr


def test_values_are_spelled_by_their_types(key: Path) -> None:
    types = {"user": "int64", "name": "string", "at": "timestamp", "new": "boolean", "share": "float64"}
    schema = {"joinKeys": [], "requestContext": [{"name": name, "dataType": {"type": kind}} for name, kind in types.items()]}
    asked: list[Any] = []

    async def answer(request: Request) -> Response:
        asked.append(await request.body())
        return JSONResponse(schema)

    given = ["user=12", "name=12", "at=2024-01-01T00:00:00Z", "new=true", "share=NaN"]
    with serve(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])) as running:
        run(running.url, key, "any", *given, "--json")
    told = {"user": 12, "name": "12", "at": "2024-01-01T00:00:00Z", "new": True, "share": "NaN"}
    assert json.loads(asked[-1]) == {"joinKeys": {}, "requestContext": told}


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0.04, "0.0 s"), (119.9, "119.9 s"), (120, "2.0 min"), (7_199, "120.0 min"), (7_200, "2.0 h"), (200_000, "2.3 d")],
)
def test_spans_are_told_in_a_unit_that_people_use(seconds: float, spelled: str) -> None:
    assert span(seconds) == spelled
