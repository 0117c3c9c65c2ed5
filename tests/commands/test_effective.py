"""`feature-gateway check` without a folder: which settings hold, and every mistake."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main

TOKEN = "t0ken-7731"


def run(*arguments: str | Path, status: int = 0, **environment: str) -> Result:
    done = CliRunner(env=environment).invoke(main, ["check", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    file.write_text(f'[origin]\nkind = "tecton"\nurl = "https://acme.tecton.ai"\napi_key = "{TOKEN}"\n[views.user]\nttl_s = 5\n')
    return file


def test_what_was_set_is_told_with_its_place(file: Path) -> None:
    done = run("--config", file, FEATURE_GATEWAY_SERVER__PORT="9000")
    assert done.stdout.splitlines() == [
        "server.port\t9000\tFEATURE_GATEWAY_SERVER__PORT",
        'origin.kind\t"tecton"\tfile',
        'origin.url\t"https://acme.tecton.ai"\tfile',
        "origin.api_key\t********\tfile",
        "views.user.ttl_s\t5.0\tfile",
    ]
    assert done.stderr.startswith("5 settings are not the default's")
    assert "(origin: tecton, auth: keys, store: sqlite)" in done.stderr


def test_all_of_them_can_be_told_and_as_json(file: Path) -> None:
    told = {one["name"]: one for one in json.loads(run("--config", file, "--all", "--json").stdout)}
    assert told["server.port"] == {"name": "server.port", "value": "8080", "source": "default"}
    assert told["origin.api_key"]["value"] == "********"
    assert TOKEN not in str(told)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"server:\n  prot: 1\ncache:\n  ttl_s: {TOKEN}\n")
    said = run("--config", file, status=2, FEATURE_GATEWAY_CASH__TTL_S="1").stderr
    assert "server.prot: there is no such setting; is it port?" in said
    assert "cache.ttl_s: " in said
    assert "FEATURE_GATEWAY_CASH__TTL_S: there is no such setting; is it cache?" in said
    assert TOKEN not in said


def test_the_example_is_a_file_that_serves(tmp_path: Path) -> None:
    text = run("--example").stdout
    assert "port = 8080" in text
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    told = {one["source"] for one in json.loads(run("--config", file, "--json").stdout)}
    assert told == {"file"}
    assert tomllib.loads(text)["server"]["port"] == 8080
