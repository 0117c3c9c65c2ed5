"""The console on the wire: who comes in, what protects it, what its pages tell. No browser; `test_browser` has one."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from gateway.access.keys import digest, new_key
from gateway.app import Seams, create_app
from gateway.lifecycle import Lifecycle, Worker
from gateway.settings import checked
from gateway.web.assets import STATIC
from gateway.web.console.door import set_cookie
from tests.doors.flights import named
from tests.harness.clock import wait_until
from tests.harness.cluster import Cluster
from tests.harness.houses import KEYS, OPERATOR, READER, STRANGER, House, cluster_settings, demo_settings, open_house
from tests.harness.serving import serve
from tests.web.console.house import HTML, SERVICE, TRIED, deactivate, open_console_house, sign_in, texts

PAGES = ("/console", "/console/services", SERVICE, f"{SERVICE}/try", "/console/savings", "/console/errors", "/console/audit")


class Console:
    def __init__(self, house: House, keys: dict[str, str], folder: Path) -> None:
        self.house = house
        self.keys = keys
        self.folder = folder

    def get(self, who: str | None, path: str, **headers: str) -> httpx.Response:
        shown = {} if who is None else {"Authorization": f"Tecton-key {self.keys[who]}"}
        return httpx.get(self.house.url + path, headers={**HTML, **shown, **headers})


@pytest.fixture(scope="module")
def console(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("access")
    with open_console_house(demo_dir, folder) as (house, keys):
        yield Console(house, keys, folder)


# Who comes in


@pytest.mark.parametrize("page", PAGES)
def test_a_browser_without_a_session_is_sent_to_sign_in_and_comes_back(console: Console, page: str) -> None:
    answer = console.get(None, f"{page}?a=b%26c")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/console/sign-in?next={quote(page + '?a=b%26c', safe='')}"
    form = console.get(None, answer.headers["location"])
    assert form.status_code == 200
    [back] = re.findall(r'name="next" value="([^"]*)"', form.text)
    assert back == f"{page}?a=b%26c"


def test_a_program_is_told_401_as_at_every_door(console: Console) -> None:
    answer = httpx.get(f"{console.house.url}/console")
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert answer.headers["www-authenticate"] == "Tecton-key"


def test_a_key_is_answered_with_a_session(console: Console) -> None:
    with httpx.Client(base_url=console.house.url, headers=HTML) as browser:
        answer = browser.post("/console/sign-in", data={"key": f" {console.keys['seer']} ", "next": SERVICE})
        assert (answer.status_code, answer.headers["location"]) == (303, SERVICE)
        [cookie] = answer.headers.get_list("set-cookie")
        assert "; Path=/console; Max-Age=28800; HttpOnly; SameSite=Strict" in cookie
        assert "Secure" not in cookie  # there is no TLS here
        assert console.keys["seer"] not in cookie
        assert browser.get("/console").status_code == 200
        assert "seer" in texts(browser.get("/console").text)


def test_over_tls_the_cookie_stays_there() -> None:
    assert set_cookie("x", 60, secure=True)[1].endswith(b"; HttpOnly; SameSite=Strict; Secure")


def test_signing_out_takes_the_cookie_back(console: Console) -> None:
    with sign_in(console.house, console.keys["seer"]) as browser:
        answer = browser.post("/console/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
        assert browser.get("/console").status_code == 303


@pytest.mark.parametrize(("who", "status"), [("cons", 403), (None, 401)])
def test_a_key_that_may_not_is_told_so_and_gets_no_session(console: Console, who: str | None, status: int) -> None:
    key = new_key() if who is None else console.keys[who]
    answer = httpx.post(f"{console.house.url}/console/sign-in", data={"key": key}, headers=HTML)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert key not in answer.text


@pytest.mark.parametrize(
    "wanted",
    ["https://elsewhere.example/", "//elsewhere.example", "/consoles", "/console\n/x", "javascript:alert(1)", "", "/console/\u00e9"],
)
def test_nobody_is_sent_out_of_the_console_after_signing_in(console: Console, wanted: str) -> None:
    answer = httpx.post(f"{console.house.url}/console/sign-in", data={"key": console.keys["seer"], "next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert f'value="{wanted}"' not in console.get(None, f"/console/sign-in?next={quote(wanted)}").text or not wanted


def test_a_cookie_that_nobody_signed_is_none(console: Console) -> None:
    with sign_in(console.house, console.keys["seer"]) as browser:
        [(name, value)] = browser.cookies.items()
    payload, _, signature = value.partition(".")
    for wrong in (payload, f"{payload}.{signature[::-1]}", f"{payload[:-4]}AAAA.{signature}", "x", f"{value}.{value}", "=" * 5_000):
        assert console.get(None, "/console", Cookie=f"{name}={wrong}").status_code == 303
    assert console.get(None, "/console", Cookie=f"{name}={value}").status_code == 200
    assert console.get(None, "/console", Cookie=f'of another=["{{; {name}={value}; x').status_code == 200


def test_a_key_that_is_revoked_ends_its_sessions(console: Console) -> None:
    with sign_in(console.house, console.keys["spent"]) as browser:
        assert browser.get("/console").status_code == 200
        deactivate(console.folder, "spent")
        wait_until(lambda: browser.get("/console").status_code == 303, "the session to end")
        live = browser.get("/console/live.json", headers={"Accept": "application/json"})
        assert live.status_code == 401


def test_a_session_is_good_at_any_gateway_with_the_same_store_key(console: Console, demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, auth={"store": "sqlite", "data_dir": console.folder}), None) as beside:
        with sign_in(console.house, console.keys["seer"]) as browser:
            [(name, value)] = browser.cookies.items()
        assert httpx.get(f"{beside.url}/console", cookies={name: value}, headers=HTML).status_code == 200


def test_roles_show_what_they_open(console: Console) -> None:
    seer, lord = console.get("seer", SERVICE).text, console.get("lord", SERVICE).text
    assert "planned_flight.usual_air_time" in lord
    assert "planned_flight.usual_air_time" not in seer
    assert "for those who may read features" in seer
    assert console.get("seer", f"{SERVICE}/try").status_code == 403
    assert console.get("lord", f"{SERVICE}/try").status_code == 200
    assert console.get("cons", "/console").status_code == 403
    assert console.get("boss", "/console/audit").status_code == 200
    assert console.get("lord", "/console/audit").status_code == 403


# What protects it


@pytest.mark.parametrize("page", [*PAGES, "/console/sign-in", "/console/live.json", "/console/no-such-thing/of/ours"])
def test_every_page_comes_with_its_protection(console: Console, page: str) -> None:
    answer = console.get("boss", page)
    if answer.status_code == 404:
        assert answer.headers["content-type"] == "application/json"
        return
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", answer.text) == []
    assert [
        url for url in re.findall(r"(?:src|href|action)=\"([^\"]*)\"", answer.text) if not re.match(r"/(console|docs)|#main", url)
    ] == []


def test_refusals_are_pages_for_people_with_the_same_protection(console: Console) -> None:
    for who, path, status in (
        ("cons", "/console", 403),
        ("boss", "/console/services/prod/no_such", 404),
        ("boss", "/console/audit?limit=x", 400),
    ):
        answer = console.get(who, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "content-security-policy" in answer.headers
        assert answer.headers["cache-control"] == "no-store"


CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://gateway.example"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Origin": ""},
]


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-out", f"{SERVICE}/try"])
@pytest.mark.parametrize("sent", CROSS_SITE, ids=str)
def test_a_form_on_another_sites_page_does_nothing(console: Console, path: str, sent: dict[str, str]) -> None:
    with sign_in(console.house, console.keys["lord"]) as browser:
        answer = browser.post(path, data={"key": console.keys["lord"], **TRIED}, headers=sent)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_a_form_on_our_own_page_is_taken(console: Console) -> None:
    host = console.house.url.removeprefix("http://")
    with sign_in(console.house, console.keys["lord"]) as browser:
        for sent in ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": f"http://{host}"}, {}):
            assert browser.post(f"{SERVICE}/try", data=TRIED, headers=sent).status_code == 200


MARKUP = "<img src=x onerror=alert(1)>\"'"


def test_markup_in_what_was_sent_is_told_as_text(console: Console) -> None:
    name = quote(MARKUP, safe="")
    with sign_in(console.house, console.keys["boss"]) as browser:
        pages = [
            browser.get(f"/console/services/prod/{name}"),
            browser.get(f"/console/audit?actor={name}"),
            browser.get(f"/console/sign-in?next=/console/{name}"),
            browser.post(f"{SERVICE}/try", data={**TRIED, "join.origin": MARKUP, "features": MARKUP, "deadline_ms": MARKUP}),
            browser.post("/console/sign-in", data={"key": MARKUP, "next": f"/console/{MARKUP}"}),
        ]
    for page in pages:
        assert "<img" not in page.text, page.url


def test_the_vendored_chart_library_is_the_one_that_was_looked_at() -> None:
    told = {path.name: sha256(path.read_bytes()).hexdigest() for path in (STATIC / "uplot").iterdir()}
    assert told == {
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }


def test_our_scripts_and_styles_ask_only_the_gateway() -> None:
    for file in (STATIC / "console").iterdir():
        assert re.findall(r"https?:|\"//|@import|eval\(|Function\(", file.read_text()) == [], file.name


# What it tells


def test_live_numbers_are_those_of_the_reads(console: Console) -> None:
    for _ in range(8):
        assert console.house.client.post("/v1/workspaces/prod/feature-services/flight_delay/features", json=named()).status_code == 200
    wait_until(lambda: "flight_delay" in console.get("seer", "/console/live.json").json()["parts"]["objectives"], "the reads to be told")
    told = console.get("seer", "/console/live.json").json()
    assert set(told) == {"at", "every", "kept", "fields", "points", "parts"}
    assert set(told["parts"]) == {"tiles", "objectives", "origin", "cache", "workers"}
    assert all(len(point) == len(told["fields"]) for point in told["points"])
    assert console.get("seer", "/console/live.json?since=99999999999").json()["points"] == []
    assert console.get("seer", "/console/live.json?since=yesterday").status_code == 400


def test_the_services_are_listed_before_anything_is_read(console: Console) -> None:
    told = texts(console.get("seer", "/console/services").text)
    assert "prod/flight_delay" in told
    assert "prod/airport_board" in told
    answer = console.get("seer", "/console/services?workspace=a%20b&service=c")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/services/a%20b/c")


def test_a_service_tells_its_views_policies_and_features(console: Console) -> None:
    told = texts(console.get("lord", SERVICE).text)
    assert "29 features" in told
    assert "computed from route_history, planned_air_time" in told
    assert re.search(r"route_history origin, dest 60 s 10 s", told)


def test_a_read_shows_what_each_value_is_and_why(console: Console, caplog: pytest.LogCaptureFixture) -> None:
    with console.house.as_caller(OPERATOR) as operator:
        assert operator.post("/v1/features:purge", json={"everything": True}).status_code == 200
    with caplog.at_level(logging.DEBUG), sign_in(console.house, console.keys["lord"]) as browser:
        pages = [
            texts(browser.post(f"{SERVICE}/try", data={**TRIED, "features": "plane_history.*\nplanned_flight.*"}).text) for _ in range(2)
        ]
    for page, source in zip(pages, ("origin", "cache"), strict=True):
        assert re.search(rf'plane_history.origin_last_7d_1h "JFK" PRESENT {source} ', page)
        assert re.search(r"planned_flight.longer_than_usual (true|false) PRESENT computed", page)
        assert "airport_departures" not in page
    assert "The cache had it, fresh" in pages[1]
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpc"))
    assert "N338AA" not in logged
    assert console.keys["lord"] not in logged


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"context.planned_air_time": "soon"}, "Unexpected JSON type for planned_air_time"),
        ({"features": "no.such"}, "features[0] is no feature"),
        ({"deadline_ms": "-1"}, "deadlineMs"),
        ({"max_age_ms": "a"}, "maxAgeMs"),
    ],
)
def test_a_mistake_is_told_by_name_and_what_was_typed_in_stays(console: Console, changed: dict[str, str], told: str) -> None:
    with sign_in(console.house, console.keys["lord"]) as browser:
        page = browser.post(f"{SERVICE}/try", data={**TRIED, **changed}).text
    assert told in texts(page)
    assert 'value="N338AA"' in page


def test_null_and_empty_are_not_the_same(console: Console) -> None:
    with sign_in(console.house, console.keys["lord"]) as browser:
        page = browser.post(f"{SERVICE}/try", data={**TRIED, "join.tailnum": "", "join.tailnum.null": "on"}).text
        assert 'name="join.tailnum.null" value="on" checked' in page
        assert "MISSING_DATA" in texts(page)


def test_errors_and_savings_are_told(console: Console) -> None:
    console.house.client.post(
        "/v1/workspaces/prod/feature-services/flight_delay/features", json={"joinKeys": {}}, headers={"X-Request-Id": "asked-1"}
    )
    line = "named_single prod/flight_delay 400 InvalidRequest caller asked-1"
    wait_until(lambda: line in texts(console.get("seer", "/console/errors").text), "the error to be told")
    assert re.search(r"View reads saved", texts(console.get("seer", "/console/savings").text))


def test_the_audit_log_is_paged_and_searched(console: Console) -> None:
    rights = {"Authorization": f"Tecton-key {console.keys['boss']}"}
    with httpx.Client(base_url=console.house.url, headers=rights, timeout=30.0) as boss:
        for number in range(3):
            assert boss.post("/api/scim/v2/Users", json={"userName": f"somebody-{number}"}).status_code == 201
    page = console.get("boss", "/console/audit?limit=2&outcome=done").text
    assert len(re.findall(r"directory\.manage", page)) == 2
    [older] = re.findall(r'href="(/console/audit\?[^"]*before[^"]*)"', page)
    assert "directory.manage" in console.get("boss", older.replace("&amp;", "&")).text
    assert "No entry fits" in texts(console.get("boss", "/console/audit?actor=nobody&since=").text)


# Other ways to judge callers


def test_keys_of_the_settings_open_it_where_they_open_everything(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir)) as house:
        with sign_in(house, READER) as browser:
            assert browser.get("/console").status_code == 200
            assert browser.get("/console/audit").status_code == 404
        assert httpx.post(f"{house.url}/console/sign-in", data={"key": STRANGER}).status_code == 403


def test_where_everybody_may_read_nobody_signs_in(demo_dir: Path) -> None:
    with open_house({**demo_settings(demo_dir), "auth": {"mode": "open"}}, None) as house:
        page = house.client.get("/console", headers=HTML)
        assert page.status_code == 200
        assert "Sign out" not in page.text
        assert house.client.get("/console/sign-in").status_code == 404
        assert house.client.post(f"{SERVICE}/try", data=TRIED).status_code == 200


@contextmanager
def worker(cluster: Cluster, number: int, folder: Path, secret: bytes) -> Iterator[str]:
    """One of two workers, in this process."""
    tree = cluster_settings(cluster.url, auth={"mode": "keys", "keys": KEYS})
    tree["origin"] |= {"api_key": "the-gateways-own"}
    lifecycle = Lifecycle(Worker(number, 2, folder, secret))
    with serve(create_app(checked(tree), Seams(environment={}, lifecycle=lifecycle))) as running:
        yield running.url


def test_any_worker_knows_the_sessions_of_the_others_and_tells_of_all(cluster: Cluster, tmp_path: Path) -> None:
    with worker(cluster, 1, tmp_path, b"s" * 32) as first, worker(cluster, 2, tmp_path, b"s" * 32) as second:
        with httpx.Client(base_url=first, headers=HTML) as browser:
            assert browser.post("/console/sign-in", data={"key": READER}).status_code == 303
            cookies = dict(browser.cookies)
        with httpx.Client(base_url=second, headers=HTML, cookies=cookies) as browser:
            page = texts(browser.get("/console").text)
            assert re.search(r"Breaker closed; opened 0 times", page)
            wait_until(
                lambda: len(re.findall(r'<th scope="row" class="number">', browser.get("/console").text)) == 2, "both workers to be told"
            )
    with worker(cluster, 1, tmp_path, b"t" * 32) as other:
        assert httpx.get(f"{other}/console", headers=HTML, cookies=cookies).status_code == 303


def test_it_can_be_left_out(demo_dir: Path) -> None:
    with open_house(demo_settings(demo_dir, console={"enabled": False})) as house:
        assert house.client.get("/console").status_code == 404


def test_before_a_cluster_that_judges_there_is_none_without_a_key_of_its_own(cluster: Cluster) -> None:
    with open_house(cluster_settings(cluster.url), None) as house:
        assert house.client.get("/console", headers=HTML).status_code == 404


def test_before_a_cluster_that_judges_each_read_brings_its_credential(cluster: Cluster) -> None:
    key = new_key()
    with open_house(cluster_settings(cluster.url, console={"key_digest": digest(key)}), None) as house:
        assert httpx.post(f"{house.url}/console/sign-in", data={"key": "of-a-caller"}).status_code == 401
        assert httpx.get(f"{house.url}/console", headers={"Authorization": f"Tecton-key {key}"}).status_code == 200
        with sign_in(house, key) as browser:
            assert 'href="/console/services/prod/fraud/try"' in browser.get("/console/services/prod/fraud").text
            page = "/console/services/prod/fraud/try"
            assert 'name="credential"' in browser.get(page).text
            form = {"join_keys": '{"user_id": "u1", "merchant_id": "7"}', "request_context": '{"amount": 12.5}'}
            assert "Give the credential" in texts(browser.post(page, data=form).text)
            assert not cluster.asked("get-features")
            told = browser.post(page, data={**form, "credential": "of-a-caller"}).text
        asked = cluster.asked("metadata")
        assert {one.headers["authorization"] for one in asked} == {"Tecton-key of-a-caller"}
        assert "of-a-caller" not in told
