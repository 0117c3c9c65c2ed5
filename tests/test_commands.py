"""check, apply and ingest: what they say can be acted upon, and a running server takes up what they do."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from starlette.responses import Response

from gateway.access.keys import digest
from gateway.cli import main
from tests.harness.clock import wait_until
from tests.harness.houses import WRITER, authorization
from tests.harness.processes import COMMAND, Command, plain_environment, run_command
from tests.harness.repositories import AS_OF, SERVICE, write_repository
from tests.loading.far import open_far

SETTINGS = {
    "FEATURE_GATEWAY_FEATURE_SERVER__AS_OF": AS_OF,
    "FEATURE_GATEWAY_DEFAULT_WORKSPACE": "shop",
    "FEATURE_GATEWAY_AUTH__KEYS": json.dumps({"writer": {"digest": digest(WRITER), "workspaces": ["shop"], "ingest": True}}),
}
ENVIRONMENT = plain_environment(**SETTINGS)
HEADER = "at,order,user_id,amount\n"


def run(*arguments: object, status: int = 0) -> str:
    """What it says; on stderr before stdout. In this process, which starts in no time."""
    ended = CliRunner().invoke(main, [str(one) for one in arguments], env=SETTINGS)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    assert ended.exit_code == status, ended.stderr
    return ended.stderr + ended.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A feature repository with the history of its orders."""
    folder = write_repository(tmp_path / "features")
    (folder / "data").mkdir()
    write_orders(folder / "data" / "2024.csv", 1_200)
    return folder


@pytest.fixture
def data(tmp_path: Path, folder: Path) -> Path:
    """A data folder that the repository was applied to."""
    assert run("apply", folder, "--data-dir", tmp_path / "data") == f"Version 1 is in force in {tmp_path / 'data'}.\n"
    return tmp_path / "data"


@pytest.fixture
def running(data: Path, tmp_path: Path) -> Iterator[Command]:
    with Command(tmp_path / "said", "serve", "--port", "0", "--data-dir", str(data), environment=ENVIRONMENT) as running:
        assert running.url
        yield running


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "writer.key"
    file.write_text(f"{WRITER}\n")
    return file


def write_orders(file: Path, count: int, *, bad: int | None = None) -> None:
    lines = [f"2024-05-01T11:30:00Z,o{number},ann,{'much' if number == bad else 1}\n" for number in range(count)]
    file.write_text(HEADER + "".join(lines))


def anns(running: Command) -> dict[str, Any]:
    with httpx.Client(base_url=running.url, headers=authorization(WRITER)) as client:
        return dict(client.post(f"{SERVICE}/features", json={"joinKeys": {"user_id": "ann"}}).json()["features"])


def test_check_tells_what_is_in_a_repository(folder: Path) -> None:
    assert run("check", folder).splitlines() == [
        "Workspace shop: sources",
        "  orders  columns: at, order, user_id, amount, gift; timestamp: at; record key: order, user_id",
        "Workspace shop: feature views",
        "  by_user  source: orders; join keys: user_id; features: 2; interval: 10m; ttl: -",
        "Workspace shop: on-demand views",
        "  edition  reads: by_user; features: 1",
        "Workspace shop: feature services",
        "  checkout  by_user, edition",
        f"{folder} makes sense.",
    ]


def test_check_tells_every_mistake_by_file_and_line(folder: Path) -> None:
    text = (folder / "orders.yaml").read_text()
    (folder / "orders.yaml").write_text(text.replace("timestamp: at", "timestamp: att").replace("interval: 10m", "intervall: 10m"))
    said = run("check", folder, status=2)
    assert "orders.yaml:5: " in said
    assert "orders.yaml:12: " in said
    assert "the folder cannot be read" in run("check", folder / "nowhere", status=2)


def test_check_tells_what_applying_would_do(folder: Path, data: Path, tmp_path: Path) -> None:
    assert "  shop.by_user  is new, and starts empty" in run("check", folder, "--data-dir", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    run("ingest", "orders", "--data-dir", data)
    assert "  shop.by_user  keeps its data as it is" in run("check", folder, "--data-dir", data)
    write_repository(folder, interval="5m")
    assert "  shop.by_user  is stored anew, with its own history" in run("check", folder, "--data-dir", data)
    write_repository(folder, amount="int64")
    said = run("check", folder, "--data-dir", data, status=2)
    assert "shop.by_user  is refused: it has no history to begin with (by_user: its column amount is float64, not int64)." in said
    assert "--start-empty" in said
    assert "is new, and starts empty" in run("check", folder, "--data-dir", data, "--start-empty", "shop.by_user")


def test_apply_again_does_nothing_and_says_so_and_what_is_refused_changes_nothing(folder: Path, data: Path) -> None:
    run("ingest", "orders", "--data-dir", data)
    nothing = f"Nothing to do: version 1 in {data} has these definitions, and is in force.\n"
    assert run("apply", folder, "--data-dir", data) == nothing
    write_repository(folder, amount="int64")
    assert "its column amount is float64, not int64" in run("apply", folder, "--data-dir", data, status=2)
    write_repository(folder)
    assert run("apply", folder, "--data-dir", data) == nothing
    write_repository(folder, interval="5m")
    assert run("apply", folder, "--data-dir", data).splitlines() == [
        "Copying the history of by_user: 1 join keys",
        f"Version 2 is in force in {data}.",
    ]


def test_a_running_server_takes_up_what_is_applied_and_what_is_ingested(running: Command, folder: Path, data: Path, key: Path) -> None:
    through = ("--url", running.url, "--key-file", key)
    loaded = run_command("ingest", "orders", "--data-dir", str(data), *map(str, through), "--restart", environment=ENVIRONMENT)
    assert "1,200 rows stored" in loaded.stdout, loaded.stderr
    assert anns(running)["by_user.order_count_1h_10m"] == 1_200
    write_repository(folder, "second", interval="5m")
    applied = run_command("apply", str(folder), "--data-dir", str(data), environment=ENVIRONMENT)
    assert applied.stdout == f"Version 2 is in force in {data}, and served.\n"
    assert anns(running) == {"by_user.order_count_1h_5m": 1_200, "by_user.total": 1_200.0, "edition.tag": "second"}
    for command in (("ingest", "orders"), ("serve", "--port", "0")):
        said = run(*command, "--data-dir", data, status=1)
        assert f"The data folder {data} is in use by a server (process " in said
        assert "--url" in said


def test_serve_says_what_to_do_where_nothing_is_in_force(tmp_path: Path) -> None:
    said = run("serve", "--port", "0", "--data-dir", tmp_path / "data", status=2)
    assert f"feature-gateway apply DIR --data-dir {tmp_path / 'data'}" in said
    assert "feature-gateway demo" in said


def test_ingest_loads_the_files_that_the_source_names_and_goes_on_where_it_stopped(folder: Path, data: Path) -> None:
    write_orders(folder / "data" / "2024.csv", 1_200, bad=700)
    said = run("ingest", "orders", "--data-dir", data, status=2)
    assert f"{folder / 'data' / '2024.csv'}:702: column amount has the wrong type, expected float64 or null" in said
    assert "Everything before it is stored: 700 rows stored in" in said
    assert "much" not in said
    said = run("ingest", "orders", "--data-dir", data, "--skip-bad")
    assert "499 rows stored in" in said
    assert "700 were loaded before; 1 are bad, and left out." in said
    assert "1,200 were loaded before" in run("ingest", "orders", "--data-dir", data)
    write_orders(folder / "data" / "2024.csv", 1_201)
    assert "has changed since 1,200 rows" in run("ingest", "orders", "--data-dir", data, status=2)
    assert "1,201 rows stored" in run("ingest", "orders", "--data-dir", data, "--restart")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["visits"], "there is no stream source visits in workspace shop. There are: orders (workspace shop)"),
        (["orders", "--workspace", "prod"], "there is no stream source orders in workspace prod"),
        (["orders", "nowhere.csv"], "FILE: there is no file nowhere.csv"),
        (
            ["orders", "--url", "http://127.0.0.1:1"],
            "--key-file: needed with --url. Make a key with: feature-gateway new-key NAME --ingest",
        ),
        (["orders", "--url", "127.0.0.1:1"], "--url: must start with http"),
        (["orders", "--url", "http://127.0.0.1:1", "--key-file", "nowhere"], "--key-file: nowhere cannot be read"),
    ],
)
def test_what_ingest_cannot_do_is_told_with_what_to_do(data: Path, arguments: list[str], text: str) -> None:
    assert text in run("ingest", "--data-dir", data, *arguments, status=2)


def test_ctrl_c_ends_an_ingest_and_the_next_goes_on(data: Path, key: Path, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with open_far() as far:
        far.answers = [Response() for _ in range(50)] + [Response(status_code=503)] * 100
        command = [str(COMMAND), "ingest", "orders", "--data-dir", str(data), "--url", far.url, "--key-file", str(key)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: far.asked > 50, "the second batch")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Stopped: 500 rows stored" in said
        assert "Give the same command again to go on." in said
        far.answers = []
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20)
        assert "700 rows stored" in again.stdout
        assert "500 were loaded before" in again.stdout
        assert len({record["order"] for records in far.taken for record in records}) == 700


def test_a_terminal_sees_tables_and_a_bar(folder: Path, data: Path) -> None:
    for arguments, shown in ((["check", str(folder)], "│ user_id "), (["ingest", "orders", "--data-dir", str(data)], "1,200 rows, ")):
        terminal, inside = pty.openpty()
        environment = ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "140"}
        process = subprocess.Popen([COMMAND, *arguments], stdin=inside, stdout=inside, stderr=inside, env=environment)
        os.close(inside)
        said = bytearray()
        try:
            while True:
                said += os.read(terminal, 65_536)
        except OSError:  # the other end has closed
            pass
        assert process.wait(20) == 0
        os.close(terminal)
        assert shown in said.decode()
