"""Both sides as processes: our gateway with its store filled, and Feast in an environment of its own, which may have to be made first."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import msgspec

from gateway.access.keys import digest, new_key
from gateway.embedded import open_engine
from gateway.settings import checked
from loadtests import peer_definitions
from loadtests.peer_data import AS_OF, JOIN_KEY, LOADED_AT, TIMESTAMP, USERS, attributes
from loadtests.servers import running, serving

FEAST_VERSION = "0.67.0"
"""The version that this comparison was written and checked against."""
ROOT = Path(__file__).resolve().parent.parent
_CHUNK = 500
_START_S = 60.0
_PROBE = """
import json, sys, importlib.metadata
print(json.dumps([importlib.metadata.version("feast"), sys.version.split()[0]]))
"""
_CACHED_DIR = Path(click.get_app_dir("feature-gateway")) / f"feast-{FEAST_VERSION}"


@dataclass(frozen=True, slots=True)
class FeastEnvironment:
    """An interpreter that has Feast, and the versions of both."""

    python: Path
    feast: str
    version: str


def installed_python() -> Path:
    """Where `install` puts Feast."""
    return _CACHED_DIR / "bin" / "python"


def install() -> None:
    """A virtual environment of this interpreter's version, with Feast, in the user's own folder. Raises ClickException."""
    try:
        subprocess.run([sys.executable, "-m", "venv", str(_CACHED_DIR)], check=True)
        subprocess.run([installed_python(), "-m", "pip", "install", "--quiet", f"feast=={FEAST_VERSION}"], check=True)
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"Feast could not be installed into {_CACHED_DIR}; what pip said stands above") from error


def find_feast(python: Path) -> FeastEnvironment | None:
    """Feast by this interpreter; None where it has none."""
    try:
        told = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=True, env=_clean_environment()).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    feast, version = json.loads(told.splitlines()[-1])
    return FeastEnvironment(python, feast, version)


def _clean_environment() -> dict[str, str]:
    """This process's, without what would change either side's mind."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FEATURE_GATEWAY_", "FEAST_", "OTEL_", "PYTHONPATH"))}


def fill(data_dir: Path) -> None:
    """Every user's attributes into our online store, through the same code as an ingest request."""
    settings = checked(_settings(data_dir))
    engine = open_engine(settings)
    try:
        for start in range(1, USERS + 1, _CHUNK):
            records = [
                {"record": {JOIN_KEY: user, TIMESTAMP: LOADED_AT, **attributes(user)}}
                for user in range(start, min(start + _CHUNK, USERS + 1))
            ]
            request = {"workspace_name": peer_definitions.WORKSPACE, "records": {peer_definitions.SOURCE: records}}
            reply = engine.ingest(msgspec.json.encode(request), max_records=len(records))
            if reply.status != 200:
                raise click.ClickException(f"our own server refused the data with status {reply.status}")
    finally:
        engine.close()


def _settings(data_dir: Path) -> dict[str, dict[str, str]]:
    definitions = f"{peer_definitions.__name__}:REPOSITORY"
    return {"feature_server": {"definitions": definitions, "data_dir": str(data_dir), "as_of": AS_OF}}


@contextmanager
def gateway(data_dir: Path, span_receiver_port: int, *, cache_ttl_s: int) -> Iterator[tuple[int, int, str]]:
    """Our gateway on a store that was filled. Its process id, its port and an API key for it."""
    key = new_key()
    environment = _clean_environment() | {
        "FEATURE_GATEWAY_FEATURE_SERVER": json.dumps(_settings(data_dir)["feature_server"]),
        "FEATURE_GATEWAY_AUTH": json.dumps({"keys": {"peer": {"digest": digest(key), "workspaces": ["*"], "ingest": True}}}),
        "FEATURE_GATEWAY_CACHE__TTL_S": str(cache_ttl_s),
        "FEATURE_GATEWAY_SERVER__DRAIN_S": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{span_receiver_port}",
    }
    with serving(environment, folder=ROOT) as (pid, port):
        yield pid, port, key


@contextmanager
def feast_server(feast: FeastEnvironment, folder: Path) -> Iterator[tuple[int, int]]:
    """Feast's Python feature server on a repository made in `folder`. Its process id and its port."""
    environment = _clean_environment() | {"HOME": str(folder), "FEAST_USAGE": "False"}
    folder.mkdir()
    log = folder / "feast.log"
    with log.open("w") as said:
        made = [str(feast.python), "-m", "loadtests.peer_feast", str(folder)]
        if subprocess.run(made, env=environment, cwd=ROOT, stdout=said, stderr=said, check=False).returncode:
            raise click.ClickException(f"Feast's repository could not be made:\n{_tail(log)}")
        port = _free_port()
        with running([str(feast.python), "-c", _SERVE, *_options(folder, port)], environment, said) as process:
            _wait_until_healthy(process, port, log)
            yield process.pid, port


_SERVE = "import sys; from feast.cli.cli import cli; sys.argv[0] = 'feast'; cli()"


def _options(folder: Path, port: int) -> list[str]:
    """What its documentation recommends for one worker; without the recycling of workers every 1,000 requests, which it does by default."""
    serve = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log", "--keep-alive-timeout", "75"]
    return ["--chdir", str(folder), "serve", *serve, "--max-requests", "0", "--max-requests-jitter", "0", "--registry_ttl_sec", "86400"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_healthy(process: "subprocess.Popen[str]", port: int, log: Path) -> None:
    give_up_s = time.monotonic() + _START_S
    with httpx.Client(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < give_up_s:
            try:
                if client.get(f"http://127.0.0.1:{port}/health").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
    raise click.ClickException(f"Feast's server did not start:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-20:])
