"""The port for operators and tools: what is there, and nowhere else; open to them when all places are taken, and to the end."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from gateway.app import Gateway, Seams, create_app
from gateway.hosting.server import OPERATORS
from gateway.settings import SettingsError, checked
from tests.doors.flights import NAMED, named, problem, read_named
from tests.harness.certificates import make_authority
from tests.harness.clock import PATIENCE_S, Hold, wait_until
from tests.harness.cluster import ALICE, Act, Cluster
from tests.harness.houses import READER, authorization, cluster_settings, demo_settings
from tests.harness.processes import run_command
from tests.harness.serving import Running, serve
from tests.hosting.commands import ask, children, kill, serving
from tests.hosting.lines import get, line, post, refuses, says_last, status_of
from tests.serving.payments import FRAUD, VIEW_KEYS, payment

MEASURED = ("/metrics", "/v1/slo")
TECTONS = "/api/v1/observability/metrics"
"""The first of these on Tecton's path, where there is no cluster that has it."""
PROBES = ("/livez", "/readyz")
MISS = post(f"{FRAUD}/features", payment(), authorization(ALICE))


def gateway(cluster: Cluster, **server: object) -> Gateway:
    settings = cluster_settings(cluster.url, views=VIEW_KEYS, deadlines={"read_s": 60}, server={"operations_port": 0, **server})
    return create_app(checked(settings), Seams(environment={}))


@contextmanager
def before(cluster: Cluster, *, drain_s: float = 0, **server: object) -> Iterator[Running]:
    with serve(gateway(cluster, **server), drain_s=drain_s) as running:
        yield running


@pytest.fixture(scope="module")
def demo(demo_dir: Path) -> Iterator[Running]:
    with serve(create_app(checked(demo_settings(demo_dir, server={"operations_port": 0})), Seams(environment={}))) as running:
        yield running


@pytest.mark.parametrize("path", [*MEASURED, TECTONS])
def test_what_is_measured_is_there_and_nowhere_else(demo: Running, path: str) -> None:
    rights = authorization(READER)
    reply = httpx.get(f"{demo.operations_url}{path}", headers=rights)
    assert reply.status_code == 200
    assert abs(parsedate_to_datetime(reply.headers["date"]).timestamp() - time.time()) < PATIENCE_S
    assert problem(httpx.get(f"{demo.url}{path}", headers=rights))[0] == 404
    assert path not in httpx.get(f"{demo.url}/openapi.json").json()["paths"]


@pytest.mark.parametrize("path", PROBES)
def test_probes_are_on_both(demo: Running, path: str) -> None:
    assert [httpx.get(f"{url}{path}").status_code for url in (demo.operations_url, demo.url)] == [200, 200]


@pytest.mark.parametrize("path", ["/v1/features:purge", "/openapi.json", "/docs", "/console", "/", "/metrics/"])
def test_nothing_else_is_there(demo: Running, path: str) -> None:
    for method in ("GET", "POST"):
        assert problem(httpx.request(method, f"{demo.operations_url}{path}", headers=authorization(READER)))[0] == 404


def test_no_read_is_answered_there_and_another_method_is_told_so(demo: Running) -> None:
    with httpx.Client(base_url=demo.url, headers=authorization(READER)) as client:
        read_named(client)
    with httpx.Client(base_url=demo.operations_url, headers=authorization(READER)) as client:
        assert client.post(f"{NAMED}/features", json=named()).status_code == 404
    refused = httpx.post(f"{demo.operations_url}/metrics")
    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_the_same_credentials_are_asked_for(demo: Running) -> None:
    for path in (*MEASURED, TECTONS):
        for one in (None, "nobody's"):
            assert httpx.get(f"{demo.operations_url}{path}", headers=authorization(one)).status_code == 401


def test_what_is_no_request_is_refused(demo: Running) -> None:
    with line(demo.operations_url) as one:
        assert status_of(one.ask(b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")) == 400
        assert one.ended()


def test_it_answers_when_callers_have_taken_all_places_and_takes_none_of_theirs(cluster: Cluster) -> None:
    with before(cluster, max_connections=2) as running, ExitStack() as open_:
        probes = [open_.enter_context(line(running.operations_url)) for _ in range(5)]
        assert {status_of(one.ask(get("/livez"))) for one in probes} == {200}
        callers = [open_.enter_context(line(running.url)) for _ in range(2)]
        assert {status_of(one.ask(MISS)) for one in callers} == {200}
        with line(running.url) as one_more:
            assert status_of(one_more.reply()) == 503
        assert {status_of(one.ask(get("/readyz"))) for one in probes} == {200}
        assert "feature_gateway_connections 2" in httpx.get(f"{running.operations_url}/metrics").text


def test_the_clusters_own_metrics_are_the_clusters(cluster: Cluster) -> None:
    with before(cluster) as running:
        assert httpx.get(f"{running.operations_url}{TECTONS}").status_code == 404
        httpx.get(f"{running.url}{TECTONS}", headers=authorization(ALICE))
    assert [request.path for request in cluster.requests].count(TECTONS) == 1


def test_its_own_places_are_bounded(cluster: Cluster) -> None:
    with before(cluster) as running, ExitStack() as open_:
        for _ in range(OPERATORS):
            open_.enter_context(line(running.operations_url)).ask(get("/livez"))
        with line(running.operations_url) as one_more:
            assert status_of(one_more.reply()) == 503
        assert httpx.get(f"{running.url}/livez").status_code == 200
        open_.close()
        wait_until(lambda: status_of(asked(running, "/livez")) == 200, "places")
        assert b"feature_gateway_refused_connections_total 0" in asked(running, "/metrics")


def test_the_end_can_be_watched_until_all_is_answered(cluster: Cluster) -> None:
    hold = Hold()
    cluster.act("get-features", Act(hold=hold))
    with before(cluster, drain_s=0.2) as running, line(running.url) as slow, line(running.operations_url) as scraper:
        slow.send(MISS)
        hold.wait_reached()
        assert status_of(scraper.ask(get("/readyz"))) == 200
        running.stop()
        wait_until(lambda: refuses(running.url), "the listener to close")
        assert status_of(asked(running, "/metrics")) == 200
        assert status_of(asked(running, "/readyz")) == 503
        hold.release()
        reply = slow.reply()
        assert status_of(reply) == 200
        assert says_last(reply)
    assert refuses(running.operations_url)


def asked(running: Running, path: str) -> bytes:
    with line(running.operations_url) as one:
        return one.ask(get(path))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl: apt-get install openssl")
def test_probes_need_no_certificate_where_callers_do(cluster: Cluster, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    with before(cluster, tls_certificate_file=authority.server_file, tls_client_ca_file=authority.ca_file) as running:
        assert httpx.get(f"{running.operations_url}/readyz").status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(running.url.replace("http:", "https:") + "/readyz", verify=False)  # noqa: S501 - it shows no certificate itself


def test_workers_share_it_and_it_ends_with_them(cluster: Cluster, tmp_path: Path) -> None:
    with serving(tmp_path, cluster, "--workers", "2", "--operations-port", "0", SERVER__DRAIN_S=0) as served:
        url = served.told(r"operations on (http://\S+)")[1]
        assert url != served.url
        assert {ask(served.url).status_code for _ in range(10)} == {200}
        assert {httpx.get(f"{url}{path}").status_code for path in (*PROBES, *MEASURED) for _ in range(5)} == {200}
        assert httpx.get(f"{served.url}/metrics").status_code == 404
        kill(children(served.pid)[0])
        wait_until(lambda: len(children(served.pid)) == 2, "another in its place")
        assert {httpx.get(f"{url}/livez").status_code for _ in range(10)} == {200}
        served.terminate()
        assert served.wait() == 0
        assert refuses(url)


def test_a_taken_port_is_told_by_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_command(
            "serve", "--origin", "tecton", "--tecton-url", "http://127.0.0.1:9", "--port", "0", "--operations-port", str(port)
        )
    assert ended.returncode == 2
    assert f"server.operations_port: cannot listen on 127.0.0.1:{port} (Address already in use)" in ended.stderr
    assert "--operations-port" in ended.stderr


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"operations_host": "127.0.0.1"}, "needed for server.operations_host"),
        ({"operations_port": 8080}, "must be another than server.port"),
    ],
)
def test_what_does_not_go_together_is_refused(server: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=f"server.operations_port: {said}"):
        checked({"server": server})
