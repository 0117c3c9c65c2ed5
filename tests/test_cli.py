"""The command: what it prints can be pasted, what is wrong is told plainly, and what it makes can be used."""

import ast
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from gateway.access.keys import digest, key_id
from gateway.cli import main
from gateway.demo import definitions
from gateway.demo.flights import ROWS
from gateway.embedded import ONLINE_STORE
from tests.doors.flights import NAMED, named, read_named, sources_by_view
from tests.harness.houses import authorization
from tests.harness.processes import COMMAND, Command, plain_environment, run_command

DEMO = {"FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS": "gateway.demo.definitions:REPOSITORY"}
"""Of a server of the demo's definitions."""


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def running(demo_folder: Path) -> Iterator[Command]:
    """`feature-gateway demo`, started for the first time."""
    with Command(demo_folder / "first", "demo", "--port", "0", "--data-dir", str(demo_folder / "data")) as demo:
        demo.told(r"Stop with Ctrl\+C")
        yield demo


def test_the_demo_loads_its_flights_and_says_so(running: Command) -> None:
    assert f"Ingesting flights: {ROWS:,} of {ROWS:,}" in running.stderr
    assert "Traceback" not in running.stderr


def test_the_demo_prints_its_url_a_key_and_where_the_docs_are(running: Command) -> None:
    assert running.told(r"API key: (fgk_\S+)")
    docs = running.told(r"docs: (http://\S+/docs)")[1]
    assert docs == f"{running.url}/docs"
    assert httpx.get(docs).status_code == 200
    assert definitions.AS_OF in running.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_the_printed_curl_works_as_printed(running: Command) -> None:
    command = running.told(r"(?s)\n\s*(curl .*?\}')\n")[1]
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=20)
    document = json.loads(answer.stdout)
    assert {name.partition(".")[0] for name in document["features"]} >= {"airport_departures", "planned_flight"}
    assert None not in document["features"].values()
    assert set(document["source"].values()) <= {"origin", "cache", "computed"}


def test_the_printed_snippet_works_as_printed(running: Command, tmp_path: Path) -> None:
    snippet = running.told(r"(?s)tecton-client\):\n\n(.*?)\n\nStop with")[1]
    file = tmp_path / "snippet.py"
    file.write_text(textwrap.dedent(snippet))
    answer = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True, timeout=20)
    features = ast.literal_eval(answer.stdout)
    assert type(features["airport_departures.flight_count_1d_10m"]) is int
    assert features["planned_flight.longer_than_usual"] is False
    assert answer.stderr == ""


def test_the_demos_key_is_readable_by_its_owner_alone(running: Command, demo_folder: Path) -> None:
    file = demo_folder / "data" / "demo-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == running.told(r"API key: (\S+)")[1]


def test_the_demo_listens_on_loopback_alone_and_its_key_may_write_and_purge(running: Command) -> None:
    assert running.url.startswith("http://127.0.0.1:")
    key = running.told(r"API key: (\S+)")[1]
    reply = httpx.post(
        f"{running.url}/ingest", json={"workspace_name": "prod", "dry_run": True, "records": {"flights": []}}, headers=authorization(key)
    )
    assert reply.status_code == 400  # refused for its records, not for its key
    purge = {"joinKeys": {"tailnum": "N-NEVER-FLEW"}}
    assert httpx.post(f"{running.url}{NAMED}/features:purge", json=purge, headers=authorization(key)).json() == {"purged": 0}
    assert httpx.post(f"{running.url}{NAMED}/features", json=named()).status_code == 401


def fingerprint(store: Path) -> str:
    return hashlib.sha256(store.read_bytes()).hexdigest()


def test_started_again_the_demo_keeps_its_key_and_ingests_nothing(demo_dir: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(demo_dir / ONLINE_STORE, data / ONLINE_STORE)
    keys, answers, stores = [], [], []
    for start in ("first", "second"):
        with Command(tmp_path / start, "demo", "--port", "0", "--data-dir", str(data)) as demo:
            keys.append(demo.told(r"API key: (\S+)")[1])
            with httpx.Client(base_url=demo.url, headers=authorization(keys[-1])) as client:
                answers.append(read_named(client)["features"])
        stores.append(fingerprint(data / ONLINE_STORE))
    assert keys[0] == keys[1]
    assert answers[0] == answers[1]
    assert len(set(stores)) == 1


def test_started_again_the_demo_does_not_say_that_it_ingests(demo_copy: Path, tmp_path: Path) -> None:
    with Command(tmp_path / "again", "demo", "--port", "0", "--data-dir", str(demo_copy)) as demo:
        demo.told(r"Stop with")
        assert "Ingesting" not in demo.stderr


def test_ctrl_c_ends_the_demo_without_a_traceback(demo_copy: Path, tmp_path: Path) -> None:
    with Command(tmp_path / "ended", "demo", "--port", "0", "--data-dir", str(demo_copy)) as demo:
        demo.told(r"Stop with")
        demo.stop()
        assert "Traceback" not in demo.stderr + demo.stdout


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_told_at_once_with_what_to_do(taken: int, demo_copy: Path) -> None:
    ended = run_command("demo", "--port", str(taken), "--data-dir", str(demo_copy))
    assert ended.returncode == 2
    assert f"server.port: cannot listen on 127.0.0.1:{taken} (Address already in use" in ended.stderr
    assert "Choose another with --port." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_all_mistakes_in_the_settings_are_told_at_once_and_their_values_are_not(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        """
        [server]
        port = 70000
        [cache]
        ttl_s = -1
        max_byte = 7
        [auth.keys.one]
        digest = "c4n4ry"
        [origin]
        kind = "canary-kind"
        """
    )
    environment = plain_environment(FEATURE_GATEWAY_DEADLINES__READ_S="soon-c4n4ry", FEATURE_GATEWAY_ORIGIN__API_KEY="c4n4ry")
    ended = run_command("serve", "--config", str(config), environment=environment)
    assert ended.returncode == 2
    for name in ("server.port", "cache.ttl_s", "cache.max_byte", "auth.keys.one.digest", "origin.kind", "deadlines.read_s"):
        assert f"\n{name}: " in ended.stderr
    assert "c4n4ry" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--config", "/nowhere/gateway.toml"], "/nowhere/gateway.toml: No such file or directory"),
        (["--origin", "tecton"], "origin.url: needed for origin.kind"),
        (["--origin", "tecton", "--tecton-url", "mycluster.tecton.ai"], "origin.url: must start with https://"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(arguments: list[str], text: str) -> None:
    ended = run_command("serve", "--port", "0", *arguments)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"AUTH__MODE": "open", "SERVER__HOST": "0.0.0.0"}, "auth.mode: open is for loopback only"),
        ({"AUTH__MODE": "passthrough"}, "auth.mode: passthrough needs a cluster"),
        ({"AUTH__STORE": "none"}, "auth.keys: there are none, and auth.store is none, so nobody could read."),
        ({"AUTH__STORE": "none", "AUTH__ADMIN_KEY": "c4n4ry"}, "auth.admin_key: is kept in the store, and auth.store is none"),
        ({"CONSOLE__KEY_DIGEST": "5c" * 32}, 'console.key_digest: is for auth.mode = "passthrough"'),
        ({"AUTH__ADMIN_KEY": "c4n4ry"}, "auth.admin_key: not an API key of the gateway's own"),
        ({"AUTH__MODE": "open", "FEATURE_SERVER__DEFINITIONS": "nowhere:REPOSITORY"}, "feature_server.definitions: nowhere:REPOSITORY"),
        ({"AUTH__MODE": "open", "FEATURE_SERVER__DEFINITIONS": "json:dumps"}, "feature_server.definitions: json:dumps is no Repository"),
        ({"AUTH__MODE": "open", "FEATURE_SERVER__DEFINITIONS": "no/where"}, "no/where is neither a folder nor module:attribute"),
        ({"AUTH__MODE": "open", "FEATURE_SERVER__AS_OF": "yesterday"}, "feature_server.as_of: not an RFC 3339 instant"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, variables: dict[str, str], text: str) -> None:
    environment = plain_environment(**(DEMO | {f"FEATURE_GATEWAY_{name}": value for name, value in variables.items()}))
    ended = run_command("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), environment=environment)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


OTHERS = """
from gateway.feature_server.definitions import Aggregation, FeatureService, FeatureView, Repository, Source, Workspace
from gateway.features import INT64, STRING, TIMESTAMP, Field

VIEW = FeatureView("views", "events", ("who",), (Aggregation("who", "count", 60),), interval_s=60)
EVENTS = Source("events", (Field("at", TIMESTAMP), Field("who", STRING)), timestamp="at")
FLIGHTS = Source("flights", (Field("scheduled_departure", TIMESTAMP), Field("origin", INT64)), timestamp="scheduled_departure")
DEPARTURES = FeatureView("airport_departures", "flights", ("origin",), (Aggregation("origin", "count", 60),), interval_s=60)
REPOSITORY = Repository((Workspace("prod", (FLIGHTS,), (DEPARTURES,), (FeatureService("s", ("airport_departures",)),)),))
NONSENSE = Repository((Workspace("w", (), (VIEW,), (FeatureService("s", ("views", "nothing")),)),))
"""


@pytest.mark.parametrize(
    ("attribute", "text"), [("REPOSITORY", "airport_departures of workspace prod has no history"), ("NONSENSE", "nothing")]
)
def test_definitions_that_do_not_fit_their_store_or_make_no_sense_are_told_plainly(
    demo_copy: Path, tmp_path: Path, attribute: str, text: str
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "others.py").write_text(OTHERS)
    environment = plain_environment(
        PYTHONPATH=str(modules),
        FEATURE_GATEWAY_AUTH__MODE="open",
        FEATURE_GATEWAY_FEATURE_SERVER__DEFINITIONS=f"others:{attribute}",
    )
    ended = run_command("serve", "--port", "0", "--data-dir", str(demo_copy), environment=environment)
    assert ended.returncode in {1, 2}
    assert "Traceback" not in ended.stderr
    assert text in ended.stderr


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_data_folder_that_cannot_be_one_is_told_plainly(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    environment = plain_environment(FEATURE_GATEWAY_AUTH__MODE="open", **DEMO)
    ended = run_command(command, "--port", "0", "--data-dir", str(tmp_path / "file" / "data"), environment=environment)
    assert ended.returncode in {1, 2}
    assert "Traceback" not in ended.stderr
    assert "data" in ended.stderr


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_store_that_is_no_store_is_told_plainly(tmp_path: Path, command: str) -> None:
    (tmp_path / ONLINE_STORE).write_bytes(b"this is no SQLite file, and it is long enough to be looked at" * 100)
    environment = plain_environment(FEATURE_GATEWAY_AUTH__MODE="open", **DEMO)
    ended = run_command(command, "--port", "0", "--data-dir", str(tmp_path), environment=environment)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "The online store failed" in ended.stderr


def test_a_new_key_opens_what_its_settings_say(demo_copy: Path, tmp_path: Path) -> None:
    made = run_command("new-key", "fraud model", "--workspace", "prod", "--workspace", "staging", "--purge")
    assert made.returncode == 0
    key = made.stdout.strip()
    assert key_id(key) is not None
    assert key not in made.stderr
    config = tmp_path / "gateway.toml"
    settings = (
        f'[feature_server]\nas_of = "{definitions.AS_OF}"\ndata_dir = "{demo_copy}"\ndefinitions = "gateway.demo.definitions:REPOSITORY"\n'
    )
    config.write_text(made.stderr + settings)
    assert tomllib.loads(config.read_text())["auth"]["keys"]["fraud model"] == {
        "digest": digest(key),
        "workspaces": ["prod", "staging"],
        "ingest": False,
        "purge": True,
    }
    with Command(tmp_path / "served", "serve", "--config", str(config), "--port", "0") as served:
        assert served.told(r"Serving on http://127.0.0.1:\d+ \(origin: embedded, auth: keys\)")
        with httpx.Client(base_url=served.url, headers=authorization(key)) as client:
            assert sources_by_view(read_named(client))["plane_history"] == {"origin"}
            assert client.post("/v1/workspaces/elsewhere/feature-services/flight_delay/features", json=named()).status_code == 403
            assert client.post("/ingest", json={"workspace_name": "prod", "records": {}}).status_code == 403
            assert client.delete(f"{NAMED}/features").json() == {"purged": 4}


def test_options_win_over_variables_and_variables_over_the_file(taken: int, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[server]\nport = 1\nhost = "127.0.0.1"\n[auth]\nmode = "open"\n')
    environment = plain_environment(FEATURE_GATEWAY_SERVER__PORT=str(taken))
    by_variable = run_command("serve", "--config", str(config), "--data-dir", str(tmp_path), environment=environment)
    assert f"127.0.0.1:{taken}" in by_variable.stderr
    other = {**environment, "FEATURE_GATEWAY_SERVER__PORT": "2"}
    by_option = run_command("serve", "--config", str(config), "--data-dir", str(tmp_path), "--port", str(taken), environment=other)
    assert f"127.0.0.1:{taken}" in by_option.stderr


def test_an_open_gateway_says_so_in_red(demo_copy: Path, tmp_path: Path) -> None:
    environment = plain_environment(FEATURE_GATEWAY_AUTH__MODE="open", **DEMO)
    with Command(tmp_path / "open", "serve", "--port", "0", "--data-dir", str(demo_copy), environment=environment) as served:
        assert httpx.post(f"{served.url}{NAMED}/features", json=named()).status_code == 200
        assert "auth.mode is open: whoever reaches this port reads everything." in served.stderr


def test_a_terminal_sees_a_progress_bar(tmp_path: Path) -> None:
    terminal, inside = pty.openpty()
    arguments = [str(COMMAND), "demo", "--port", "0", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(arguments, stdin=inside, stdout=inside, stderr=inside, env=plain_environment(TERM="xterm"))
    os.close(inside)
    shown = bytearray()
    try:
        while b"Ingesting flights" not in shown or "\u2501".encode() not in shown:
            shown += os.read(terminal, 65_536)
            assert b"Stop with" not in shown, "it went by without a bar"
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # read to its end: nobody ends who waits for room to write
            while os.read(terminal, 65_536):
                pass
        process.wait(20)
        os.close(terminal)


def test_help_shows_examples_and_the_version_is_the_packages() -> None:
    assert "feature-gateway serve --origin tecton --tecton-url" in run_command("--help").stdout
    for command in ("demo", "serve", "new-key", "check", "apply", "ingest", "keys", "audit"):
        assert "Example" in CliRunner().invoke(main, [command, "-h"]).output
    assert version("feature-gateway") in run_command("--version").stdout
    assert subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, check=True).stdout
